//! Every key and secret is rotated while runs charge: no charge fails, no gateway event is turned away, and afterwards
//! nothing stored needs the old data key. The name of this file makes it the last test: keys stay rotated.

use std::collections::BTreeSet;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::aws::{invoke, put_secret, secret};
use crate::harness::{Stack, morning_after, var};
use crate::tables::dump;
use crate::tokens::operator_token;

const SUBSCRIPTIONS: usize = 12;
/// The first payment and one for each run.
const PERIODS: usize = 5;
/// More charges than a run makes.
const TIMES: u64 = 2_000;

/// Charges take this long, so that something is always under way.
async fn slow(stack: &Stack, millis: u64) {
    for gateway in ["toss", "stripe"] {
        let fault =
            json!({ "gateway": gateway, "operation": "charge", "fault": "delay", "times": TIMES, "delayMs": millis });
        stack.own(Method::POST, "/faults", fault).await;
    }
}

/// The sandbox signs Stripe's events with these from now on.
async fn sign_with(stack: &Stack, secret: &str, previous: Option<&str>) {
    let url = format!("{}/api/v1/billing/payments/webhook/stripe", var("WEBHOOK_URL"));
    let endpoint = json!({ "gateway": "stripe", "url": url, "secret": secret, "previousSecret": previous });
    stack.own(Method::POST, "/webhook-endpoints", endpoint).await;
}

/// A run in which `rotation` happens once the first charge has left.
async fn run_during(stack: &Stack, due: Timestamp, rotation: impl Future<Output = ()>) {
    slow(stack, 1_500).await;
    let id = stack.start_run(due).await;
    stack
        .until("a charge is under way", || async {
            let armed = stack.send(stack.http.get(format!("{}/__sandbox/faults", stack.sandbox))).await.expect(200);
            let left = armed["faults"].as_array().unwrap().iter().map(|fault| fault["times"].as_u64().unwrap()).min();
            left.is_none_or(|left| left < TIMES).then_some(())
        })
        .await;
    rotation.await;
    stack.drained(&id).await;
    let healed = stack.http.delete(format!("{}/__sandbox/faults", stack.sandbox));
    assert!(stack.send(healed).await.status < 300);
}

/// A new data key, and every card under it. The function may go on for a while with the key it knew.
async fn rotate_data_key(stack: &Stack, kid: &str) {
    rotate_key_only(stack, kid).await;
    let done = rotate_until(stack, kid).await;
    assert!(done["resealed"].as_u64().unwrap() > 0 && done["left"] == 0 && done["next"].is_null(), "{done:#}");
}

async fn rotate_key_only(stack: &Stack, kid: &str) {
    let key = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    put_secret(stack, "data-key", &json!({ "kid": kid, "key": key })).await;
}

/// Seals again until it is done under this key.
async fn rotate_until(stack: &Stack, kid: &str) -> Value {
    stack
        .until("the function knows the new key", || async {
            let done = invoke(stack, "RotateKeysFunction", json!({})).await;
            (done["kid"] == kid).then_some(done)
        })
        .await
}

async fn rotate_gateway_key(stack: &Stack, name: &str, prefix: &str) {
    let mut keys = secret(stack, name).await;
    keys["secretKey"] = json!(format!("{prefix}{:024x}", rand::random::<u64>()));
    put_secret(stack, name, &keys).await;
}

/// Tokens signed before go on, and so does logging in.
async fn rotate_token_key(stack: &Stack) {
    let before = stack.ops().await.to_owned();
    let key = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let kid = format!("drill-{:08x}", rand::random::<u32>());
    put_secret(stack, "auth/jwt", &json!({ "kid": kid, "key": key })).await;
    stack.get("/ops/runs", Some(&before)).await.expect(200);
    let body = json!({ "username": var("OPS_USERNAME"), "password": var("OPS_PASSWORD") });
    let again = stack.post("/auth/login", None, body).await.expect(200);
    stack.get("/ops/runs", again["token"].as_str()).await.expect(200);
    // Under the new key, which the authorizer has not been told of.
    let viewer = operator_token(stack, "vera", "OPS_VIEWER").await;
    stack.get("/ops/runs", Some(&viewer)).await.expect(200);
    stack.get("/ops/runs", Some(&before)).await.expect(200);
}

