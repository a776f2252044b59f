//! Peak memory of a runner as the number of due subscriptions grows a hundredfold, everything else being equal: the
//! product's own clients, the store and a gateway with real latencies in other processes.

use serde_json::json;

use super::{Scale, planted};
use crate::aws::Stand;
use crate::process::Process;
use crate::report::{Row, Spread};

/// Renewals per second; with the latencies of [`super::wall`] some six hundred are under way.
const RATE: u32 = 500;

async fn peak(stand: &Stand, stage: &str, charges: u32) -> f64 {
    planted(stand, stage, 0..charges).await;
    let spec = json!({ "rate": RATE, "charges": charges, "slice": null, "store": stand.store });
    let said = Process::role("renewals", &spec, &stand.environment(stage)).said().await;
    assert_eq!(said["settled"], json!(charges), "every customer was charged");
    said["peakKib"].as_f64().expect("a number") / 1024.0
}

pub async fn rows(scale: Scale) -> Vec<Row> {
    let (few, many) = (scale.of(1_000, 500), scale.of(100_000, 2_000));
    let stand = Stand::start(json!({ "p50": super::wall::P50, "p99": super::wall::P99 })).await;
    let mut small = Vec::new();
    for repeat in 0..scale.repeats() {
        small.push(peak(&stand, &format!("few{repeat}"), few).await);
    }
    let large = peak(&stand, "many", many).await;
    let small = Spread::of(&small);
    vec![
        Row::one("memory-growth", format!("peak memory of a runner, {many} due ÷ {few} due"), large / small.median, "")
            .at_most(1.1)
            .sides(format!("{large:.1} MiB"), small.shown(" MiB"))
            .note(format!(
                "at {RATE}/s and lognormal latencies, which keep some six hundred calls under way; the large run once"
            )),
        Row::one("memory", format!("peak memory of a runner with {many} due"), large, " MiB").at_most(64.0),
    ]
}
