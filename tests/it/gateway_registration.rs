//! Saving cards: what the window needs, what it returned, and whose it is.
#![allow(clippy::unwrap_used, reason = "helpers of a test may panic like the test")]

use domain::charge::GatewayName;
use reqwest::Client;
use secrecy::ExposeSecret;
use serde_json::Value;
use shared::gateway::{ApiKey, GatewayError, Register, SetUp, SetUpAnswer, WindowResult};

use crate::gateway_house::{CUSTOMER_KEY, House, VERSION, adapter};

fn setting_up<'a>(customer: Option<&'a str>, owner: &'a str, key: &'a str) -> SetUp<'a> {
    SetUp { customer_key: CUSTOMER_KEY, customer, owner, idempotency_key: key }
}

fn registering<'a>(result: WindowResult<'a>, customer: Option<&'a str>, owner: &'a str, key: &'a str) -> Register<'a> {
    Register { result, customer, owner, idempotency_key: key }
}

/// What the browser's confirmation does at Stripe. Returns the SetupIntent's id.
async fn confirm(client: &Client, url: &str, set_up: &SetUpAnswer, method: &str) -> String {
    let secret = set_up.client_secret.clone().unwrap();
    let id = secret.split("_secret_").next().unwrap().to_owned();
    let request = client
        .post(format!("{url}/v1/setup_intents/{id}/confirm"))
        .header("authorization", "Bearer sk_test_sandbox")
        .header("stripe-version", "2026-10-28.endive")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("payment_method={method}"));
    request.send().await.unwrap();
    id
}

#[tokio::test]
async fn toss_needs_only_keys_for_its_window() {
    let house = House::open().await;
    let set_up = house.gateway(GatewayName::Toss).set_up(&setting_up(None, "ten_1", "s:1")).await.ok().unwrap();
    assert_eq!((set_up.client_key.as_str(), set_up.customer_key.as_deref()), ("test_ck_sandbox", Some(CUSTOMER_KEY)));
    assert!(set_up.client_secret.is_none() && set_up.customer.is_none());
}

#[tokio::test]
async fn toss_registers_an_auth_key_once_and_replays_it_under_its_key() {
    let house = House::open().await;
    let gateway = house.gateway(GatewayName::Toss);
    let auth_key = house.auth_key(CUSTOMER_KEY, "approved").await;
    let result = || WindowResult::Toss { auth_key: &auth_key, customer_key: CUSTOMER_KEY };
    house.fault(GatewayName::Toss, "register", "drop_after").await;
    let lost = gateway.register(&registering(result(), None, "ten_1", "reg:1")).await;
    assert_eq!(lost.err(), Some(GatewayError::Unknown));
    let first = gateway.register(&registering(result(), None, "ten_1", "reg:1")).await.ok().unwrap();
    let again = gateway.register(&registering(result(), None, "ten_1", "reg:1")).await.ok().unwrap();
    assert_eq!(first.token.expose_secret(), again.token.expose_secret(), "a retry finds the same method");
    assert_eq!(first.customer.expose_secret(), CUSTOMER_KEY);
    assert!(first.card.brand.is_some() && first.card.last4.is_some());
    let used = gateway.register(&registering(result(), None, "ten_1", "reg:2")).await;
    assert_eq!(used.err(), Some(GatewayError::NotFound));
}

#[tokio::test]
async fn toss_refuses_what_another_customer_was_given() {
    let house = House::open().await;
    let gateway = house.gateway(GatewayName::Toss);
    let auth_key = house.auth_key("somebody-else", "approved").await;
    let result = WindowResult::Toss { auth_key: &auth_key, customer_key: CUSTOMER_KEY };
    let foreign = gateway.register(&registering(result, None, "ten_1", "reg:1")).await;
    assert_eq!(foreign.err(), Some(GatewayError::NotFound));
    let result = WindowResult::Toss { auth_key: "bogus", customer_key: CUSTOMER_KEY };
    let bogus = gateway.register(&registering(result, None, "ten_1", "reg:2")).await;
    assert_eq!(bogus.err(), Some(GatewayError::NotFound));
}

#[tokio::test]
async fn stripe_registers_a_confirmed_setup_intent_of_its_owner() {
    let house = House::open().await;
    let gateway = house.gateway(GatewayName::Stripe);
    let set_up = gateway.set_up(&setting_up(None, "ten_1", "s:1")).await.ok().unwrap();
    let customer = set_up.customer.clone().unwrap();
    assert_eq!(set_up.client_key, "pk_test_sandbox");
    let again = gateway.set_up(&setting_up(None, "ten_1", "s:1")).await.ok().unwrap();
    assert_eq!((&again.customer, &again.client_secret), (&set_up.customer, &set_up.client_secret));
    let id = confirm(&house.client, &house.sandbox.url, &set_up, "pm_card_visa").await;
    for known in [Some(customer.as_str()), None] {
        let result = WindowResult::StripeSetupIntent { id: &id };
        let registered = gateway.register(&registering(result, known, "ten_1", "reg:1")).await.ok().unwrap();
        assert_eq!(registered.customer.expose_secret(), customer);
        assert!(registered.token.expose_secret().starts_with("pm_"));
        assert_eq!((registered.card.brand.as_deref(), registered.card.last4.as_deref()), (Some("visa"), Some("4242")));
        assert!(registered.card.exp_month.is_some() && registered.card.exp_year.is_some());
    }
}

