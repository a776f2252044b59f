//! Settlement does not depend on who brings an answer, how often, in which order or when.

use domain::charge::{Answer, Capture, Decline, DeclineClass, GatewayName, Heard, LiveAttempt, Trigger};
use domain::cycle::{Outcome, State};
use domain::settle::Report;
use domain::subscription::Due;
use jiff::Timestamp;
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{
    by_call, by_event, captured, days, decline, hard, hours, intent, minutes, refused, soft, unknown,
};

/// What has happened before the attempt in question.
#[derive(Clone, Copy, Debug)]
enum Past {
    Paid,
    Soft,
    Hard,
    Absent,
    ManualSoft,
    ManualAbsent,
    NewCard,
    Cancelled,
}

fn past() -> impl Strategy<Value = Vec<Past>> {
    let one = prop_oneof![
        3 => Just(Past::Paid),
        4 => Just(Past::Soft),
        1 => Just(Past::Hard),
        3 => Just(Past::Absent),
        1 => Just(Past::ManualSoft),
        1 => Just(Past::ManualAbsent),
        1 => Just(Past::NewCard),
    ];
    prop::collection::vec(one, 0..14)
}

fn gateway() -> impl Strategy<Value = GatewayName> {
    prop_oneof![Just(GatewayName::Toss), Just(GatewayName::Stripe)]
}

/// Plays a past and starts one more attempt, scheduled if one is due, else by hand. None where nothing may start.
fn in_flight(gateway: GatewayName, past: &[Past], cancel: bool) -> Option<(Books, Timestamp)> {
    let mut books = Books::approved(gateway);
    let mut now = crate::fixtures::birth();
    for act in past {
        now = play(&mut books, *act, now);
    }
    now = books.subscription.due_at?.max(now);
    let trigger = match books.due(now) {
        Due::Charge(trigger) => trigger,
        Due::Nothing | Due::Wait(_) | Due::Resolve | Due::Suspend | Due::Cancel | Due::Terminate | Due::Lapse => {
            Trigger::Manual
        }
    };
    books.try_start(trigger, now).ok()?;
    if cancel {
        play(&mut books, Past::Cancelled, now);
    }
    Some((books, now))
}

fn play(books: &mut Books, act: Past, now: Timestamp) -> Timestamp {
    let trigger = match act {
        Past::ManualSoft | Past::ManualAbsent => Trigger::Manual,
        Past::NewCard => {
            books.new_card(crate::fixtures::method(2), now);
            return now;
        }
        Past::Cancelled => {
            let (after, _) = books.subscription.lapsed(now).unwrap();
            books.replace(after);
            return now;
        }
        Past::Paid | Past::Soft | Past::Hard | Past::Absent => {
            let now = books.subscription.due_at.map_or(now, |due| due.max(now));
            match books.due(now) {
                Due::Charge(trigger) => return answer(books, act, trigger, now),
                Due::Suspend => {
                    books.retire(Due::Suspend, now);
                    return now + hours(1);
                }
                Due::Nothing | Due::Wait(_) | Due::Resolve | Due::Cancel | Due::Terminate | Due::Lapse => {
                    Trigger::Manual
                }
            }
        }
    };
    answer(books, act, trigger, now)
}

fn answer(books: &mut Books, act: Past, trigger: Trigger, now: Timestamp) -> Timestamp {
    let Ok(live) = books.try_start(trigger, now) else { return now + hours(7) };
    let answer = match act {
        Past::Paid => captured(&books.subscription, &live),
        Past::Soft | Past::ManualSoft => soft(&live),
        Past::Hard => hard(&live),
        Past::Absent | Past::ManualAbsent | Past::NewCard | Past::Cancelled => refused(),
    };
    books.settle(&by_call(&live, answer), now);
    now + hours(7)
}

/// Everything that could ever be said about one attempt that captured, also by a gateway that contradicts itself.
fn all_said_of_a_captured(books: &Books, live: &LiveAttempt) -> Vec<Report> {
    let capture = captured(&books.subscription, live);
    let confused = Decline { charge_id: None, ..decline(DeclineClass::Soft, live) };
    vec![
        by_call(live, capture.clone()),
        by_event(live, capture.clone()),
        Report { token: None, ..by_call(live, capture.clone()) },
        Report { token: Some("a claim long lost".into()), ..by_call(live, capture) },
        by_call(live, unknown(Heard::Nothing, live)),
        by_call(live, unknown(Heard::Refusal, live)),
        by_call(live, unknown(Heard::Error, live)),
        by_call(live, Answer::Declined(confused.clone())),
        by_event(live, Answer::Declined(confused)),
        by_call(live, refused()),
    ]
}

