//! Invoices and credit notes: the numbered documents of money that moved. An invoice is written once for a paid cycle, a
//! credit note once for a refund; neither ever changes.
//!
//! Invariants: ids derive from the cycle and the refund, so writing again finds what is there; who sold and who bought
//! are snapshots; `lines = total = supply + vat`; a credit note gives back exactly the VAT that [`Money::refund_vat`]
//! says; numbers of a series have no gap, because the counter moves in the same transaction as its document.

mod explain;
mod id;
mod returned;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::calendar::{Period, seoul_date};
use crate::charge::{Billable, GatewayName};
use crate::cycle::{Cycle, Outcome, State};
use crate::event::Fact;
use crate::ids::{MethodId, TenantId};
use crate::method::MaskedCard;
use crate::money::{Currency, Money};
use crate::plan::Plan;
use crate::tax::Rail;

pub use explain::{Explanation, Step, explain, explain_file};
pub use id::{CreditNoteId, DebitNoteId, InvoiceId};
pub use returned::{DebitNote, Returned, credit_note_after_returns, debit_note, debit_series};

/// The rules an invoice is computed by: prices include VAT, `vat = round(total / 11)`, refunds telescope
/// (product.md, "Money"). Another rule is another number; what was written by an older one is explained by it.
pub const RULES: u32 = 1;

/// Who sells: what Korean law wants on a receipt (부가가치세법 제32조 제1항). Ours, from configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Supplier {
    pub name: String,
    /// 사업자등록번호.
    pub registration_number: String,
    pub representative: String,
    pub address: String,
}

/// Who bought, as known when the invoice was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Buyer {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_number: Option<String>,
}

/// The name of a small business is often its owner's.
impl std::fmt::Debug for Buyer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Buyer")
    }
}

/// What was sold, VAT-inclusive, minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InvoiceLine {
    pub code: String,
    pub name: String,
    pub amount: i64,
}

/// The plan version whose prices the lines are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Priced {
    pub code: String,
    pub version: u32,
}

/// How it was paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaidBy {
    pub rail: Rail,
    pub gateway: GatewayName,
    pub payment_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last4: Option<String>,
    /// The Seoul date of the attempt that captured it: what it is booked under.
    pub on: Date,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    pub id: InvoiceId,
    /// `MG-2026-000001`: what people quote.
    pub number: String,
    pub tenant_id: TenantId,
    pub supplier: Supplier,
    pub buyer: Buyer,
    /// None when the lines are not those of a plan version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Priced>,
    pub period: Period,
    pub lines: Vec<InvoiceLine>,
    pub supply: i64,
    pub vat: i64,
    pub total: i64,
    pub currency: Currency,
    pub payment: PaidBy,
    /// [`RULES`] when it was written.
    pub rules: u32,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub issued_at: Timestamp,
    pub version: u64,
}

/// Money given back under an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreditNote {
    pub id: CreditNoteId,
    pub invoice_id: InvoiceId,
    /// `MGC-2026-000001`.
    pub number: String,
    pub refund_id: String,
    pub supply: i64,
    pub vat: i64,
    /// Given back by this one, VAT-inclusive.
    pub total: i64,
    /// Given back so far under the invoice, this one included.
    pub refunded: i64,
    pub currency: Currency,
    pub gateway: GatewayName,
    pub payment_id: String,
    /// Who started it: as the refund says.
    pub origin: String,
    /// Seoul date.
    pub on: Date,
    pub rules: u32,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub issued_at: Timestamp,
    pub version: u64,
}

/// The last number of a series, for example `MG-2026`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The series.
    pub id: String,
    pub last: u64,
    pub version: u64,
}

impl Counter {
    /// A series nobody has counted yet.
    #[must_use]
    pub fn new(series: String) -> Counter {
        Counter { id: series, last: 0, version: 0 }
    }

