//! Cancellation: for the end of what is paid for, or now; never a charge after it, never money kept for nothing.

use domain::calendar::seoul_midnight;
use domain::cancelling::CancelAt;
use domain::charge::{Answer, Capture, GatewayName, Trigger};
use domain::cycle::State;
use domain::event::Fact;
use domain::money::Money;
use domain::refund::{Origin, Status as RefundStatus};
use domain::subscription::{Due, StartRefused, Status, Subscription};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{
    at, birth, by_call, by_event, capture, captured, days, hard, hours, method, minutes, refused, soft, unapproved,
};

const BOTH: [CancelAt; 2] = [CancelAt::PeriodEnd, CancelAt::Now];

fn kinds(facts: &[Fact]) -> Vec<&str> {
    facts.iter().map(|f| f.kind).collect()
}

#[test]
fn at_the_periods_end_nothing_more_is_charged_and_access_lasts_until_then() {
    let mut books = Books::active(GatewayName::Toss);
    let end = at("2027-02-27T15:00:00Z");
    assert_eq!(books.subscription.due_at, Some(end), "midnight in Seoul, 28 February");
    let facts = books.cancel(CancelAt::PeriodEnd, birth() + days(3));
    assert_eq!(kinds(&facts), ["subscription.cancel_scheduled"]);
    assert_eq!(facts[0].changes["cancelAt"], end.to_string());
    let s = &books.subscription;
    assert_eq!((s.status, s.cancel_at, s.due_at), (Status::Active, Some(end), Some(end)));
    assert_eq!(books.due(end - minutes(1)), Due::Nothing);
    assert_eq!(books.try_start(Trigger::Manual, end - minutes(1)), Err(StartRefused::NothingOwed));
    for trigger in [Trigger::Renewal, Trigger::Manual] {
        assert_eq!(books.try_start(trigger, end + hours(30)), Err(StartRefused::Ended), "{trigger:?}");
    }
    assert_eq!(books.due(end), Due::Cancel);
    let facts = books.retire(Due::Cancel, end + days(2));
    assert_eq!(kinds(&facts), ["subscription.cancelled"]);
    let s = &books.subscription;
    assert_eq!((s.status, s.cancel_at, s.stopped_at), (Status::Cancelled, None, Some(end)), "though the run came late");
    assert_eq!((s.due_at, books.due(end + days(30))), (Some(end + days(30)), Due::Terminate));
    assert_eq!(books.cycles.len(), 1, "no second period was ever opened");
}

#[test]
fn where_no_paid_period_runs_both_take_effect_at_once() {
    let over = at("2027-02-27T15:00:00Z");
    let mut in_dunning = Books::active(GatewayName::Toss);
    in_dunning.hear(Trigger::Renewal, over + hours(1), soft);
    let mut suspended = in_dunning.clone();
    suspended.retire(Due::Suspend, over + days(8));
    let approved = Books::approved(GatewayName::Toss);
    let fresh = unapproved(GatewayName::Toss);
    let unapproved = Books { subscription: fresh, cycles: std::collections::BTreeMap::new() };
    let late = Books::active(GatewayName::Toss);
    for (what, before, now) in [
        ("an open case", in_dunning, over + hours(2)),
        ("suspended", suspended, over + days(9)),
        ("approved and unpaid", approved, birth() + hours(1)),
        ("not approved yet", unapproved, birth() + hours(1)),
        ("the renewal is due and was not tried", late, over),
    ] {
        for cancel in BOTH {
            let mut books = before.clone();
            let facts = books.cancel(cancel, now);
            let s = &books.subscription;
            assert_eq!(
                (s.status, s.stopped_at, s.cancel_at),
                (Status::Cancelled, Some(now), None),
                "{what} {cancel:?}"
            );
            assert_eq!((&s.dunning, s.due_at), (&None, Some(now + days(30))), "{what}: the case is closed");
            assert_eq!(facts[0].changes["from"], before.subscription.status.as_str());
            let voided = before.open_cycle().is_some();
            assert_eq!(kinds(&facts).contains(&"cycle.void"), voided, "{what}");
            assert_eq!(books.open_cycle().map(|c| c.state.clone()), voided.then_some(State::Void), "{what}");
            for trigger in [Trigger::First, Trigger::Renewal, Trigger::Dunning, Trigger::Manual] {
                assert_eq!(books.try_start(trigger, now + days(1)), Err(StartRefused::Ended), "{what}");
            }
            books.retire(Due::Terminate, now + days(30));
            assert_eq!((books.subscription.status, books.subscription.due_at), (Status::Terminated, None));
        }
    }
}

