//! Bodies of invoices, credit notes, tax documents and the ledger.

use domain::calendar::Period;
use domain::charge::GatewayName;
use domain::document::File;
use domain::invoice::{Buyer, CreditNote, DebitNote, Explanation, Invoice, InvoiceLine, PaidBy, Priced, Supplier};
use domain::ledger::{Account, Balance, Close, ClosedAccount, ClosedDocuments, Sums};
use domain::money::Currency;
use domain::tax::{Rail, TaxDocument, TaxKind, TaxStatus};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::usecase::month_summary::Summary;

/// An invoice in a list.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = InvoiceSummary))]
#[serde(rename_all = "camelCase")]
pub struct InvoiceSummaryBody {
    id: String,
    /// What people quote: `MG-2027-000001`.
    number: String,
    tenant_id: String,
    period: Period,
    supply: i64,
    vat: i64,
    total: i64,
    currency: Currency,
    /// Seoul date.
    paid_on: Date,
    issued_at: Timestamp,
}

/// An invoice with what came after it. `refunds` are its credit notes.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Invoice))]
#[serde(rename_all = "camelCase")]
pub struct InvoiceBody {
    #[serde(flatten)]
    summary: InvoiceSummaryBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u32>,
    supplier: Supplier,
    buyer: Buyer,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Priced>,
    lines: Vec<InvoiceLine>,
    payment: PaidByBody,
    /// Given back so far, VAT-inclusive.
    refunded: i64,
    refunds: Vec<CreditNoteBody>,
    /// Refunds that came back after they had succeeded.
    returns: Vec<DebitNoteBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tax_document: Option<TaxBody>,
    /// Number of the rules it was written under.
    rules: u32,
}

/// How an invoice was paid.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaidBy))]
#[serde(rename_all = "camelCase")]
struct PaidByBody {
    rail: Rail,
    gateway: GatewayName,
    payment_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last4: Option<String>,
    /// Seoul date.
    paid_on: Date,
}

impl From<&PaidBy> for PaidByBody {
    fn from(p: &PaidBy) -> Self {
        PaidByBody {
            rail: p.rail,
            gateway: p.gateway,
            payment_id: p.payment_id.clone(),
            brand: p.brand.clone(),
            last4: p.last4.clone(),
            paid_on: p.on,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CreditNote))]
#[serde(rename_all = "camelCase")]
struct CreditNoteBody {
    id: String,
    /// `MGC-2027-000001`.
    number: String,
    refund_id: String,
    supply: i64,
    vat: i64,
    total: i64,
    /// Given back so far under the invoice, this one included.
    refunded: i64,
    /// Seoul date.
    on: Date,
    issued_at: Timestamp,
}

impl From<&CreditNote> for CreditNoteBody {
    fn from(note: &CreditNote) -> Self {
        CreditNoteBody {
            id: note.id.to_string(),
            number: note.number.clone(),
            refund_id: note.refund_id.clone(),
            supply: note.supply,
            vat: note.vat,
            total: note.total,
            refunded: note.refunded,
            on: note.on,
            issued_at: note.issued_at,
        }
    }
}

/// A refund that came back: the document that takes a credit note back.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DebitNote))]
#[serde(rename_all = "camelCase")]
struct DebitNoteBody {
    id: String,
    number: String,
    refund_id: String,
    supply: i64,
    vat: i64,
    total: i64,
    /// Given back so far under the invoice, after this one.
    refunded: i64,
    /// What the gateway said.
    code: String,
    /// Seoul date.
    on: Date,
    issued_at: Timestamp,
}

impl From<&DebitNote> for DebitNoteBody {
    fn from(note: &DebitNote) -> Self {
        DebitNoteBody {
            id: note.id.to_string(),
            number: note.number.clone(),
            refund_id: note.refund_id.clone(),
            supply: note.supply,
            vat: note.vat,
            total: note.total,
            refunded: note.refunded,
            code: note.code.clone(),
            on: note.on,
            issued_at: note.issued_at,
        }
    }
}

