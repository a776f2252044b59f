//! What other programs read: words that are stored and shown, and the record of a cycle's attempts.

use domain::charge::{GatewayName, Trigger};
use domain::cycle::{Attempt, Cycle, Outcome, State};
use domain::money::{Currency, Money};
use domain::subscription::{Status, due_partitions};

use crate::books::Books;
use crate::fixtures::{birth, capture, hours, method, soft};

#[test]
fn words_that_are_stored_stay_as_they_are() {
    let books = Books::active(GatewayName::Toss);
    let states = [State::Open, books.cycle(0).state.clone(), State::Void, State::Uncollectible];
    assert_eq!(states.each_ref().map(State::as_str), ["OPEN", "PAID", "VOID", "UNCOLLECTIBLE"]);
    let outcomes = [Outcome::Succeeded, Outcome::Declined, Outcome::Absent, Outcome::Quarantined];
    assert_eq!(outcomes.map(Outcome::as_str), ["SUCCEEDED", "DECLINED", "ABSENT", "QUARANTINED"]);
    for word in outcomes {
        assert_eq!(serde_json::to_value(word).unwrap(), word.as_str(), "shown as it is stored");
    }
    for status in Status::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for gateway in GatewayName::ALL {
        assert_eq!(GatewayName::parse(gateway.as_str()), Some(gateway));
    }
    assert_eq!(GatewayName::parse("Toss"), None);
}

#[test]
fn a_currency_goes_only_where_it_can_be_charged() {
    let currencies = [Currency::KRW, Currency::JPY, Currency::USD];
    assert_eq!(currencies.map(|c| GatewayName::Toss.takes(c)), [true, false, false]);
    assert_eq!(currencies.map(|c| GatewayName::Stripe.takes(c)), [true, true, true]);
    assert_eq!(currencies.map(Currency::exponent), [0, 0, 2]);
}

#[test]
fn nothing_of_a_free_price_is_nothing() {
    assert_eq!(Money::krw(0).part(0, 10, 30), Ok(Money::krw(0)));
}

fn quarantined(n: u32, charge: &str) -> Attempt {
    Attempt {
        n,
        gateway: GatewayName::Toss,
        method_id: method(1),
        outcome: Outcome::Quarantined,
        class: None,
        code: None,
        charge_id: Some(charge.to_owned()),
        at: birth(),
    }
}

fn on_record(cycle: &Cycle) -> Vec<(u32, Outcome, Option<&str>)> {
    cycle.attempts.iter().map(|a| (a.n, a.outcome, a.charge_id.as_deref())).collect()
}

#[test]
fn every_quarantined_payment_is_kept_once_and_after_what_the_attempt_came_to() {
    let paid = Books::active(GatewayName::Toss).cycle(0).clone();
    let cycle = paid.with_attempt(quarantined(1, "b")).with_attempt(quarantined(1, "a"));
    let again = cycle.clone().with_attempt(quarantined(1, "b"));
    assert_eq!(
        on_record(&again),
        [(1, Outcome::Succeeded, None), (1, Outcome::Quarantined, Some("a")), (1, Outcome::Quarantined, Some("b"))]
    );
    assert_eq!(again, cycle, "said again it changes nothing");
}

#[test]
fn charges_on_record_are_known_and_no_others() {
    let mut books = Books::active(GatewayName::Stripe);
    let due = books.subscription.due_at.unwrap();
    let first = books.hear(Trigger::Renewal, due, soft);
    let second = books.hear(Trigger::Manual, due + hours(1), soft);
    let known = |n| format!("ch_pi_1_0_{n}_declined");
    assert_eq!(books.cycle(1).known_charges(), [known(first.n), known(second.n)]);
    let third = books.start(Trigger::Manual, due + hours(2));
    assert!(!books.cycle(1).known_charges().contains(&capture(&books.subscription, &third).charge_id.unwrap()));
    assert_eq!(Books::active(GatewayName::Toss).cycle(0).known_charges(), [""; 0]);
}

#[test]
fn a_subscription_is_stored_small_and_read_back_whole() {
    let mut books = Books::active(GatewayName::Toss);
    let row = serde_json::to_value(&books.subscription).unwrap();
    assert_eq!((row.get("absent"), serde_json::from_value(row.clone()).ok()), (None, Some(books.subscription.clone())));
    books.subscription.absent = 1;
    let row = serde_json::to_value(&books.subscription).unwrap();
    assert_eq!(serde_json::from_value(row).ok(), Some(books.subscription));
}

#[test]
fn a_subscription_is_due_in_a_partition_of_its_gateway_and_stays_there() {
    let row = Books::active(GatewayName::Toss).subscription;
    let partition = row.due_partition();
    assert!(due_partitions(GatewayName::Toss).contains(&partition), "{partition}");
    assert!(!due_partitions(GatewayName::Stripe).contains(&partition));
    // Stored keys: rows written by every version must be found.
    assert_eq!(partition, "toss#01");
}
