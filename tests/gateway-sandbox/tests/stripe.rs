//! The Stripe wire over HTTP: keys, parameters, idempotency, the PaymentIntent's states, declines, refunds, events.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test may panic like the test")]
mod support;

use gateway_sandbox::{
    Options,
    core::{Endpoint, Gateway, stripe_signature},
};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use support::{House, Receiver, Seen, start};

const AUTOMATIC: &str = "automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never";

async fn house() -> House {
    start(Options::default()).await
}

fn call(house: &House, method: Method, path: &str) -> RequestBuilder {
    house.request(method, path).bearer_auth("sk_test_sandbox")
}

fn form(house: &House, path: &str, key: Option<&str>, body: &str) -> RequestBuilder {
    let request = call(house, Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(body.to_owned());
    key.iter().fold(request, |request, key| request.header("idempotency-key", *key))
}

async fn post(house: &House, path: &str, key: Option<&str>, body: &str) -> Seen {
    Seen::of(form(house, path, key, body).send().await.unwrap()).await
}

async fn get(house: &House, path: &str) -> Value {
    let seen = Seen::of(call(house, Method::GET, path).send().await.unwrap()).await;
    assert_eq!(seen.status, 200, "{path}: {}", seen.text);
    seen.json()
}

/// Lets time pass on the sandbox's clock.
async fn pass(house: &House, time: SignedDuration) {
    let now = house.sandbox.core.now() + time;
    house.turn("/__sandbox/clock", json!({ "now": now })).await;
}

/// A POST that must work.
async fn done(house: &House, path: &str, body: &str) -> Value {
    let seen = post(house, path, None, body).await;
    assert_eq!(seen.status, 200, "{path}: {}", seen.text);
    seen.json()
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(seen: &Seen, status: u16, kind: &str, code: Option<&str>) {
    let error = &seen.json()["error"];
    assert_eq!(
        (seen.status, error["type"].as_str(), error["code"].as_str()),
        (status, Some(kind), code),
        "{}",
        seen.text
    );
}

fn header<'s>(seen: &'s Seen, name: &str) -> Option<&'s str> {
    seen.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Customer and saved card.
struct Payer {
    customer: String,
    method: String,
}

impl Payer {
    async fn with(house: &House, card: &str) -> Self {
        let customer = id(&done(house, "/v1/customers", "name=Tenant&metadata[tenant]=ten_1").await);
        let setup =
            done(house, "/v1/setup_intents", &format!("customer={customer}&usage=off_session&{AUTOMATIC}")).await;
        let body = json!({ "setupIntent": setup["client_secret"], "paymentMethod": card });
        let setup = house.turn("/__sandbox/stripe/confirm-setup", body).await;
        assert_eq!(setup["status"], "succeeded");
        Self { customer, method: setup["payment_method"].as_str().unwrap().to_owned() }
    }

    fn charge(&self, order: &str, amount: i64) -> String {
        format!(
            "amount={amount}&currency=krw&customer={}&payment_method={}&off_session=true&confirm=true&{AUTOMATIC}\
             &metadata%5Border_id%5D={order}",
            self.customer, self.method
        )
    }
}

#[tokio::test]
async fn only_test_keys_enter_and_every_answer_carries_its_ids() {
    let house = house().await;
    let path = "/v1/customers/cus_none";
    let missing = Seen::of(house.request(Method::GET, path).send().await.unwrap()).await;
    refused(&missing, 401, "invalid_request_error", None);
    let live = house.request(Method::GET, path).bearer_auth(format!("{}_live_123", "sk")).send().await.unwrap();
    assert_eq!(live.status().as_u16(), 401);
    let basic = house.request(Method::GET, path).basic_auth("sk_test_sandbox", Some("")).send().await.unwrap();
    let basic = Seen::of(basic).await;
    refused(&basic, 404, "invalid_request_error", Some("resource_missing"));
    assert_eq!(basic.json()["error"]["message"], "No such customer: 'cus_none'");
    assert!(header(&basic, "request-id").unwrap().starts_with("req_"));
    assert_eq!(header(&basic, "stripe-version"), Some("2026-10-28.endive"));
    let odd = call(&house, Method::GET, path).header("stripe-version", "latest").send().await.unwrap();
    assert_eq!(odd.status().as_u16(), 400);
}

#[tokio::test]
async fn parameters_are_checked_before_anything_happens() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let good = payer.charge("o-1", 5500);
    let bad = [
        (format!("{good}&foo=1"), "parameter_unknown"),
        (format!("{good}&payment_method_types[]=card"), "payment_method_types_no_longer_supported"),
        (good.replace("amount=5500", "amount=abc"), "parameter_invalid_integer"),
        (good.replace("amount=5500&", ""), "parameter_missing"),
        (good.replace("amount=5500", "amount=10"), "amount_too_small"),
        (good.replace(&payer.customer, "cus_nobody"), "resource_missing"),
    ];
    for (body, code) in bad {
        refused(&post(&house, "/v1/payment_intents", Some("k"), &body).await, 400, "invalid_request_error", Some(code));
    }
    let expand = post(&house, "/v1/payment_intents", None, &format!("{good}&expand[]=charges")).await;
    assert_eq!(expand.json()["error"]["message"], "This property cannot be expanded (charges).");
    assert!(house.effects().await.is_empty());
    let now = post(&house, "/v1/payment_intents", Some("k"), &good).await;
    assert_eq!(now.status, 200, "a refused validation leaves its key free: {}", now.text);
}

