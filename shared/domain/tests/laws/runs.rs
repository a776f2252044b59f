//! A run ends when every runner has nothing left to do, and is held against what earlier runs lead to expect.

use domain::ids::{RunId, ulid};
use domain::run::{CHARGES_KNOWN, Forecast, Progress, RUNS_KNOWN, Run, Status};
use jiff::Timestamp;

use crate::fixtures::{birth, days};

const FACTOR: u32 = 3;

fn of_day(day: i64) -> Timestamp {
    birth() + days(day)
}

fn run(day: i64, runners: u32) -> Run {
    Run::new(RunId::new(ulid(of_day(day), 0)), None, runners, of_day(day))
}

fn foreseen(count: u64) -> Progress {
    Progress { forecast: Some(Forecast { count, amount: i64::try_from(count).unwrap() }), ..Progress::default() }
}

/// A run that foresaw `count` charges and made them.
fn charged(day: i64, count: u64) -> Run {
    Run { charged: count, ..run(day, 1).progressed(0, &foreseen(count), of_day(day)) }
}

#[test]
fn it_ends_when_the_last_runner_is_drained_and_no_runner_counts_twice() {
    let drained = Progress { drained: true, ..Progress::default() };
    let one = run(0, 2).progressed(1, &drained, of_day(0)).progressed(1, &drained, of_day(0));
    assert_eq!((one.status, one.drained.as_slice(), one.ended_at), (Status::Running, &[1][..], None));
    let still = one.progressed(0, &Progress::default(), of_day(0));
    assert_eq!(still, one, "working is not drained");
    let both = one.progressed(0, &drained, of_day(1));
    assert_eq!((both.status, both.ended_at), (Status::Drained, Some(of_day(1))));
    let again = both.reopened();
    assert_eq!((again.status, again.drained.is_empty(), again.ended_at), (Status::Running, true, None));
}

#[test]
fn so_many_runs_and_charges_are_enough_to_tell_and_one_fewer_is_not() {
    let known = i64::try_from(RUNS_KNOWN).unwrap();
    let a_day = CHARGES_KNOWN.div_ceil(RUNS_KNOWN as u64);
    let history: Vec<Run> = (0..known).map(|day| charged(day, a_day)).collect();
    let jump = run(known, 1).progressed(0, &foreseen(1_000), of_day(known));
    assert!(jump.held(&history, FACTOR, of_day(known)).is_some());
    assert!(jump.held(&history[1..], FACTOR, of_day(known)).is_none(), "a run too few");
    let exactly = |sum: u64| {
        let mut history: Vec<Run> = (1..known).map(|day| charged(day, 1)).collect();
        history.push(charged(0, sum - (RUNS_KNOWN as u64 - 1)));
        history
    };
    assert!(jump.held(&exactly(CHARGES_KNOWN), FACTOR, of_day(known)).is_some());
    assert!(jump.held(&exactly(CHARGES_KNOWN - 1), FACTOR, of_day(known)).is_none(), "a charge too few");
}

#[test]
fn only_runs_before_it_are_its_history() {
    let known = i64::try_from(RUNS_KNOWN).unwrap();
    let history: Vec<Run> = (0..known).map(|day| charged(day, 20)).collect();
    let mut same_instant = history.clone();
    // Another run of the very instant is not earlier.
    same_instant.push(Run { id: RunId::new(ulid(of_day(known), 7)), ..charged(known, 10_000) });
    let jump = run(known, 1).progressed(0, &foreseen(1_000), of_day(known));
    assert!(jump.held(&same_instant, FACTOR, of_day(known)).is_some());
}
