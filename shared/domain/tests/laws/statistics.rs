//! Figures: what each kind of event adds, in any order the same.

use domain::calendar::Interval;
use domain::event::{Actor, Event, Fact};
use domain::ids::{EventId, ulid};
use domain::money::{Currency, Money};
use domain::statistics::{COUNTED, Effect, Statistic, Sums, by_currency, day, effect, monthly, share};
use proptest::prelude::*;

use crate::fixtures::at;

fn event(fact: Fact) -> Event {
    Event {
        id: EventId::new(ulid(at("2027-01-31T16:00:00Z"), 1)),
        at: at("2027-01-31T16:00:00Z"),
        kind: fact.kind.to_owned(),
        subject: fact.subject,
        actor: Actor::System("laws".to_owned()),
        reason: None,
        changes: fact.changes,
    }
}

fn sums(pairs: &[(&str, i64)]) -> Sums {
    pairs.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect()
}

fn fact(kind: &'static str) -> Fact {
    Fact::new(kind, "sub_1").with("amount", 33_000).with("currency", "KRW")
}

fn added(fact: Fact) -> (Sums, Sums) {
    let Effect { day, levels } = effect(&event(fact));
    (day, levels)
}

#[test]
fn each_kind_adds_what_it_says() {
    let paid = sums(&[("captured.KRW.amount", 33_000), ("captured.KRW.count", 1)]);
    assert_eq!(added(fact("payment.captured")), (paid.clone(), sums(&[])));
    let mut recovered = paid;
    recovered.insert("recovered".to_owned(), 1);
    assert_eq!(added(fact("payment.captured").with("dunning", "closed")), (recovered, sums(&[("dunning", -1)])));
    let declined = fact("payment.declined").with("class", "SOFT").with("code", "REJECT_CARD_PAYMENT");
    let counted = sums(&[("declined.SOFT.REJECT_CARD_PAYMENT", 1)]);
    assert_eq!(added(declined.clone()), (counted.clone(), sums(&[])));
    assert_eq!(added(declined.with("dunning", "opened")), (counted, sums(&[("dunning", 1)])));
    let given_back = sums(&[("refunded.KRW.amount", 33_000), ("refunded.KRW.count", 1)]);
    assert_eq!(added(fact("refund.succeeded")), (given_back, sums(&[])));
    for (kind, name) in [
        ("payment.quarantined", "quarantined"),
        ("attempt.absent", "absent"),
        ("attempt.unknown", "unknown"),
        ("subscription.cancelled", "cancelled"),
        ("subscription.terminated", "terminated"),
    ] {
        assert_eq!(added(fact(kind)), (sums(&[(name, 1)]), sums(&[])), "{kind}");
    }
    let worth = |kind| fact(kind).with("monthly", 11_000);
    let level = |by: i64| sums(&[("active", by), ("mrr.KRW", 11_000 * by)]);
    assert_eq!(added(worth("subscription.activated")), (sums(&[("activated", 1)]), level(1)));
    assert_eq!(added(worth("subscription.suspended")), (sums(&[("suspended", 1)]), level(-1)));
    let ended = worth("subscription.cancelled").with("dunning", "closed");
    let mut levels = level(-1);
    levels.insert("dunning".to_owned(), -1);
    assert_eq!(added(ended), (sums(&[("cancelled", 1)]), levels));
    let given_up = fact("subscription.terminated").with("dunning", "closed");
    assert_eq!(added(given_up), (sums(&[("terminated", 1)]), sums(&[("dunning", -1)])));
    assert_eq!(effect(&event(fact("attempt.still_unknown"))), Effect::default());
    assert_eq!(effect(&event(fact("application.submitted"))), Effect::default());
}

#[test]
fn what_counts_is_what_is_forwarded_and_damaged_fields_are_counted_apart() {
    for kind in COUNTED {
        assert_ne!(effect(&event(fact(kind))), Effect::default(), "{kind}");
    }
    let odd = Fact::new("payment.declined", "sub_1").with("class", "HARD").with("code", "a.b");
    assert_eq!(added(odd), (sums(&[("declined.HARD.other", 1)]), sums(&[])));
    let bare = Fact::new("payment.captured", "sub_1").with("dunning", "mended");
    assert_eq!(added(bare), (sums(&[("captured.other.count", 1)]), sums(&[])));
}

#[test]
fn an_event_counts_for_its_day_in_seoul() {
    assert_eq!(day(&event(fact("payment.captured"))).to_string(), "2027-02-01");
}

#[test]
fn a_yearly_price_counts_a_twelfth_a_month() {
    assert_eq!(monthly(Money::krw(33_000), Interval::Month), 33_000);
    assert_eq!(monthly(Money::krw(330_000), Interval::Year), 27_500);
    assert_eq!(monthly(Money::krw(100_001), Interval::Year), 8_333);
}

#[test]
fn a_share_is_in_ten_thousandths() {
    assert_eq!((share(1, 3), share(3, 3), share(0, 3)), (Some(3_333), Some(10_000), Some(0)));
    assert_eq!((share(0, 0), share(1, -1), share(i64::MAX, 3)), (None, None, None));
}

#[test]
fn sums_are_read_by_currency() {
    let all = sums(&[
        ("captured.KRW.amount", 5),
        ("captured.KRW.count", 2),
        ("captured.USD.amount", 7),
        ("captured.other.amount", 1),
        ("mrr.KRW", 9),
    ]);
    let amounts = by_currency(&all, "captured", Some("amount"));
    assert_eq!(amounts.into_iter().collect::<Vec<_>>(), [(Currency::KRW, 5), (Currency::USD, 7)]);
    assert_eq!(by_currency(&all, "captured", Some("count")).get(&Currency::KRW), Some(&2));
    assert_eq!(by_currency(&all, "mrr", None).into_iter().collect::<Vec<_>>(), [(Currency::KRW, 9)]);
}

proptest! {
    #[test]
    fn order_does_not_matter_and_what_cancels_out_is_gone(
        effects in prop::collection::vec((0usize..4, -3i64..4), 0..40), seed in any::<usize>(),
    ) {
        let sums: Vec<Sums> = effects.iter().map(|(name, by)| Sums::from([(format!("n{name}"), *by)])).collect();
        let row = sums.iter().fold(Statistic::new("2027-02-01"), |row, effect| row.plus(effect));
        let mut turned = sums.clone();
        turned.rotate_left(seed % sums.len().max(1));
        turned.reverse();
        prop_assert_eq!(&turned.iter().fold(Statistic::new("2027-02-01"), |row, effect| row.plus(effect)), &row);
        prop_assert!(row.sums.values().all(|sum| *sum != 0));
        for name in 0..4 {
            let expected: i64 = effects.iter().filter(|(n, _)| *n == name).map(|(_, by)| by).sum();
            prop_assert_eq!(row.sums.get(&format!("n{name}")).copied().unwrap_or(0), expected);
        }
    }
}
