//! Two more questions: what a finished day costs when it is run again, and how a run lives with a gateway that for a
//! minute takes a fifth of the calls it should.

use std::sync::Arc;
use std::time::Duration;

use domain::charge::GatewayName;
use domain::method::Sealed;
use serde_json::json;
use shared::store::{Commit, MemoryStore, Record, Store, Write};
use shared::usecase::runner::Settings;

use super::Scale;
use crate::aws::Stand;
use crate::bent::{Bent, Lag};
use crate::drive::{self, Course, RESERVE};
use crate::law::Law;
use crate::model::gateway::{Drop, Modelled};
use crate::model::{begin, charging, jumping};
use crate::process::Process;
use crate::report::Row;
use crate::seed;

const RATE: u32 = 100;
/// The minute in which the gateway takes a fifth.
const DROP: Drop = Drop { from: Duration::from_secs(60), to: Duration::from_secs(120), rate: RATE / 5 };

/// Runs a stage again on which every customer was charged.
pub async fn again(stand: &Stand, stage: &str, renewals: f64) -> Vec<Row> {
    let _ = (stand.counts().await, stand.seen().await);
    let spec = json!({ "rate": 400, "charges": 0, "slice": null, "store": null });
    Process::role("renewals", &spec, &stand.environment(stage)).said().await;
    let (counts, seen) = (stand.counts().await, stand.seen().await);
    let calls = f64::from(u32::try_from(seen.arrivals.len()).unwrap_or(u32::MAX));
    let requests = f64::from(counts.to_store()) / renewals;
    vec![
        Row::one("again", "a finished day run again: requests to the store per renewed subscription", requests, "")
            .at_most(0.05),
        Row::one("again-calls", "a finished day run again: calls to the gateway", calls, "").at_most(0.0),
    ]
}

/// Arrivals within a span of the run, per second.
fn rate(arrivals: &[u64], from: u64, to: u64) -> f64 {
    let within = arrivals.iter().filter(|at| (from * 1_000_000..to * 1_000_000).contains(*at)).count();
    let seconds = u32::try_from(to - from).unwrap_or(u32::MAX);
    f64::from(u32::try_from(within).unwrap_or(u32::MAX)) / f64::from(seconds)
}

pub async fn rows(scale: Scale) -> Vec<Row> {
    let charges = RATE * scale.of(300, 200);
    let (taken, refused, charged) = jumping(move |runtime| runtime.block_on(degraded(charges))).await;
    let goodput = rate(&taken, 60, 120) / f64::from(DROP.rate);
    let recovered = rate(&taken, 135, 145) / f64::from(RATE);
    let share = f64::from(u32::try_from(refused.len()).unwrap_or(u32::MAX)) / f64::from(charges);
    vec![
        Row::one("strain-goodput", "gateway at a fifth for a minute: calls taken ÷ calls it would take", goodput, "")
            .at_least(0.9),
        Row::one("strain-recovery", "15 s after it: rate ÷ full rate", recovered, "").at_least(0.95),
        Row::one("strain-refused", "calls turned away in that minute ÷ all charges", share, "").note(format!(
            "{charges} due at {RATE}/s; {charged} charged when the run ended, the others wait for two empty look-ups"
        )),
    ]
}

/// Arrivals taken, arrivals turned away, and charges settled.
async fn degraded(charges: u32) -> (Vec<u64>, Vec<u64>, u64) {
    let memory = MemoryStore::new();
    for number in 0..charges {
        plant(&memory, number).await;
    }
    let gateway = Arc::new(Modelled::new(Law::new(super::wall::P50, super::wall::P99, 1), Some(DROP)));
    let lag = Lag { call: Duration::from_millis(5), transaction: Duration::from_millis(10) };
    let store = Bent::new(Arc::new(memory), lag);
    let charging = charging(store.clone(), gateway.clone());
    let settings = Settings { window: None, toss_rate: RATE, stripe_rate: RATE, reserve: RESERVE, hold_factor: 0 };
    let course = Course { settings, slice: None, charges: u64::from(charges) * 999 / 1_000, store: &store };
    drive::run(&charging, &course).await.expect("the run ends");
    let refused = gateway.refused();
    (gateway.seen().arrivals, refused, store.settled())
}

async fn plant(store: &MemoryStore, number: u32) {
    let sealed = || Sealed { kid: "k".to_owned(), data: "sealed".to_owned() };
    let mut row = seed::subscription(number, GatewayName::Toss, begin());
    let mut card = seed::method(number, GatewayName::Toss, sealed(), sealed(), begin());
    (row.version, card.version) = (0, 0);
    let writes = vec![Write::New(Record::Subscription(row)), Write::New(Record::Method(card))];
    store.commit(&Commit { id: format!("seed-{number}"), writes, events: Vec::new() }).await.expect("stored");
}
