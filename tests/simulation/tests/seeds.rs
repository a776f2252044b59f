//! What continuous integration runs: three hundred seeds, some of them twice, and the outage drill.
#![expect(clippy::print_stdout, reason = "the figures are the point")]
#![allow(clippy::unwrap_used, reason = "a test program: a panic is its answer")]

use simulation::drill;
use simulation::report::{Batch, run_batch};
use simulation::world::Config;

#[test]
fn three_hundred_seeds_hold_every_invariant() {
    let config = Config::default();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let batch = Batch { first: 1, seeds: 300, threads, again_every: 3, most_findings: 3 };
    let summary = run_batch(batch, &config, |_| {});
    println!("{}", summary.figures(&config));
    assert!(summary.findings.is_empty(), "{}", summary.findings());
    assert_eq!((summary.twice, summary.diverged.as_slice()), (100, &[][..]), "a seed is one history");
    assert_eq!(summary.missing(), [""; 0], "faults that never struck prove nothing");
}

#[test]
fn after_forty_days_without_runs_every_period_is_charged_once_oldest_first() {
    let drill = drill::run(1, 40).unwrap();
    println!("{drill}");
}