#[must_use]
pub fn invoice_body(file: &File) -> InvoiceBody {
    let invoice = &file.invoice;
    let billable = invoice.id.billable();
    InvoiceBody {
        summary: summary_body(invoice),
        subscription_id: billable.as_ref().map(|b| b.subscription.to_string()),
        index: billable.as_ref().map(|b| b.index),
        seq: billable.as_ref().map(|b| b.seq),
        supplier: invoice.supplier.clone(),
        buyer: invoice.buyer.clone(),
        plan: invoice.plan.clone(),
        lines: invoice.lines.clone(),
        payment: (&invoice.payment).into(),
        refunded: file.refunded(),
        refunds: file.notes.iter().map(CreditNoteBody::from).collect(),
        returns: file.returns.iter().map(DebitNoteBody::from).collect(),
        tax_document: file.tax.as_ref().map(tax_body),
        rules: invoice.rules,
    }
}

#[must_use]
pub fn summary_body(invoice: &Invoice) -> InvoiceSummaryBody {
    InvoiceSummaryBody {
        id: invoice.id.to_string(),
        number: invoice.number.clone(),
        tenant_id: invoice.tenant_id.to_string(),
        period: invoice.period,
        supply: invoice.supply,
        vat: invoice.vat,
        total: invoice.total,
        currency: invoice.currency,
        paid_on: invoice.payment.on,
        issued_at: invoice.issued_at,
    }
}

/// The tax document of an invoice: what it is, by which law, and its approval number once it is issued.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TaxDocument))]
#[serde(rename_all = "camelCase")]
pub struct TaxBody {
    invoice_id: String,
    kind: TaxKind,
    status: TaxStatus,
    law: String,
    decided_at: Timestamp,
    /// Last day on which it may be issued, Seoul date.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Date>,
    /// Our own number at the issuing service.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<Timestamp>,
}

#[must_use]
pub fn tax_body(tax: &TaxDocument) -> TaxBody {
    let issued = tax.approval.clone().zip(tax.issued_at);
    TaxBody {
        invoice_id: tax.invoice_id.to_string(),
        kind: tax.kind,
        status: tax.status,
        law: tax.law.clone(),
        decided_at: tax.decided_at,
        due: tax.due,
        own_number: Some(tax.own_number.clone()).filter(|_| tax.kind != TaxKind::CardSlip),
        issued_at: issued.as_ref().map(|(_, at)| *at),
        approval: issued.map(|(approval, _)| approval),
    }
}

/// An invoice's amounts, computed anew. `matches` is false when what is stored is not what the rules give.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Explanation))]
pub struct ExplanationBody {
    id: String,
    number: String,
    rules: u32,
    inputs: InputsBody,
    steps: Vec<StepBody>,
    matches: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ExplanationInputs))]
struct InputsBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Priced>,
    period: Period,
    lines: Vec<InvoiceLine>,
    currency: Currency,
    /// Totals of the credit notes.
    refunds: Vec<i64>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ExplanationStep))]
struct StepBody {
    name: &'static str,
    /// Code of a line, number of a credit note, or the invoice's own number.
    of: String,
    formula: String,
    result: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<i64>,
    matches: bool,
}

#[must_use]
pub fn explanation_body(file: &File, explanation: &Explanation) -> ExplanationBody {
    let steps = explanation.steps.iter().map(|step| StepBody {
        name: step.name,
        of: step.of.clone(),
        formula: step.formula.clone(),
        result: step.result,
        stored: step.stored,
        matches: step.matches(),
    });
    let invoice = &file.invoice;
    ExplanationBody {
        id: invoice.id.to_string(),
        number: invoice.number.clone(),
        rules: explanation.rules,
        inputs: InputsBody {
            plan: invoice.plan.clone(),
            period: invoice.period,
            lines: invoice.lines.clone(),
            currency: invoice.currency,
            refunds: file.notes.iter().map(|note| note.total).collect(),
        },
        steps: steps.collect(),
        matches: explanation.matches,
    }
}

/// A sum of many amounts in minor units: an integer, or text when it is too large for one of 64 bits.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
enum Sum {
    Whole(i64),
    Large(String),
}

