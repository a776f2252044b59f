//! Verified webhooks per second: signature, time, body, inbox and the rows they are about, on this machine's cores with
//! the emulator on the same cores.

use serde_json::{Value, json};
use shared::store::Record;

use super::Scale;
use crate::aws::Stand;
use crate::process::Process;
use crate::report::{Row, Spread};
use crate::seed::plant_one;
use crate::stripe::settled;

const CUSTOMERS: u32 = 200;

/// Rows the events are about.
pub async fn plant(stand: &Stand, stage: &str) {
    stand.stage(stage).await;
    for number in 0..CUSTOMERS {
        let (subscription, cycle) = settled(number, functions::wall());
        plant_one(&stand.client, stage, &Record::Subscription(subscription)).await;
        plant_one(&stand.client, stage, &Record::Cycle(cycle)).await;
    }
}

pub async fn rows(scale: Scale, about: &mut Value) -> Vec<Row> {
    let (stand, events) = (Stand::start(Value::Null).await, scale.of(6_000, 600));
    plant(&stand, "hooks").await;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for repeat in 0..scale.repeats() {
        let spec =
            json!({ "events": events, "customers": CUSTOMERS, "store": stand.store, "name": format!("r{repeat}") });
        let said = Process::role("webhooks", &spec, &stand.environment("hooks")).said().await;
        rates.push(said["perSecond"].as_f64().expect("a number"));
        costs.push(said["cpuMicros"].as_f64().expect("a number"));
    }
    // Once more through the counting front, for the units of one event.
    let _ = stand.counts().await;
    let spec = json!({ "events": 200, "customers": CUSTOMERS, "store": stand.aws, "name": "counted" });
    Process::role("webhooks", &spec, &stand.environment("hooks")).said().await;
    let counts = stand.counts().await;
    about["webhooks"] = json!({ "events": 201, "wire": counts });
    let per_event = counts.written() / 201.0;
    vec![
        Row::new("webhooks", "verified webhooks a second", Spread::of(&rates), "").at_least(1_500.0).note(format!(
            "{events} signed events about settled renewals, {} times; emulator and receiver share {} cores; {} of ours an event",
            scale.repeats(),
            std::thread::available_parallelism().map_or(0, usize::from),
            Spread::of(&costs).shown(" µs")
        )),
        Row::one("webhook-units", "write units of a gateway's event about a settled renewal", per_event, "")
            .note("the rest of the system's share of a renewal, beside the charge path; Toss's events write nothing"),
    ]
}
