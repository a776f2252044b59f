//! A gateway kept its fee. Its VAT is set off against the VAT we owe; a fee given back on a refund is negative.

use jiff::civil::Date;

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::charge::GatewayName;
use crate::money::Money;

/// One row of a gateway's settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// The settlement row's id at the gateway, unique there.
    pub row: String,
    pub gateway: GatewayName,
    /// Kept by the gateway, VAT included.
    pub fee: Money,
    /// The part of it that is VAT.
    pub vat: i64,
    /// Seoul date of the settlement.
    pub on: Date,
}

/// # Errors
/// When the parts do not fit.
pub fn fee(fee: &Fee) -> Result<Entry, LedgerError> {
    let about = About {
        source: Source::Fee,
        on: fee.on,
        of: &format!("{}:{}", fee.gateway.as_str(), fee.row),
        invoice: None,
        gateway: fee.gateway,
        currency: fee.fee.currency,
    };
    let net = fee.fee.amount.checked_sub(fee.vat).ok_or(LedgerError::Unbalanced)?;
    let kept = fee.fee.amount.checked_neg().ok_or(LedgerError::Unbalanced)?;
    entry(about, &[(Account::Fees, net), (Account::VatPayable, fee.vat), (Account::GatewayClearing, kept)])
}
