//! Money nobody could apply: it stands on the suspense account until it turns out whose it is or goes back.
//!
//! Invariants: one row for one payment, so hearing of it again books nothing; what leaves is never more than what came,
//! and each way out is booked once.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::charge::GatewayName;
use crate::money::{Currency, Money};

/// Money in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspense {
    /// The payment's id at its gateway; of money that went out unasked, the refund's.
    pub id: String,
    pub gateway: GatewayName,
    pub currency: Currency,
    /// What came in, minor units; negative for what went out.
    pub amount: i64,
    /// Seoul date on which we heard of it.
    pub on: Date,
    /// How it left, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<Release>,
    pub version: u64,
}

/// One way out of quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `attached`, or the refund that gave it back.
    pub by: String,
    pub amount: i64,
    pub on: Date,
}

impl Suspense {
    #[must_use]
    pub fn new(id: String, gateway: GatewayName, amount: Money, on: Date) -> Suspense {
        let Money { amount, currency } = amount;
        Suspense { id, gateway, currency, amount, on, released: Vec::new(), version: 0 }
    }

    /// What is still there, minor units.
    #[must_use]
    pub fn left(&self) -> i64 {
        self.released.iter().fold(self.amount, |left, release| left.saturating_sub(release.amount))
    }

    /// After all that is left, or a part of it, went its way. `None` when that way was booked before or takes more than
    /// there is.
    #[must_use]
    pub fn release(&self, by: &str, amount: Option<i64>, on: Date) -> Option<(Suspense, Release)> {
        let left = self.left();
        let amount = amount.unwrap_or(left);
        let fits = amount != 0 && (amount > 0) == (left > 0) && amount.unsigned_abs() <= left.unsigned_abs();
        if !fits || self.released.iter().any(|release| release.by == by) {
            return None;
        }
        let release = Release { by: by.to_owned(), amount, on };
        let mut after = self.clone();
        after.released.push(release.clone());
        Some((after, release))
    }

    fn about<'a>(&self, source: Source, on: Date, of: &'a str) -> About<'a> {
        About { source, on, of, invoice: None, gateway: self.gateway, currency: self.currency }
    }
}

/// A gateway holds money that belongs to nobody yet.
///
/// # Errors
/// When the amount does not fit.
pub fn quarantined(held: &Suspense) -> Result<Entry, LedgerError> {
    let of = format!("{}:{}", held.gateway.as_str(), held.id);
    let credit = held.amount.checked_neg().ok_or(LedgerError::Unbalanced)?;
    let about = held.about(Source::Quarantined, held.on, &of);
    entry(about, &[(Account::GatewayClearing, held.amount), (Account::Suspense, credit)])
}

/// It left: given back, or attached to a cycle, whose own entries say where the money is.
///
/// # Errors
/// When the amount does not fit.
pub fn released(held: &Suspense, release: &Release) -> Result<Entry, LedgerError> {
    let of = format!("{}:{}:{}", held.gateway.as_str(), held.id, release.by);
    let credit = release.amount.checked_neg().ok_or(LedgerError::Unbalanced)?;
    let about = held.about(Source::Released, release.on, &of);
    entry(about, &[(Account::Suspense, release.amount), (Account::GatewayClearing, credit)])
}
