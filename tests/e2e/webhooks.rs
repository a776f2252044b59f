//! Gateway events on the deployed stack: duplicates and disorder change nothing, forgeries are refused.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Stack, morning_after};
use crate::tables::{dump, quiet, unchanged};

/// How long nothing may move before a comparison.
const REST: std::time::Duration = std::time::Duration::from_secs(2);

/// Delivers everything the sandbox ever sent about an order again, shuffled, five times.
async fn replay(stack: &Stack, order_id: &str) {
    for order in ["same", "reversed", "shuffled", "shuffled", "reversed"] {
        stack.own(Method::POST, "/webhooks/replay", json!({ "orderId": order_id, "order": order, "times": 1 })).await;
    }
}

#[tokio::test]
async fn replayed_events_change_nothing_the_second_time() {
    let stack = Stack::new();
    let (_, id) = stack.onboard("stripe", "starter").await;
    stack.run(morning_after(&stack.subscription(&id).await)).await;
    let orders: Vec<String> =
        stack.captures(&id).await.iter().map(|c| c["orderId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(orders.len(), 2);
    // Every event has arrived once: their inbox rows are there.
    for order in &orders {
        replay(&stack, order).await;
    }
    let before = quiet(REST).await;
    assert!(before.iter().any(|row| row.starts_with("webhook_inbox")), "signed events leave an inbox row");
    for order in &orders {
        replay(&stack, order).await;
    }
    unchanged("a replay changed the store", &before, &dump().await);
    assert_eq!(stack.captures(&id).await.len(), 2);
}

#[tokio::test]
async fn forged_events_are_refused_and_hints_about_strangers_ignored() {
    let stack = Stack::new();
    let before = quiet(REST).await;
    let url = |tail: &str| format!("{}/api/v1/billing/payments/webhook{tail}", stack.webhook);
    let event =
        json!({ "id": "evt_forged", "object": "event", "type": "payment_intent.succeeded", "data": { "object": {} } });
    let unsigned = stack.http.post(url("/stripe")).json(&event);
    assert_eq!(stack.send(unsigned).await.status, 400);
    let forged = stack.http.post(url("/stripe")).header("Stripe-Signature", "t=1,v1=00").json(&event);
    assert_eq!(stack.send(forged).await.status, 400);
    let hint = json!({
        "eventType": "PAYMENT_STATUS_CHANGED",
        "createdAt": "2026-11-23T09:00:00.65327",
        "data": { "orderId": "01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0-1", "paymentKey": "nobody", "status": "DONE" },
    });
    assert_eq!(stack.send(stack.http.post(url("/toss")).json(&hint)).await.status, 200);
    let unparsable = stack.http.post(url("/toss")).body("not json");
    assert_eq!(stack.send(unparsable).await.status, 400);
    unchanged("forged or foreign events", &before, &dump().await);
}
