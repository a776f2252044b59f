//! After any downtime the books catch up by themselves: every period once, oldest first, one a day.

use domain::calendar::{next_seoul_day, seoul_date, seoul_midnight};
use domain::charge::{GatewayName, LiveAttempt, Trigger};
use domain::cycle::State;
use domain::subscription::{Due, Status};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{at, birth, by_call, by_event, captured, days, hours, minutes, refused, soft};
use crate::gateway::Card;
use crate::world::{Fate, World};

/// Runs ten times a day until nothing is owed; returns the Seoul day on which each period was paid.
fn catch_up(books: &mut Books, from: Timestamp) -> Vec<(u32, Date)> {
    let mut paid = Vec::new();
    let mut now = from;
    for _ in 0..4_000 {
        match books.due(now) {
            Due::Charge(trigger) => {
                let index = books.subscription.next_index();
                books.take(trigger, now);
                paid.push((index, seoul_date(now)));
            }
            Due::Nothing if !books.owes_on(now) => return paid,
            _ => {}
        }
        now += minutes(144);
    }
    panic!("never caught up");
}

#[test]
fn forty_days_of_outage_across_two_month_ends_are_caught_up_one_period_a_day() {
    let mut books = Books::active(GatewayName::Toss);
    assert_eq!(books.subscription.due_at, Some(at("2027-02-27T15:00:00Z")), "28 February, the clamped 31st");
    let back = at("2027-04-30T02:00:00Z");
    let paid = catch_up(&mut books, back);
    assert_eq!(paid, [(1, date(2027, 4, 30)), (2, date(2027, 5, 1)), (3, date(2027, 5, 2))]);
    let starts = [1, 2, 3].map(|k| books.cycle(k).period.start);
    assert_eq!(starts, [date(2027, 2, 28), date(2027, 3, 31), date(2027, 4, 30)], "every period once, none drifted");
    assert!(books.cycles.values().all(|c| matches!(c.state, State::Paid(_)) && c.attempts.len() == 1));
    assert_eq!(books.subscription.due_at, Some(at("2027-05-30T15:00:00Z")), "then back to the 31st");
}

#[test]
fn an_outage_of_the_gateway_costs_no_step_and_no_operator() {
    for (name, length) in [(GatewayName::Toss, 40), (GatewayName::Stripe, 40), (GatewayName::Toss, 100)] {
        let mut world = World::new(name);
        world.tick(Fate::Answered);
        world.gateway.up = false;
        world.now = world.books.subscription.due_at.unwrap();
        let down = world.now;
        while world.now < down + days(length) {
            world.tick(Fate::Answered);
            world.now += hours(1);
        }
        let s = &world.books.subscription;
        assert_eq!((s.status, s.paid, &s.dunning), (Status::Active, Some(0), &None), "an outage is nobody's debt");
        assert_eq!(world.gateway.captures.len(), 1);
        world.gateway.up = true;
        for _ in 0..20 * 24 {
            world.tick(Fate::Answered);
            world.now += hours(1);
        }
        assert!(!world.books.owes_on(world.now), "{name:?}: every period that began is paid");
        let periods = usize::try_from(world.books.subscription.paid.unwrap()).unwrap() + 1;
        assert_eq!(world.gateway.captures.len(), periods, "each once");
        assert_eq!(world.seen.suspended + world.seen.terminated, 0);
    }
}

