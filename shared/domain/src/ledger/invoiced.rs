//! A paid cycle was invoiced: the tenant owed the total; the supply is revenue and the VAT is the state's.

use super::{About, Account, Entry, LedgerError, Source, entry};
use crate::invoice::Invoice;

/// # Errors
/// When the invoice's supply and VAT are not its total.
pub fn invoiced(invoice: &Invoice) -> Result<Entry, LedgerError> {
    let about = About {
        source: Source::Invoiced,
        on: invoice.payment.on,
        of: invoice.id.as_str(),
        invoice: Some(invoice.id.as_str()),
        gateway: invoice.payment.gateway,
        currency: invoice.currency,
    };
    let credit = i64::saturating_neg;
    entry(
        about,
        &[
            (Account::Receivable, invoice.total),
            (Account::Revenue, credit(invoice.supply)),
            (Account::VatPayable, credit(invoice.vat)),
        ],
    )
}
