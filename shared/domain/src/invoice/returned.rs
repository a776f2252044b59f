//! Refunds that came back: the payer's bank sent the money back to the gateway after the refund had succeeded. The credit
//! note stays as it is; a debit note beside it takes it back, in its supply, its VAT and its total.
//!
//! Invariants: one debit note for one credit note, of the same amounts; after it the VAT given back is that of the refunds
//! that stand, which need not telescope any more: the next refund makes good what rounding left.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{Counter, CreditNote, CreditNoteId, DebitNoteId, Invoice, InvoiceError, InvoiceId, RULES, Refunded, noted};
use crate::calendar::seoul_date;
use crate::charge::GatewayName;
use crate::document::File;
use crate::event::Fact;
use crate::money::{Currency, Money};

/// Money given back that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DebitNote {
    pub id: DebitNoteId,
    pub invoice_id: InvoiceId,
    pub credit_note_id: CreditNoteId,
    /// `MGD-2026-000001`.
    pub number: String,
    pub refund_id: String,
    pub supply: i64,
    pub vat: i64,
    pub total: i64,
    /// Given back so far under the invoice, without this one.
    pub refunded: i64,
    pub currency: Currency,
    pub gateway: GatewayName,
    pub payment_id: String,
    /// Why it came back, in the gateway's word.
    pub code: String,
    /// Seoul date.
    pub on: Date,
    pub rules: u32,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub issued_at: Timestamp,
    pub version: u64,
}

/// A refund that came back, as its event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    pub refund_id: String,
    pub amount: Money,
    /// The part of it that is VAT.
    pub vat: i64,
    /// Given back so far, without this refund.
    pub refunded: i64,
    pub payment_id: String,
    pub code: String,
    pub at: Timestamp,
}

/// The series of debit notes booked under a date.
#[must_use]
pub fn debit_series(on: Date) -> String {
    format!("MGD-{:04}", on.year())
}

/// The debit note beside a credit note, with the next number of its series.
///
/// # Errors
/// When what came back is not what the credit note gave.
pub fn debit_note(
    note: &CreditNote,
    returned: &Returned,
    series: &Counter,
    issued_at: Timestamp,
) -> Result<(DebitNote, Counter), InvoiceError> {
    let given = (&note.refund_id, Money::new(note.total, note.currency), note.vat, &note.payment_id);
    if given != (&returned.refund_id, returned.amount, returned.vat, &returned.payment_id) {
        return Err(InvoiceError::RefundDiffers("what came back"));
    }
    let (after, number) = series.next();
    let debit = DebitNote {
        id: DebitNoteId::of(&note.refund_id).map_err(|_| InvoiceError::RefundDiffers("its id"))?,
        invoice_id: note.invoice_id.clone(),
        credit_note_id: note.id.clone(),
        number,
        refund_id: note.refund_id.clone(),
        supply: note.supply,
        vat: note.vat,
        total: note.total,
        refunded: returned.refunded,
        currency: note.currency,
        gateway: note.gateway,
        payment_id: note.payment_id.clone(),
        code: returned.code.clone(),
        on: seoul_date(returned.at),
        rules: RULES,
        issued_at,
        version: 0,
    };
    Ok((debit, after))
}

/// The credit note of a refund made after another one had come back: its VAT brings what was given back to the VAT of all
/// that stands given back.
///
/// # Errors
/// When it does not follow from the documents there are. Some of them may still be missing: then it is asked again.
pub fn credit_note_after_returns(
    file: &File,
    refund: &Refunded,
    series: &Counter,
    issued_at: Timestamp,
) -> Result<(CreditNote, Counter), InvoiceError> {
    let invoice: &Invoice = &file.invoice;
    let differs = InvoiceError::RefundDiffers;
    if refund.amount.currency != invoice.currency || refund.payment_id != invoice.payment.payment_id {
        return Err(differs("another payment or currency"));
    }
    let given = file.refunded().checked_add(refund.amount.amount).filter(|given| *given <= invoice.total);
    if refund.amount.amount < 1 || given != Some(refund.refunded) {
        return Err(differs("its sum"));
    }
    let vat = Money::new(refund.refunded, invoice.currency).vat_split().vat.amount;
    if vat.checked_sub(file.vat_refunded()) != Some(refund.vat) {
        return Err(differs("its VAT"));
    }
    noted(invoice, refund, series, issued_at)
}

impl DebitNote {
    /// What the audit log says about it.
    #[must_use]
    pub fn issued(&self) -> Fact {
        Fact::new("debit_note.issued", self.invoice_id.as_str())
            .with("id", self.id.as_str())
            .with("number", self.number.as_str())
            .with("amount", self.total)
            .with("vat", self.vat)
            .with("currency", self.currency.code())
    }
}
