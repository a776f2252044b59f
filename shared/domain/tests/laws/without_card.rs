//! A charge is due and there is no usable card: nothing is sent, a card is asked for, and the clock to the end runs as if
//! the card had been refused.

use domain::card::{CARD_CEILING, NO_CARD};
use domain::charge::{DeclineClass, GatewayName, Trigger};
use domain::subscription::{Due, Status};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{birth, days, hours, method, minutes, soft};

/// What the run does when a charge is due and no card is usable.
fn without_card(books: &mut Books, code: &str, now: Timestamp) {
    let Due::Charge(trigger) = books.due(now) else { panic!("no charge is due") };
    let before = books.clone();
    let (after, fact) = books.subscription.without_card(trigger, code, now).unwrap();
    assert_eq!((fact.kind, &fact.changes["code"]), ("subscription.card_needed", &code.into()));
    books.replace(after);
    let s = &books.subscription;
    assert_eq!(
        (&s.live, s.tries, s.paid),
        (&None, before.subscription.tries, before.subscription.paid),
        "nothing is sent"
    );
    assert_eq!(books.cycles, before.cycles, "and nothing is on record of the card");
    assert_eq!(s.status, before.subscription.status);
    assert!(s.waits_for_card());
    assert!(s.due_at.unwrap() > now || books.due(now) != Due::Charge(trigger), "the run does not come back for it");
}

#[test]
fn a_renewal_without_a_card_opens_a_case_whose_deadline_runs() {
    for code in [NO_CARD, CARD_CEILING] {
        let mut books = Books::active(GatewayName::Toss);
        let due = books.subscription.due_at.unwrap() + hours(10);
        without_card(&mut books, code, due);
        let case = books.subscription.dunning.clone().unwrap();
        assert_eq!((case.step, case.next_at, case.class, case.code.as_str()), (0, None, DeclineClass::Hard, code));
        assert_eq!((case.opened_at, case.deadline), (due, due + days(7)));
        assert_eq!(books.subscription.due_at, Some(due + days(7)));
        assert_eq!(books.due(due + days(7) - minutes(1)), Due::Nothing, "no retry makes sense");
        assert_eq!(books.due(due + days(7)), Due::Suspend);
        let mut carded = books.clone();
        carded.new_card(method(2), due + days(2));
        assert!(carded.subscription.dunning.as_ref().unwrap().next_at.is_some(), "a card brings the schedule back");
        carded.take(Trigger::Manual, due + days(2));
        assert_eq!((carded.subscription.paid, &carded.subscription.dunning), (Some(1), &None));
    }
}

#[test]
fn a_retry_without_a_card_consumes_no_step_and_moves_no_deadline() {
    let mut books = Books::active(GatewayName::Toss);
    let opened = books.subscription.due_at.unwrap();
    books.hear(Trigger::Renewal, opened, soft);
    books.hear(Trigger::Dunning, opened + days(1), soft);
    let before = books.subscription.dunning.clone().unwrap();
    without_card(&mut books, CARD_CEILING, opened + days(3));
    let case = books.subscription.dunning.clone().unwrap();
    assert_eq!((case.step, case.opened_at, case.deadline), (before.step, before.opened_at, before.deadline));
    assert_eq!((case.next_at, books.due(case.deadline)), (None, Due::Suspend));
}

#[test]
fn a_first_payment_without_a_card_waits_for_one_until_it_lapses() {
    let mut books = Books::approved(GatewayName::Toss);
    without_card(&mut books, NO_CARD, birth() + hours(1));
    let s = &books.subscription;
    assert_eq!((s.first_decline.as_deref(), &s.dunning), (Some(NO_CARD), &None));
    assert_eq!(books.due(birth() + days(30) - minutes(1)), Due::Nothing);
    assert_eq!(books.due(birth() + days(30)), Due::Lapse, "30 days after approval, as ever");
    books.new_card(method(2), birth() + days(4));
    assert_eq!(books.due(birth() + days(4)), Due::Charge(Trigger::First));
}

proptest! {
    /// However late the run finds it out, and however often cards come and go: one case, one deadline, then the end.
    #[test]
    fn without_a_card_the_case_still_ends(waits in prop::collection::vec((1i64..200, any::<bool>()), 0..12)) {
        let mut books = Books::active(GatewayName::Toss);
        let mut now = books.subscription.due_at.unwrap();
        let opened = now;
        without_card(&mut books, NO_CARD, now);
        for (wait, card) in waits {
            now += hours(wait);
            match books.due(now) {
                Due::Charge(_) => without_card(&mut books, CARD_CEILING, now),
                due @ (Due::Suspend | Due::Terminate) => {
                    books.retire(due, now);
                }
                _ if card && books.subscription.waits_for_card() => books.new_card(method(3), now),
                _ => {}
            }
            if let Some(case) = books.subscription.dunning.as_ref() {
                prop_assert_eq!((case.step, case.opened_at, case.deadline), (0, opened, opened + days(7)));
            }
        }
        for _ in 0..3 {
            now = books.subscription.due_at.map_or(now, |due| due.max(now));
            match books.due(now) {
                Due::Charge(_) => without_card(&mut books, NO_CARD, now),
                due @ (Due::Suspend | Due::Terminate) => {
                    books.retire(due, now);
                }
                _ => {}
            }
        }
        prop_assert!(matches!(books.subscription.status, Status::Suspended | Status::Terminated));
    }
}

#[test]
fn a_first_payment_without_a_card_is_next_looked_at_when_it_lapses() {
    let books = Books::approved(GatewayName::Toss);
    let (after, _) = books.subscription.without_card(Trigger::First, NO_CARD, birth() + hours(1)).unwrap();
    assert_eq!(after.due_at, Some(birth() + days(30)));
}