#[test]
fn now_ends_a_paid_period_too() {
    for scheduled in [false, true] {
        let mut books = Books::active(GatewayName::Toss);
        if scheduled {
            books.cancel(CancelAt::PeriodEnd, birth() + days(1));
        }
        let now = birth() + days(3);
        assert_eq!(kinds(&books.cancel(CancelAt::Now, now)), ["subscription.cancelled"]);
        let s = &books.subscription;
        assert_eq!((s.status, s.cancel_at, s.stopped_at), (Status::Cancelled, None, Some(now)));
        assert!(matches!(books.cycle(0).state, State::Paid(_)), "what was paid stays paid");
    }
}

#[test]
fn asking_again_changes_nothing_and_a_draft_has_nothing_to_cancel() {
    for first in BOTH {
        let mut books = Books::active(GatewayName::Stripe);
        books.cancel(first, birth() + days(3));
        let once = books.clone();
        for day in [3, 10, 40] {
            let mut again = books.clone();
            again.cancel(first, birth() + days(day));
            if day < 20 || first == CancelAt::Now {
                assert_eq!(again, once, "{first:?} {day}");
            }
        }
    }
    let mut books = Books::active(GatewayName::Toss);
    books.cancel(CancelAt::Now, birth() + days(3));
    books.retire(Due::Terminate, birth() + days(33));
    let once = books.clone();
    for again in BOTH {
        assert_eq!(books.cancel(again, birth() + days(40)), []);
    }
    assert_eq!(books, once);
    let draft = Subscription { status: Status::Draft, ..unapproved(GatewayName::Toss) };
    assert_eq!(draft.cancelled(CancelAt::Now, birth()), Err(StartRefused::Illegal));
}

#[test]
fn a_cancelled_period_ends_when_it_ends_though_the_run_is_late_and_somebody_asks_again() {
    let mut books = Books::active(GatewayName::Toss);
    books.cancel(CancelAt::PeriodEnd, birth() + days(3));
    let end = books.subscription.cancel_at.unwrap();
    books.cancel(CancelAt::Now, end + days(4));
    assert_eq!(books.subscription.stopped_at, Some(end));
}

/// The renewal is in flight when it is cancelled. What it takes is owed back, what it does not take is owed by nobody.
#[test]
fn an_attempt_in_flight_is_overtaken_and_its_money_owed_back() {
    for gateway in GatewayName::ALL {
        for cancel in BOTH {
            let mut books = Books::active(gateway);
            let due = books.subscription.due_at.unwrap();
            books.hear(Trigger::Renewal, due, soft);
            let live = books.start(Trigger::Manual, due + hours(1));
            let facts = books.cancel(cancel, due + hours(1) + minutes(1));
            assert_eq!(kinds(&facts), ["subscription.cancelled"], "the attempt decides about its cycle");
            assert_eq!((books.cycle(1).state.clone(), &books.subscription.dunning), (State::Open, &None));
            assert_eq!(books.due(live.lease_until), Due::Resolve, "it is still looked up");
            let mut paid = books.clone();
            let facts = paid.settle(&by_event(&live, captured(&paid.subscription, &live)), due + days(1));
            assert_eq!(kinds(&facts), ["payment.captured", "payment.refund_owed", "refund.requested"], "{gateway:?}");
            let [owed] = &paid.cycle(1).refunds[..] else { panic!("one refund, opened with the capture") };
            assert_eq!(
                (owed.amount, owed.origin, owed.status),
                (crate::fixtures::PRICE, Origin::Owed, RefundStatus::Requested)
            );
            assert_eq!((paid.cycle(1).refundable(), paid.cycle(1).refund_due()), (0, Some(live.started_at)));
            assert!(matches!(paid.cycle(1).state, State::Paid(_)));
            assert_eq!((paid.subscription.status, &paid.subscription.live), (Status::Cancelled, &None));
            for answer in [soft(&live), hard(&live), refused()] {
                let mut unpaid = books.clone();
                unpaid.settle(&by_call(&live, answer), due + days(1));
                let end = unpaid.subscription.due_at.unwrap();
                assert_eq!(end, due + hours(1) + minutes(1) + days(30));
                let facts = unpaid.retire(Due::Terminate, end);
                assert!(kinds(&facts).contains(&"cycle.void"), "nobody owes what was cancelled");
                assert_eq!(unpaid.cycle(1).state, State::Void);
            }
        }
    }
}

