//! Money that must not be applied is never lost and never paid twice; words without a claim change nothing.

use domain::charge::{Answer, Capture, GatewayName, Heard, LiveAttempt, Trigger};
use domain::cycle::{Outcome, State};
use domain::money::{Currency, Money};
use domain::settle::Report;
use domain::subscription::{StartRefused, Status};

use crate::books::Books;
use crate::fixtures::{PRICE, birth, by_call, by_event, capture, days, hard, hours, refused, soft, unknown};

fn renewal_in_flight(gateway: GatewayName) -> (Books, LiveAttempt) {
    let mut books = Books::active(gateway);
    let due = books.subscription.due_at.unwrap();
    let live = books.start(Trigger::Renewal, due);
    (books, live)
}

fn quarantined(facts: &[domain::event::Fact]) -> usize {
    facts.iter().filter(|f| f.kind == "payment.quarantined").count()
}

/// Captures that look like ours and are not.
fn wrong(books: &Books, live: &LiveAttempt) -> Vec<(&'static str, Capture)> {
    let right = capture(&books.subscription, live);
    let renamed = |order_id: String| Capture { order_id, payment_id: "another payment".into(), ..right.clone() };
    let money = |amount, currency| Capture { amount: Money { amount, currency }, ..right.clone() };
    let other = live.billable(&books.subscription.id);
    let next = domain::charge::Billable { index: other.index + 1, ..other };
    vec![
        ("a won less", money(PRICE - 1, Currency::KRW)),
        ("a won more", money(PRICE + 1, Currency::KRW)),
        ("nothing", money(0, Currency::KRW)),
        ("another currency", money(PRICE, Currency::JPY)),
        ("another order of ours, replayed under our key", renamed(next.order_id(live.gateway, live.n))),
        ("an order that is not ours", renamed("ORDER-2027-0001".into())),
    ]
}

#[test]
fn a_capture_with_another_amount_currency_or_order_is_quarantined_and_parks() {
    for gateway in GatewayName::ALL {
        let (books, live) = renewal_in_flight(gateway);
        for (what, money) in wrong(&books, &live) {
            let mut books = books.clone();
            let report = by_call(&live, Answer::Captured(money.clone()));
            assert_eq!(quarantined(&books.settle(&report, live.started_at)), 1, "{what}");
            assert_eq!(books.cycle(1).state, State::Open, "{what}");
            assert!(books.cycle(1).holds_in_quarantine(&money), "{what}");
            assert_eq!((&books.subscription.live, books.subscription.due_at), (&None, None), "{what}");
            assert!(books.subscription.parked, "{what}");
            let once = books.clone();
            assert_eq!(books.settle(&report, live.started_at + days(1)), [], "{what}");
            assert_eq!(books, once, "{what}: bringing it again changes nothing");
            let refused = books.try_start(Trigger::Renewal, live.started_at + days(1));
            assert_eq!(refused, Err(StartRefused::Parked), "{what}: no run charges it again");
            books.take(Trigger::Manual, live.started_at + days(2));
            assert_eq!((books.subscription.paid, books.subscription.parked), (Some(1), false), "{what}: a person may");
            assert!(books.cycle(1).holds_in_quarantine(&money), "{what}: and the money stays on record");
        }
    }
}

#[test]
fn the_right_payment_counts_whichever_of_two_came_first() {
    let (books, live) = renewal_in_flight(GatewayName::Toss);
    let right = capture(&books.subscription, &live);
    for (what, wrong) in wrong(&books, &live) {
        let wrong = Capture { payment_id: "another payment".into(), ..wrong };
        let said = [&right, &wrong].map(|money| by_call(&live, Answer::Captured(money.clone())));
        let settled = [[0, 1, 0, 1], [1, 0, 1, 0]].map(|order| {
            let mut books = books.clone();
            for i in order {
                books.settle(&said[i], live.started_at);
            }
            books
        });
        assert_eq!(settled[0], settled[1], "{what}");
        let books = &settled[0];
        assert_eq!((books.subscription.paid, books.subscription.parked), (Some(1), false), "{what}");
        assert_eq!(books.outcome(&live), Some(Outcome::Succeeded), "{what}");
        assert!(books.cycle(1).holds_in_quarantine(&wrong), "{what}");
    }
}

