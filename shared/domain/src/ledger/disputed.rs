//! A gateway took money because a payer disputes a payment, or gave it back (negative). Kept gross and apart: whether a lost
//! dispute relieves VAT is decided with the tax office and not by an event.

use jiff::civil::Date;

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::charge::GatewayName;
use crate::money::Money;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disputed {
    /// The row at the gateway that moved the money, unique there.
    pub row: String,
    pub gateway: GatewayName,
    /// What was taken.
    pub amount: Money,
    /// Seoul date it was taken.
    pub on: Date,
}

/// # Errors
/// When the amount does not fit.
pub fn disputed(disputed: &Disputed) -> Result<Entry, LedgerError> {
    let about = About {
        source: Source::Disputed,
        on: disputed.on,
        of: &format!("{}:{}", disputed.gateway.as_str(), disputed.row),
        invoice: None,
        gateway: disputed.gateway,
        currency: disputed.amount.currency,
    };
    let taken = disputed.amount.amount;
    let held = taken.checked_neg().ok_or(LedgerError::Unbalanced)?;
    entry(about, &[(Account::Disputes, taken), (Account::GatewayClearing, held)])
}
