//! What both wires share, over HTTP: faults, clock, ledger, webhooks, persistence.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test may panic like the test")]
mod support;

use std::{path::PathBuf, time::Duration};

use gateway_sandbox::{
    Options,
    core::{Delivery, Endpoint, Gateway, Signing, stripe_signature},
};
use reqwest::Method;
use serde_json::{Value, json};
use support::{DEADLINE, House, Receiver, Seen, order, start};

fn to(gateway: Gateway, receiver: &Receiver) -> Endpoint {
    let secret = matches!(gateway, Gateway::Stripe).then(|| "whsec_local".to_owned());
    Endpoint { gateway, url: receiver.url.clone(), secret, previous_secret: None }
}

fn heard(endpoint: Endpoint, retry_speed: u32) -> Options {
    Options { endpoints: vec![endpoint], retry_speed, ..Options::default() }
}

/// Waits until the house says so.
async fn until(house: &House, path: &str, done: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let seen = house.read(path).await;
            if done(&seen) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{path} never got there"))
}

#[tokio::test]
async fn dropped_connections_are_transport_errors_with_or_without_the_effect() {
    let house = start(Options::default()).await;
    let key = house.billing_key("approved").await;
    let path = format!("/v1/billing/{key}");
    house.fault("charge", "drop_before", 1, 0).await;
    house.fault("charge", "drop_after", 1, 0).await;
    let before = house.try_post(&path, Some("k-1"), order("order-0001", 33_000)).await.unwrap_err();
    assert!(before.is_request() && before.status().is_none(), "{before:?}");
    assert!(house.effects().await.is_empty());
    let after = house.try_post(&path, Some("k-1"), order("order-0001", 33_000)).await.unwrap_err();
    assert!(after.is_request() && after.status().is_none(), "{after:?}");
    assert_eq!(house.effects().await.len(), 1);
    let found = house.get("/v1/payments/orders/order-0001").await;
    let resent = house.charge(&key, "order-0001", "k-1").await;
    assert_eq!((resent.status, resent.json()), (200, found.json()), "a resend under the key gets the lost answer");
    assert_eq!(house.effects().await.len(), 1);
}

#[tokio::test]
async fn error_answers_with_or_without_the_effect() {
    let house = start(Options::default()).await;
    let key = house.billing_key("approved").await;
    house.fault("charge", "error_before", 1, 0).await;
    house.charge(&key, "order-0001", "k-1").await.refused(500, "COMMON_ERROR");
    house.get("/v1/payments/orders/order-0001").await.refused(404, "NOT_FOUND_PAYMENT");
    house.fault("charge", "error_after", 1, 0).await;
    house.charge(&key, "order-0001", "k-1").await.refused(500, "COMMON_ERROR");
    assert_eq!(house.get("/v1/payments/orders/order-0001").await.status, 200);
    house.fault("charge", "rate_limited", 1, 0).await;
    house.charge(&key, "order-0001", "k-1").await.refused(429, "TOO_MANY_REQUESTS");
    assert_eq!(house.charge(&key, "order-0001", "k-1").await.status, 200);
    assert_eq!(house.effects().await.len(), 1);
}

#[tokio::test]
async fn faults_hit_their_operation_in_order_and_can_be_cleared() {
    let house = start(Options::default()).await;
    house.fault("find", "rate_limited", 1, 0).await;
    house.fault("*", "error_before", 2, 0).await;
    house.fault("refund", "rate_limited", 9, 0).await;
    let stripes = json!({"gateway": "stripe", "operation": "*", "fault": "rate_limited", "times": 9});
    house.turn("/__sandbox/faults", stripes).await;
    let look = || house.get("/v1/payments/none");
    look().await.refused(429, "TOO_MANY_REQUESTS");
    look().await.refused(500, "COMMON_ERROR");
    look().await.refused(500, "COMMON_ERROR");
    look().await.refused(404, "NOT_FOUND_PAYMENT");
    let cleared = Seen::of(house.request(Method::DELETE, "/__sandbox/faults").send().await.unwrap()).await;
    assert_eq!(cleared.json(), json!({"faults": []}));
    let cancel = json!({"cancelReason": "r"});
    house.post("/v1/payments/none/cancel", None, cancel).await.refused(404, "NOT_FOUND_PAYMENT");
}