#[test]
fn one_payment_first_misread_and_then_read_right_is_applied_once() {
    let (mut books, live) = renewal_in_flight(GatewayName::Toss);
    let right = capture(&books.subscription, &live);
    let misread = Capture { amount: Money::krw(1), ..right.clone() };
    for money in [&misread, &right, &misread] {
        books.settle(&by_call(&live, Answer::Captured(money.clone())), live.started_at);
    }
    assert_eq!(books.subscription.paid, Some(1));
    assert!(!books.cycle(1).holds_in_quarantine(&right));
    assert_eq!(books.cycle(1).attempts.len(), 1);
}

#[test]
fn a_second_payment_for_a_paid_cycle_is_quarantined_and_charging_goes_on() {
    for gateway in GatewayName::ALL {
        let (mut books, live) = renewal_in_flight(gateway);
        let right = capture(&books.subscription, &live);
        books.settle(&by_call(&live, Answer::Captured(right.clone())), live.started_at);
        let second = Capture { payment_id: "again".into(), charge_id: Some("again".into()), ..right };
        let before = books.subscription.clone();
        let facts = books.settle(&by_event(&live, Answer::Captured(second.clone())), live.started_at + days(3));
        assert_eq!(quarantined(&facts), 1);
        assert_eq!(books.subscription, before, "nothing is owed differently");
        assert_eq!(books.outcome(&live), Some(Outcome::Succeeded), "the success stays on record");
        assert!(books.cycle(1).holds_in_quarantine(&second));
    }
}

#[test]
fn two_charges_under_one_payment_are_two_payments_and_an_unnamed_charge_is_none() {
    let (mut books, live) = renewal_in_flight(GatewayName::Stripe);
    let right = capture(&books.subscription, &live);
    books.settle(&by_call(&live, Answer::Captured(right.clone())), live.started_at);
    let unnamed = Capture { charge_id: None, ..right.clone() };
    assert_eq!(books.settle(&by_event(&live, Answer::Captured(unnamed)), live.started_at), []);
    let second = Capture { charge_id: Some("ch_second".into()), ..right };
    assert_eq!(quarantined(&books.settle(&by_event(&live, Answer::Captured(second)), live.started_at)), 1);
}

#[test]
fn only_a_hard_decline_ends_a_card() {
    let (books, live) = renewal_in_flight(GatewayName::Toss);
    let auth = Answer::Declined(crate::fixtures::decline(domain::charge::DeclineClass::Auth, &live));
    for (answer, ends) in [(hard(&live), true), (soft(&live), false), (auth, false)] {
        let report = by_call(&live, answer);
        let settlement = domain::settle::settle(&books.subscription, None, &report, live.started_at).unwrap();
        let domain::settle::Settlement::Apply(settled) = settlement else { panic!("a decline counts") };
        assert_eq!(settled.invalid_method, ends.then(|| live.method_id.clone()));
        assert_eq!(settled.hint, Some(domain::settle::Hint::Declined));
    }
}

#[test]
fn money_for_a_cycle_closed_unpaid_pays_it_and_is_owed_back_and_for_none_is_reported() {
    let (mut books, live) = renewal_in_flight(GatewayName::Toss);
    let money = capture(&books.subscription, &live);
    books.settle(&by_call(&live, hard(&live)), live.started_at);
    let case = books.subscription.dunning.clone().unwrap();
    books.retire(domain::subscription::Due::Suspend, case.deadline);
    books.retire(domain::subscription::Due::Terminate, case.deadline + days(30));
    assert_eq!(books.cycle(1).state, State::Uncollectible);
    let facts = books.settle(&by_event(&live, Answer::Captured(money.clone())), case.deadline + days(31));
    assert_eq!((quarantined(&facts), books.subscription.status), (0, Status::Terminated));
    assert!(facts.iter().any(|f| f.kind == "payment.refund_owed") && books.cycle(1).paid_by(&money));
    let once = books.clone();
    assert_eq!(books.settle(&by_event(&live, Answer::Captured(money.clone())), case.deadline + days(32)), []);
    assert_eq!(books, once, "heard again, the same");
    let second = Capture { payment_id: "another".into(), ..money };
    let facts = books.settle(&by_event(&live, Answer::Captured(second.clone())), case.deadline + days(32));
    assert_eq!((quarantined(&facts), books.cycle(1).holds_in_quarantine(&second)), (1, true), "a cycle is paid once");

    let far = LiveAttempt { index: 9, ..live.clone() };
    let renewal_of_nothing = LiveAttempt { index: 2, seq: 1, ..live };
    for stray in [far, renewal_of_nothing] {
        let before = books.clone();
        let money = capture(&books.subscription, &stray);
        assert_eq!(quarantined(&books.settle(&by_event(&stray, Answer::Captured(money)), birth())), 1);
        assert_eq!(books, before, "reported, but no cycle is opened for it");
    }
}

