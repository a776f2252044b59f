//! Money: integer minor units beside an ISO 4217 currency, and the two exact splits the product needs.
//!
//! Invariants: nothing overflows silently, currencies never mix, and every split sums to what was split.
//! VAT rule (product.md, "Money"): prices are VAT-inclusive, `vat = round(gross / 11)`. Eleven is odd, so a
//! tie cannot occur and half-up equals half-even.

use serde::{Deserialize, Serialize};

/// Currencies the product can be priced in (ISO 4217). New ones are added here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Currency {
    KRW,
    JPY,
    USD,
}

impl Currency {
    /// Digits of the minor unit (ISO 4217): won and yen have none.
    #[must_use]
    pub fn exponent(self) -> u8 {
        match self {
            Currency::KRW | Currency::JPY => 0,
            Currency::USD => 2,
        }
    }

    /// Upper-case ISO code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Currency::KRW => "KRW",
            Currency::JPY => "JPY",
            Currency::USD => "USD",
        }
    }

    /// Reads an ISO code in either case; `None` for a currency the product does not sell in.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        [Currency::KRW, Currency::JPY, Currency::USD].into_iter().find(|c| c.code().eq_ignore_ascii_case(code))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("amount does not fit")]
    Overflow,
    #[error("currencies differ")]
    CurrencyMismatch,
    #[error("amount must not be negative")]
    Negative,
}

/// An amount in minor units of its currency. May be negative (refund lines); prices never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Money {
    pub amount: i64,
    pub currency: Currency,
}

impl Money {
    #[must_use]
    pub fn new(amount: i64, currency: Currency) -> Self {
        Money { amount, currency }
    }

    #[must_use]
    pub fn krw(amount: i64) -> Self {
        Money::new(amount, Currency::KRW)
    }

    /// # Errors
    /// When the currencies differ or the sum does not fit.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let amount = self.amount.checked_add(other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Money { amount, ..self })
    }

    /// # Errors
    /// When the currencies differ or the difference does not fit.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        let negated = other.amount.checked_neg().ok_or(MoneyError::Overflow)?;
        self.checked_add(Money { amount: negated, ..other })
    }

    /// Splits a VAT-inclusive amount into supply and VAT; `supply + vat == self`.
    #[must_use]
    pub fn vat_split(self) -> VatSplit {
        let vat = round_div(i128::from(self.amount), 11);
        VatSplit {
            supply: Money { amount: self.amount.saturating_sub(vat), ..self },
            vat: Money { amount: vat, ..self },
        }
    }

    /// VAT given back by a refund of `self` after `before` was already refunded. Telescopes: the parts of any
    /// sequence of partial refunds sum to the VAT of the total (product.md, "Money").
    ///
    /// # Errors
    /// When the currencies differ or the sum does not fit.
    pub fn refund_vat(self, before: Money) -> Result<Money, MoneyError> {
        before.checked_add(self)?.vat_split().vat.checked_sub(before.vat_split().vat)
    }

    /// The part of a price that falls on days `[from, to)` of a period of `days`:
    /// `R(P*to/D) - R(P*from/D)`, so that any split of the period sums exactly to the price (product.md,
    /// "Proration").
    ///
    /// # Errors
    /// When the price is negative, the days are out of order, or `days` is zero.
    pub fn part(self, from: u32, to: u32, days: u32) -> Result<Money, MoneyError> {
        if self.amount < 0 || from > to || to > days || days == 0 {
            return Err(MoneyError::Negative);
        }
        let upto = |day: u32| round_div(i128::from(self.amount).saturating_mul(i128::from(day)), i128::from(days));
        Ok(Money { amount: upto(to).saturating_sub(upto(from)), ..self })
    }
}

/// A VAT-inclusive amount taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VatSplit {
    pub supply: Money,
    pub vat: Money,
}

/// `n / d` rounded half away from zero, `d > 0`. The quotient of an `i64` price by a day count or eleven always fits.
fn round_div(n: i128, d: i128) -> i64 {
    let twice = n.unsigned_abs().saturating_mul(2).saturating_add(d.unsigned_abs());
    let quotient = twice.checked_div(d.unsigned_abs().saturating_mul(2)).unwrap_or(0);
    let magnitude = i64::try_from(quotient).unwrap_or(i64::MAX);
    if n < 0 { magnitude.saturating_neg() } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vat_of_known_prices() {
        // Public gateway payloads: 1,000 -> 909 + 91; 10,000 -> 9,091 + 909; 30,000 -> 27,273 + 2,727.
        for (gross, supply, vat) in
            [(1_000, 909, 91), (10_000, 9_091, 909), (30_000, 27_273, 2_727), (33_000, 30_000, 3_000)]
        {
            let split = Money::krw(gross).vat_split();
            assert_eq!((split.supply.amount, split.vat.amount), (supply, vat));
        }
    }

    #[test]
    fn currencies_never_mix() {
        assert_eq!(Money::krw(1).checked_add(Money::new(1, Currency::JPY)), Err(MoneyError::CurrencyMismatch));
        assert_eq!(Money::krw(i64::MAX).checked_add(Money::krw(1)), Err(MoneyError::Overflow));
    }

    proptest! {
        #[test]
        fn vat_sums_exactly(gross in -1_000_000_000_000i64..1_000_000_000_000) {
            let split = Money::krw(gross).vat_split();
            prop_assert_eq!(split.supply.checked_add(split.vat).unwrap(), Money::krw(gross));
            prop_assert!((split.vat.amount * 11 - gross).abs() <= 5, "nearest won, never a tie");
        }

        #[test]
        fn refunds_give_back_exactly_the_vat_charged(parts in prop::collection::vec(1i64..1_000_000, 1..12)) {
            let total: i64 = parts.iter().sum();
            let (mut before, mut vat) = (Money::krw(0), Money::krw(0));
            for part in parts {
                vat = vat.checked_add(Money::krw(part).refund_vat(before).unwrap()).unwrap();
                before = before.checked_add(Money::krw(part)).unwrap();
            }
            prop_assert_eq!(vat, Money::krw(total).vat_split().vat);
        }

        #[test]
        fn any_split_of_a_period_sums_to_the_price(price in 0i64..10_000_000_000, days in 1u32..400, cuts in prop::collection::vec(0u32..400, 0..8)) {
            let mut cuts: Vec<u32> = cuts.into_iter().map(|c| c % (days + 1)).collect();
            cuts.extend([0, days]);
            cuts.sort_unstable();
            let sum: i64 = cuts.windows(2).map(|w| Money::krw(price).part(w[0], w[1], days).unwrap().amount).sum();
            prop_assert_eq!(sum, price);
        }
    }
}