#[tokio::test]
async fn a_slow_charge_happens_although_the_caller_has_gone() {
    let house = start(Options::default()).await;
    let key = house.billing_key("approved").await;
    house.fault("charge", "delay", 1, 400).await;
    let hasty = house.toss(Method::POST, &format!("/v1/billing/{key}")).json(&order("order-0001", 33_000));
    let gone = hasty.timeout(Duration::from_millis(100)).send().await.unwrap_err();
    assert!(gone.is_timeout());
    house.get("/v1/payments/orders/order-0001").await.refused(404, "NOT_FOUND_PAYMENT");
    let ledger = until(&house, "/__sandbox/ledger", |seen| seen["entries"] != json!([])).await;
    assert_eq!(ledger["entries"][0]["kind"], "capture");
}

#[tokio::test]
async fn the_clock_never_goes_back() {
    let house = start(Options::default()).await;
    let instant = |seen: Value| seen["now"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let ahead: jiff::Timestamp = "2041-01-31T01:00:00Z".parse().unwrap();
    let set = instant(house.turn("/__sandbox/clock", json!({"now": ahead})).await);
    assert!(set >= ahead && set < ahead + DEADLINE);
    let ignored = instant(house.turn("/__sandbox/clock", json!({"now": "2026-01-01T00:00:00Z"})).await);
    assert!(ignored >= set && ignored < ahead + DEADLINE);
    assert!(instant(house.read("/__sandbox/clock").await) >= ignored);
}

#[tokio::test]
async fn the_ledger_can_be_read_from_an_instant_on() {
    let house = start(Options::default()).await;
    let key = house.billing_key("approved").await;
    house.charge(&key, "order-0001", "k-1").await;
    house.turn("/__sandbox/clock", json!({"now": "2041-01-31T01:00:00Z"})).await;
    house.charge(&key, "order-0002", "k-2").await;
    let recent = house.read("/__sandbox/ledger?since=2041-01-31T01:00:00Z").await;
    let entries = recent["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(
        (&entry["gateway"], &entry["kind"], &entry["orderId"], &entry["amount"], &entry["currency"]),
        (&json!("toss"), &json!("capture"), &json!("order-0002"), &json!(33_000), &json!("KRW"))
    );
    assert!(entry["paymentId"].as_str().unwrap().starts_with("tviva20410131"));
    assert_eq!(house.effects().await.len(), 2);
}

#[tokio::test]
async fn a_cancel_is_announced_and_retried_until_200() {
    let mut receiver = Receiver::start(&[500, 202]).await;
    let house = start(heard(to(Gateway::Toss, &receiver), 600)).await;
    let key = house.billing_key("approved").await;
    let payment = house.charge(&key, "order-0001", "k-1").await.json();
    let path = format!("/v1/payments/{}/cancel", payment["paymentKey"].as_str().unwrap());
    let cancelled = house.post(&path, None, json!({"cancelReason": "r", "cancelAmount": 11_000})).await.json();
    let mut ids = Vec::new();
    for retried in 0..3 {
        let post = receiver.next().await;
        assert_eq!(post.header("tosspayments-webhook-transmission-retried-count"), retried.to_string());
        assert!(post.header("tosspayments-webhook-transmission-time").ends_with("+09:00"));
        ids.push(post.header("tosspayments-webhook-transmission-id").to_owned());
        assert!(!post.headers.contains_key("tosspayments-webhook-signature"));
        let event = post.json();
        assert_eq!((&event["eventType"], &event["data"]), (&json!("PAYMENT_STATUS_CHANGED"), &cancelled));
        assert!(!event["createdAt"].as_str().unwrap().contains('+'));
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
    let done = |seen: &Value| seen["deliveries"][0]["stage"] == "delivered";
    let listed = until(&house, "/__sandbox/webhooks?orderId=order-0001", done).await;
    let statuses: Vec<&Value> =
        listed["deliveries"][0]["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(statuses, [&json!(500), &json!(202), &json!(200)], "202 is not good enough for Toss");
    assert_eq!(listed["deliveries"].as_array().unwrap().len(), 1, "the approval itself was not announced");
    assert!(receiver.nothing_more());
}

#[tokio::test]
async fn a_deleted_key_is_announced() {
    let mut receiver = Receiver::start(&[]).await;
    let house = start(Options::default()).await;
    house.turn("/__sandbox/webhook-endpoints", json!({"gateway": "toss", "url": receiver.url})).await;
    let key = house.billing_key("approved").await;
    house.toss(Method::DELETE, &format!("/v1/billing/{key}")).send().await.unwrap();
    let event = receiver.next().await.json();
    assert_eq!((&event["eventType"], &event["data"]["billingKey"]), (&json!("BILLING_DELETED"), &json!(key)));
}

#[tokio::test]
async fn replays_come_in_the_wanted_order_signed_anew() {
    let mut receiver = Receiver::start(&[]).await;
    let house = start(heard(to(Gateway::Stripe, &receiver), 60)).await;
    for (order_id, name) in [("a", "one"), ("b", "other"), ("a", "two")] {
        house.sandbox.core.deliver(Delivery {
            gateway: Gateway::Stripe,
            order_id: Some(order_id.to_owned()),
            event_type: "payment_intent.succeeded".to_owned(),
            body: json!({"id": name}).to_string().into_bytes(),
            sign: Signing::Stripe,
        });
        receiver.next().await;
    }
    house.turn("/__sandbox/clock", json!({"now": "2042-01-01T00:00:00Z"})).await;
    let answer =
        house.turn("/__sandbox/webhooks/replay", json!({"orderId": "a", "order": "reversed", "times": 2})).await;
    assert_eq!(answer["posts"].as_array().unwrap().len(), 4);
    assert!(answer["posts"].as_array().unwrap().iter().all(|post| post["status"] == 200));
    let mut names = Vec::new();
    for _ in 0..4 {
        let post = receiver.next().await;
        names.push(post.json()["id"].as_str().unwrap().to_owned());
        let header = post.header("stripe-signature");
        let seconds: i64 = header.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert!(seconds >= 2_272_147_200, "{header}");
        let at = jiff::Timestamp::from_second(seconds).unwrap();
        assert_eq!(header, stripe_signature(&["whsec_local"], at, &post.body));
    }
    assert_eq!(names, ["two", "one", "two", "one"]);
    house
        .turn("/__sandbox/webhooks/replay", json!({"orderId": "b", "order": "shuffled", "wrongSignature": true}))
        .await;
    let forged = receiver.next().await;
    let header = forged.header("stripe-signature");
    let at = header.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    let right = stripe_signature(&["whsec_local"], jiff::Timestamp::from_second(at).unwrap(), &forged.body);
    assert_ne!(header, right);
}

#[tokio::test]
async fn an_unheard_webhook_fails_after_its_tries_and_can_still_be_replayed() {
    let mut receiver = Receiver::start(&[500; 4]).await;
    let house = start(heard(to(Gateway::Stripe, &receiver), 100_000)).await;
    house.sandbox.core.deliver(Delivery {
        gateway: Gateway::Stripe,
        order_id: None,
        event_type: "t".to_owned(),
        body: b"{}".to_vec(),
        sign: Signing::Stripe,
    });
    for _ in 0..4 {
        receiver.next().await;
    }
    until(&house, "/__sandbox/webhooks", |seen| seen["deliveries"][0]["stage"] == "failed").await;
    let answer = house.turn("/__sandbox/webhooks/replay", json!({})).await;
    assert_eq!(answer["posts"][0]["status"], 200);
}

/// A file of this test alone, removed when done.
struct StateFile(PathBuf);

impl StateFile {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.json", std::process::id())))
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn the_state_outlives_the_program() {
    let file = StateFile::new("state");
    let mut receiver = Receiver::start(&[500]).await;
    let options = Options { state: Some(file.0.clone()), ..heard(to(Gateway::Toss, &receiver), 1) };
    let house = start(options.clone()).await;
    house.turn("/__sandbox/clock", json!({"now": "2043-01-01T00:00:00Z"})).await;
    let key = house.billing_key("approved").await;
    let charged = house.charge(&key, "order-0001", "k-1").await;
    house.toss(Method::DELETE, &format!("/v1/billing/{}", house.billing_key("approved").await)).send().await.unwrap();
    receiver.next().await;
    house.fault("charge", "rate_limited", 1, 0).await;
    house.sandbox.stop().await.unwrap();

    let house = start(options).await;
    house.charge(&key, "order-0001", "k-1").await.refused(429, "TOO_MANY_REQUESTS");
    assert_eq!(house.charge(&key, "order-0001", "k-1").await.text, charged.text);
    assert_eq!(house.effects().await, [("capture".to_owned(), "order-0001".to_owned(), 33_000)]);
    assert!(house.read("/__sandbox/clock").await["now"].as_str().unwrap() >= "2043");
    assert_eq!(receiver.next().await.json()["eventType"], "BILLING_DELETED", "a pending delivery is taken up again");

    house.turn("/__sandbox/reset", json!({})).await;
    assert!(house.effects().await.is_empty());
    house.get("/v1/payments/orders/order-0001").await.refused(404, "NOT_FOUND_PAYMENT");
    assert!(house.read("/__sandbox/clock").await["now"].as_str().unwrap() >= "2043");
}
