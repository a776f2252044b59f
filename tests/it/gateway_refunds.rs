//! Giving money back: full, in parts, too much, twice, and over a bad line.

use domain::charge::{GatewayName, Heard};
use domain::money::Money;
use shared::gateway::{Gateway, Refund, RefundAnswer};

use crate::gateway_house::{AMOUNT, Attempt, House, captured};

/// A paid attempt and its payment id.
async fn paid(house: &House, gateway: &dyn Gateway) -> (Attempt, String) {
    let (card, attempt) = (house.card(gateway.name()).await, house.attempt(gateway.name()).await);
    let capture = captured(gateway.charge(&attempt.charge(&card)).await);
    (attempt, capture.payment_id)
}

fn refund<'a>(payment_id: &'a str, refund_id: &'a str, key: &'a str, amount: i64, refundable: i64) -> Refund<'a> {
    let amount = Money::krw(amount);
    Refund { refund_id, order_id: "o-0-0", payment_id, charge_id: None, amount, refundable, idempotency_key: key }
}

fn done(answer: RefundAnswer) -> String {
    match answer {
        RefundAnswer::Done { gateway_refund_id } => gateway_refund_id,
        other => panic!("done, not {other:?}"),
    }
}

#[tokio::test]
async fn parts_then_the_rest_then_no_more() {
    let house = House::open().await;
    for name in GatewayName::ALL {
        let gateway = house.gateway(name);
        let (attempt, payment) = paid(&house, gateway.as_ref()).await;
        let first = done(gateway.refund(&refund(&payment, "rf_1", "refund:rf_1", 11_000, AMOUNT)).await);
        let over = gateway.refund(&refund(&payment, "rf_2", "refund:rf_2", AMOUNT, AMOUNT - 11_000)).await;
        assert!(matches!(over, RefundAnswer::Refused { .. }), "{name:?}: {over:?}");
        let rest = done(gateway.refund(&refund(&payment, "rf_3", "refund:rf_3", 22_000, 22_000)).await);
        assert_ne!(first, rest);
        let more = gateway.refund(&refund(&payment, "rf_4", "refund:rf_4", 1_000, 0)).await;
        assert!(matches!(more, RefundAnswer::Refused { .. }), "{name:?}: {more:?}");
        assert_eq!(house.effects("refund", &attempt).await, 2);
    }
}

#[tokio::test]
async fn a_full_refund_happens_once_under_any_key() {
    let house = House::open().await;
    for name in GatewayName::ALL {
        let gateway = house.gateway(name);
        let (attempt, payment) = paid(&house, gateway.as_ref()).await;
        let first = done(gateway.refund(&refund(&payment, "rf_1", "refund:rf_1", AMOUNT, AMOUNT)).await);
        let again = done(gateway.refund(&refund(&payment, "rf_1", "refund:rf_1", AMOUNT, AMOUNT)).await);
        let late = done(gateway.refund(&refund(&payment, "rf_1", "another-key", AMOUNT, AMOUNT)).await);
        assert_eq!((&again, &late), (&first, &first), "{name:?}");
        assert_eq!(house.effects("refund", &attempt).await, 1);
    }
}

#[tokio::test]
async fn a_partial_refund_repeated_after_its_key_expired_gives_nothing_more() {
    let house = House::open().await;
    for name in GatewayName::ALL {
        let gateway = house.gateway(name);
        let (attempt, payment) = paid(&house, gateway.as_ref()).await;
        house.fault(name, "refund", "drop_after").await;
        let wanted = refund(&payment, "rf_1", "refund:rf_1", 11_000, AMOUNT);
        assert_eq!(
            gateway.refund(&wanted).await,
            RefundAnswer::Unknown { heard: Heard::Nothing, code: None },
            "{name:?}"
        );
        let later = house.now().await + jiff::SignedDuration::from_hours(24 * 20);
        shared::gateway::sandbox_clock::set_clock(&house.client, &house.sandbox.url, later).await.unwrap();
        done(gateway.refund(&wanted).await);
        assert_eq!(house.effects("refund", &attempt).await, 1, "{name:?}");
    }
}

#[tokio::test]
async fn a_refund_nobody_answered_is_unknown() {
    let house = House::open().await;
    for name in GatewayName::ALL {
        let gateway = house.gateway(name);
        let (attempt, payment) = paid(&house, gateway.as_ref()).await;
        for (fault, id) in [("drop_before", "rf_1"), ("rate_limited", "rf_2"), ("error_before", "rf_3")] {
            house.fault(name, "refund", fault).await;
            let answer = gateway.refund(&refund(&payment, id, id, 1_000, AMOUNT)).await;
            assert!(matches!(answer, RefundAnswer::Unknown { .. }), "{name:?} {fault}: {answer:?}");
        }
        assert_eq!(house.effects("refund", &attempt).await, 0);
    }
}
