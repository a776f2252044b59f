//! The sandbox signs as Stripe does; our verification and parsing take it.
#![allow(clippy::unwrap_used, reason = "helpers of a test may panic like the test")]

use domain::charge::{Answer, GatewayName};
use secrecy::SecretString;
use serde_json::json;
use shared::gateway::webhook::{self, StripeKind, TossHint};

use crate::gateway_house::{House, captured};
use crate::gateway_script::{Script, Step, answer};

const SECRET: &str = "whsec_contract";

/// Body and one header of a raw request.
fn taken(request: &str, header: &str) -> (String, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case(header).then(|| value.to_owned())
    });
    (body.to_owned(), line.unwrap_or_default())
}

async fn listening(house: &House, name: GatewayName) -> Script {
    let script = Script::play((0..20).map(|_| Step::Answer(answer(200, "{}")))).await;
    let endpoint = match name {
        GatewayName::Toss => json!({"gateway": "toss", "url": script.url}),
        GatewayName::Stripe => json!({"gateway": "stripe", "url": script.url, "secret": SECRET}),
    };
    house.turn("/__sandbox/webhook-endpoints", endpoint).await;
    script
}

#[tokio::test]
async fn a_stripe_capture_arrives_signed_and_names_our_billable() {
    let house = House::open().await;
    let name = GatewayName::Stripe;
    let script = listening(&house, name).await;
    let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
    let capture = captured(gateway.charge(&attempt.charge(&card)).await);
    let mut wanted = 1;
    let event = loop {
        let seen = script.seen_at_least(wanted).await;
        let (body, header) = taken(&seen[wanted - 1], "stripe-signature");
        let secrets = [SecretString::from("whsec_older".to_owned()), SecretString::from(SECRET.to_owned())];
        let signed_at = webhook::verify_signature(body.as_bytes(), &header, &secrets).unwrap();
        assert!(webhook::within_tolerance(signed_at, house.now().await));
        assert!(webhook::verify_signature(body.as_bytes(), &header, &secrets[..1]).is_err());
        let event = webhook::parse_stripe(body.as_bytes()).unwrap_or_else(|_| panic!("{body}"));
        if matches!(event.kind, StripeKind::PaymentSucceeded { .. }) {
            break event;
        }
        wanted += 1;
    };
    assert_eq!(event.report, Some((attempt.billable.clone(), Answer::Captured(capture))));
}

#[tokio::test]
async fn a_deleted_toss_key_arrives_as_a_hint() {
    let house = House::open().await;
    let name = GatewayName::Toss;
    let script = listening(&house, name).await;
    let (gateway, card) = (house.gateway(name), house.card(name).await);
    let delete = shared::gateway::DeleteMethod { token: &card.token, customer: &card.customer };
    gateway.delete_method(&delete).await.unwrap();
    let (body, _) = taken(&script.seen_at_least(1).await[0], "none");
    let Ok(TossHint::BillingDeleted { billing_key }) = webhook::parse_toss(body.as_bytes()) else { panic!("{body}") };
    use secrecy::ExposeSecret;
    assert_eq!(billing_key.expose_secret(), card.token.expose_secret());
}
