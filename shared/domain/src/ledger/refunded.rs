//! A refund went through: the gateway holds less, and revenue and VAT of that part were not ours after all.

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::invoice::CreditNote;

/// # Errors
/// When the credit note's supply and VAT are not its total.
pub fn refunded(note: &CreditNote) -> Result<Entry, LedgerError> {
    let about = About {
        source: Source::Refunded,
        on: note.on,
        of: note.id.as_str(),
        invoice: Some(note.invoice_id.as_str()),
        gateway: note.gateway,
        currency: note.currency,
    };
    entry(
        about,
        &[
            (Account::Refunds, note.supply),
            (Account::VatPayable, note.vat),
            (Account::GatewayClearing, note.total.saturating_neg()),
        ],
    )
}
