//! Runs seeds and prints their figures, or replays one seed with its trace.
//!
//! `simulate [seeds=300] [first=1] [days=90] [subscriptions=20] [threads=…] [seed=N] [lines=60] [faults=yes|no] [all=1]`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks on its terminal")]
#![allow(clippy::unwrap_used, reason = "a test program: a panic is its answer")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use simulation::report::{Batch, run_batch};
use simulation::world::{Config, inspect};

fn main() -> ExitCode {
    let words: BTreeMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let number = |name: &str, otherwise: u64| words.get(name).and_then(|n| n.parse().ok()).unwrap_or(otherwise);
    let standard = Config::default();
    let config = Config {
        subscriptions: u16::try_from(number("subscriptions", 20)).unwrap_or(20),
        days: i64::try_from(number("days", 90)).unwrap_or(90),
        faults: words.get("faults").is_none_or(|word| word != "no"),
        lines: usize::try_from(number("lines", 60)).unwrap_or(60),
        ..standard
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let one = words.get("seed").and_then(|n| n.parse().ok());
    let batch = Batch {
        first: one.unwrap_or(number("first", 1)),
        seeds: if one.is_some() { 1 } else { number("seeds", 300) },
        threads: number("threads", if one.is_some() { 1 } else { cores }),
        again_every: number("again", 10),
        most_findings: usize::try_from(number("findings", 3)).unwrap_or(3),
    };
    let summary = run_batch(batch, &config, |done| {
        if done.is_multiple_of(500) {
            eprintln!("{done} seeds");
        }
    });
    print!("{}", summary.figures(&config));
    print!("{}", summary.findings());
    if words.contains_key("all") {
        let all = Config { lines: usize::MAX, ..config };
        inspect(batch.first, &all, |_, sim| {
            let stamp = |at| sim.time.stamp(at).to_string();
            print!("{}", sim.trace.lock().unwrap().tail(None, usize::MAX, stamp));
        });
    }
    if !summary.diverged.is_empty() {
        println!("not deterministic: seeds {:?}", summary.diverged);
    }
    let missing = summary.missing();
    let broad = config.faults && summary.seeds >= 300;
    if broad && !missing.is_empty() {
        println!("never struck: {missing:?}");
    }
    let well = summary.findings.is_empty() && summary.diverged.is_empty() && (!broad || missing.is_empty());
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
