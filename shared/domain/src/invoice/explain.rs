//! "Explain this amount": an invoice recomputed from its stored inputs by the rules it was written under, step by step.
//!
//! Invariants: nothing is taken from a stored result; every step says what it computed and what is stored; the whole
//! matches only when every step does and the rules are known.

use super::{CreditNote, DebitNote, Invoice, RULES};
use crate::document::File;
use crate::money::Money;
use crate::plan::Plan;

/// One step of the computation. `stored` is none where nothing is stored to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `price`, `total`, `vat`, `supply`, `refundVat`, `refundSupply`, `refunded`: stable.
    pub name: &'static str,
    /// What it is about: the code of a line, the number of a credit note, or the invoice's own number.
    pub of: String,
    /// How it was computed, with the numbers in it.
    pub formula: String,
    pub result: i64,
    pub stored: Option<i64>,
}

impl Step {
    #[must_use]
    pub fn matches(&self) -> bool {
        self.stored.is_none_or(|stored| stored == self.result)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The rules the invoice was written under.
    pub rules: u32,
    pub steps: Vec<Step>,
    /// Whether what is stored is what the rules give.
    pub matches: bool,
}

/// Recomputes an invoice and its credit notes, in the order of their cumulative sums. `plan` is the version the invoice
/// names; its prices are compared with the lines where it is there.
#[must_use]
pub fn explain(invoice: &Invoice, notes: &[CreditNote], plan: Option<&Plan>) -> Explanation {
    explained(invoice, notes, plan, refunds(invoice, notes))
}

/// The same with refunds that came back: then credit and debit notes are taken in the order in which their sums follow
/// each other.
#[must_use]
pub fn explain_file(file: &File, plan: Option<&Plan>) -> Explanation {
    if file.returns.is_empty() {
        return explain(&file.invoice, &file.notes, plan);
    }
    explained(&file.invoice, &file.notes, plan, with_returns(file))
}

fn explained(invoice: &Invoice, notes: &[CreditNote], plan: Option<&Plan>, refunds: Vec<Step>) -> Explanation {
    let mut steps: Vec<Step> = plan.map(|plan| prices(invoice, plan)).unwrap_or_default();
    let step = |name, formula: String, result, stored| Step {
        name,
        of: invoice.number.clone(),
        formula,
        result,
        stored: Some(stored),
    };
    let total = invoice.lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount));
    let parts: Vec<String> = invoice.lines.iter().map(|line| line.amount.to_string()).collect();
    steps.push(step("total", parts.join(" + "), total, invoice.total));
    let split = Money::new(total, invoice.currency).vat_split();
    steps.push(step("vat", format!("round({total} / 11)"), split.vat.amount, invoice.vat));
    let formula = format!("{total} - {}", split.vat.amount);
    steps.push(step("supply", formula, split.supply.amount, invoice.supply));
    steps.extend(refunds);
    let known = invoice.rules == RULES && notes.iter().all(|note| note.rules == RULES);
    let matches = known && steps.iter().all(Step::matches);
    Explanation { rules: invoice.rules, steps, matches }
}

/// The price of each line in the plan version it was sold under. A line the version does not know is worth nothing in
/// it, which the stored amount contradicts.
fn prices(invoice: &Invoice, plan: &Plan) -> Vec<Step> {
    let price = |code: &str| {
        if code == plan.code {
            plan.price.amount
        } else {
            plan.addons.iter().find(|addon| addon.code == code).map_or(0, |addon| addon.price.amount)
        }
    };
    let step = |line: &super::InvoiceLine| Step {
        name: "price",
        of: line.code.clone(),
        formula: format!("{} in {} version {}", line.code, plan.code, plan.version),
        result: price(&line.code),
        stored: Some(line.amount),
    };
    invoice.lines.iter().map(step).collect()
}

fn refunds(invoice: &Invoice, notes: &[CreditNote]) -> Vec<Step> {
    let mut notes: Vec<&CreditNote> = notes.iter().collect();
    notes.sort_by_key(|note| note.refunded);
    let vat_of = |amount| Money::new(amount, invoice.currency).vat_split().vat.amount;
    let mut before = 0_i64;
    let mut steps = Vec::new();
    for note in notes {
        let after = before.saturating_add(note.total);
        let vat = vat_of(after).saturating_sub(vat_of(before));
        let mut step = |name, formula: String, result, stored| {
            steps.push(Step { name, of: note.number.clone(), formula, result, stored: Some(stored) });
        };
        step("refunded", format!("{before} + {}", note.total), after, note.refunded);
        step("refundVat", format!("round({after} / 11) - round({before} / 11)"), vat, note.vat);
        step("refundSupply", format!("{} - {vat}", note.total), note.total.saturating_sub(vat), note.supply);
        before = after;
    }
    steps
}

/// A document that changed what was given back.
#[derive(Clone, Copy)]
enum Moved<'a> {
    Given(&'a CreditNote),
    Back(&'a DebitNote),
}

impl Moved<'_> {
    fn order(&self) -> (jiff::Timestamp, &str) {
        match self {
            Moved::Given(note) => (note.issued_at, note.number.as_str()),
            Moved::Back(note) => (note.issued_at, note.number.as_str()),
        }
    }

    /// Whether it starts from so much given back.
    fn follows(&self, given: i64) -> bool {
        match self {
            Moved::Given(note) => given.checked_add(note.total) == Some(note.refunded),
            Moved::Back(note) => given.checked_sub(note.total) == Some(note.refunded),
        }
    }
}

/// Each document in turn: the earliest written one whose sum follows from the sum so far. One that follows from nothing is
/// shown as not matching.
fn with_returns(file: &File) -> Vec<Step> {
    let vat_of = |amount| Money::new(amount, file.invoice.currency).vat_split().vat.amount;
    let mut left: Vec<Moved<'_>> =
        file.notes.iter().map(Moved::Given).chain(file.returns.iter().map(Moved::Back)).collect();
    left.sort_by(|a, b| a.order().cmp(&b.order()));
    let (mut given, mut vat, mut steps) = (0_i64, 0_i64, Vec::new());
    while !left.is_empty() {
        let at = left.iter().position(|moved| moved.follows(given)).unwrap_or(0);
        let moved = left.remove(at);
        let mut step = |name, of: &str, formula: String, result, stored| {
            steps.push(Step { name, of: of.to_owned(), formula, result, stored: Some(stored) });
        };
        match moved {
            Moved::Given(note) => {
                let after = given.saturating_add(note.total);
                let due = vat_of(after).saturating_sub(vat);
                step("refunded", &note.number, format!("{given} + {}", note.total), after, note.refunded);
                step("refundVat", &note.number, format!("round({after} / 11) - {vat}"), due, note.vat);
                let supply = note.total.saturating_sub(due);
                step("refundSupply", &note.number, format!("{} - {due}", note.total), supply, note.supply);
                (given, vat) = (after, vat.saturating_add(note.vat));
            }
            Moved::Back(note) => {
                let taken = file.notes.iter().find(|credit| credit.id == note.credit_note_id);
                let (total, part) = taken.map_or((0, 0), |credit| (credit.total, credit.vat));
                let after = given.saturating_sub(total);
                step("refunded", &note.number, format!("{given} - {total}"), after, note.refunded);
                step("refundVat", &note.number, format!("{part}, as given"), part, note.vat);
                step(
                    "refundSupply",
                    &note.number,
                    format!("{total} - {part}"),
                    total.saturating_sub(part),
                    note.supply,
                );
                (given, vat) = (after, vat.saturating_sub(note.vat));
            }
        }
    }
    steps
}