#[tokio::test]
async fn a_charge_succeeds_once_and_shows_charge_fee_and_ledger() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let body = payer.charge("01J-0-0", 33_000) + "&expand[]=latest_charge.balance_transaction";
    let intent = done(&house, "/v1/payment_intents", &body).await;
    assert_eq!((&intent["status"], &intent["amount_received"]), (&json!("succeeded"), &json!(33_000)));
    let charge = &intent["latest_charge"];
    assert_eq!((&charge["paid"], &charge["metadata"]["order_id"]), (&json!(true), &json!("01J-0-0")));
    let balance = &charge["balance_transaction"];
    assert_eq!((&balance["fee"], &balance["net"]), (&json!(1188), &json!(31_812)));
    assert_eq!(house.effects().await, [("capture".into(), "01J-0-0".into(), 33_000)]);
    let again = post(&house, &format!("/v1/payment_intents/{}/confirm", id(&intent)), None, "off_session=true").await;
    refused(&again, 400, "invalid_request_error", Some("payment_intent_unexpected_state"));
    assert_eq!(again.json()["error"]["payment_intent"]["status"], "succeeded");
    let cancel = post(&house, &format!("/v1/payment_intents/{}/cancel", id(&intent)), None, "").await;
    refused(&cancel, 400, "invalid_request_error", Some("payment_intent_unexpected_state"));
    assert_eq!(house.effects().await.len(), 1);
    let list = get(&house, &format!("/v1/payment_intents?customer={}&limit=100", payer.customer)).await;
    assert_eq!(list["data"][0]["id"], intent["id"]);
}

#[tokio::test]
async fn a_declined_intent_exists_and_can_be_paid_later_with_a_new_charge_each_time() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_chargeCustomerFail").await;
    let declined = post(&house, "/v1/payment_intents", Some("a1"), &payer.charge("01J-1-0", 5500)).await;
    refused(&declined, 402, "card_error", Some("card_declined"));
    assert_eq!(header(&declined, "stripe-should-retry"), Some("false"));
    let error = declined.json()["error"].clone();
    assert_eq!((&error["decline_code"], &error["advice_code"]), (&json!("generic_decline"), &json!("try_again_later")));
    let intent = &error["payment_intent"];
    assert_eq!((&intent["status"], &intent["payment_method"]), (&json!("requires_payment_method"), &Value::Null));
    assert_eq!(intent["last_payment_error"]["charge"], error["charge"]);
    let confirm = format!("/v1/payment_intents/{}/confirm", id(intent));
    refused(
        &post(&house, &confirm, None, "metadata[x]=1").await,
        400,
        "invalid_request_error",
        Some("parameter_unknown"),
    );
    let body = format!("payment_method={}&off_session=true", payer.method);
    refused(&post(&house, &confirm, Some("a2"), &body).await, 402, "card_error", Some("card_declined"));
    let approve = json!({ "paymentMethod": payer.method, "card": "pm_card_visa", "times": 1 });
    house.turn("/__sandbox/behaviour", approve).await;
    let paid = post(&house, &confirm, Some("a3"), &body).await;
    assert_eq!((paid.status, &paid.json()["last_payment_error"]), (200, &Value::Null), "{}", paid.text);
    let charges = get(&house, &format!("/v1/charges?payment_intent={}", id(intent))).await;
    let paid: Vec<&Value> = charges["data"].as_array().unwrap().iter().map(|charge| &charge["paid"]).collect();
    assert_eq!(paid, [&json!(true), &json!(false), &json!(false)]);
    let kinds: Vec<String> = house.effects().await.into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["decline", "decline", "capture"]);
}