fn settle_in_order(books: &Books, said: &[Report], order: &[usize], now: Timestamp, gap: i64) -> Books {
    let mut books = books.clone();
    for (i, which) in order.iter().enumerate() {
        let later = minutes(gap * i64::try_from(i).unwrap());
        books.settle(&said[which % said.len()], now + later);
    }
    books
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]

    #[test]
    fn a_capture_wins_in_any_order_with_any_duplicates_at_any_time(
        gateway in gateway(),
        past in past(),
        cancel in prop::bool::weighted(0.15),
        order in prop::collection::vec(0usize..10, 0..9),
        capture in (0usize..4, any::<prop::sample::Index>()),
        gap in 0i64..20_000,
    ) {
        let Some((books, now)) = in_flight(gateway, &past, cancel) else { return Ok(()) };
        let live = books.live();
        let said = all_said_of_a_captured(&books, &live);
        let mut order = order;
        order.insert(capture.1.index(order.len() + 1), capture.0);
        let expected = settle_in_order(&books, &said, &[0], now, 0);
        let got = settle_in_order(&books, &said, &order, now, gap);
        prop_assert_eq!(&got, &expected);
        prop_assert!(matches!(got.cycle(live.index).state, State::Paid(_)));
    }

    #[test]
    fn a_negative_answer_is_the_same_whenever_doubts_come(
        gateway in gateway(),
        past in past(),
        cancel in prop::bool::weighted(0.15),
        which in 0usize..3,
        doubts in prop::collection::vec(0usize..3, 0..5),
        after in prop::collection::vec(0usize..4, 0..5),
        gap in 0i64..20_000,
    ) {
        let Some((books, now)) = in_flight(gateway, &past, cancel) else { return Ok(()) };
        let live = books.live();
        let negative = [soft(&live), hard(&live), Answer::Refused { code: String::new() }][which].clone();
        let negative = match negative {
            Answer::Declined(d) => Answer::Declined(Decline { intent: intent(&live), ..d }),
            other => other,
        };
        let said = [
            by_call(&live, unknown(Heard::Nothing, &live)),
            by_call(&live, unknown(Heard::Refusal, &live)),
            by_call(&live, unknown(Heard::Error, &live)),
            by_call(&live, negative),
        ];
        let order: Vec<usize> = doubts.into_iter().chain([3]).chain(after).collect();
        let mut expected = settle_in_order(&books, &said, &[3], now, 0);
        let mut got = settle_in_order(&books, &said, &order, now, gap);
        // The intent may have been learnt from a doubt; nothing else may differ.
        for books in [&mut expected, &mut got] {
            books.cycles.get_mut(&(live.index, live.seq)).unwrap().intent = None;
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn doubts_add_up_the_same_in_any_order(order in prop::collection::vec(0usize..3, 1..6), reach in past()) {
        let Some((books, now)) = in_flight(GatewayName::Stripe, &reach, false) else { return Ok(()) };
        let live = books.live();
        let said = [Heard::Nothing, Heard::Refusal, Heard::Error].map(|h| by_call(&live, unknown(h, &live)));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(settle_in_order(&books, &said, &order, now, 0), settle_in_order(&books, &said, &sorted, now, 0));
    }

    #[test]
    fn settling_twice_changes_nothing_the_second_time(
        gateway in gateway(),
        past in past(),
        cancel in prop::bool::weighted(0.15),
        order in prop::collection::vec(0usize..10, 1..9),
        later in 0i64..20_000,
    ) {
        let Some((mut books, now)) = in_flight(gateway, &past, cancel) else { return Ok(()) };
        let live = books.live();
        let said = all_said_of_a_captured(&books, &live);
        for which in order {
            books.settle(&said[which], now);
            let once = books.clone();
            let facts = books.settle(&said[which], now + minutes(later));
            prop_assert_eq!(&books, &once);
            prop_assert!(facts.is_empty(), "nothing is told twice: {facts:?}");
        }
    }

    #[test]
    fn a_late_capture_of_an_absent_attempt_and_the_next_ones_end_commute(
        gateway in gateway(),
        past in past(),
        cancel in prop::bool::weighted(0.15),
        next in 0usize..3,
        order in prop::collection::vec(0usize..6, 0..9),
        late in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
        gap in 0i64..3_000,
    ) {
        let Some((mut books, now)) = in_flight(gateway, &past, false) else { return Ok(()) };
        let first = books.live();
        let capture = captured(&books.subscription, &first);
        books.settle(&by_call(&first, refused()), now);
        let then = books.subscription.due_at.unwrap().max(now + hours(2));
        let trigger = if let Due::Charge(trigger) = books.due(then) { trigger } else { Trigger::Manual };
        let Ok(second) = books.try_start(trigger, then) else { return Ok(()) };
        if cancel {
            play(&mut books, Past::Cancelled, then);
        }
        let said = [
            by_call(&first, capture.clone()),
            by_call(&second, [soft(&second), hard(&second), refused()][next].clone()),
            Report { token: None, ..by_call(&first, capture) },
            by_call(&second, unknown(Heard::Nothing, &second)),
            by_call(&second, unknown(Heard::Error, &second)),
            by_call(&first, soft(&first)),
        ];
        let mut order = order;
        order.insert(late.index(order.len() + 1), 0);
        order.insert(end.index(order.len() + 1), 1);
        let expected = settle_in_order(&books, &said, &[0, 1], then, 0);
        let got = settle_in_order(&books, &said, &order, then, gap);
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(got.outcome(&first), Some(Outcome::Succeeded));
        prop_assert_eq!(got.subscription.live.as_ref(), None);
    }

    #[test]
    fn two_captures_of_one_cycle_pay_it_once(past in past(), swap in any::<bool>(), again in prop::collection::vec(any::<bool>(), 0..4)) {
        let Some((mut books, now)) = in_flight(GatewayName::Toss, &past, false) else { return Ok(()) };
        let first = books.live();
        books.settle(&by_call(&first, refused()), now);
        let then = books.subscription.due_at.unwrap().max(now) + days(1);
        let trigger = if let Due::Charge(trigger) = books.due(then) { trigger } else { Trigger::Manual };
        let Ok(second) = books.try_start(trigger, then) else { return Ok(()) };
        let said = [first.clone(), second.clone()].map(|l| by_call(&l, captured(&books.subscription, &l)));
        let order = [usize::from(swap), usize::from(!swap)].into_iter().chain(again.into_iter().map(usize::from));
        for which in order {
            books.settle(&said[which], then);
        }
        let (winner, loser) = if swap { (&second, &first) } else { (&first, &second) };
        prop_assert_eq!((books.outcome(winner), books.outcome(loser)), (Some(Outcome::Succeeded), Some(Outcome::Quarantined)));
        prop_assert_eq!(books.cycle(first.index).attempts.iter().filter(|a| a.outcome == Outcome::Quarantined).count(), 1);
        prop_assert_eq!(&books.subscription.live, &None);
        prop_assert!(!books.subscription.parked && books.subscription.paid == Some(first.index));
    }
}

#[test]
fn a_weaker_doubt_that_names_the_payment_is_heard_and_stays_weaker() {
    let mut books = Books::active(GatewayName::Stripe);
    let due = books.subscription.due_at.unwrap();
    let live = books.start(Trigger::Renewal, due);
    books.settle(&by_call(&live, Answer::Unknown { heard: Heard::Error, code: None, intent: None }), due);
    books.settle(&by_call(&live, unknown(Heard::Nothing, &live)), due);
    let after = books.live();
    assert_eq!((after.unknown.unwrap().heard, after.intent), (Heard::Error, intent(&live)));
}

/// Stripe names the cycle only: an event for the money a later attempt also hears of settles both.
#[test]
fn an_attempt_that_hears_of_its_cycles_own_payment_is_over() {
    let mut books = Books::approved(GatewayName::Stripe);
    let birth = crate::fixtures::birth();
    let first = books.hear(Trigger::First, birth, |_| refused());
    let second = books.start(Trigger::First, birth + hours(2));
    let Answer::Captured(money) = captured(&books.subscription, &first) else { panic!("a capture") };
    books.settle(&by_call(&first, Answer::Captured(money.clone())), birth + hours(3));
    assert_eq!(books.subscription.live.as_ref(), Some(&second), "its own outcome is still open");
    books.settle(&by_call(&second, Answer::Captured(Capture { charge_id: None, ..money })), birth + hours(4));
    assert_eq!(books.subscription.live, None);
    assert_eq!((books.outcome(&first), books.outcome(&second)), (Some(Outcome::Succeeded), Some(Outcome::Absent)));
}
