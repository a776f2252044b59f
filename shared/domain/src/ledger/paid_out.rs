//! A gateway paid out: what it held is in the bank. A negative pay-out is money it drew back.

use jiff::civil::Date;

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::charge::GatewayName;
use crate::money::Money;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// The pay-out's id at the gateway, unique there.
    pub id: String,
    pub gateway: GatewayName,
    pub amount: Money,
    /// Seoul date it reached the bank.
    pub on: Date,
}

/// # Errors
/// When the amount does not fit.
pub fn paid_out(payout: &Payout) -> Result<Entry, LedgerError> {
    let about = About {
        source: Source::PaidOut,
        on: payout.on,
        of: &format!("{}:{}", payout.gateway.as_str(), payout.id),
        invoice: None,
        gateway: payout.gateway,
        currency: payout.amount.currency,
    };
    let paid = payout.amount.amount;
    let held = paid.checked_neg().ok_or(LedgerError::Unbalanced)?;
    entry(about, &[(Account::Bank, paid), (Account::GatewayClearing, held)])
}
