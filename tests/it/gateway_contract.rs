//! What both adapters promise about charging, over real HTTP against the gateway sandbox: one capture per order
//! whatever happens on the line, declines by class, and *unknown* for everything that proves nothing.

use std::time::Duration;

use domain::charge::{Answer, DeclineClass, GatewayName, Heard, Lookup};
use domain::money::Money;
use shared::gateway::{ApiKey, DeleteMethod, of_resend};

use crate::gateway_house::{AMOUNT, House, Plays, VERSION, adapter, captured, found, found_in_time};

const BOTH: [GatewayName; 2] = GatewayName::ALL;

#[tokio::test]
async fn a_registered_card_is_charged_once() {
    let house = House::open().await;
    for name in BOTH {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        assert_eq!(gateway.find(&attempt.find(&card)).await, Lookup::NotFound, "{name:?}");
        let capture = captured(gateway.charge(&attempt.charge(&card)).await);
        assert_eq!((capture.order_id.as_str(), capture.amount), (attempt.order_id(), Money::krw(AMOUNT)));
        assert_eq!(capture.charge_id.is_some(), name == GatewayName::Stripe);
        assert_eq!(captured(found(gateway.find(&attempt.find(&card)).await)), capture);
        assert_eq!(house.captures(&attempt).await, 1);
    }
}

#[tokio::test]
async fn the_same_key_gives_the_same_capture_once() {
    let house = House::open().await;
    for name in BOTH {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        let first = captured(gateway.charge(&attempt.charge(&card)).await);
        let again = captured(of_resend(gateway.charge(&attempt.charge(&card)).await));
        assert_eq!(first, again);
        assert_eq!(house.captures(&attempt).await, 1);
    }
}

