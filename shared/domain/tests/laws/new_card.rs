//! A new card for a suspended subscription is tried once, also when whoever supplied it dies before charging.

use domain::card::NO_CARD;
use domain::charge::{GatewayName, Heard, Trigger};
use domain::cycle::State;
use domain::subscription::{Due, Status, Subscription};
use jiff::Timestamp;

use crate::books::Books;
use crate::fixtures::{by_call, captured, days, hard, hours, method, minutes, refused, soft, unapproved, unknown};

/// Suspended since the returned instant; nothing is due before its end.
fn suspended() -> (Books, Timestamp) {
    let mut books = Books::active(GatewayName::Toss);
    let opened = books.subscription.due_at.unwrap();
    books.hear(Trigger::Renewal, opened, hard);
    books.retire(Due::Suspend, opened + days(7));
    assert_eq!(books.due(opened + days(36)), Due::Nothing);
    (books, opened + days(7))
}

#[test]
fn the_run_tries_it_at_once_and_paying_restores() {
    let (mut books, since) = suspended();
    let now = since + days(3);
    books.new_card(method(2), now);
    assert_eq!(books.due(now), Due::Charge(Trigger::Manual));
    books.take(Trigger::Manual, now + hours(1));
    assert_eq!((books.subscription.status, &books.subscription.dunning), (Status::Active, &None));
}

#[test]
fn it_is_tried_once_and_the_end_stays_where_it_was() {
    for answer in [soft, hard] {
        let (mut books, since) = suspended();
        books.new_card(method(2), since + days(3));
        let live = books.hear(Trigger::Manual, since + days(3), answer);
        assert_eq!(live.method_id, method(2));
        assert_eq!(books.due(since + days(30) - minutes(1)), Due::Nothing, "not again");
        assert_eq!((books.subscription.due_at, books.due(since + days(30))), (Some(since + days(30)), Due::Terminate));
    }
}

#[test]
fn what_never_reached_the_card_is_no_try() {
    let (mut books, since) = suspended();
    let now = since + days(3);
    books.new_card(method(2), now);
    books.hear(Trigger::Manual, now, |_| refused());
    assert_eq!(books.due(now + hours(2)), Due::Charge(Trigger::Manual));
    let live = books.start(Trigger::Manual, now + hours(2));
    books.settle(&by_call(&live, unknown(Heard::Error, &live)), now + hours(2));
    books.close_absent(&books.live());
    assert_eq!(books.due(now + hours(4)), Due::Charge(Trigger::Manual));
    let mut late = books.clone();
    assert_eq!(late.due(since + days(30)), Due::Terminate, "the end comes all the same");
    late.retire(Due::Terminate, since + days(30));
    assert_eq!(late.cycle(1).state, State::Uncollectible);
    books.take(Trigger::Manual, now + hours(4));
    assert_eq!(books.subscription.status, Status::Active);
}

#[test]
fn a_card_that_turns_out_unusable_is_not_tried_again_and_again() {
    let (mut books, since) = suspended();
    let now = since + days(3);
    books.new_card(method(2), now);
    let (after, _) = books.subscription.without_card(Trigger::Manual, NO_CARD, now).unwrap();
    books.replace(after);
    assert_eq!((books.due(now), books.subscription.due_at), (Due::Nothing, Some(since + days(30))));
}

#[test]
fn one_supplied_while_the_last_retry_was_in_flight_is_tried_though_that_suspends() {
    let mut books = Books::active(GatewayName::Toss);
    let opened = books.subscription.due_at.unwrap();
    for day in [0, 1, 3] {
        books.hear(if day == 0 { Trigger::Renewal } else { Trigger::Dunning }, opened + days(day), soft);
    }
    let last = books.start(Trigger::Dunning, opened + days(7));
    let carded = books.subscription.with_next_method(method(2), GatewayName::Toss);
    books.replace(carded);
    books.settle(&by_call(&last, soft(&last)), opened + days(7));
    assert_eq!(books.subscription.status, Status::Suspended);
    assert_eq!(books.due(opened + days(7)), Due::Charge(Trigger::Manual));
    let live = books.start(Trigger::Manual, opened + days(7) + minutes(1));
    let answer = captured(&books.subscription, &live);
    books.settle(&by_call(&live, answer), opened + days(8));
    assert_eq!((books.subscription.status, live.method_id), (Status::Active, method(2)));
}

#[test]
fn at_the_ceiling_of_the_cycle_no_card_helps() {
    let (mut books, since) = suspended();
    let mut hour = 0;
    while !books.subscription.spent() {
        hour += 1;
        books.hear(Trigger::Manual, since + hours(hour), soft);
    }
    books.new_card(method(2), since + days(3));
    assert_eq!((books.due(since + days(3)), books.subscription.due_at), (Due::Nothing, Some(since + days(30))));
}

/// A retry still scheduled when its cycle's ceiling suspends it is no new card.
#[test]
fn suspension_leaves_no_retry_behind() {
    let mut books = Books::active(GatewayName::Toss);
    let opened = books.subscription.due_at.unwrap();
    books.hear(Trigger::Renewal, opened, soft);
    assert!(books.subscription.dunning.as_ref().unwrap().next_at.is_some());
    let (suspended, _) = books.subscription.suspended(opened + days(7)).unwrap();
    assert_eq!(suspended.dunning.unwrap().next_at, None);
}

#[test]
fn the_next_attempt_goes_to_the_new_cards_gateway() {
    let mut books = Books::active(GatewayName::Toss);
    let due = books.subscription.due_at.unwrap();
    let row = books.subscription.with_method(method(2), GatewayName::Stripe, due).unwrap();
    assert_eq!((row.method_id, row.gateway), (method(2), GatewayName::Stripe));
    let live = books.start(Trigger::Renewal, due);
    let row = books.subscription.with_next_method(method(2), GatewayName::Stripe);
    assert_eq!((&row.method_id, row.gateway), (&method(2), GatewayName::Stripe));
    assert_eq!(row.live, Some(live), "the one in flight keeps its own");
}

#[test]
fn a_card_is_waited_for_where_something_is_unpaid_and_may_be_paid() {
    let active = Books::active(GatewayName::Toss).subscription;
    let waits = |status| Subscription { status, ..active.clone() }.waits_for_card();
    let statuses = Status::ALL.into_iter().filter(|status| waits(*status));
    assert_eq!(statuses.collect::<Vec<_>>(), [Status::PendingActivation, Status::Suspended]);
    assert!(!unapproved(GatewayName::Toss).waits_for_card(), "nobody has approved it");
}