/// Two clocks: one has begun the next period, the other still believes in this one.
#[test]
fn a_renewal_already_begun_says_that_the_period_is_over() {
    let mut books = Books::active(GatewayName::Toss);
    let end = books.subscription.due_at.unwrap();
    books.start(Trigger::Renewal, end);
    books.cancel(CancelAt::PeriodEnd, end - minutes(1));
    assert_eq!((books.subscription.status, books.subscription.cancel_at), (Status::Cancelled, None));
}

/// An operator still has to look at quarantined money; the end is not missed meanwhile.
#[test]
fn a_parked_subscription_ends_too() {
    for cancel in BOTH {
        let mut books = Books::active(GatewayName::Toss);
        let parked = Subscription { parked: true, due_at: None, ..books.subscription.clone() };
        books.replace(parked);
        books.cancel(cancel, birth() + days(3));
        let carded = books.subscription.with_method(method(2), GatewayName::Toss, birth() + days(4)).unwrap();
        books.replace(carded);
        let end = books.subscription.due_at.unwrap();
        let due = if cancel == CancelAt::Now { Due::Terminate } else { Due::Cancel };
        assert_eq!(books.due(end), due);
    }
}

/// Wrong money under the next period's order parks it; the end that was set is still not missed.
#[test]
fn quarantined_money_does_not_keep_the_end_from_coming() {
    let mut books = Books::active(GatewayName::Toss);
    books.cancel(CancelAt::PeriodEnd, birth() + days(3));
    let end = books.subscription.cancel_at.unwrap();
    let mut elsewhere = Books::active(GatewayName::Toss);
    let live = elsewhere.start(Trigger::Renewal, elsewhere.subscription.due_at.unwrap());
    let wrong = Capture { amount: Money::krw(1), ..capture(&books.subscription, &live) };
    books.settle(&by_event(&live, Answer::Captured(wrong)), birth() + days(5));
    assert!(books.subscription.parked);
    assert_eq!((books.subscription.due_at, books.due(end)), (Some(end), Due::Cancel));
}

/// Money for the next period arrives although its end was set (a console payment, a record that was dropped).
#[test]
fn what_was_paid_after_all_is_used_up_before_the_end() {
    let mut books = Books::active(GatewayName::Toss);
    books.cancel(CancelAt::PeriodEnd, birth() + days(3));
    let mut elsewhere = Books::active(GatewayName::Toss);
    let live = elsewhere.start(Trigger::Renewal, elsewhere.subscription.due_at.unwrap());
    let money = capture(&books.subscription, &live);
    books.settle(&by_event(&live, Answer::Captured(money)), birth() + days(5));
    let end = seoul_midnight(books.cycle(1).period.end).unwrap();
    let s = &books.subscription;
    assert_eq!((s.paid, s.cancel_at, s.due_at), (Some(1), Some(end), Some(end)));
}

proptest! {
    /// Whenever it is asked for, the end is the end of the period that is paid for then.
    #[test]
    fn the_end_is_always_that_of_the_period_paid_for(paid in 0u32..30, part in 0i64..1_000) {
        let mut books = Books::active(GatewayName::Toss);
        for _ in 0..paid {
            let due = books.subscription.due_at.unwrap();
            books.take(Trigger::Renewal, due);
        }
        let period = books.subscription.current_period().unwrap().unwrap();
        let (from, to) = (seoul_midnight(period.start).unwrap(), seoul_midnight(period.end).unwrap());
        let within = to.as_second() - from.as_second();
        let now = Timestamp::from_second(from.as_second() + within * part / 1_000).unwrap();
        books.cancel(CancelAt::PeriodEnd, now);
        prop_assert_eq!(books.subscription.cancel_at, Some(to));
        prop_assert_eq!(books.due(to - minutes(1)), Due::Nothing);
        prop_assert_eq!(books.due(to), Due::Cancel);
    }
}

#[test]
fn an_open_case_says_that_the_period_is_over_whatever_this_clock_says() {
    let mut books = Books::active(GatewayName::Toss);
    let end = books.subscription.due_at.unwrap();
    books.hear(Trigger::Renewal, end, soft);
    // By a clock that is five minutes behind.
    let (after, _) = books.subscription.cancelled(CancelAt::PeriodEnd, end - minutes(5)).unwrap().unwrap();
    assert_eq!((after.status, after.cancel_at), (Status::Cancelled, None));
}

#[test]
fn what_has_ended_is_not_parked() {
    let mut books = Books::active(GatewayName::Toss);
    books.cancel(CancelAt::Now, birth() + days(3));
    books.subscription.parked = true;
    assert!(!books.subscription.terminated().unwrap().0.parked);
}