#[tokio::test]
async fn decline_cards_are_refused_when_saved_and_play_their_code_when_charged() {
    let house = house().await;
    let customer = id(&done(&house, "/v1/customers", "").await);
    for card in ["pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedInsufficientFunds"] {
        let seen =
            post(&house, &format!("/v1/payment_methods/{card}/attach"), None, &format!("customer={customer}")).await;
        refused(&seen, 402, "card_error", Some("card_declined"));
        assert_eq!(seen.json()["error"]["decline_code"], "insufficient_funds");
    }
    let setup = id(&done(&house, "/v1/setup_intents", &format!("customer={customer}&{AUTOMATIC}")).await);
    let confirm = format!("/v1/setup_intents/{setup}/confirm");
    let seen = post(&house, &confirm, None, "payment_method=pm_card_chargeDeclinedExpiredCard").await;
    refused(&seen, 402, "card_error", Some("expired_card"));
    assert_eq!(seen.json()["error"]["setup_intent"]["last_setup_error"]["code"], "expired_card");
    let payer = Payer::with(&house, "pm_card_visa").await;
    let plays = [
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", Some("insufficient_funds")),
        ("lost_card", "card_declined", Some("lost_card")),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
        ("pm_card_authenticationRequired", "authentication_required", None),
        ("authentication_required", "card_declined", Some("authentication_required")),
    ];
    for (card, code, decline) in plays {
        house.turn("/__sandbox/behaviour", json!({ "paymentMethod": payer.method, "card": card, "times": 1 })).await;
        let seen = post(&house, "/v1/payment_intents", None, &payer.charge("o", 5500)).await;
        refused(&seen, 402, "card_error", Some(code));
        assert_eq!(seen.json()["error"]["decline_code"].as_str(), decline, "{card}");
    }
    done(&house, "/v1/payment_intents", &payer.charge("o", 5500)).await;
}

#[tokio::test]
async fn authentication_is_for_the_browser_and_a_setup_frees_later_charges() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_authenticationRequiredOnSetup").await;
    done(&house, "/v1/payment_intents", &payer.charge("o-1", 5500)).await;
    let setup = done(&house, "/v1/setup_intents", &format!("customer={}&{AUTOMATIC}", payer.customer)).await;
    let confirm = format!("/v1/setup_intents/{}/confirm", id(&setup));
    let waiting = done(&house, &confirm, "payment_method=pm_card_authenticationRequired").await;
    assert_eq!(
        (&waiting["status"], &waiting["next_action"]["type"]),
        (&json!("requires_action"), &json!("use_stripe_sdk"))
    );
    let always = Payer::with(&house, "pm_card_authenticationRequired").await;
    let seen = post(&house, "/v1/payment_intents", None, &always.charge("o-2", 5500)).await;
    refused(&seen, 402, "card_error", Some("authentication_required"));
    let secret = seen.json()["error"]["payment_intent"]["client_secret"].clone();
    let body = json!({ "paymentIntent": secret, "paymentMethod": always.method });
    assert_eq!(house.turn("/__sandbox/stripe/confirm-payment", body).await["status"], "succeeded");
}

