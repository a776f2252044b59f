//! What happens around a charge: refunds that turn later, disputes, replaced cards, settings, a restart.
use super::{Payer, done, get, house, id, pass, post, refused};
use crate::support::{House, start};
use gateway_sandbox::Options;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

/// A charge of 5,500 on this card, as its intent's id.
async fn paid(house: &House, card: &str, order: &str) -> String {
    let payer = Payer::with(house, card).await;
    id(&done(house, "/v1/payment_intents", &payer.charge(order, 5500)).await)
}

async fn kinds(house: &House, query: &str) -> Vec<String> {
    let events = get(house, &format!("/v1/events?limit=100&{query}")).await;
    let kinds = events["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned());
    kinds.collect()
}

#[tokio::test]
async fn pending_refunds_succeed_and_failing_ones_fail_when_their_time_comes() {
    let house = house().await;
    let slow = paid(&house, "pm_card_pendingRefund", "o-1").await;
    let slow = done(&house, "/v1/refunds", &format!("payment_intent={slow}")).await;
    assert_eq!((&slow["status"], &slow["pending_reason"]), (&json!("pending"), &json!("processing")));
    let broken_intent = paid(&house, "pm_card_refundFail", "o-2").await;
    let broken = done(&house, "/v1/refunds", &format!("payment_intent={broken_intent}")).await;
    assert_eq!(broken["status"], "succeeded");
    pass(&house, SignedDuration::from_mins(2)).await;
    // Any request after that time sees what became of them, and the events are there from the same moment.
    done(&house, "/v1/customers", "").await;
    assert_eq!(get(&house, &format!("/v1/refunds/{}", id(&slow))).await["status"], "succeeded");
    let broken = get(&house, &format!("/v1/refunds/{}", id(&broken))).await;
    assert_eq!((&broken["status"], &broken["failure_reason"]), (&json!("failed"), &json!("expired_or_canceled_card")));
    let charge = get(&house, &format!("/v1/payment_intents/{broken_intent}?expand[]=latest_charge")).await;
    assert_eq!(charge["latest_charge"]["amount_refunded"], 0);
    let refunds = kinds(&house, "types[]=refund.updated&types[]=refund.failed").await;
    assert_eq!(refunds, ["refund.failed", "refund.updated", "refund.updated"]);
}

#[tokio::test]
async fn disputes_take_the_money_stop_refunds_and_can_be_won() {
    let house = house().await;
    paid(&house, "pm_card_createDispute", "o-1").await;
    let disputes = ["charge.dispute.funds_withdrawn", "charge.dispute.created"];
    assert_eq!(kinds(&house, "type=charge.dispute.*").await, disputes);
    let intent = paid(&house, "pm_card_visa", "o-2").await;
    let body = json!({ "paymentIntent": intent, "reason": "product_not_received" });
    let dispute = house.turn("/__sandbox/stripe/disputes", body).await;
    assert_eq!((&dispute["status"], &dispute["amount"]), (&json!("needs_response"), &json!(5500)));
    let refund = post(&house, "/v1/refunds", None, &format!("payment_intent={intent}")).await;
    refused(&refund, 400, "invalid_request_error", Some("charge_disputed"));
    let body = json!({ "dispute": dispute["id"], "won": true });
    let closed = house.turn("/__sandbox/stripe/disputes/close", body).await;
    assert_eq!((&closed["status"], closed["balance_transactions"].as_array().unwrap().len()), (&json!("won"), 2));
    done(&house, "/v1/refunds", &format!("payment_intent={intent}")).await;
}

#[tokio::test]
async fn a_replaced_card_keeps_its_id_and_a_deleted_customer_loses_its_cards() {
    let house = house().await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let body = json!({ "paymentMethod": payer.method, "expMonth": 3, "expYear": 2040, "last4": "1881" });
    house.turn("/__sandbox/stripe/card-updates", body).await;
    let event = get(&house, "/v1/events?type=payment_method.automatically_updated").await["data"][0].clone();
    assert_eq!(event["data"]["object"]["id"].as_str(), Some(payer.method.as_str()));
    assert_eq!(event["data"]["previous_attributes"]["card"]["last4"], "4242");
    assert_eq!(event["request"]["id"], Value::Null, "an automatic event has no request");
    let path = format!("/v1/customers/{}", payer.customer);
    let gone = super::call(&house, Method::DELETE, &path).send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 200);
    assert_eq!(get(&house, &path).await["deleted"], true);
    assert_eq!(get(&house, &format!("/v1/payment_methods/{}", payer.method)).await["customer"], Value::Null);
    assert_eq!(kinds(&house, "type=payment_method.detached").await.len(), 1);
}

#[tokio::test]
async fn settings_narrow_the_keys_and_delay_the_balance() {
    let house = house().await;
    let settings = json!({ "balanceLagSeconds": 30, "acceptedKeys": ["sk_test_sandbox"] });
    house.turn("/__sandbox/stripe/settings", settings).await;
    let other = house.request(Method::GET, "/v1/customers").bearer_auth("sk_test_other").send().await.unwrap();
    assert_eq!(other.status().as_u16(), 401);
    let intent = paid(&house, "pm_card_visa", "o-1").await;
    let path = format!("/v1/payment_intents/{intent}?expand[]=latest_charge.balance_transaction");
    assert_eq!(get(&house, &path).await["latest_charge"]["balance_transaction"], Value::Null);
    pass(&house, SignedDuration::from_mins(1)).await;
    assert_eq!(get(&house, &path).await["latest_charge"]["balance_transaction"]["fee"], 198);
}

#[tokio::test]
async fn objects_and_keys_outlive_a_restart() {
    let state = std::env::temp_dir().join(format!("stripe-sandbox-{}.json", std::process::id()));
    let options = Options { state: Some(state.clone()), ..Options::default() };
    let house = start(options.clone()).await;
    let payer = Payer::with(&house, "pm_card_visa").await;
    let body = payer.charge("o-1", 5500);
    let first = post(&house, "/v1/payment_intents", Some("k"), &body).await;
    house.sandbox.stop().await.unwrap();
    let house = start(options).await;
    let replay = post(&house, "/v1/payment_intents", Some("k"), &body).await;
    assert_eq!((replay.status, &replay.text), (200, &first.text));
    assert_eq!(get(&house, &format!("/v1/payment_intents/{}", id(&first.json()))).await, first.json());
    done(&house, "/v1/payment_intents", &payer.charge("o-2", 5500)).await;
    std::fs::remove_file(state).unwrap();
}

#[tokio::test]
async fn the_dashboard_refunds_without_metadata_and_the_payer_disputes() {
    let house = house().await;
    let intent = paid(&house, "pm_card_visa", "o-1").await;
    let refund = house.turn("/__sandbox/refunds", json!({ "orderId": "o-1", "amount": 500 })).await;
    assert_eq!((&refund["amount"], &refund["payment_intent"]), (&json!(500), &json!(intent)));
    assert_eq!(refund["metadata"], json!({}));
    let told = get(&house, "/v1/events?type=refund.created").await["data"].as_array().unwrap().len();
    assert_eq!((told, kinds(&house, "type=charge.refunded").await.len()), (1, 1));
    let dispute = house.turn("/__sandbox/disputes", json!({ "paymentId": intent, "status": "needs_response" })).await;
    assert_eq!(dispute["payment_intent"], json!(intent));
    let lost = house.turn("/__sandbox/disputes", json!({ "paymentId": intent, "status": "lost" })).await;
    assert_eq!(lost["status"], "lost");
    assert_eq!(kinds(&house, "type=charge.dispute.closed").await.len(), 1);
}
