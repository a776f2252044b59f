//! What the real use cases say in metric lines: each outcome and each fault is exactly its line, said once it is
//! committed. The template's alarms are on these names (`tests/tidy.rs`).

use std::sync::{Arc, Mutex};

use domain::charge::{Answer, Capture, GatewayName};
use domain::event::Fact;
use domain::ids::SubscriptionId;
use domain::money::Money;
use domain::settle::Report;
use jiff::SignedDuration;
use serde_json::Value;
use shared::store::{CountedStore, StoreError, Write};
use shared::telemetry::emf::Emf;
use shared::telemetry::metrics;
use shared::usecase::activate_subscription::retry;
use shared::usecase::charge_subscription::HTTP_PATIENCE;
use shared::usecase::settle::settle_report;
use shared::usecase::{metrics::oldest_age, stamp, switch};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::prelude::*;

use super::door::{Porch, delivery};
use super::world::{Script, World};

/// Hears this thread's metric lines until it is dropped.
struct Ear {
    lines: Arc<Mutex<Vec<Value>>>,
    _listening: DefaultGuard,
}

impl Ear {
    fn new() -> Ear {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let sink = Arc::new(move |line: &str| kept.lock().unwrap().push(serde_json::from_str(line).unwrap()));
        let emf = Emf::new("dev", || jiff::Timestamp::UNIX_EPOCH, sink);
        let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(emf));
        Ear { lines, _listening: listening }
    }

    /// What was said since last asked: name, value, dimensions in order of their names.
    fn said(&self) -> Vec<String> {
        self.lines.lock().unwrap().drain(..).map(|line| told(&line)).collect()
    }
}

fn told(line: &Value) -> String {
    let name = line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"].as_str().unwrap();
    let fields = line.as_object().unwrap().iter().filter(|(field, _)| !["_aws", name].contains(&field.as_str()));
    let dimensions = fields.map(|(field, value)| format!(" {field}={}", value.as_str().unwrap()));
    format!("{name} {}{}", line[name], dimensions.collect::<String>())
}

async fn counted() -> World {
    let mut world = World::new().await;
    world.charging.store = Arc::new(CountedStore::new(Arc::new(world.store.clone())));
    world
}

async fn a_month_later(world: &World, id: &SubscriptionId) {
    world.wait(SignedDuration::from_hours(24 * 31));
    retry(&world.charging, &world.context().await, id, HTTP_PATIENCE).await.unwrap();
}

#[tokio::test]
async fn each_outcome_of_a_charge_is_its_line() {
    for (script, expected) in [
        (Script::Capture, vec!["Charges 1 Gateway=toss Outcome=captured"]),
        (Script::Soft, vec!["Charges 1 Gateway=toss Outcome=declined", "Declines 1 Class=SOFT Gateway=toss"]),
        (Script::Hard, vec!["Charges 1 Gateway=toss Outcome=declined", "Declines 1 Class=HARD Gateway=toss"]),
        (Script::Silence, vec!["Charges 1 Gateway=toss Outcome=unknown"]),
        (Script::Error, vec!["Charges 1 Gateway=toss Outcome=unknown"]),
        (Script::Misconfigured, vec!["Charges 1 Gateway=toss Outcome=absent"]),
    ] {
        let world = counted().await;
        let id = world.onboard().await;
        let ear = Ear::new();
        world.gateway.then(&[script]);
        a_month_later(&world, &id).await;
        assert_eq!(ear.said(), expected, "{script:?}");
    }
}

#[tokio::test]
async fn money_nobody_asked_for_is_its_line_however_often_it_is_told() {
    let world = counted().await;
    let id = world.onboard().await;
    let ear = Ear::new();
    let order = world.gateway.ledger.lock().unwrap()[0].0.clone();
    let capture =
        Capture { order_id: order, payment_id: "pay_other".to_owned(), charge_id: None, amount: Money::krw(1) };
    let report = Report { index: 0, seq: 0, n: Some(1), answer: Answer::Captured(capture), token: None };
    for _ in 0..3 {
        settle_report(&world.charging, &world.context().await, &id, &report, None, &[]).await.unwrap();
    }
    assert_eq!(ear.said(), ["Charges 1 Gateway=toss Outcome=quarantined"]);
}

#[tokio::test]
async fn a_breaker_says_that_it_opens_and_closes() {
    let world = counted().await;
    let id = world.onboard().await;
    world.wait(SignedDuration::from_hours(24 * 31));
    let ear = Ear::new();
    let (store, random) = (world.charging.store.as_ref(), world.charging.random.as_ref());
    for _ in 0..2 {
        switch::trip(store, random, world.context().await.now, GatewayName::Toss).await.unwrap();
    }
    assert_eq!(ear.said(), ["Breaker 1 Gateway=toss State=open"]);
    world.wait(SignedDuration::from_secs(10));
    retry(&world.charging, &world.context().await, &id, HTTP_PATIENCE).await.unwrap();
    assert_eq!(ear.said(), ["Charges 1 Gateway=toss Outcome=captured", "Breaker 1 Gateway=toss State=closed"]);
}

#[tokio::test]
async fn what_was_not_committed_is_not_counted() {
    let world = counted().await;
    let id = world.onboard().await;
    let ear = Ear::new();
    let mut stale = world.subscription(&id).await;
    stale.version -= 1;
    let row = shared::store::Record::Subscription(stale);
    let fact = Fact::new("payment.captured", id.as_str()).with("gateway", "toss");
    let context = world.context().await;
    let late = stamp::commit(world.charging.random.as_ref(), &context, vec![Write::Replace(row)], vec![fact]);
    let lost = world.charging.store.commit(&late).await;
    assert!(matches!(lost, Err(StoreError::Conflict { .. })), "{lost:?}");
    assert!(ear.said().is_empty());
}

#[tokio::test]
async fn each_refusal_of_the_door_is_its_line() {
    let porch = Porch::of(GatewayName::Toss).await;
    let ear = Ear::new();
    let forged = delivery("stripe", &[("stripe-signature", "t=1,v1=00")], "{}");
    let other = delivery("paypal", &[], "{}");
    let mut form = delivery("toss", &[], "a=1");
    form.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    for (request, reason) in [(forged, "bad_signature"), (other, "not_found"), (form, "unsupported_media_type")] {
        let (_, code) = porch.send(&request).await;
        assert_eq!((code, ear.said()), (reason, vec![format!("WebhooksRefused 1 Reason={reason}")]));
    }
    let strange = delivery("toss", &[], r#"{"eventType":"SOMETHING_ELSE","data":{}}"#);
    assert_eq!((porch.send(&strange).await.0, ear.said().len()), (200, 0), "what is taken is not measured");
}

#[tokio::test]
async fn the_age_of_the_oldest_thing_due_is_counted_from_its_instant() {
    let world = counted().await;
    let id = world.onboard().await;
    let age = async || oldest_age(world.charging.store.as_ref(), world.context().await.now).await.unwrap();
    assert_eq!(age().await, 0, "nothing waits");
    world.travel(world.subscription(&id).await.due_at.unwrap());
    assert_eq!(age().await, 0, "due this instant");
    world.wait(SignedDuration::from_secs(90_061));
    assert_eq!(age().await, 90_061);
    let ear = Ear::new();
    metrics::due_oldest_age(age().await);
    assert_eq!(ear.said(), ["DueOldestAge 90061"]);
    world.run().await;
    assert_eq!(age().await, 0);
}
