//! What both gateways list of their own books, over real HTTP against the sandbox: every capture and refund once, signed,
//! joined to the order, and with its fee as soon as the gateway tells it.

use std::collections::BTreeMap;

use domain::calendar::zone;
use domain::charge::GatewayName;
use domain::movement::{Kind, Listed, Movement};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::gateway::statements::{Statement, Statements, Window};
use shared::gateway::stripe::Stripe;
use shared::gateway::toss::Toss;
use shared::gateway::{Refund, RefundAnswer};
use std::sync::Arc;

use crate::gateway_house::{AMOUNT, Attempt, House, captured, key};

fn statements(house: &House, name: GatewayName) -> Box<dyn Statements> {
    let (client, url, keys) = (house.client.clone(), house.sandbox.url.clone(), Arc::new(vec![key(name)]));
    match name {
        GatewayName::Toss => Box::new(Toss::new(client, url, keys)),
        GatewayName::Stripe => Box::new(Stripe::new(client, url, keys)),
    }
}

async fn all(from: &dyn Statements, since: Timestamp, until: Timestamp) -> Vec<Movement> {
    let (mut movements, mut after) = (Vec::new(), None::<String>);
    loop {
        let Statement { rows, after: next } =
            from.movements(&Window { from: since, until, after: after.as_deref() }).await.unwrap();
        movements.extend(rows.into_iter().map(|row| match row {
            Listed::Movement(movement) => movement,
            Listed::Unreadable { raw, .. } => panic!("{raw}"),
        }));
        after = next;
        if after.is_none() {
            return movements;
        }
    }
}

/// Charges `count` cycles and gives a part of the first back.
async fn trade(house: &House, name: GatewayName, count: u32) -> (Vec<Attempt>, String) {
    let (gateway, card) = (house.gateway(name), house.card(name).await);
    let (mut attempts, mut refund) = (Vec::new(), String::new());
    for n in 0..count {
        let attempt = house.attempt(name).await;
        let capture = captured(gateway.charge(&attempt.charge(&card)).await);
        if n == 0 {
            let wanted = Refund {
                refund_id: "rf_1",
                order_id: attempt.order_id(),
                payment_id: &capture.payment_id,
                charge_id: capture.charge_id.as_deref(),
                amount: domain::money::Money::krw(1_000),
                refundable: AMOUNT,
                idempotency_key: "refund:rf_1",
            };
            let RefundAnswer::Done { gateway_refund_id } = gateway.refund(&wanted).await else { panic!("refunded") };
            refund = gateway_refund_id;
        }
        attempts.push(attempt);
    }
    (attempts, refund)
}

#[tokio::test]
async fn every_movement_is_listed_once_signed_and_under_its_order() {
    let house = House::open().await;
    for name in GatewayName::ALL {
        let since = house.now().await - SignedDuration::from_mins(1);
        // More than one page of Stripe's.
        let (attempts, refund) = trade(&house, name, 103).await;
        let until = house.now().await + SignedDuration::from_mins(1);
        let movements = all(statements(&house, name).as_ref(), since, until).await;
        let ids: BTreeMap<&str, &Movement> = movements.iter().map(|m| (m.id.as_str(), m)).collect();
        assert_eq!(ids.len(), movements.len(), "{name:?}: a row comes once");
        let captures = |attempt: &Attempt| {
            let own = |m: &&Movement| m.kind == Kind::Capture && m.order_id.as_deref() == Some(attempt.order_id());
            movements.iter().filter(own).map(|m| m.amount.amount).collect::<Vec<_>>()
        };
        assert!(attempts.iter().all(|attempt| captures(attempt) == [AMOUNT]), "{name:?}");
        let back: Vec<_> = movements.iter().filter(|m| m.kind == Kind::Refund).collect();
        assert_eq!(back.len(), 1, "{name:?}");
        assert_eq!((back[0].amount.amount, back[0].about.as_deref()), (-1_000, Some(refund.as_str())), "{name:?}");
        assert_eq!(back[0].order_id.as_deref(), Some(attempts[0].order_id()), "{name:?}");
        assert!(all(statements(&house, name).as_ref(), since - SignedDuration::from_hours(1), since).await.is_empty());
    }
}

#[tokio::test]
async fn fees_come_with_the_movement_or_a_day_later_and_add_up() {
    let house = House::open().await;
    for name in GatewayName::ALL {
        let since = house.now().await - SignedDuration::from_mins(1);
        let (attempts, _) = trade(&house, name, 2).await;
        let sold = house.now().await.to_zoned(zone()).date();
        let until = house.now().await + SignedDuration::from_mins(1);
        let from = statements(&house, name);
        let mut fees = all(from.as_ref(), since, until).await;
        if name == GatewayName::Toss {
            assert!(fees.iter().all(|m| m.adds_up().is_none()));
            assert!(from.settled(sold, None).await.unwrap().rows.is_empty(), "not before tomorrow");
            let tomorrow = house.now().await + SignedDuration::from_hours(26);
            house.turn("/__sandbox/clock", json!({ "now": tomorrow.to_string() })).await;
            let keyed: Vec<String> = fees.iter().map(|m| m.id.clone()).collect();
            let settled = from.settled(sold, None).await.unwrap();
            fees = settled
                .rows
                .into_iter()
                .map(|row| match row {
                    Listed::Movement(movement) => movement,
                    Listed::Unreadable { raw, .. } => panic!("{raw}"),
                })
                .collect();
            assert!(fees.iter().all(|m| keyed.contains(&m.id)), "joined by transaction");
        }
        assert_eq!(fees.len(), attempts.len() + 1, "{name:?}");
        assert!(fees.iter().all(|m| m.adds_up() == Some(true)), "{name:?} {fees:?}");
        assert!(fees.iter().any(|m| m.fee.as_ref().unwrap().amount > 0), "{name:?}");
    }
}