#[tokio::test]
async fn stripe_hides_a_foreign_setup_intent_and_an_unfinished_one_is_rejected() {
    let house = House::open().await;
    let gateway = house.gateway(GatewayName::Stripe);
    let mine = gateway.set_up(&setting_up(None, "ten_1", "s:1")).await.ok().unwrap();
    let theirs = gateway.set_up(&setting_up(None, "ten_2", "s:2")).await.ok().unwrap();
    let id = confirm(&house.client, &house.sandbox.url, &theirs, "pm_card_visa").await;
    for (customer, id) in
        [(mine.customer.as_deref(), id.as_str()), (None, &id), (mine.customer.as_deref(), "seti_none")]
    {
        let result = WindowResult::StripeSetupIntent { id };
        let foreign = gateway.register(&registering(result, customer, "ten_1", "reg:1")).await;
        assert_eq!(foreign.err(), Some(GatewayError::NotFound), "{customer:?} {id}");
    }
    let id = mine.client_secret.as_deref().unwrap().split("_secret_").next().unwrap();
    let result = WindowResult::StripeSetupIntent { id };
    let unfinished = gateway.register(&registering(result, mine.customer.as_deref(), "ten_1", "reg:2")).await;
    assert!(matches!(unfinished, Err(GatewayError::Rejected { .. })));
    let declined = confirm(&house.client, &house.sandbox.url, &mine, "pm_card_visa_chargeDeclinedStolenCard").await;
    let result = WindowResult::StripeSetupIntent { id: &declined };
    let declined = gateway.register(&registering(result, mine.customer.as_deref(), "ten_1", "reg:3")).await;
    assert_eq!(declined.err(), Some(GatewayError::Declined { code: "stolen_card".into() }));
}

#[tokio::test]
async fn stripe_attaches_a_payment_method_once_and_to_one_owner() {
    let house = House::open().await;
    let gateway = house.gateway(GatewayName::Stripe);
    let alias = || WindowResult::StripePaymentMethod { id: "pm_card_visa" };
    let first = gateway.register(&registering(alias(), None, "ten_1", "reg:1")).await.ok().unwrap();
    let retry = gateway.register(&registering(alias(), None, "ten_1", "reg:1")).await.ok().unwrap();
    assert_eq!(first.token.expose_secret(), retry.token.expose_secret());
    assert_eq!(first.customer.expose_secret(), retry.customer.expose_secret());
    let id = first.token.expose_secret();
    let own = || WindowResult::StripePaymentMethod { id };
    let customer = Some(first.customer.expose_secret());
    let attached = gateway.register(&registering(own(), customer, "ten_1", "reg:2")).await.ok().unwrap();
    assert_eq!(attached.token.expose_secret(), id, "already ours is fine");
    let foreign = gateway.register(&registering(own(), None, "ten_2", "reg:3")).await;
    assert_eq!(foreign.err(), Some(GatewayError::NotFound));
    let declined = WindowResult::StripePaymentMethod { id: "pm_card_visa_chargeDeclinedLostCard" };
    let declined = gateway.register(&registering(declined, customer, "ten_1", "reg:4")).await;
    assert_eq!(declined.err(), Some(GatewayError::Declined { code: "lost_card".into() }));
    let missing = WindowResult::StripePaymentMethod { id: "pm_none" };
    let missing = gateway.register(&registering(missing, customer, "ten_1", "reg:5")).await;
    assert_eq!(missing.err(), Some(GatewayError::NotFound));
}

#[tokio::test]
async fn a_wrong_key_or_a_foreign_window_result_is_told() {
    let house = House::open().await;
    for name in GatewayName::ALL {
        let wrong = ApiKey { version: VERSION.into(), secret: "wrong".to_owned().into(), client: "wrong".into() };
        let gateway = adapter(&house.client, name, &house.sandbox.url, vec![wrong]);
        let (toss, stripe) = (
            WindowResult::Toss { auth_key: "a", customer_key: CUSTOMER_KEY },
            WindowResult::StripePaymentMethod { id: "pm_card_visa" },
        );
        let (own, other) = if name == GatewayName::Toss { (toss, stripe) } else { (stripe, toss) };
        let refused = gateway.register(&registering(own, None, "ten_1", "reg:1")).await;
        assert!(matches!(refused, Err(GatewayError::Config { .. })), "{name:?}");
        let mixed = gateway.register(&registering(other, None, "ten_1", "reg:1")).await;
        assert!(matches!(mixed, Err(GatewayError::Rejected { .. })), "{name:?}");
        let keyless = adapter(&house.client, name, &house.sandbox.url, Vec::new());
        let none = keyless.set_up(&setting_up(None, "ten_1", "s:1")).await;
        assert!(matches!(none, Err(GatewayError::Config { .. })), "{name:?}");
    }
}

#[tokio::test]
async fn stripe_customers_carry_their_owner() {
    let house = House::open().await;
    let set_up = house.gateway(GatewayName::Stripe).set_up(&setting_up(None, "ten_1", "s:1")).await.ok().unwrap();
    let url = format!("{}/v1/customers/{}", house.sandbox.url, set_up.customer.unwrap());
    let request = house.client.get(url).header("authorization", "Bearer sk_test_sandbox");
    let customer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(customer["metadata"]["owner"], "ten_1");
}
