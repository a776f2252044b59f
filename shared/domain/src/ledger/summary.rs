//! A month of the ledger: what each account took in and gave, and whether that ties to the invoices and credit notes the
//! entries name.
//!
//! Invariants: debits equal credits in every currency; adding entries in any order gives the same month.

use std::collections::BTreeMap;

use super::{Account, Entry, Source};
use crate::document::File;
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

/// The sums of one month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Month {
    pub entries: u64,
    pub accounts: BTreeMap<(Currency, Account), Balance>,
    /// What the entries say of each invoice this month: invoiced, captured, refunded.
    invoices: BTreeMap<String, [i64; 3]>,
}

/// An invoice whose documents do not say what the entries of the month say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untied {
    pub invoice: String,
    pub what: &'static str,
    pub booked: i64,
    pub documented: i64,
}

impl Month {
    /// Adds one entry.
    pub fn add(&mut self, entry: &Entry) {
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
        let Some(invoice) = &entry.invoice else { return };
        let debits = entry.postings.iter().filter(|p| p.amount > 0).fold(0_i64, |s, p| s.saturating_add(p.amount));
        let [invoiced, captured, refunded] = self.invoices.entry(invoice.clone()).or_default();
        let sum = match entry.source {
            Source::Invoiced => invoiced,
            Source::Captured => captured,
            Source::Refunded => refunded,
            Source::Fee | Source::PaidOut => return,
        };
        *sum = sum.saturating_add(debits);
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

    /// The invoices the entries name, in order.
    pub fn invoices(&self) -> impl Iterator<Item = &str> {
        self.invoices.keys().map(String::as_str)
    }

    /// Compares the entries about one invoice with its documents of the month (`YYYY-MM`).
    #[must_use]
    pub fn untied(&self, invoice: &str, file: Option<&File>, month: &str) -> Vec<Untied> {
        let booked = self.invoices.get(invoice).copied().unwrap_or_default();
        let documented = file.map_or([0; 3], |file| {
            let here = |on| super::month_of(on) == month;
            let total = if here(file.invoice.payment.on) { file.invoice.total } else { 0 };
            let notes = file.notes.iter().filter(|note| here(note.on));
            [total, total, notes.fold(0_i64, |sum, note| sum.saturating_add(note.total))]
        });
        ["invoiced", "captured", "refunded"]
            .into_iter()
            .zip(booked.into_iter().zip(documented))
            .filter(|(_, (booked, documented))| booked != documented)
            .map(|(what, (booked, documented))| Untied { invoice: invoice.to_owned(), what, booked, documented })
            .collect()
    }
}