#[tokio::test]
async fn nothing_fails_while_every_key_is_rotated() {
    let stack = Stack::new();
    let mut ids = Vec::new();
    for n in 0..SUBSCRIPTIONS {
        ids.push(stack.onboard(if n % 2 == 0 { "toss" } else { "stripe" }, "starter").await.1);
    }
    let first = due(&stack, &ids).await;
    run_during(&stack, first, rotate_data_key(&stack, "drill-1")).await;
    // The runner has seen key 1 and nobody told it of the next.
    let second = due(&stack, &ids).await;
    run_during(&stack, second, async {
        rotate_data_key(&stack, "drill-2").await;
        rotate_gateway_key(&stack, "gateway/toss", "test_sk_drill").await;
        rotate_gateway_key(&stack, "gateway/stripe", "sk_test_drill").await;
        rotate_token_key(&stack).await;
    })
    .await;
    let (old, new) = (var("STRIPE_WEBHOOK_SECRET"), format!("whsec_drill{:032x}", rand::random::<u128>()));
    let third = due(&stack, &ids).await;
    run_during(&stack, third, async {
        // As Stripe rolls one: for a while events carry both signatures, then the new one alone.
        sign_with(&stack, &new, Some(&old)).await;
        put_secret(&stack, "webhook/stripe", &json!({ "secret": new })).await;
    })
    .await;
    sign_with(&stack, &new, None).await;
    let fourth = due(&stack, &ids).await;
    run_during(&stack, fourth, async {}).await;

    for id in &ids {
        charged_each_month(&stack, id, PERIODS).await;
    }
    let refused = refusals(&stack, &ids).await;
    assert!(refused.is_empty(), "events turned away: {refused:#?}");
    under_one_key("drill-2").await;
    // Two people at once: each card is sealed by one of them.
    rotate_key_only(&stack, "drill-3").await;
    let rotate = || invoke(&stack, "RotateKeysFunction", json!({}));
    let both = tokio::join!(rotate(), rotate());
    for done in [both.0, both.1] {
        assert!(done["left"] == 0 && done["next"].is_null(), "{done:#}");
    }
    rotate_until(&stack, "drill-3").await;
    under_one_key("drill-3").await;
    let audited = stack
        .get("/ops/audit?subject=data-key&type=data_key.resealed&limit=100", Some(stack.ops().await))
        .await
        .expect(200);
    let kids: BTreeSet<&str> =
        audited["items"].as_array().unwrap().iter().map(|e| e["changes"]["kid"].as_str().unwrap()).collect();
    assert!(kids.is_superset(&BTreeSet::from(["drill-1", "drill-2"])), "{audited:#}");

    sign_with(&stack, &old, None).await;
    put_secret(&stack, "webhook/stripe", &json!({ "secret": old })).await;
}

/// The first morning on which all of them owe a period.
async fn due(stack: &Stack, ids: &[String]) -> Timestamp {
    let mut latest = stack.now().await;
    for id in ids {
        latest = latest.max(morning_after(&stack.subscription(id).await));
    }
    latest
}

/// Every period paid by its first attempt.
async fn charged_each_month(stack: &Stack, id: &str, periods: usize) {
    let cycles = stack.cycles(id).await;
    assert_eq!(cycles.len(), periods, "{id}: {cycles:#?}");
    for cycle in &cycles {
        let outcomes: Vec<&Value> = cycle["attempts"].as_array().unwrap().iter().map(|a| &a["outcome"]).collect();
        assert_eq!(outcomes, ["SUCCEEDED"], "{id}: {cycle:#}");
    }
    assert_eq!(stack.captures(id).await.len(), periods, "{id}: each once");
}

/// Deliveries about these subscriptions that were answered with 4xx, or are not delivered in the end.
async fn refusals(stack: &Stack, ids: &[String]) -> Vec<Value> {
    let ours = |record: &Value| {
        let order = record["orderId"].as_str().unwrap_or_default();
        ids.iter().any(|id| order.starts_with(id.trim_start_matches("sub_")))
    };
    let records = stack
        .until("every event is delivered", || async {
            let all = stack.send(stack.http.get(format!("{}/__sandbox/webhooks", stack.sandbox))).await.expect(200);
            let mine: Vec<Value> = all["deliveries"].as_array().unwrap().iter().filter(|r| ours(r)).cloned().collect();
            mine.iter().all(|record| record["stage"] != "pending").then_some(mine)
        })
        .await;
    // Toss tells of no completed charge by itself, and what it tells is not signed.
    assert!(records.len() >= ids.len() / 2 * PERIODS, "Stripe told of every charge: {}", records.len());
    let refused = |record: &Value| {
        let statuses = record["attempts"].as_array().unwrap().iter().map(|a| a["status"].as_u64().unwrap_or(0));
        record["stage"] != "delivered" || statuses.into_iter().any(|status| (400..500).contains(&status))
    };
    records.into_iter().filter(refused).collect()
}

/// No stored card names another key, except what does not open at all.
async fn under_one_key(kid: &str) {
    let rows: Vec<String> = dump().await.into_iter().filter(|row| row.starts_with("ops_payment_method: ")).collect();
    let other: Vec<&String> = rows.iter().filter(|row| !row.contains(&format!("kid=S(\"{kid}\")"))).collect();
    assert!(rows.len() >= SUBSCRIPTIONS && other.is_empty(), "{other:#?}");
}
