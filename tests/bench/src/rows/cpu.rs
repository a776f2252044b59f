//! Processor time of a renewal against the same requests without our logic, each side in a process of its own.

use serde_json::{Value, json};

use super::{Scale, planted};
use crate::aws::Stand;
use crate::process::Process;
use crate::report::{Row, Spread};

/// Renewals per second: far above any account's rate, and still paced like one.
const RATE: u32 = 400;

pub async fn rows(scale: Scale) -> Vec<Row> {
    let stand = Stand::start(Value::Null).await;
    let charges = scale.of(4_000, 800);
    let (mut subjects, mut floors) = (Vec::new(), Vec::new());
    for repeat in 0..scale.repeats() {
        for (role, into) in [("renewals", &mut subjects), ("floor", &mut floors)] {
            let stage = format!("{role}{repeat}");
            planted(&stand, &stage, 0..charges).await;
            let spec = json!({ "rate": RATE, "charges": charges, "slice": null, "store": stand.store, "stage": stage, "toss": stand.toss });
            let said = Process::role(role, &spec, &stand.environment(&stage)).said().await;
            assert_eq!(said["settled"], json!(charges), "{role}: every customer was charged");
            into.push(said["cpuMicros"].as_f64().expect("a number") / f64::from(charges));
        }
    }
    let ratios: Vec<f64> = subjects.iter().zip(&floors).map(|(subject, floor)| subject / floor).collect();
    vec![
        Row::new("cpu", "processor time of a renewal ÷ the same raw calls", Spread::of(&ratios), "")
            .at_most(1.5)
            .sides(Spread::of(&subjects).shown(" µs"), Spread::of(&floors).shown(" µs"))
            .note(format!(
                "{charges} renewals at {RATE}/s, {} times each, interleaved; store and gateway in other processes",
                scale.repeats()
            )),
    ]
}
