//! Dunning: the schedule of the brief, its fixed deadline, and what must never consume a step.

use domain::calendar::{next_seoul_day, seoul_date};
use domain::charge::{Answer, Decline, DeclineClass, GatewayName, Heard, LiveAttempt, Trigger};
use domain::cycle::State;
use domain::dunning::{DunningCase, TRIES_PER_CYCLE};
use domain::subscription::{Due, StartRefused, Status, Subscription};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{at, by_call, captured, days, decline, hard, hours, method, minutes, refused, soft, unknown};

/// Its first renewal was declined; returns when that attempt started.
fn in_dunning(first: impl Fn(&LiveAttempt) -> Answer) -> (Books, Timestamp) {
    let mut books = Books::active(GatewayName::Toss);
    let opened = books.subscription.due_at.unwrap() + hours(10);
    books.hear(Trigger::Renewal, opened, first);
    (books, opened)
}

fn case(books: &Books) -> DunningCase {
    books.subscription.dunning.clone().expect("an open case")
}

fn auth(live: &LiveAttempt) -> Answer {
    Answer::Declined(decline(DeclineClass::Auth, live))
}

#[test]
fn retries_come_on_day_1_3_and_7_and_the_last_one_suspends() {
    let (mut books, opened) = in_dunning(soft);
    for (step, day) in [1, 3, 7].into_iter().enumerate() {
        let due = opened + days(day);
        assert_eq!((case(&books).step, books.subscription.due_at), (u32::try_from(step).unwrap(), Some(due)));
        assert_eq!(books.due(due - minutes(1)), Due::Nothing, "not before day {day}");
        assert_eq!(books.due(due), Due::Charge(Trigger::Dunning));
        assert_eq!(books.subscription.status, Status::Active, "full access meanwhile");
        books.hear(Trigger::Dunning, due, soft);
    }
    let s = &books.subscription;
    assert_eq!((s.status, s.stopped_at), (Status::Suspended, Some(opened + days(7))));
    assert_eq!(books.due(opened + days(36)), Due::Nothing);
    assert_eq!(books.due(opened + days(37)), Due::Terminate, "30 days later");
    let facts = books.retire(Due::Terminate, opened + days(37));
    assert!(facts.iter().any(|f| f.kind == "cycle.uncollectible" && f.changes["index"] == 1));
    assert_eq!((books.subscription.status, books.subscription.due_at), (Status::Terminated, None));
    assert_eq!(books.cycle(1).state, State::Uncollectible);
    assert_eq!(books.cycle(1).uncollectible(), None, "given up once");
    assert_eq!(books.cycle(0).uncollectible(), None, "and never what was paid");
}

#[test]
fn a_plan_may_bring_its_own_days() {
    for schedule in [vec![2, 4], vec![1], vec![1, 3, 5, 10, 14], vec![]] {
        let mut books = Books::active(GatewayName::Toss);
        books.subscription.plan.retry_days = schedule.clone();
        let opened = books.subscription.due_at.unwrap();
        books.hear(Trigger::Renewal, opened, soft);
        for day in &schedule {
            let due = opened + days(i64::from(*day));
            assert_eq!(books.due(due), Due::Charge(Trigger::Dunning), "{schedule:?}");
            books.hear(Trigger::Dunning, due, soft);
        }
        assert_eq!(books.subscription.status, Status::Suspended, "{schedule:?}");
    }
}

#[test]
fn neither_people_nor_cards_nor_outages_nor_doubts_consume_a_step() {
    let (mut books, opened) = in_dunning(soft);
    let before = case(&books);
    let unmoved = |books: &Books, what: &str| {
        let now = case(books);
        assert_eq!((now.step, now.next_at, now.deadline), (before.step, before.next_at, before.deadline), "{what}");
    };
    books.hear(Trigger::Manual, opened + hours(1), soft);
    unmoved(&books, "a manual retry");
    books.new_card(method(2), opened + hours(2));
    unmoved(&books, "a new card");
    books.hear(Trigger::Manual, opened + hours(2), soft);
    unmoved(&books, "its charge");
    books.hear(Trigger::Manual, opened + hours(3), |_| refused());
    unmoved(&books, "a refused key");
    let live = books.start(Trigger::Dunning, opened + days(1));
    books.settle(&by_call(&live, unknown(Heard::Error, &live)), opened + days(1));
    unmoved(&books, "an unknown outcome");
    books.close_absent(&live);
    unmoved(&books, "an attempt that never was");
    assert_eq!(books.due(opened + days(1)), Due::Charge(Trigger::Dunning), "the step is still to come");
    books.hear(Trigger::Dunning, opened + days(1) + hours(3), soft);
    assert_eq!(case(&books).step, 1, "a declined scheduled retry is the one thing that counts");
    assert_eq!(case(&books).next_at, Some(opened + days(3)), "and its delay moves no later day");
}