#[test]
fn wrong_money_of_a_closed_attempt_leaves_the_one_in_flight_to_be_looked_up() {
    let (mut books, first) = renewal_in_flight(GatewayName::Toss);
    books.settle(&by_call(&first, refused()), first.started_at);
    let second = books.start(Trigger::Renewal, first.started_at + hours(2));
    let wrong = Capture { amount: Money::krw(1), ..capture(&books.subscription, &first) };
    books.settle(&by_call(&first, Answer::Captured(wrong)), first.started_at + hours(3));
    assert!(books.subscription.parked && books.subscription.live.as_ref() == Some(&second));
    assert!(!books.subscription.may_resend(), "parked: look, but do not send again");
    assert_eq!(books.due(second.lease_until), domain::subscription::Due::Resolve);
    books.settle(&by_call(&second, soft(&second)), first.started_at + hours(4));
    assert_eq!((&books.subscription.live, books.subscription.due_at), (&None, None), "then it waits for a person");
}

#[test]
fn late_money_for_a_cancelled_subscription_is_attached_and_owed_back() {
    let (mut books, live) = renewal_in_flight(GatewayName::Toss);
    let (cancelled, _) = books.subscription.lapsed(live.started_at + hours(1)).unwrap();
    books.replace(cancelled);
    assert!(!books.subscription.may_resend(), "who has cancelled is not charged again");
    let money = capture(&books.subscription, &live);
    let facts = books.settle(&by_call(&live, Answer::Captured(money)), live.started_at + hours(2));
    assert!(facts.iter().any(|f| f.kind == "payment.refund_owed" && f.changes["amount"] == PRICE));
    assert!(matches!(books.cycle(1).state, State::Paid(_)));
    assert_eq!(books.subscription.status, Status::Cancelled);
    assert_eq!(books.subscription.due_at, Some(live.started_at + hours(1) + days(30)), "and it still ends in time");
}

#[test]
fn negative_words_without_the_claim_or_about_a_dead_attempt_change_nothing() {
    let (books, live) = renewal_in_flight(GatewayName::Toss);
    let said = [soft(&live), hard(&live), refused(), unknown(Heard::Error, &live)];
    let strangers = |answer: &Answer| {
        let report = by_call(&live, answer.clone());
        [
            Report { token: None, ..report.clone() },
            Report { token: Some("a claim of yesterday".into()), ..report.clone() },
            Report { n: Some(live.n + 1), ..report.clone() },
            Report { n: None, ..report.clone() },
            Report { index: live.index + 1, ..report.clone() },
            Report { seq: 1, ..report },
        ]
    };
    for answer in &said {
        for report in strangers(answer) {
            let mut after = books.clone();
            assert_eq!(after.settle(&report, live.started_at), []);
            assert_eq!(after, books, "{report:?}");
        }
    }
    let mut dead = books.clone();
    dead.settle(&by_call(&live, refused()), live.started_at);
    let next = dead.start(Trigger::Renewal, live.started_at + hours(2));
    for answer in &said {
        let before = dead.clone();
        dead.settle(&by_call(&live, answer.clone()), next.started_at);
        assert_eq!(dead, before, "a dead attempt has nothing more to say: {answer:?}");
    }
    let before = dead.clone();
    dead.close_absent(&live);
    assert_eq!(dead, before, "nor can it be closed twice");
}
