//! When a run is held, and that it is for an operator alone to let it go on.

use super::*;
use crate::ids::ulid;
use jiff::SignedDuration;
use proptest::prelude::*;

const FACTOR: u32 = 3;

fn at(day: i64) -> Timestamp {
    let first: Timestamp = "2027-01-01T00:00:10+09:00".parse().unwrap();
    first + SignedDuration::from_hours(24 * day)
}

/// The run of a day, with everything it foresaw charged.
fn of_day(day: i64, count: u64) -> Run {
    let id = RunId::new(ulid(at(day), 0));
    let amount = i64::try_from(count).unwrap() * 33_000;
    let run = Run::new(id, None, 1, at(day)).progressed(0, &foreseen(count, amount), at(day));
    Run { charged: count, status: Status::Drained, ..run }
}

fn foreseen(count: u64, amount: i64) -> Progress {
    Progress { forecast: Some(Forecast { count, amount }), ..Progress::default() }
}

fn today(day: i64, count: u64) -> Run {
    Run { status: Status::Running, charged: 0, ..of_day(day, count) }
}

fn steady(days: i64) -> Vec<Run> {
    (0..days).map(|day| of_day(day, 20)).collect()
}

#[test]
fn a_jump_is_held_and_goes_on_when_approved() {
    let run = today(10, 61);
    let (held, fact) = run.held(&steady(10), FACTOR, at(10)).unwrap();
    assert_eq!((held.status, held.held_at, held.may_charge()), (Status::Held, Some(at(10)), false));
    assert_eq!(
        (fact.kind, &fact.changes["expectedCount"], &fact.changes["count"]),
        ("run.held", &20.into(), &61.into())
    );
    assert_eq!(held.held(&steady(10), FACTOR, at(10)), None, "held once");
    assert_eq!(held.reopened().status, Status::Held, "starting it again is not approving it");
    let drained = held.progressed(0, &Progress { drained: true, ..Progress::default() }, at(10));
    assert_eq!(drained.status, Status::Held);
    let (approved, fact) = held.approved("kim").unwrap();
    assert_eq!((fact.kind, approved.status, approved.may_charge()), ("run.approved", Status::Running, true));
    assert_eq!(approved.approved_by.as_deref(), Some("kim"));
    assert_eq!(approved.held(&steady(10), FACTOR, at(10)), None, "never held again");
    assert_eq!(approved.approved("lee"), None);
    assert_eq!(run.approved("kim"), None);
}

#[test]
fn what_is_within_reach_is_not_held() {
    assert_eq!(today(10, 60).held(&steady(10), FACTOR, at(10)), None);
    assert_eq!(today(10, 61).held(&steady(10), 0, at(10)), None, "0 switches holding off");
    assert_eq!(today(10, 61).held(&steady(10), 4, at(10)), None);
}

#[test]
fn the_amount_alone_can_jump() {
    let mut run = today(10, 20);
    run.forecast.amount = 20 * 33_000 * 3 + 1;
    assert!(run.held(&steady(10), FACTOR, at(10)).is_some());
}

#[test]
fn nobody_can_tell_with_little_history() {
    assert_eq!(today(6, 10_000).held(&steady(6), FACTOR, at(6)), None, "six runs");
    let few: Vec<Run> = (0..9).map(|day| of_day(day, 11)).collect();
    assert_eq!(today(9, 10_000).held(&few, FACTOR, at(9)), None, "99 charges");
    let mixed: Vec<Run> = steady(10).into_iter().map(|r| Run { as_of: Some(r.started_at), ..r }).collect();
    assert_eq!(today(10, 10_000).held(&mixed, FACTOR, at(10)), None, "runs of another kind");
    let later: Vec<Run> = steady(20).into_iter().filter(|r| r.started_at >= at(10)).collect();
    assert_eq!(today(10, 10_000).held(&later, FACTOR, at(10)), None, "only earlier ones count");
}

#[test]
fn the_catch_up_after_an_outage_is_no_jump() {
    let history = steady(30);
    // 20 a day for 40 days, all due at once.
    assert_eq!(today(70, 20 * 40).held(&history, FACTOR, at(70)), None);
    // Ticks that found the gateway out charged nothing and do not shorten the gap.
    let idle = (30..70).map(|day| Run { charged: 0, ..of_day(day, 0) });
    let with_idle: Vec<Run> = history.iter().cloned().chain(idle).collect();
    assert_eq!(today(70, 20 * 40).held(&with_idle, FACTOR, at(70)), None);
    assert!(today(70, 20 * 40 * 4).held(&history, FACTOR, at(70)).is_some());
}

#[test]
fn a_held_jump_is_no_measure_and_does_not_wear_off() {
    let mut history = steady(10);
    for day in 10..40 {
        let jump = 200 + 20 * u64::try_from(day).unwrap();
        let (held, _) = today(day, jump).held(&history, FACTOR, at(day)).unwrap_or_else(|| panic!("day {day}"));
        history.push(held);
    }
    // Once approved and charged it is the measure.
    let last = history.pop().unwrap();
    let (approved, _) = last.approved("kim").unwrap();
    history.push(Run { charged: approved.forecast.count, ..approved });
    assert_eq!(today(40, 900).held(&history, FACTOR, at(40)), None);
}

#[test]
fn nothing_is_charged_before_every_runner_has_looked() {
    let run = Run::new(RunId::new(ulid(at(10), 0)), None, 2, at(10));
    assert!(!run.may_charge());
    let half = run.progressed(0, &foreseen(500, 1), at(10));
    assert!(!half.may_charge());
    assert_eq!(half.held(&steady(10), FACTOR, at(10)), None, "half a forecast says nothing");
    let whole = half.progressed(1, &foreseen(0, 0), at(10));
    assert!(whole.may_charge());
    assert!(whole.held(&steady(10), FACTOR, at(10)).is_some());
}

#[test]
fn rows_of_before_holding_still_read() {
    let old = r#"{"id":"run_01KDVDNCG00000000000000000","status":"DRAINED","forecast":{"count":3,"amount":99000},
        "charged":3,"declined":0,"unknown":0,"drained":[0],"runners":1,"startedAt":1767193200000,"endedAt":1767193260000,
        "version":4}"#;
    let run: Run = serde_json::from_str(old).unwrap();
    assert_eq!((run.held_at, run.approved_by.as_deref(), run.foreseen.len()), (None, None, 0));
    let stored = serde_json::to_value(&run).unwrap();
    assert!(stored.get("heldAt").is_none() && stored.get("approvedBy").is_none());
}

proptest! {
    #[test]
    fn more_is_never_held_less(count in 0u64..2_000, more in 0u64..2_000, sizes in proptest::collection::vec(0u64..200, 7..40)) {
        let history: Vec<Run> = (0..).zip(&sizes).map(|(day, size)| of_day(day, *size)).collect();
        let day = i64::try_from(sizes.len()).unwrap();
        let held = |count| today(day, count).held(&history, FACTOR, at(day)).is_some();
        prop_assert!(!held(count) || held(count + more));
        // What has happened before is never held.
        prop_assert!(!held(*sizes.iter().max().unwrap()));
    }
}