impl From<i128> for Sum {
    fn from(sum: i128) -> Self {
        i64::try_from(sum).map_or_else(|_| Sum::Large(sum.to_string()), Sum::Whole)
    }
}

/// A month of the ledger.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Ledger))]
#[serde(rename_all = "camelCase")]
pub struct LedgerBody {
    /// `YYYY-MM`.
    month: String,
    entries: u64,
    /// False when the month has more entries than were summed.
    complete: bool,
    /// Debits equal credits in every currency.
    balanced: bool,
    /// Every entry says what its document says.
    tied: bool,
    accounts: Vec<AccountBody>,
    invoices: Vec<SumsBody>,
    credit_notes: Vec<SumsBody>,
    debit_notes: Vec<SumsBody>,
    /// Ids of entries whose document is missing or says something else.
    untied: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AccountSums))]
struct AccountBody {
    account: Account,
    currency: Currency,
    debit: Sum,
    credit: Sum,
    /// Debit minus credit.
    net: Sum,
}

impl From<(&(Currency, Account), &Balance)> for AccountBody {
    fn from((&(currency, account), balance): (&(Currency, Account), &Balance)) -> Self {
        let (debit, credit, net) = (balance.debit.into(), balance.credit.into(), balance.net().into());
        AccountBody { account, currency, debit, credit, net }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DocumentSums))]
struct SumsBody {
    currency: Currency,
    count: u64,
    supply: Sum,
    vat: Sum,
    total: Sum,
}

impl From<(&Currency, &Sums)> for SumsBody {
    fn from((&currency, sums): (&Currency, &Sums)) -> Self {
        let (supply, vat, total) = (sums.supply.into(), sums.vat.into(), sums.total.into());
        SumsBody { currency, count: sums.count, supply, vat, total }
    }
}

#[must_use]
pub fn ledger_body(month: &str, summary: &Summary) -> LedgerBody {
    let sums = &summary.month;
    LedgerBody {
        month: month.to_owned(),
        entries: sums.entries,
        complete: summary.complete,
        balanced: sums.balanced(),
        tied: sums.ties(),
        accounts: sums.accounts.iter().map(AccountBody::from).collect(),
        invoices: sums.invoices.iter().map(SumsBody::from).collect(),
        credit_notes: sums.credit_notes.iter().map(SumsBody::from).collect(),
        debit_notes: sums.debit_notes.iter().map(SumsBody::from).collect(),
        untied: sums.untied.clone(),
    }
}

/// A closed month.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = MonthClose))]
#[serde(rename_all = "camelCase")]
pub struct CloseBody {
    /// `YYYY-MM`.
    month: String,
    entries: u64,
    accounts: Vec<AccountBody>,
    invoices: Vec<SumsBody>,
    credit_notes: Vec<SumsBody>,
    debit_notes: Vec<SumsBody>,
    closed_by: String,
    closed_at: Timestamp,
}

impl From<&ClosedAccount> for AccountBody {
    fn from(sum: &ClosedAccount) -> Self {
        let (debit, credit) = (i128::from(sum.debit), i128::from(sum.credit));
        let net = debit.saturating_sub(credit).into();
        AccountBody { account: sum.account, currency: sum.currency, debit: debit.into(), credit: credit.into(), net }
    }
}

impl From<&ClosedDocuments> for SumsBody {
    fn from(sums: &ClosedDocuments) -> Self {
        let sum = |amount: i64| i128::from(amount).into();
        let (supply, vat, total) = (sum(sums.supply), sum(sums.vat), sum(sums.total));
        SumsBody { currency: sums.currency, count: sums.count, supply, vat, total }
    }
}

#[must_use]
pub fn close_body(close: &Close) -> CloseBody {
    CloseBody {
        month: close.month.clone(),
        entries: close.entries,
        accounts: close.accounts.iter().map(AccountBody::from).collect(),
        invoices: close.invoices.iter().map(SumsBody::from).collect(),
        credit_notes: close.credit_notes.iter().map(SumsBody::from).collect(),
        debit_notes: close.debit_notes.iter().map(SumsBody::from).collect(),
        closed_by: close.closed_by.clone(),
        closed_at: close.closed_at,
    }
}