#[tokio::test]
async fn one_key_runs_once_for_a_day() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let body = payer.charge("o-1", 5500);
    let first = post(&house, "/v1/payment_intents", Some("k"), &body).await;
    let replay = post(&house, "/v1/payment_intents", Some("k"), &body).await;
    assert_eq!((replay.status, &replay.text), (200, &first.text));
    assert_eq!(header(&replay, "idempotent-replayed"), Some("true"));
    assert_eq!(header(&first, "idempotent-replayed"), None);
    assert_eq!(header(&replay, "original-request"), header(&first, "request-id"));
    assert_eq!(header(&replay, "idempotency-key"), Some("k"));
    let other = post(&house, "/v1/payment_intents", Some("k"), &payer.charge("o-1", 5501)).await;
    refused(&other, 400, "idempotency_error", None);
    refused(&post(&house, "/v1/refunds", Some("k"), &body).await, 400, "idempotency_error", None);
    assert_eq!(house.effects().await.len(), 1);
    pass(&house, SignedDuration::from_hours(25)).await;
    assert_eq!(post(&house, "/v1/payment_intents", Some("k"), &body).await.status, 200);
    assert_eq!(house.effects().await.len(), 2, "a pruned key is a new request");
}

#[tokio::test]
async fn declines_and_errors_replay_but_limits_do_not_and_a_running_key_conflicts() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_chargeCustomerFail").await;
    let body = payer.charge("o-1", 5500);
    let declined = post(&house, "/v1/payment_intents", Some("d"), &body).await;
    let again = post(&house, "/v1/payment_intents", Some("d"), &body).await;
    assert_eq!((again.status, &again.text), (402, &declined.text));
    let fault = |fault: &str, delay: u64| json!({ "gateway": "stripe", "operation": "charge", "fault": fault, "times": 1, "delayMs": delay });
    for kind in ["error_before", "error_after"] {
        house.turn("/__sandbox/faults", fault(kind, 0)).await;
        let broken = post(&house, "/v1/payment_intents", Some(kind), &body).await;
        refused(&broken, 500, "api_error", None);
        let replay = post(&house, "/v1/payment_intents", Some(kind), &body).await;
        assert_eq!((replay.status, header(&replay, "stripe-should-retry")), (500, Some("false")));
    }
    assert_eq!(house.effects().await.len(), 2, "error_before had no effect, error_after had one");
    house.turn("/__sandbox/faults", fault("rate_limited", 0)).await;
    let limited = post(&house, "/v1/payment_intents", Some("r"), &body).await;
    refused(&limited, 429, "invalid_request_error", Some("rate_limit"));
    assert_eq!(header(&limited, "stripe-rate-limited-reason"), Some("endpoint-rate"));
    assert_eq!(post(&house, "/v1/payment_intents", Some("r"), &body).await.status, 402);
    house.turn("/__sandbox/faults", fault("delay", 400)).await;
    let slow = form(&house, "/v1/payment_intents", Some("s"), &body).send();
    let quick = async {
        // The fault is gone from the list once the slow request has taken it, just before it claims its key.
        while house.read("/__sandbox/faults").await["faults"].as_array().unwrap().iter().any(|f| f["times"] != 0) {
            tokio::task::yield_now().await;
        }
        post(&house, "/v1/payment_intents", Some("s"), &body).await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    refused(&quick, 409, "invalid_request_error", Some("idempotency_key_in_use"));
    assert_eq!(slow.unwrap().status().as_u16(), 402);
}

