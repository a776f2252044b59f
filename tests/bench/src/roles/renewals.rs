//! The subject: a billing runner wired as `billing_shard` wires it, in a process of its own, measured by itself.

use std::sync::Arc;
use std::time::Duration;

use functions::{SystemRandom, wall};
use serde_json::{Value, json};
use shared::config::Env;
use shared::store::DynamoStore;
use shared::usecase::runner::Settings;

use crate::bent::{Bent, Lag};
use crate::drive::{self, Course, RESERVE};
use crate::process::{cpu, peak_kib, say};

/// `spec`: `{"rate": per second, "charges": n, "slice": seconds or null, "store": endpoint or null}`. Without a store
/// endpoint, DynamoDB is reached like everything else, through the counting front.
pub async fn run(spec: &Value) {
    let env = Env::init(wall, Arc::new(SystemRandom)).expect("the template's environment");
    let charging = env.charging().expect("clients");
    let inner = match spec["store"].as_str() {
        Some(endpoint) => Arc::new(DynamoStore::new(crate::aws::client(endpoint), env.settings.stage.as_str())),
        None => env.store(),
    };
    let store = Bent::new(inner, Lag::default());
    let charging = drive::over(charging, &store);
    let rate = spec["rate"].as_u64().and_then(|r| u32::try_from(r).ok()).expect("a rate");
    let settings = Settings { window: None, toss_rate: rate, stripe_rate: rate, reserve: RESERVE, hold_factor: 0 };
    let slice = spec["slice"].as_f64().map(Duration::from_secs_f64);
    let charges = spec["charges"].as_u64().expect("a number of charges");
    let course = Course { settings, slice, charges, store: &store };
    let before = cpu(None);
    let ran = drive::run(&charging, &course).await.expect("the run ends");
    let spent = cpu(None) - before;
    say(&json!({
        "cpuMicros": u64::try_from(spent.as_micros()).unwrap_or(0), "wallSeconds": ran.wall.as_secs_f64(),
        "handOns": ran.hand_ons, "settled": store.settled(), "peakKib": peak_kib(),
    }));
}
