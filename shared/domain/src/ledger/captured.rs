//! The payment of an invoice was captured: the gateway holds what the tenant owed.

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::invoice::Invoice;

/// # Errors
/// Never for an amount that fits; the signature is that of every rule.
pub fn captured(invoice: &Invoice) -> Result<Entry, LedgerError> {
    let about = About {
        source: Source::Captured,
        on: invoice.payment.on,
        of: invoice.id.as_str(),
        invoice: Some(invoice.id.as_str()),
        gateway: invoice.payment.gateway,
        currency: invoice.currency,
    };
    entry(about, &[(Account::GatewayClearing, invoice.total), (Account::Receivable, invoice.total.saturating_neg())])
}
