//! Cancelling an open PaymentIntent over real HTTP: what is cancelled never captures, what was paid says so, and a bad
//! line proves nothing.

use domain::charge::{Answer, GatewayName, Heard, Lookup};
use shared::gateway::{ApiKey, CancelIntent, Gateway, IntentCancelled};

use crate::gateway_house::{Attempt, Card, House, Plays, VERSION, adapter, captured};

const STRIPE: GatewayName = GatewayName::Stripe;

/// A declined attempt: its intent is open.
async fn declined(house: &House, gateway: &dyn Gateway) -> (Card, Attempt, String) {
    let (card, attempt) = (house.card(STRIPE).await, house.attempt(STRIPE).await);
    house.plays(STRIPE, &card, Plays::Soft).await;
    let Answer::Declined(decline) = gateway.charge(&attempt.charge(&card)).await else { panic!("declined") };
    house.plays(STRIPE, &card, Plays::Approved).await;
    let next = attempt.next(decline.intent.clone(), decline.charge_id);
    (card, next, decline.intent.unwrap())
}

async fn cancel(gateway: &dyn Gateway, intent: &str) -> IntentCancelled {
    gateway.cancel_intent(&CancelIntent { intent }).await
}

#[tokio::test]
async fn a_cancelled_intent_never_captures_whoever_still_holds_it() {
    let house = House::open().await;
    let gateway = house.gateway(STRIPE);
    let (card, next, intent) = declined(&house, gateway.as_ref()).await;
    assert_eq!(cancel(gateway.as_ref(), &intent).await, IntentCancelled::Cancelled);
    assert_eq!(cancel(gateway.as_ref(), &intent).await, IntentCancelled::Cancelled, "twice is once");
    // A worker that froze with the next attempt in its hand.
    let late = gateway.charge(&next.charge(&card)).await;
    assert!(matches!(late, Answer::Unknown { heard: Heard::Refusal, .. }), "{late:?}");
    let Lookup::Found(Answer::Declined(gone)) = gateway.find(&next.find(&card)).await else { panic!("final") };
    assert_eq!(gone.intent, None, "it serves no further attempt");
    assert_eq!(house.captures(&next).await, 0);
}

#[tokio::test]
async fn an_intent_paid_meanwhile_brings_its_capture() {
    let house = House::open().await;
    let gateway = house.gateway(STRIPE);
    let (card, next, intent) = declined(&house, gateway.as_ref()).await;
    let paid = captured(gateway.charge(&next.charge(&card)).await);
    assert_eq!(cancel(gateway.as_ref(), &intent).await, IntentCancelled::Captured(paid));
    assert_eq!(house.captures(&next).await, 1);
}

#[tokio::test]
async fn a_bad_line_a_strange_intent_and_a_wrong_key_prove_nothing() {
    let house = House::open().await;
    let gateway = house.gateway(STRIPE);
    for fault in ["drop_before", "drop_after", "error_before", "error_after", "rate_limited"] {
        let (_, _, intent) = declined(&house, gateway.as_ref()).await;
        house.fault(STRIPE, "*", fault).await;
        assert_eq!(cancel(gateway.as_ref(), &intent).await, IntentCancelled::Unknown, "{fault}");
        assert_eq!(cancel(gateway.as_ref(), &intent).await, IntentCancelled::Cancelled, "{fault}: asked again");
    }
    assert_eq!(cancel(gateway.as_ref(), "pi_nobody_knows").await, IntentCancelled::Unknown);
    let (_, _, intent) = declined(&house, gateway.as_ref()).await;
    let wrong = ApiKey { version: VERSION.into(), secret: "wrong".to_owned().into(), client: "wrong".into() };
    let stranger = adapter(&house.client, STRIPE, &house.sandbox.url, vec![wrong]);
    assert_eq!(cancel(stranger.as_ref(), &intent).await, IntentCancelled::Unknown);
}

/// Two attempts on one cycle, both sent: what a frozen worker can do at the real wire.
#[tokio::test]
async fn one_intent_captures_once_and_two_intents_are_two_payments() {
    let house = House::open().await;
    let gateway = house.gateway(STRIPE);
    let (card, second, intent) = declined(&house, gateway.as_ref()).await;
    let third = second.next(Some(intent), None);
    for attempt in [&third, &second] {
        captured(gateway.charge(&attempt.charge(&card)).await);
    }
    assert_eq!(house.captures(&second).await, 1, "whoever confirms it, and under whatever key");
    // Without a known intent each attempt creates its own, and nothing at the gateway connects them.
    let first = house.attempt(STRIPE).await;
    let second = first.next(None, None);
    for attempt in [&second, &first] {
        captured(gateway.charge(&attempt.charge(&card)).await);
    }
    assert_eq!(house.captures(&first).await, 2, "the proof of absence is what keeps the second from being sent");
}

#[tokio::test]
async fn toss_has_nothing_to_cancel() {
    let house = House::open().await;
    let toss = house.gateway(GatewayName::Toss);
    assert_eq!(cancel(toss.as_ref(), "anything").await, IntentCancelled::Cancelled);
}
