//! A refund came back: the gateway holds the money again, and revenue and VAT of that part are ours after all.

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::invoice::DebitNote;

/// # Errors
/// When the note's supply and VAT are not its total.
pub fn returned(note: &DebitNote) -> Result<Entry, LedgerError> {
    let about = About {
        source: Source::Returned,
        on: note.on,
        of: note.id.as_str(),
        invoice: Some(note.invoice_id.as_str()),
        gateway: note.gateway,
        currency: note.currency,
    };
    entry(
        about,
        &[
            (Account::GatewayClearing, note.total),
            (Account::Refunds, note.supply.saturating_neg()),
            (Account::VatPayable, note.vat.saturating_neg()),
        ],
    )
}