#[test]
fn an_outage_in_the_middle_of_dunning_only_delays_it() {
    let mut world = World::new(GatewayName::Toss);
    world.tick(Fate::Answered);
    world.gateway.card = Card::Declines;
    world.now = world.books.subscription.due_at.unwrap();
    world.tick(Fate::Answered);
    let opened = world.books.subscription.dunning.clone().unwrap().opened_at;
    world.gateway.up = false;
    while world.now < opened + days(20) {
        world.now += hours(1);
        world.tick(Fate::Answered);
    }
    let s = &world.books.subscription;
    assert_eq!((s.status, s.dunning.as_ref().map(|c| c.step)), (Status::Active, Some(0)));
    world.gateway.up = true;
    world.gateway.card = Card::Approves;
    for _ in 0..48 {
        world.now += hours(1);
        world.tick(Fate::Answered);
    }
    assert_eq!((world.books.subscription.status, world.books.subscription.dunning.as_ref()), (Status::Active, None));
    assert_eq!(world.gateway.captures.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn any_downtime_is_caught_up_oldest_first_once_each_one_a_day(asleep in 0i64..900, hour in 0i64..24) {
        let mut books = Books::active(GatewayName::Toss);
        let back = birth() + days(asleep) + hours(hour);
        let anchor = books.subscription.anchor;
        let paid = catch_up(&mut books, back);
        for (i, window) in paid.windows(2).enumerate() {
            prop_assert_eq!(window[0].0, u32::try_from(i).unwrap() + 1, "oldest first, none left out");
            prop_assert!(window[0].1 < window[1].1, "one a day");
        }
        for (index, day) in &paid {
            prop_assert!(books.cycle(*index).period.start <= *day, "nothing is charged before it begins");
            prop_assert_eq!(books.cycle(*index).attempts.len(), 1);
        }
        prop_assert_eq!(books.subscription.anchor, anchor);
        prop_assert_eq!(books.subscription.paid, Some(u32::try_from(paid.len()).unwrap()));
    }
}

/// Behind by two periods; `trigger` tries the second on the day the first was paid.
fn second_of_two_absent(trigger: Trigger) -> (Books, Timestamp) {
    let mut books = Books::active(GatewayName::Toss);
    let noon = at("2027-04-10T03:00:00Z");
    books.take(Trigger::Renewal, noon);
    let now = if trigger == Trigger::Manual { noon + hours(1) } else { books.subscription.due_at.unwrap() };
    books.hear(trigger, now, |_| refused());
    (books, now)
}

#[test]
fn a_manual_try_that_came_to_nothing_leaves_the_run_its_one_charge_a_day() {
    let (books, tried) = second_of_two_absent(Trigger::Manual);
    assert_eq!(books.subscription.due_at, Some(next_seoul_day(tried).unwrap()));
    let (books, tried) = second_of_two_absent(Trigger::Renewal);
    assert_eq!(books.due(tried), Due::Charge(Trigger::Renewal), "the run's own try is repeated at once");
}

#[test]
fn a_late_capture_does_not_bring_a_second_charge_on_the_day_of_the_later_attempt() {
    let (mut books, first) = second_of_two_absent(Trigger::Renewal);
    let late = LiveAttempt { n: 1, index: 2, started_at: first, ..books.start(Trigger::Renewal, first + days(25)) };
    let second = books.live();
    let capture = captured(&books.subscription, &late);
    let mut swapped = books.clone();
    books.settle(&by_event(&late, capture.clone()), second.started_at);
    books.settle(&by_call(&second, soft(&second)), second.started_at);
    swapped.settle(&by_call(&second, soft(&second)), second.started_at);
    swapped.settle(&by_event(&late, capture), second.started_at);
    assert_eq!(books, swapped);
    assert_eq!((books.subscription.paid, books.cycle(2).attempts.len()), (Some(2), 2));
    let begins = seoul_midnight(books.subscription.period(3, seoul_date(first)).unwrap().start).unwrap();
    assert_eq!(books.subscription.due_at, Some(begins.max(next_seoul_day(second.started_at).unwrap())));
}

/// Named after what happened to others (facts/engineering.md §3.2): ten runs at once charge once.
#[test]
fn overlapping_runs_charge_once() {
    let mut books = Books::active(GatewayName::Toss);
    let due = books.subscription.due_at.unwrap();
    let seen = books.subscription.clone();
    books.start(Trigger::Renewal, due);
    for _ in 0..9 {
        assert_eq!(books.due(due), Due::Wait(books.live().lease_until));
        assert!(books.try_start(Trigger::Renewal, due).is_err(), "a claim bars the others");
    }
    // Those that read before the claim would write the same number and key; the store lets one version through.
    let rival = seen.start(crate::fixtures::claim(Trigger::Renewal, due)).unwrap().live.unwrap();
    let key = |l: &domain::charge::LiveAttempt| l.billable(&seen.id).key("charge", l.n);
    assert_eq!(key(&rival), key(&books.live()));
}