#[tokio::test]
async fn a_dropped_answer_is_found_by_list_and_replayed_by_its_key() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let body = payer.charge("o-1", 5500);
    let fault = json!({ "gateway": "stripe", "operation": "charge", "fault": "drop_after", "times": 1 });
    house.turn("/__sandbox/faults", fault).await;
    let lost = form(&house, "/v1/payment_intents", Some("k"), &body).send().await.unwrap_err();
    assert!(lost.status().is_none(), "{lost:?}");
    let search = "/v1/payment_intents/search?query=metadata%5B%27order_id%27%5D%3A%27o-1%27";
    assert_eq!(get(&house, search).await["data"], json!([]), "search lags behind");
    let list = get(&house, &format!("/v1/payment_intents?customer={}", payer.customer)).await;
    let replay = post(&house, "/v1/payment_intents", Some("k"), &body).await;
    assert_eq!((replay.status, &replay.json()["id"]), (200, &list["data"][0]["id"]));
    assert_eq!(house.effects().await.len(), 1);
    pass(&house, SignedDuration::from_mins(5)).await;
    assert_eq!(get(&house, search).await["data"][0]["id"], list["data"][0]["id"]);
}

#[tokio::test]
async fn refunds_stop_at_what_was_paid() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let intent = id(&done(&house, "/v1/payment_intents", &payer.charge("o-1", 5500)).await);
    let part = done(&house, "/v1/refunds", &format!("payment_intent={intent}&amount=4500&reason=duplicate")).await;
    assert_eq!((&part["status"], &part["amount"]), (&json!("succeeded"), &json!(4500)));
    let over = post(&house, "/v1/refunds", None, &format!("payment_intent={intent}&amount=2500")).await;
    refused(&over, 400, "invalid_request_error", None);
    let error = over.json()["error"].clone();
    assert_eq!(error["message"], "Refund amount (₩2,500) is greater than unrefunded amount on charge (₩1,000)");
    assert_eq!(error["param"], "amount");
    assert_eq!(done(&house, "/v1/refunds", &format!("payment_intent={intent}")).await["amount"], 1000);
    let none = post(&house, "/v1/refunds", None, &format!("payment_intent={intent}")).await;
    refused(&none, 400, "invalid_request_error", Some("charge_already_refunded"));
    let list = get(&house, &format!("/v1/refunds?payment_intent={intent}")).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let total: i64 =
        house.effects().await.iter().filter(|(kind, ..)| kind == "refund").map(|(.., amount)| amount).sum();
    assert_eq!(total, 5500);
}

#[tokio::test]
async fn events_are_signed_carry_the_key_and_a_detached_card_is_dead() {
    let mut receiver = Receiver::start(&[]).await;
    let secret = Some("whsec_local".to_owned());
    let hook = Endpoint { gateway: Gateway::Stripe, url: receiver.url.clone(), secret, previous_secret: None };
    let house = start(Options { endpoints: vec![hook], ..Options::default() }).await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let seen = post(&house, "/v1/payment_intents", Some("pi:1"), &payer.charge("o-1", 5500)).await;
    done(&house, "/v1/refunds", &format!("payment_intent={}&amount=1000", id(&seen.json()))).await;
    done(&house, &format!("/v1/payment_methods/{}/detach", payer.method), "").await;
    let mut kinds = Vec::new();
    for _ in 0..7 {
        let post = receiver.next().await;
        let event = post.json();
        let stamp =
            post.header("stripe-signature").strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        let expected = stripe_signature(&["whsec_local"], Timestamp::from_second(stamp).unwrap(), &post.body);
        assert_eq!(post.header("stripe-signature"), expected);
        let kind = event["type"].as_str().unwrap().to_owned();
        if kind == "payment_intent.succeeded" {
            assert_eq!(event["request"]["idempotency_key"], "pi:1");
            assert_eq!(event["request"]["id"].as_str(), header(&seen, "request-id"));
            assert_eq!(get(&house, &format!("/v1/events/{}", id(&event))).await, event);
        }
        if kind == "payment_method.detached" {
            assert_eq!(event["data"]["previous_attributes"]["customer"].as_str(), Some(payer.customer.as_str()));
        }
        kinds.push(kind);
    }
    kinds.sort();
    let expected = [
        "charge.refunded",
        "payment_intent.succeeded",
        "payment_method.attached",
        "payment_method.detached",
        "refund.created",
        "setup_intent.created",
        "setup_intent.succeeded",
    ];
    assert_eq!(kinds, expected);
    let dead = post(&house, "/v1/payment_intents", None, &payer.charge("o-2", 5500)).await;
    refused(&dead, 400, "invalid_request_error", None);
}