#[test]
fn the_deadline_does_not_depend_on_tries() {
    for first in [soft, hard, auth] {
        let (books, opened) = in_dunning(first);
        assert_eq!(case(&books).deadline, opened + days(7));
    }
    let (mut books, opened) = in_dunning(hard);
    for hour in 1..4 {
        books.hear(Trigger::Manual, opened + hours(hour), hard);
    }
    assert_eq!(books.due(opened + days(7) - minutes(1)), Due::Nothing);
    assert_eq!(books.due(opened + days(7)), Due::Suspend);
    books.retire(Due::Suspend, opened + days(7));
    assert_eq!(books.subscription.due_at, Some(opened + days(37)));
}

#[test]
fn what_no_retry_can_heal_waits_for_a_card_until_the_deadline() {
    for first in [hard, auth] {
        let (mut books, opened) = in_dunning(first);
        assert!(books.subscription.waits_for_card());
        assert_eq!(
            (case(&books).next_at, books.subscription.due_at),
            (None, Some(opened + days(7))),
            "due = the deadline"
        );
        books.new_card(method(2), opened + days(2));
        assert_eq!(case(&books).step, 0);
        assert_eq!(case(&books).next_at, Some(next_seoul_day(opened + days(2)).unwrap()), "missed days are not lost");
        books.take(Trigger::Manual, opened + days(2));
        assert_eq!((books.subscription.status, &books.subscription.dunning), (Status::Active, &None));
    }
}

#[test]
fn at_most_eight_tries_per_cycle_whoever_asks() {
    for status in [Status::PendingActivation, Status::Active, Status::Suspended] {
        let (mut books, start) = match status {
            Status::PendingActivation => (Books::approved(GatewayName::Toss), crate::fixtures::birth()),
            _ => in_dunning(soft),
        };
        if status == Status::Suspended {
            let deadline = case(&books).deadline;
            books.retire(Due::Suspend, deadline);
        }
        let mut hour = 0;
        while !books.subscription.spent() {
            hour += 1;
            books.hear(Trigger::Manual, start + hours(hour), |_| refused());
            books.new_card(method(u128::try_from(hour).unwrap()), start + hours(hour));
            books.hear(Trigger::Manual, start + hours(hour), soft);
            assert!(hour < 20, "{status:?}: the ceiling comes");
        }
        let declined = books.open_cycle().unwrap().attempts.iter().filter(|a| a.class.is_some()).count();
        assert_eq!(declined, usize::try_from(TRIES_PER_CYCLE).unwrap(), "absent attempts are no tries");
        let next = books.try_start(Trigger::Manual, start + hours(hour + 1));
        assert_eq!(next, Err(StartRefused::TooManyTries), "{status:?}");
        books.new_card(method(99), start + hours(hour + 1));
        let end = books.subscription.due_at.unwrap();
        assert!(
            matches!(books.due(end), Due::Suspend | Due::Terminate | Due::Lapse),
            "{status:?}: nothing but the end is due"
        );
        assert_eq!(books.due(end - minutes(1)), Due::Nothing, "{status:?}");
    }
}

#[test]
fn a_week_of_refused_keys_exhausts_nothing() {
    let mut books = Books::active(GatewayName::Toss);
    let due = books.subscription.due_at.unwrap();
    for hour in 0..168 {
        assert_eq!(books.due(due + hours(hour)), Due::Charge(Trigger::Renewal));
        books.hear(Trigger::Renewal, due + hours(hour), |_| refused());
    }
    assert_eq!((books.subscription.tries, books.subscription.tried()), (168, 0));
    assert!(books.cycle(1).attempts.len() < 10, "and the row does not grow with it");
    books.take(Trigger::Renewal, due + days(8));
    assert_eq!((books.subscription.paid, books.subscription.dunning.as_ref()), (Some(1), None));
}

#[test]
fn recovery_restores_active_and_never_moves_the_anchor() {
    for suspended in [false, true] {
        let (mut books, opened) = in_dunning(soft);
        let anchor = books.subscription.anchor;
        if suspended {
            books.retire(Due::Suspend, opened + days(7));
        }
        books.new_card(method(2), opened + days(12));
        assert_eq!(books.subscription.status == Status::Suspended, suspended, "a card alone restores nothing");
        let facts = books.take(Trigger::Manual, opened + days(12));
        let s = &books.subscription;
        assert_eq!((s.status, &s.dunning, s.stopped_at, s.tries), (Status::Active, &None, None, 0));
        assert_eq!(
            (s.anchor, s.due_at),
            (anchor, Some(at("2027-03-30T15:00:00Z"))),
            "31 March, as if nothing had been"
        );
        assert_eq!(facts.iter().any(|f| f.kind == "subscription.activated"), suspended);
    }
}

#[test]
fn a_decline_heard_late_counts_from_when_its_attempt_started() {
    let (mut books, opened) = in_dunning(soft);
    let live = books.start(Trigger::Dunning, opened + days(1));
    let mut late = books.clone();
    for (books, heard) in [(&mut books, opened + days(1)), (&mut late, opened + days(30))] {
        books.settle(&by_call(&live, soft(&live)), heard);
    }
    assert_eq!(books, late);
    assert_eq!(late.due(opened + days(30)), Due::Charge(Trigger::Dunning), "one last try after the deadline");
    late.hear(Trigger::Dunning, opened + days(30), soft);
    assert_eq!((late.subscription.status, late.subscription.stopped_at), (Status::Suspended, Some(opened + days(30))));
}

