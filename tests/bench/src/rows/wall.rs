//! How long a run takes, against the ideal of its rate: on a clock that jumps for the three rates, and once unscaled
//! over HTTP. Every runner is cut short so that the run is handed on at least ten times.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shared::usecase::runner::Settings;

use super::{Scale, planted};
use crate::aws::Stand;
use crate::bent::{Bent, Lag, spoiled};
use crate::drive::{self, Course, RESERVE};
use crate::law::Law;
use crate::model::gateway::Modelled;
use crate::model::lean::Lean;
use crate::model::{begin, charging, jumping};
use crate::process::Process;
use crate::report::{Row, Spread};
use crate::roles::gateway::spans;

/// Latency of the gateway, in seconds.
pub const P50: f64 = 0.8;
pub const P99: f64 = 6.0;
/// Latency of the modelled store.
const LAG: Lag = Lag { call: Duration::from_millis(5), transaction: Duration::from_millis(10) };

struct Outcome {
    wall: f64,
    ideal: f64,
    perfect: f64,
    /// Of rate + 1 calls at the gateway, in microseconds.
    spans: Vec<u64>,
    hand_ons: u32,
}

/// One run on the jumping clock.
fn modelled(runtime: &tokio::runtime::Runtime, rate: u32, seconds: u32, seed: u64) -> Outcome {
    runtime.block_on(async {
        let charges = rate * seconds;
        let gateway = Arc::new(Modelled::new(Law::new(P50, P99, seed), None));
        let store = Bent::new(Arc::new(Lean::new(charges, begin())), LAG);
        let charging = charging(store.clone(), gateway.clone());
        let settings = Settings { window: None, toss_rate: rate, stripe_rate: rate, reserve: RESERVE, hold_factor: 0 };
        // Thirteen slices, so that at least ten hand-ons happen however the last ends.
        let slice = Some(Duration::from_secs(u64::from(seconds)) / 13);
        let course = Course { settings, slice, charges: u64::from(charges), store: &store };
        let ran = drive::run(&charging, &course).await.expect("the run ends");
        let seen = gateway.seen();
        assert!(seen.each_once(charges), "the gateway's ledger has every customer once");
        Outcome {
            wall: ran.wall.as_secs_f64(),
            ideal: f64::from(charges) / f64::from(rate) + P99,
            perfect: seen.perfect(rate),
            spans: spans(&seen.arrivals, allowed(rate)),
            hand_ons: ran.hand_ons,
        }
    })
}

/// The rate the gateway enforces. Spoiled, it is less than the runner was told.
fn allowed(rate: u32) -> u32 {
    if spoiled() { rate * 9 / 10 } else { rate }
}

pub async fn rows(scale: Scale) -> Vec<Row> {
    let mut rows = Vec::new();
    for (rate, seconds) in [(25, 400), (100, 1_000), (500, 1_000)] {
        let seconds = scale.of(seconds, seconds / 4);
        let mut outcomes = Vec::new();
        for seed in 1..=u64::try_from(scale.repeats()).unwrap_or(1) {
            outcomes.push(jumping(move |runtime| modelled(runtime, rate, seconds, seed)).await);
        }
        rows.extend(judged(&format!("{rate}"), &format!("{rate}/s × {seconds} s, modelled"), &outcomes));
    }
    rows.extend(judged("http", "25/s × 300 s over HTTP, unscaled", &[unscaled(scale.of(300, 20)).await]));
    rows
}

/// One run in real time: the product's own clients, the embedded emulator and the gateway over HTTP, each in its process.
async fn unscaled(seconds: u32) -> Outcome {
    let (stand, rate) = (Stand::start(json!({ "p50": P50, "p99": P99 })).await, 25);
    let charges = rate * seconds;
    planted(&stand, "wall", 0..charges).await;
    let spec = json!({ "rate": rate, "charges": charges, "slice": f64::from(seconds) / 13.0, "store": stand.store });
    let said = Process::role("renewals", &spec, &stand.environment("wall")).said().await;
    let seen = stand.seen().await;
    assert!(seen.each_once(charges), "the gateway's ledger has every customer once");
    let number = |value: &Value| value.as_f64().expect("a number");
    Outcome {
        wall: number(&said["wallSeconds"]),
        ideal: f64::from(seconds) + P99,
        perfect: seen.perfect(rate),
        spans: spans(&seen.arrivals, allowed(rate)),
        hand_ons: said["handOns"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    }
}

fn judged(id: &str, what: &str, outcomes: &[Outcome]) -> Vec<Row> {
    let spread = |of: &dyn Fn(&Outcome) -> f64| Spread::of(&outcomes.iter().map(of).collect::<Vec<_>>());
    let fewest = outcomes.iter().map(|o| o.hand_ons).min().unwrap_or(0);
    let broken = |o: &Outcome| o.spans.iter().filter(|span| **span < 1_000_000).count();
    let worst = outcomes.iter().map(broken).max().unwrap_or(0);
    let tightest = outcomes.iter().flat_map(|o| &o.spans).min().copied().unwrap_or(0);
    let tightest = f64::from(u32::try_from(tightest).unwrap_or(u32::MAX)) / 1e6;
    let wall =
        Row::new(format!("wall-{id}"), format!("run of {what}: wall ÷ (N/R + p99)"), spread(&|o| o.wall / o.ideal), "")
            .at_most(1.03)
            .sides(spread(&|o| o.wall).shown(" s"), spread(&|o| o.ideal).shown(" s"));
    let wall = wall.note(format!(
        "a sender that never waits, with the same latencies: {}; wall ÷ that: {}",
        spread(&|o| o.perfect).shown(" s"),
        spread(&|o| o.wall / o.perfect).shown("")
    ));
    let name = |suffix: &str| format!("{suffix}-{id}");
    vec![
        wall,
        Row::one(name("rate"), format!("run of {what}: one-second windows above the rate"), count(worst), "")
            .at_most(0.0)
            .note(format!("one call more than the rate took {tightest:.3} s at least")),
        Row::one(name("hand-ons"), format!("run of {what}: forced hand-ons"), f64::from(fewest), "").at_least(10.0),
    ]
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