    /// The counter after giving out its next number, and that number: at least six digits.
    #[must_use]
    pub fn next(&self) -> (Counter, String) {
        let last = self.last.saturating_add(1);
        (Counter { last, ..self.clone() }, format!("{}-{last:06}", self.id))
    }
}

/// The series of invoices booked under a date.
#[must_use]
pub fn invoice_series(on: Date) -> String {
    format!("MG-{:04}", on.year())
}

/// The series of credit notes booked under a date.
#[must_use]
pub fn credit_series(on: Date) -> String {
    format!("MGC-{:04}", on.year())
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    #[error("the cycle is not paid")]
    NotPaid,
    #[error("no attempt on record paid the cycle")]
    NoAttempt,
    #[error("the lines do not add up to the amount")]
    LinesDiffer,
    #[error("the refund does not belong to this invoice: {0}")]
    RefundDiffers(&'static str),
}

/// What an invoice is made from besides its cycle.
pub struct Particulars<'a> {
    pub tenant_id: &'a TenantId,
    pub supplier: &'a Supplier,
    pub buyer: Buyer,
    /// The version the cycle's prices come from, for the names of its lines.
    pub plan: Option<&'a Plan>,
    pub card: MaskedCard,
    pub issued_at: Timestamp,
}

/// The attempt that paid a cycle: through which gateway, with which method.
///
/// # Errors
/// When the cycle is not paid.
pub fn paid_with(cycle: &Cycle) -> Result<(GatewayName, &MethodId), InvoiceError> {
    let attempt = cycle.attempts.iter().find(|a| a.outcome == Outcome::Succeeded);
    match (&cycle.state, attempt) {
        (State::Paid(_), Some(attempt)) => Ok((attempt.gateway, &attempt.method_id)),
        (State::Paid(_), None) => Err(InvoiceError::NoAttempt),
        (State::Open | State::Void | State::Uncollectible, _) => Err(InvoiceError::NotPaid),
    }
}

/// The date a paid cycle is booked under.
///
/// # Errors
/// When the cycle is not paid.
pub fn paid_on(cycle: &Cycle) -> Result<Date, InvoiceError> {
    match &cycle.state {
        State::Paid(payment) => Ok(seoul_date(payment.at)),
        State::Open | State::Void | State::Uncollectible => Err(InvoiceError::NotPaid),
    }
}

/// The invoice of a paid cycle, with the next number of its series.
///
/// # Errors
/// When the cycle is not paid, or its lines do not add up.
pub fn invoice(cycle: &Cycle, with: Particulars<'_>, series: &Counter) -> Result<(Invoice, Counter), InvoiceError> {
    let (gateway, _) = paid_with(cycle)?;
    let State::Paid(payment) = &cycle.state else { return Err(InvoiceError::NotPaid) };
    let sum = cycle.lines.iter().try_fold(0_i64, |sum, line| sum.checked_add(line.amount));
    if sum != Some(cycle.amount.amount) {
        return Err(InvoiceError::LinesDiffer);
    }
    let plan = with.plan.filter(|plan| cycle.lines.first().is_some_and(|line| line.code == plan.code));
    let named = |code: &str| match plan {
        Some(plan) if plan.code == code => plan.name.clone(),
        Some(plan) => plan.addons.iter().find(|a| a.code == code).map_or_else(|| code.to_owned(), |a| a.name.clone()),
        None => code.to_owned(),
    };
    let split = cycle.amount.vat_split();
    let (after, number) = series.next();
    let invoice = Invoice {
        id: InvoiceId::of(&billable(cycle)),
        number,
        tenant_id: with.tenant_id.clone(),
        supplier: with.supplier.clone(),
        buyer: with.buyer,
        plan: plan.map(|plan| Priced { code: plan.code.clone(), version: plan.version }),
        period: cycle.period,
        lines: cycle
            .lines
            .iter()
            .map(|line| InvoiceLine { code: line.code.clone(), name: named(&line.code), amount: line.amount })
            .collect(),
        supply: split.supply.amount,
        vat: split.vat.amount,
        total: cycle.amount.amount,
        currency: cycle.amount.currency,
        payment: PaidBy {
            rail: crate::tax::rail(gateway),
            gateway,
            payment_id: payment.payment_id.clone(),
            brand: with.card.brand,
            last4: with.card.last4,
            on: seoul_date(payment.at),
        },
        rules: RULES,
        issued_at: with.issued_at,
        version: 0,
    };
    Ok((invoice, after))
}

