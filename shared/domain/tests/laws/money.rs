//! Money: exact to the won, whatever it is split into.

use domain::money::{Currency, Money, MoneyError};
use proptest::prelude::*;

fn sum(parts: impl IntoIterator<Item = Money>) -> i64 {
    parts.into_iter().map(|m| m.amount).sum()
}

#[test]
fn vat_is_the_nearest_won_of_an_eleventh_and_never_a_tie() {
    for gross in 0..200_000 {
        let split = Money::krw(gross).vat_split();
        let off = split.vat.amount * 11 - gross;
        assert!(2 * off.abs() < 11, "{gross}");
        assert_eq!(split.supply.amount + split.vat.amount, gross);
        let back = Money::krw(-gross).vat_split();
        assert_eq!(
            (back.supply.amount, back.vat.amount),
            (-split.supply.amount, -split.vat.amount),
            "a refund mirrors it"
        );
    }
}

#[test]
fn the_largest_amounts_split_without_overflow() {
    for amount in [i64::MAX, i64::MIN + 1, i64::MAX - 5] {
        let split = Money::krw(amount).vat_split();
        assert_eq!(i128::from(split.supply.amount) + i128::from(split.vat.amount), i128::from(amount));
    }
    let parts = [(0, 1), (1, 364), (364, 365)].map(|(a, b)| Money::krw(i64::MAX).part(a, b, 365).unwrap().amount);
    assert_eq!(parts.iter().map(|p| i128::from(*p)).sum::<i128>(), i128::from(i64::MAX));
    assert_eq!(Money::krw(i64::MAX).checked_add(Money::krw(1)), Err(MoneyError::Overflow));
    assert_eq!(Money::krw(0).checked_sub(Money::krw(i64::MIN)), Err(MoneyError::Overflow));
}

#[test]
fn currencies_never_mix() {
    let (won, yen) = (Money::krw(1_000), Money::new(1_000, Currency::JPY));
    assert_eq!(won.checked_sub(yen), Err(MoneyError::CurrencyMismatch));
    assert_eq!(won.refund_vat(yen), Err(MoneyError::CurrencyMismatch));
    assert_eq!(yen.vat_split().vat.currency, Currency::JPY);
    assert_eq!(yen.part(0, 1, 2).unwrap().currency, Currency::JPY);
}

#[test]
fn impossible_parts_are_refused() {
    for (price, from, to, days) in [(-1, 0, 1, 2), (1, 2, 1, 3), (1, 0, 4, 3), (1, 0, 0, 0)] {
        assert!(Money::krw(price).part(from, to, days).is_err(), "{price} {from}..{to} of {days}");
    }
}

#[test]
fn currencies_are_read_in_either_case() {
    assert_eq!((Currency::parse("krw"), Currency::parse("KRW")), (Some(Currency::KRW), Some(Currency::KRW)));
    assert_eq!((Currency::parse(""), Currency::parse("BHD")), (None, None));
}

proptest! {
    #[test]
    fn refunds_telescope_in_vat_and_in_supply(parts in prop::collection::vec(1i64..1_000_000, 1..20)) {
        let charged = Money::krw(parts.iter().sum()).vat_split();
        let (mut before, mut vat, mut supply) = (Money::krw(0), 0, 0);
        for part in parts {
            let part = Money::krw(part);
            let given = part.refund_vat(before).unwrap().amount;
            prop_assert!((0..=part.amount).contains(&given), "never negative, never more than the refund");
            vat += given;
            supply += part.amount - given;
            before = before.checked_add(part).unwrap();
            prop_assert!(vat <= charged.vat.amount, "and never more than was charged");
        }
        prop_assert_eq!((vat, supply), (charged.vat.amount, charged.supply.amount));
    }

    #[test]
    fn refunds_in_any_order_give_back_the_same(parts in prop::collection::vec(1i64..1_000_000, 1..8)) {
        let give = |parts: &[i64]| {
            let mut before = Money::krw(0);
            sum(parts.iter().map(|p| {
                let vat = Money::krw(*p).refund_vat(before).unwrap();
                before = before.checked_add(Money::krw(*p)).unwrap();
                vat
            }))
        };
        let mut reversed = parts.clone();
        reversed.reverse();
        prop_assert_eq!(give(&parts), give(&reversed));
    }

    #[test]
    fn parts_of_a_period_are_fair_and_additive(price in 0i64..10_000_000_000, days in 1u32..400, cuts in (0u32..400, 0u32..400, 0u32..400)) {
        let mut cuts = [cuts.0 % (days + 1), cuts.1 % (days + 1), cuts.2 % (days + 1)];
        cuts.sort_unstable();
        let [a, b, c] = cuts;
        let part = |from, to| Money::krw(price).part(from, to, days).unwrap();
        prop_assert_eq!(sum([part(a, b), part(b, c)]), part(a, c).amount, "any cut sums exactly");
        prop_assert_eq!(part(0, days).amount, price);
        prop_assert_eq!(part(a, a).amount, 0);
        let fair = i128::from(price) * i128::from(b - a);
        let off = (i128::from(part(a, b).amount) * i128::from(days) - fair).abs();
        prop_assert!(part(a, b).amount >= 0 && off <= i128::from(days), "within a won of the exact share");
    }

    #[test]
    fn an_upgrade_charges_the_difference_of_the_days_left(old in 0i64..1_000_000, more in 0i64..1_000_000, days in 28u32..32, day in 0u32..32) {
        let (day, old, new) = (day % (days + 1), Money::krw(old), Money::krw(old + more));
        let net = new.part(day, days, days).unwrap().checked_sub(old.part(day, days, days).unwrap()).unwrap();
        prop_assert!(net.amount >= -1, "an upgrade never pays out more than rounding");
        prop_assert_eq!(old.part(0, day, days).unwrap().amount + new.part(day, days, days).unwrap().amount, old.amount + net.amount);
    }
}
