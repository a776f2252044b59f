//! What an answer leaves behind besides money: the card that is tried next, the words of the case, the next look, and how
//! long an attempt that came to nothing is let rest.

use domain::charge::{Answer, Decline, DeclineClass, GatewayName, Heard, LiveAttempt, Trigger};
use domain::subscription::{Due, Status};
use jiff::{SignedDuration, Timestamp};

use crate::books::Books;
use crate::fixtures::{birth, by_call, days, decline, hard, hours, intent, method, minutes, refused, soft, unknown};

#[test]
fn a_first_payment_declined_on_the_card_before_says_nothing_about_the_new_one() {
    let mut books = Books::approved(GatewayName::Toss);
    let live = books.start(Trigger::First, birth());
    let row = books.subscription.with_next_method(method(2), GatewayName::Toss);
    books.replace(row);
    books.settle(&by_call(&live, soft(&live)), birth() + minutes(1));
    assert_eq!((&books.subscription.first_decline, &books.subscription.live), (&None, &None));
    assert_eq!(books.due(birth() + minutes(1)), Due::Charge(Trigger::First));
}

#[test]
fn a_suspended_case_shows_what_the_last_card_said() {
    let mut books = Books::active(GatewayName::Toss);
    let opened = books.subscription.due_at.unwrap();
    books.hear(Trigger::Renewal, opened, hard);
    books.retire(Due::Suspend, opened + days(7));
    books.new_card(method(2), opened + days(8));
    let said = |live: &LiveAttempt| {
        Answer::Declined(Decline { code: "EXCEED_LIMIT".into(), ..decline(DeclineClass::Soft, live) })
    };
    books.hear(Trigger::Manual, opened + days(8), said);
    let case = books.subscription.dunning.clone().unwrap();
    assert_eq!((books.subscription.status, case.class), (Status::Suspended, DeclineClass::Soft));
    assert_eq!(case.code, "EXCEED_LIMIT");
}

#[test]
fn a_decline_is_told_with_its_class() {
    for (class, word) in [(DeclineClass::Soft, "SOFT"), (DeclineClass::Hard, "HARD"), (DeclineClass::Auth, "AUTH")] {
        let mut books = Books::active(GatewayName::Toss);
        let due = books.subscription.due_at.unwrap();
        let live = books.start(Trigger::Renewal, due);
        let facts = books.settle(&by_call(&live, Answer::Declined(decline(class, &live))), due);
        assert_eq!((facts[0].kind, &facts[0].changes["class"]), ("payment.declined", &word.into()));
    }
}

/// Attempts on one renewal that came to nothing, one after the other; what was told of the last.
fn come_to_nothing(heard: Heard, times: u32) -> (Books, Timestamp, Vec<&'static str>) {
    let mut books = Books::active(GatewayName::Toss);
    let mut last = (books.subscription.due_at.unwrap(), Vec::new());
    for _ in 0..times {
        let now = books.subscription.due_at.unwrap();
        let live = books.start(Trigger::Renewal, now);
        books.settle(&by_call(&live, unknown(heard, &live)), now);
        let facts = books.close_absent(&books.live());
        last = (now, facts.iter().map(|fact| fact.kind).collect());
    }
    (books, last.0, last.1)
}

#[test]
fn what_came_to_nothing_is_tried_again_at_once_twice_and_then_ever_later() {
    for (times, pause) in [(1, 0), (2, 0), (3, 20), (4, 60), (5, 60)] {
        let (books, started, _) = come_to_nothing(Heard::Error, times);
        assert_eq!(books.subscription.due_at, Some(started + minutes(pause)), "after {times}");
    }
}

#[test]
fn an_operator_hears_of_every_twelfth_refusal_and_of_no_other() {
    for (heard, times, told) in
        [(Heard::Refusal, 1, false), (Heard::Refusal, 11, false), (Heard::Refusal, 12, true), (Heard::Error, 12, false)]
    {
        let (_, _, facts) = come_to_nothing(heard, times);
        assert_eq!(facts.contains(&"subscription.stuck"), told, "{heard:?} {times} times");
    }
}

#[test]
fn hearing_more_keeps_a_look_that_is_ahead_and_brings_one_that_has_passed() {
    let start = |now: &dyn Fn(Timestamp, Timestamp) -> Timestamp| {
        let mut books = Books::active(GatewayName::Toss);
        let due = books.subscription.due_at.unwrap();
        let live = books.start(Trigger::Renewal, due);
        books.settle(&by_call(&live, unknown(Heard::Nothing, &live)), due);
        let look = books.subscription.due_at.unwrap();
        assert!(look > due);
        let now = now(due, look);
        books.settle(&by_call(&live, unknown(Heard::Error, &live)), now);
        (look, now, books.subscription.due_at.unwrap())
    };
    let second = SignedDuration::from_secs(1);
    let (look, _, after) = start(&|due, _| due + second);
    assert_eq!(after, look);
    for passed in [SignedDuration::ZERO, second] {
        let (_, now, after) = start(&|_, look| look + passed);
        assert!(after > now, "a look that is due now was not made");
    }
}

#[test]
fn an_intent_an_absent_attempt_taught_us_is_the_cycles() {
    let mut books = Books::active(GatewayName::Stripe);
    let due = books.subscription.due_at.unwrap();
    let live = books.start(Trigger::Renewal, due);
    books.settle(&by_call(&live, unknown(Heard::Error, &live)), due);
    books.close_absent(&books.live());
    assert_eq!(books.cycle(1).intent, intent(&live));
    let next = books.start(Trigger::Renewal, due + hours(1));
    assert_eq!(next.intent, intent(&live), "the next attempt confirms it");
    books.settle(&by_call(&next, refused()), due + hours(1));
    assert_eq!(books.cycle(1).intent, intent(&live));
}

#[test]
fn an_attempt_an_operator_starts_takes_the_subscription_back_to_the_runs() {
    let mut books = Books::active(GatewayName::Toss);
    let due = books.subscription.due_at.unwrap();
    books.subscription.parked = true;
    assert!(books.try_start(Trigger::Renewal, due).is_err());
    books.start(Trigger::Manual, due);
    assert!(!books.subscription.parked);
}

#[test]
fn what_is_parked_stays_with_the_operator_when_its_attempt_comes_to_nothing() {
    let mut books = Books::active(GatewayName::Toss);
    let due = books.subscription.due_at.unwrap();
    let live = books.start(Trigger::Manual, due);
    books.subscription.parked = true;
    books.settle(&by_call(&live, refused()), due + minutes(1));
    assert_eq!((books.subscription.parked, books.subscription.due_at), (true, None));
}