#[test]
fn a_late_retry_on_the_day_of_the_deadline_is_the_last_unless_a_person_asked() {
    for trigger in [Trigger::Dunning, Trigger::Manual] {
        let (mut books, opened) = in_dunning(soft);
        books.hear(Trigger::Dunning, opened + days(1), soft);
        books.hear(Trigger::Dunning, opened + days(3), soft);
        books.subscription.plan.retry_days = vec![1, 3, 7, 7];
        let deadline = opened + days(7);
        if trigger == Trigger::Dunning {
            let mut case = case(&books);
            case.next_at = Some(deadline - hours(2));
            books.subscription.due_at = case.next_at;
            books.subscription.dunning = Some(case);
        }
        books.hear(trigger, deadline - hours(2), soft);
        let next = if trigger == Trigger::Manual { Due::Charge(Trigger::Dunning) } else { Due::Suspend };
        assert_eq!(books.due(deadline), next, "{trigger:?}: one scheduled charge a day");
        assert_eq!(books.due(deadline - minutes(1)), Due::Nothing);
    }
}

#[test]
fn a_parked_subscription_stays_parked_when_its_card_changes() {
    let (books, opened) = in_dunning(soft);
    let parked = Subscription { parked: true, due_at: None, ..books.subscription };
    let carded = parked.with_method(method(2), GatewayName::Toss, opened).unwrap();
    assert_eq!((carded.parked, carded.due_at), (true, None));
}

/// What may happen at some hour of a case.
#[derive(Clone, Copy, Debug)]
enum Event {
    Manual(DeclineClass),
    Card,
    Absent,
    /// The run passes by.
    Run,
}

fn event() -> impl Strategy<Value = (i64, Event)> {
    let class =
        prop_oneof![4 => Just(DeclineClass::Soft), 1 => Just(DeclineClass::Hard), 1 => Just(DeclineClass::Auth)];
    let event = prop_oneof![
        3 => Just(Event::Run),
        1 => class.prop_map(Event::Manual),
        1 => Just(Event::Card),
        1 => Just(Event::Absent),
    ];
    (1i64..40, event)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn a_case_nobody_pays_ends_in_suspension_and_keeps_one_scheduled_charge_a_day(
        events in prop::collection::vec(event(), 0..30), gap in 1i64..30,
    ) {
        let (mut books, opened) = in_dunning(soft);
        let (mut now, mut days_charged) = (opened, vec![seoul_date(opened)]);
        let pass = (0..60).map(|_| (gap, Event::Run));
        for (wait, event) in events.into_iter().chain(pass) {
            now += hours(wait);
            if books.subscription.status != Status::Active {
                break;
            }
            prop_assert_eq!(case(&books).deadline, opened + days(7));
            match (event, books.due(now)) {
                (Event::Card, _) => books.new_card(method(2), now),
                (Event::Manual(class), _) => {
                    if let Ok(live) = books.try_start(Trigger::Manual, now) {
                        books.settle(&by_call(&live, Answer::Declined(decline(class, &live))), now);
                    }
                }
                (Event::Absent, Due::Charge(trigger)) => {
                    books.hear(trigger, now, |_| refused());
                }
                (Event::Run, Due::Charge(trigger)) => {
                    prop_assert!(!days_charged.contains(&seoul_date(now)), "twice on {now}");
                    days_charged.push(seoul_date(now));
                    books.hear(trigger, now, soft);
                }
                (Event::Run, due @ Due::Suspend) => {
                    prop_assert!(now >= opened + days(7));
                    books.retire(due, now);
                }
                (Event::Absent | Event::Run, _) => {}
            }
        }
        prop_assert!(days_charged.len() <= 4, "the first failure and at most three retries");
        if now > opened + days(8) {
            prop_assert_eq!(books.subscription.status, Status::Suspended);
        }
        if books.subscription.status == Status::Suspended {
            let end = books.subscription.stopped_at.unwrap() + days(30);
            prop_assert_eq!(books.subscription.due_at, Some(end));
            let live = books.try_start(Trigger::Manual, end - minutes(1));
            if let Ok(live) = live {
                let paid = captured(&books.subscription, &live);
                books.settle(&by_call(&live, paid), end);
                prop_assert_eq!(books.subscription.status, Status::Active, "until the last minute paying restores it");
            }
        }
    }
}

#[test]
fn a_case_shows_the_last_decline() {
    let mut books = Books::active(GatewayName::Toss);
    let opened = books.subscription.due_at.unwrap();
    books.hear(Trigger::Renewal, opened, soft);
    let other = |live: &LiveAttempt| match soft(live) {
        Answer::Declined(decline) => Answer::Declined(Decline { code: "EXCEED_LIMIT".into(), ..decline }),
        other => other,
    };
    books.hear(Trigger::Manual, opened + hours(1), other);
    assert_eq!(books.subscription.dunning.unwrap().code, "EXCEED_LIMIT");
}
