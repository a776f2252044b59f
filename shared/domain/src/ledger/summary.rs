//! A month of the ledger: what each account took in and gave, and whether every entry says what its document says.
//!
//! Invariants: debits equal credits in every currency; adding entries in any order gives the same month; an entry about
//! an invoice or credit note that is not there, or says otherwise, is named and never left out.

use std::collections::BTreeMap;

use super::{Account, Entry, Source};
use crate::document::Document;
use crate::invoice::{CreditNoteId, DebitNoteId, InvoiceId};
use crate::money::Currency;

/// Both sides of one account in one currency, minor units, each positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub debit: i128,
    pub credit: i128,
}

impl Balance {
    /// Debit minus credit.
    #[must_use]
    pub fn net(self) -> i128 {
        self.debit.saturating_sub(self.credit)
    }
}

/// What the documents of a month say, beside the accounts: count, and sums in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Documented {
    pub count: u64,
    pub supply: i128,
    pub vat: i128,
    pub total: i128,
}

/// The document an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Invoice(InvoiceId),
    CreditNote { invoice: InvoiceId, id: CreditNoteId },
    DebitNote { invoice: InvoiceId, id: DebitNoteId },
}

impl Entry {
    /// The document it is about; none for what a gateway keeps, pays out or holds for nobody.
    #[must_use]
    pub fn about(&self) -> Option<About> {
        let invoice = InvoiceId::parse(self.invoice.as_deref()?).ok()?;
        let what = || self.id.splitn(3, '#').nth(2);
        match self.source {
            Source::Invoiced | Source::Captured => Some(About::Invoice(invoice)),
            Source::Refunded => {
                let id = CreditNoteId::parse(what()?).ok()?;
                Some(About::CreditNote { invoice, id })
            }
            Source::Returned => {
                let id = DebitNoteId::parse(what()?).ok()?;
                Some(About::DebitNote { invoice, id })
            }
            Source::Fee | Source::PaidOut | Source::Disputed | Source::Quarantined | Source::Released => None,
        }
    }

    /// Sum of its debits, minor units.
    #[must_use]
    pub fn debits(&self) -> i64 {
        self.postings.iter().filter(|p| p.amount > 0).fold(0, |sum, p| sum.saturating_add(p.amount))
    }
}

/// The sums of one month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Month {
    pub entries: u64,
    pub accounts: BTreeMap<(Currency, Account), Balance>,
    pub invoices: BTreeMap<Currency, Documented>,
    pub credit_notes: BTreeMap<Currency, Documented>,
    /// Refunds that came back.
    pub debit_notes: BTreeMap<Currency, Documented>,
    /// Ids of entries whose document is missing or says another amount or month.
    pub untied: Vec<String>,
}

impl Month {
    /// Adds one entry and the document it is about.
    pub fn add(&mut self, entry: &Entry, document: Option<&Document>) {
        self.entries = self.entries.saturating_add(1);
        for posting in &entry.postings {
            let balance = self.accounts.entry((entry.currency, posting.account)).or_default();
            let amount = i128::from(posting.amount);
            if amount >= 0 {
                balance.debit = balance.debit.saturating_add(amount);
            } else {
                balance.credit = balance.credit.saturating_sub(amount);
            }
        }
        let said = match document {
            Some(Document::Invoice(d)) => Some((d.supply, d.vat, d.total, d.payment.on, d.currency)),
            Some(Document::CreditNote(d)) => Some((d.supply, d.vat, d.total, d.on, d.currency)),
            Some(Document::DebitNote(d)) => Some((d.supply, d.vat, d.total, d.on, d.currency)),
            Some(Document::Tax(_) | Document::Counter(_)) | None => None,
        };
        let booked = (entry.debits(), entry.date(), entry.currency);
        let ties = said.is_some_and(|(_, _, total, on, currency)| (total, on, currency) == booked);
        let sums = match entry.source {
            Source::Invoiced => Some(&mut self.invoices),
            Source::Refunded => Some(&mut self.credit_notes),
            Source::Returned => Some(&mut self.debit_notes),
            Source::Captured
            | Source::Fee
            | Source::PaidOut
            | Source::Disputed
            | Source::Quarantined
            | Source::Released => None,
        };
        if let (Some(sums), Some((supply, vat, total, _, currency))) = (sums, said) {
            let sum = sums.entry(currency).or_default();
            sum.count = sum.count.saturating_add(1);
            sum.supply = sum.supply.saturating_add(supply.into());
            sum.vat = sum.vat.saturating_add(vat.into());
            sum.total = sum.total.saturating_add(total.into());
        }
        let alone = matches!(
            entry.source,
            Source::Fee | Source::PaidOut | Source::Disputed | Source::Quarantined | Source::Released
        );
        if !ties && !alone {
            self.untied.push(entry.id.clone());
        }
    }

    /// Whether debits equal credits in every currency.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for ((currency, _), balance) in &self.accounts {
            let sum = sums.entry(*currency).or_default();
            *sum = sum.saturating_add(balance.net());
        }
        sums.values().all(|sum| *sum == 0)
    }

    /// Whether revenue and refunds are exactly what the documents of the month say, and every entry ties.
    #[must_use]
    pub fn ties(&self) -> bool {
        let net = |currency, account| self.accounts.get(&(currency, account)).map_or(0, |balance| balance.net());
        let agree = |currency: Currency| {
            let invoiced = self.invoices.get(&currency).copied().unwrap_or_default();
            let credited = self.credit_notes.get(&currency).copied().unwrap_or_default();
            let returned = self.debit_notes.get(&currency).copied().unwrap_or_default();
            net(currency, Account::Revenue) == invoiced.supply.saturating_neg()
                && net(currency, Account::Refunds) == credited.supply.saturating_sub(returned.supply)
                && net(currency, Account::Receivable) == 0
        };
        self.untied.is_empty() && self.accounts.keys().all(|(currency, _)| agree(*currency))
    }
}
