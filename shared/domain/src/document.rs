//! What is kept of one invoice: the invoice, its credit and debit notes and its tax document live beside each other, and the
//! counters of the number series in a place of their own.

use serde::{Deserialize, Serialize};

use crate::invoice::{Counter, CreditNote, DebitNote, Invoice};
use crate::tax::TaxDocument;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "document", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Document {
    Invoice(Invoice),
    CreditNote(CreditNote),
    DebitNote(DebitNote),
    Tax(TaxDocument),
    Counter(Counter),
}

impl Document {
    /// The version it was read with; 0 for one never stored.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Document::Invoice(d) => d.version,
            Document::CreditNote(d) => d.version,
            Document::DebitNote(d) => d.version,
            Document::Tax(d) => d.version,
            Document::Counter(d) => d.version,
        }
    }

    /// Whether it is written once and never again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Document::Invoice(_) | Document::CreditNote(_) | Document::DebitNote(_) => true,
            Document::Tax(_) | Document::Counter(_) => false,
        }
    }
}

/// An invoice with everything that came after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub invoice: Invoice,
    /// In the order of their cumulative sums.
    pub notes: Vec<CreditNote>,
    /// Of refunds that came back, in the order of their numbers.
    pub returns: Vec<DebitNote>,
    pub tax: Option<TaxDocument>,
}

impl File {
    /// Puts the documents of one invoice in order; none when the invoice itself is not among them.
    #[must_use]
    pub fn of(documents: Vec<Document>) -> Option<File> {
        let (mut invoice, mut notes, mut returns, mut tax) = (None, Vec::new(), Vec::new(), None);
        for document in documents {
            match document {
                Document::Invoice(d) => invoice = Some(d),
                Document::CreditNote(d) => notes.push(d),
                Document::DebitNote(d) => returns.push(d),
                Document::Tax(d) => tax = Some(d),
                Document::Counter(_) => {}
            }
        }
        notes.sort_by_key(|note| note.refunded);
        returns.sort_by(|a, b| a.number.cmp(&b.number));
        Some(File { invoice: invoice?, notes, returns, tax })
    }

    /// Minor units given back that stayed so.
    #[must_use]
    pub fn refunded(&self) -> i64 {
        let given = self.notes.iter().fold(0_i64, |sum, note| sum.saturating_add(note.total));
        self.returns.iter().fold(given, |sum, note| sum.saturating_sub(note.total))
    }

    /// The VAT of it.
    #[must_use]
    pub fn vat_refunded(&self) -> i64 {
        let given = self.notes.iter().fold(0_i64, |sum, note| sum.saturating_add(note.vat));
        self.returns.iter().fold(given, |sum, note| sum.saturating_sub(note.vat))
    }
}