fn billable(cycle: &Cycle) -> Billable {
    Billable { subscription: cycle.subscription_id.clone(), index: cycle.index, seq: cycle.seq }
}

/// A refund that went through, as its event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refunded {
    pub refund_id: String,
    /// Given back by this refund.
    pub amount: Money,
    /// The part of it that is VAT.
    pub vat: i64,
    /// Given back so far, this refund included.
    pub refunded: i64,
    pub gateway: GatewayName,
    pub payment_id: String,
    pub origin: String,
    pub at: Timestamp,
}

/// The credit note of a refund, with the next number of its series.
///
/// # Errors
/// When the refund is not one of this invoice, is more than was paid, or its VAT is not what the rule gives.
pub fn credit_note(
    invoice: &Invoice,
    refund: &Refunded,
    series: &Counter,
    issued_at: Timestamp,
) -> Result<(CreditNote, Counter), InvoiceError> {
    let differs = InvoiceError::RefundDiffers;
    if refund.amount.currency != invoice.currency || refund.payment_id != invoice.payment.payment_id {
        return Err(differs("another payment or currency"));
    }
    let before = refund.refunded.checked_sub(refund.amount.amount).filter(|before| *before >= 0);
    let before = before.filter(|_| refund.amount.amount > 0).ok_or(differs("its sum"))?;
    if refund.refunded > invoice.total {
        return Err(differs("more than was paid"));
    }
    let vat = refund.amount.refund_vat(Money::new(before, invoice.currency)).map_err(|_| differs("its VAT"))?;
    if vat.amount != refund.vat {
        return Err(differs("its VAT"));
    }
    noted(invoice, refund, series, issued_at)
}

/// The note itself, once what the refund says was checked.
fn noted(
    invoice: &Invoice,
    refund: &Refunded,
    series: &Counter,
    issued_at: Timestamp,
) -> Result<(CreditNote, Counter), InvoiceError> {
    let (after, number) = series.next();
    let id = CreditNoteId::of(&refund.refund_id).map_err(|_| InvoiceError::RefundDiffers("its id"))?;
    let note = CreditNote {
        id,
        invoice_id: invoice.id.clone(),
        number,
        refund_id: refund.refund_id.clone(),
        supply: refund.amount.amount.saturating_sub(refund.vat),
        vat: refund.vat,
        total: refund.amount.amount,
        refunded: refund.refunded,
        currency: invoice.currency,
        gateway: refund.gateway,
        payment_id: refund.payment_id.clone(),
        origin: refund.origin.clone(),
        on: seoul_date(refund.at),
        rules: RULES,
        issued_at,
        version: 0,
    };
    Ok((note, after))
}

impl Invoice {
    /// What the audit log says about it.
    #[must_use]
    pub fn issued(&self) -> Fact {
        Fact::new("invoice.issued", self.id.as_str())
            .with("number", self.number.as_str())
            .with("amount", self.total)
            .with("vat", self.vat)
            .with("currency", self.currency.code())
    }
}

impl CreditNote {
    /// What the audit log says about it.
    #[must_use]
    pub fn issued(&self) -> Fact {
        Fact::new("credit_note.issued", self.invoice_id.as_str())
            .with("id", self.id.as_str())
            .with("number", self.number.as_str())
            .with("amount", self.total)
            .with("vat", self.vat)
            .with("currency", self.currency.code())
    }
}
