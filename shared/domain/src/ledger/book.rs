//! The books of the months: a gate every entry of a month goes through, and the record of its close.
//!
//! Invariants: whoever books an entry moves its month's gate in the same commit, so a close whose gate is as it was read
//! has summed every entry there is, and no entry slips in beside it; the gate counts entries, so one that vanished is
//! missed; a close is written once; what would be dated in a closed month is dated to the first day of the next open one
//! and keeps its own date beside.

use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::suspense::Suspense;
use super::{Account, Entry, Month, month_of};
use crate::calendar::seoul_midnight;
use crate::event::Fact;
use crate::money::Currency;

/// What is kept of the books beside their entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Book {
    Gate(Gate),
    Close(Close),
    Suspense(Suspense),
}

impl Book {
    /// The version it was read with; 0 for one never stored.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Book::Gate(row) => row.version,
            Book::Close(row) => row.version,
            Book::Suspense(row) => row.version,
        }
    }

    /// Whether it is written once and never again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Book::Close(_) => true,
            Book::Gate(_) | Book::Suspense(_) => false,
        }
    }
}

/// What every entry of a month passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// `YYYY-MM`.
    pub month: String,
    /// Entries that passed.
    pub entries: u64,
    pub closed: bool,
    pub version: u64,
}

impl Gate {
    /// Of a month nothing was booked in yet.
    #[must_use]
    pub fn new(month: String) -> Gate {
        Gate { month, entries: 0, closed: false, version: 0 }
    }

    /// After so many more entries.
    #[must_use]
    pub fn passed(self, entries: u64) -> Gate {
        Gate { entries: self.entries.saturating_add(entries), ..self }
    }

    /// After the close.
    #[must_use]
    pub fn shut(self) -> Gate {
        Gate { closed: true, ..self }
    }
}

/// One account of a closed month, minor units, both sides positive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedAccount {
    pub account: Account,
    pub currency: Currency,
    pub debit: i64,
    pub credit: i64,
}

/// Invoices or credit notes of a closed month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedDocuments {
    pub currency: Currency,
    pub count: u64,
    pub supply: i64,
    pub vat: i64,
    pub total: i64,
}

/// A closed month. Written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Close {
    pub month: String,
    pub entries: u64,
    pub accounts: Vec<ClosedAccount>,
    pub invoices: Vec<ClosedDocuments>,
    pub credit_notes: Vec<ClosedDocuments>,
    /// Money given back that came back to us.
    pub debit_notes: Vec<ClosedDocuments>,
    pub closed_by: String,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub closed_at: Timestamp,
    pub version: u64,
}

/// Why a month cannot be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not every entry could be summed.
    Incomplete,
    /// Debits are not credits.
    Unbalanced,
    /// So many entries are not as their documents say, or accounts and documents differ (0).
    Untied(usize),
    /// There are not as many entries as were booked.
    Miscounted { booked: u64, found: u64 },
    /// So many rows of the gateways' settlements are not explained.
    OpenQuestions(u64),
    /// A sum beyond what an amount can be.
    TooLarge,
}

impl Reason {
    /// Stable.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Reason::Incomplete => "incomplete",
            Reason::Unbalanced => "unbalanced",
            Reason::Untied(_) => "untied",
            Reason::Miscounted { .. } => "miscounted",
            Reason::OpenQuestions(_) => "settlement_open",
            Reason::TooLarge => "too_large",
        }
    }
}

/// What a month was found to be.
#[derive(Clone, Copy, Debug)]
pub struct Summed<'a> {
    pub sums: &'a Month,
    /// Whether every entry was summed.
    pub complete: bool,
    /// Rows of the gateways' settlements nobody has explained yet.
    pub open_questions: u64,
}

impl Close {
    /// Closes a month that is over.
    ///
    /// # Errors
    /// Everything that speaks against it.
    pub fn of(gate: &Gate, summed: Summed<'_>, by: &str, at: Timestamp) -> Result<Close, Vec<Reason>> {
        let Summed { sums, complete, open_questions } = summed;
        let mut reasons = Vec::new();
        let mut unless = |good: bool, reason: Reason| {
            if !good {
                reasons.push(reason);
            }
        };
        unless(complete, Reason::Incomplete);
        unless(sums.balanced(), Reason::Unbalanced);
        unless(sums.ties(), Reason::Untied(sums.untied.len()));
        // What was not summed to the end cannot be counted.
        unless(
            !complete || sums.entries == gate.entries,
            Reason::Miscounted { booked: gate.entries, found: sums.entries },
        );
        unless(open_questions == 0, Reason::OpenQuestions(open_questions));
        let totals = totals(sums);
        unless(totals.is_some(), Reason::TooLarge);
        match totals {
            Some((accounts, [invoices, credit_notes, debit_notes])) if reasons.is_empty() => Ok(Close {
                month: gate.month.clone(),
                entries: sums.entries,
                accounts,
                invoices,
                credit_notes,
                debit_notes,
                closed_by: by.to_owned(),
                closed_at: at,
                version: 0,
            }),
            Some(_) | None => Err(reasons),
        }
    }

    #[must_use]
    pub fn fact(&self) -> Fact {
        Fact::new("month.closed", format!("month#{}", self.month))
            .with("month", self.month.as_str())
            .with("entries", self.entries)
    }
}

type Totals = (Vec<ClosedAccount>, [Vec<ClosedDocuments>; 3]);

fn totals(sums: &Month) -> Option<Totals> {
    let account = |((currency, account), balance): (&(Currency, Account), &super::Balance)| {
        let (debit, credit) = (i64::try_from(balance.debit).ok()?, i64::try_from(balance.credit).ok()?);
        Some(ClosedAccount { account: *account, currency: *currency, debit, credit })
    };
    let document = |(currency, said): (&Currency, &super::Sums)| {
        let [supply, vat, total] = [said.supply, said.vat, said.total].map(|sum| i64::try_from(sum).ok());
        Some(ClosedDocuments { currency: *currency, count: said.count, supply: supply?, vat: vat?, total: total? })
    };
    let accounts = sums.accounts.iter().map(account).collect::<Option<_>>()?;
    let documents = |of: &std::collections::BTreeMap<Currency, super::Sums>| of.iter().map(document).collect();
    let invoices: Option<Vec<_>> = documents(&sums.invoices);
    let credit_notes: Option<Vec<_>> = documents(&sums.credit_notes);
    let debit_notes: Option<Vec<_>> = documents(&sums.debit_notes);
    Some((accounts, [invoices?, credit_notes?, debit_notes?]))
}

/// The first day of the month after a month (`YYYY-MM`); none for what is no month, or the last one there is.
#[must_use]
pub fn after_month(month: &str) -> Option<Date> {
    let first: Date = format!("{month}-01").parse().ok()?;
    first.checked_add(Span::new().months(1)).ok()
}

/// Whether a month (`YYYY-MM`, of Seoul) is over.
#[must_use]
pub fn is_over(month: &str, now: Timestamp) -> bool {
    after_month(month).and_then(|day| seoul_midnight(day).ok()).is_some_and(|end| end <= now)
}

impl Entry {
    /// The same entry booked on another day: its own date stays beside.
    #[must_use]
    pub fn moved_to(self, on: Date) -> Entry {
        let what = self.id.split_once('#').map_or("", |(_, what)| what);
        Entry { month: month_of(on), id: format!("{on}#{what}"), on, dated: Some(self.date()), ..self }
    }

    /// The date of what it is about, which it is booked under unless that month was closed already.
    #[must_use]
    pub fn date(&self) -> Date {
        self.dated.unwrap_or(self.on)
    }
}