#[tokio::test]
async fn every_decline_has_its_class_and_the_next_attempt_may_succeed() {
    let house = House::open().await;
    for (name, plays, class) in [
        (GatewayName::Toss, Plays::Soft, DeclineClass::Soft),
        (GatewayName::Toss, Plays::Hard, DeclineClass::Hard),
        (GatewayName::Stripe, Plays::Soft, DeclineClass::Soft),
        (GatewayName::Stripe, Plays::Hard, DeclineClass::Hard),
        (GatewayName::Stripe, Plays::Auth, DeclineClass::Auth),
    ] {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        house.plays(name, &card, plays).await;
        let Answer::Declined(decline) = gateway.charge(&attempt.charge(&card)).await else {
            panic!("{name:?} {plays:?}")
        };
        assert_eq!(decline.class, class, "{name:?} {plays:?} {}", decline.code);
        assert_eq!(decline.intent.is_some(), name == GatewayName::Stripe);
        assert_eq!(house.captures(&attempt).await, 0);
        house.plays(name, &card, Plays::Approved).await;
        let replay = gateway.charge(&attempt.charge(&card)).await;
        assert_eq!(replay, Answer::Declined(decline.clone()), "the same key brings the same decline");
        let next = attempt.next(decline.intent.clone(), decline.charge_id);
        let capture = captured(gateway.charge(&next.charge(&card)).await);
        assert_eq!(capture.order_id, next.order_id());
        if let Some(intent) = decline.intent {
            assert_eq!(capture.payment_id, intent, "one intent serves the cycle");
        }
        assert_eq!(house.captures(&next).await, 1);
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_and_a_resend_captures_nothing_more() {
    let house = House::open().await;
    for name in BOTH {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        house.fault(name, "charge", "drop_after").await;
        let lost = gateway.charge(&attempt.charge(&card)).await;
        assert_eq!(lost, Answer::Unknown { heard: Heard::Nothing, code: None, intent: None });
        let capture = captured(found(gateway.find(&attempt.find(&card)).await));
        assert_eq!(captured(of_resend(gateway.charge(&attempt.charge(&card)).await)), capture);
        assert_eq!(house.captures(&attempt).await, 1);
    }
}

#[tokio::test]
async fn what_never_arrived_is_not_found_and_a_resend_charges_it_once() {
    let house = House::open().await;
    for (name, fault, wanted) in [
        (GatewayName::Toss, "drop_before", Heard::Nothing),
        (GatewayName::Toss, "error_before", Heard::Error),
        (GatewayName::Toss, "rate_limited", Heard::Nothing),
        (GatewayName::Stripe, "drop_before", Heard::Nothing),
        (GatewayName::Stripe, "error_before", Heard::Error),
        (GatewayName::Stripe, "rate_limited", Heard::Nothing),
    ] {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        house.fault(name, "charge", fault).await;
        match gateway.charge(&attempt.charge(&card)).await {
            Answer::Unknown { heard, .. } => assert_eq!(heard, wanted, "{name:?} {fault}"),
            other => panic!("{name:?} {fault}: {other:?}"),
        }
        assert_eq!(gateway.find(&attempt.find(&card)).await, Lookup::NotFound, "{name:?} {fault}");
        assert_eq!(house.captures(&attempt).await, 0);
        let again = of_resend(gateway.charge(&attempt.charge(&card)).await);
        // A stored 5xx may come back under the key; then it stays unknown and nothing was charged.
        let charged = usize::from(matches!(again, Answer::Captured(_)));
        assert!(charged == 1 || matches!(again, Answer::Unknown { .. }), "{name:?} {fault}: {again:?}");
        assert_eq!(house.captures(&attempt).await, charged);
    }
}

#[tokio::test]
async fn an_error_after_the_effect_is_unknown_and_then_found() {
    let house = House::open().await;
    for name in BOTH {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        house.fault(name, "charge", "error_after").await;
        let answer = gateway.charge(&attempt.charge(&card)).await;
        assert!(matches!(answer, Answer::Unknown { heard: Heard::Error, .. }), "{name:?}: {answer:?}");
        captured(found(gateway.find(&attempt.find(&card)).await));
        assert_eq!(house.captures(&attempt).await, 1);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_finds_the_charge_later() {
    let house = House::open().await;
    for name in BOTH {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        let armed = serde_json::json!({
            "gateway": name.as_str(), "operation": "charge", "fault": "delay", "times": 1, "delayMs": 300,
        });
        house.turn("/__sandbox/faults", armed).await;
        let dropped = tokio::time::timeout(Duration::from_millis(100), gateway.charge(&attempt.charge(&card))).await;
        assert!(dropped.is_err(), "{name:?} answered before its delay");
        let meanwhile = of_resend(gateway.charge(&attempt.charge(&card)).await);
        assert!(matches!(meanwhile, Answer::Unknown { .. } | Answer::Captured(_)), "{name:?}: {meanwhile:?}");
        captured(found_in_time(gateway.as_ref(), &attempt.find(&card)).await);
        assert_eq!(house.captures(&attempt).await, 1);
    }
}

#[tokio::test]
async fn a_question_that_fails_says_nothing() {
    let house = House::open().await;
    for name in BOTH {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        for fault in ["drop_before", "drop_after", "error_before", "rate_limited"] {
            house.fault(name, "find", fault).await;
            assert_eq!(gateway.find(&attempt.find(&card)).await, Lookup::Failed, "{name:?} {fault}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_an_unavailable_one_is_not_used() {
    let house = House::open().await;
    for name in BOTH {
        let (card, attempt) = (house.card(name).await, house.attempt(name).await);
        let wrong = ApiKey { version: VERSION.into(), secret: "wrong".to_owned().into(), client: "wrong".into() };
        let gateway = adapter(&house.client, name, &house.sandbox.url, vec![wrong]);
        let answer = gateway.charge(&attempt.charge(&card)).await;
        assert!(matches!(answer, Answer::Refused { .. }), "{name:?}: {answer:?}");
        let resent = of_resend(answer);
        assert!(matches!(resent, Answer::Unknown { heard: Heard::Nothing, .. }), "says nothing of an earlier send");
        assert_eq!(gateway.find(&attempt.find(&card)).await, Lookup::Failed);
        assert_eq!(house.captures(&attempt).await, 0);
    }
}

#[tokio::test]
async fn a_deleted_card_cannot_be_charged() {
    let house = House::open().await;
    for name in BOTH {
        let (gateway, card, attempt) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
        let delete = DeleteMethod { token: &card.token, customer: &card.customer };
        assert_eq!(gateway.delete_method(&delete).await, Ok(()), "{name:?}");
        assert_eq!(gateway.delete_method(&delete).await, Ok(()), "{name:?}: gone already is fine");
        let answer = gateway.charge(&attempt.charge(&card)).await;
        let Answer::Declined(decline) = &answer else { panic!("{name:?}: {answer:?}") };
        assert_eq!(decline.class, DeclineClass::Hard);
        if name == GatewayName::Stripe {
            let resent = of_resend(answer);
            assert!(matches!(resent, Answer::Unknown { heard: Heard::Error, .. }), "the first send may have captured");
        }
        assert_eq!(house.captures(&attempt).await, 0);
    }
}

#[tokio::test]
async fn an_earlier_charge_of_the_intent_proves_nothing_about_a_later_attempt() {
    let house = House::open().await;
    let name = GatewayName::Stripe;
    let (gateway, card, first) = (house.gateway(name), house.card(name).await, house.attempt(name).await);
    house.plays(name, &card, Plays::Soft).await;
    let Answer::Declined(declined) = gateway.charge(&first.charge(&card)).await else { panic!("declined") };
    let second = first.next(declined.intent.clone(), declined.charge_id);
    house.fault(name, "charge", "drop_before").await;
    assert!(matches!(gateway.charge(&second.charge(&card)).await, Answer::Unknown { heard: Heard::Nothing, .. }));
    assert_eq!(gateway.find(&second.find(&card)).await, Lookup::NotFound, "the known charge is the first attempt's");
    house.fault(name, "charge", "drop_after").await;
    assert!(matches!(gateway.charge(&second.charge(&card)).await, Answer::Unknown { heard: Heard::Nothing, .. }));
    let Answer::Declined(again) = found(gateway.find(&second.find(&card)).await) else { panic!("a new charge failed") };
    assert_ne!(again.charge_id, second.known.last().cloned());
    let third = second.next(again.intent, again.charge_id);
    house.plays(name, &card, Plays::Approved).await;
    house.fault(name, "charge", "drop_after").await;
    assert!(matches!(gateway.charge(&third.charge(&card)).await, Answer::Unknown { .. }));
    let capture = captured(found(gateway.find(&third.find(&card)).await));
    assert_eq!(Some(capture.payment_id), declined.intent);
    let stray = captured(gateway.charge(&third.next(None, None).charge(&card)).await);
    assert_eq!(stray.charge_id, capture.charge_id, "a confirm of a paid intent reads what was paid");
    assert_eq!(house.captures(&third).await, 1);
}

#[tokio::test]
async fn the_sandbox_takes_our_time() {
    let house = House::open().await;
    let later = house.now().await + jiff::SignedDuration::from_hours(24 * 40);
    shared::gateway::sandbox_clock::set_clock(&house.client, &house.sandbox.url, later).await.unwrap();
    assert!(house.now().await >= later);
    assert!(shared::gateway::sandbox_clock::set_clock(&house.client, "http://127.0.0.1:1", later).await.is_err());
}
