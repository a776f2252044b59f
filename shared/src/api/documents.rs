//! Bodies of invoices, credit notes, tax documents and the ledger.

use domain::document::File;
use domain::invoice::{CreditNote, DebitNote, Explanation, Invoice};
use domain::ledger::{Close, Sums};
use domain::money::Currency;
use domain::tax::{TaxDocument, TaxKind};
use serde_json::{Value, json};

use crate::usecase::month_summary::Summary;

/// An invoice with what came after it. `refunds` are its credit notes, `returns` the debit notes of refunds that came back.
#[must_use]
pub fn invoice_body(file: &File) -> Value {
    let mut body = summary_body(&file.invoice);
    let invoice = &file.invoice;
    let payment = &invoice.payment;
    let billable = invoice.id.billable();
    let more = json!({
        "subscriptionId": billable.as_ref().map(|b| b.subscription.as_str()),
        "index": billable.as_ref().map(|b| b.index),
        "seq": billable.as_ref().map(|b| b.seq),
        "supplier": invoice.supplier,
        "buyer": invoice.buyer,
        "plan": invoice.plan,
        "lines": invoice.lines,
        "payment": {
            "rail": payment.rail, "gateway": payment.gateway, "paymentId": payment.payment_id, "brand": payment.brand,
            "last4": payment.last4, "paidOn": payment.on.to_string(),
        },
        "refunded": file.refunded(),
        "refunds": file.notes.iter().map(credit_note_body).collect::<Vec<_>>(),
        "returns": file.returns.iter().map(debit_note_body).collect::<Vec<_>>(),
        "taxDocument": file.tax.as_ref().map(tax_body),
        "rules": invoice.rules,
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
    body
}

/// An invoice in a list.
#[must_use]
pub fn summary_body(invoice: &Invoice) -> Value {
    json!({
        "id": invoice.id,
        "number": invoice.number,
        "tenantId": invoice.tenant_id,
        "period": invoice.period,
        "supply": invoice.supply,
        "vat": invoice.vat,
        "total": invoice.total,
        "currency": invoice.currency,
        "paidOn": invoice.payment.on.to_string(),
        "issuedAt": invoice.issued_at.to_string(),
    })
}

fn credit_note_body(note: &CreditNote) -> Value {
    json!({
        "id": note.id, "number": note.number, "refundId": note.refund_id, "supply": note.supply, "vat": note.vat,
        "total": note.total, "refunded": note.refunded, "on": note.on.to_string(), "issuedAt": note.issued_at.to_string(),
    })
}

fn debit_note_body(note: &DebitNote) -> Value {
    json!({
        "id": note.id, "number": note.number, "refundId": note.refund_id, "supply": note.supply, "vat": note.vat,
        "total": note.total, "refunded": note.refunded, "code": note.code, "on": note.on.to_string(),
        "issuedAt": note.issued_at.to_string(),
    })
}

/// The tax document of an invoice: what it is, by which law, and its approval number once it is issued.
#[must_use]
pub fn tax_body(tax: &TaxDocument) -> Value {
    let mut body = json!({
        "invoiceId": tax.invoice_id, "kind": tax.kind, "status": tax.status, "law": tax.law,
        "decidedAt": tax.decided_at.to_string(),
    });
    if let Some(due) = tax.due {
        body["due"] = due.to_string().into();
    }
    if tax.kind != TaxKind::CardSlip {
        body["ownNumber"] = tax.own_number.as_str().into();
    }
    if let (Some(approval), Some(at)) = (&tax.approval, tax.issued_at) {
        body["approval"] = approval.as_str().into();
        body["issuedAt"] = at.to_string().into();
    }
    body
}

/// `matches` is false when what is stored is not what the rules give.
#[must_use]
pub fn explanation_body(file: &File, explanation: &Explanation) -> Value {
    let steps = explanation.steps.iter().map(|step| {
        json!({
            "name": step.name, "of": step.of, "formula": step.formula, "result": step.result, "stored": step.stored,
            "matches": step.matches(),
        })
    });
    let invoice = &file.invoice;
    json!({
        "id": invoice.id,
        "number": invoice.number,
        "rules": explanation.rules,
        "inputs": {
            "plan": invoice.plan, "period": invoice.period, "lines": invoice.lines, "currency": invoice.currency,
            "refunds": file.notes.iter().map(|note| note.total).collect::<Vec<_>>(),
        },
        "steps": steps.collect::<Vec<_>>(),
        "matches": explanation.matches,
    })
}

/// Sums are integers in minor units; a sum too large for JSON's integers is written as text.
#[must_use]
pub fn ledger_body(month: &str, summary: &Summary) -> Value {
    let sums = &summary.month;
    let accounts = sums.accounts.iter().map(|((currency, account), balance)| {
        json!({
            "account": account, "currency": currency, "debit": whole(balance.debit), "credit": whole(balance.credit),
            "net": whole(balance.net()),
        })
    });
    let documents = |(currency, sums): (&Currency, &Sums)| {
        json!({
            "currency": currency, "count": sums.count, "supply": whole(sums.supply), "vat": whole(sums.vat),
            "total": whole(sums.total),
        })
    };
    json!({
        "month": month,
        "entries": sums.entries,
        "complete": summary.complete,
        "balanced": sums.balanced(),
        "tied": sums.ties(),
        "accounts": accounts.collect::<Vec<_>>(),
        "invoices": sums.invoices.iter().map(documents).collect::<Vec<_>>(),
        "creditNotes": sums.credit_notes.iter().map(documents).collect::<Vec<_>>(),
        "debitNotes": sums.debit_notes.iter().map(documents).collect::<Vec<_>>(),
        "untied": sums.untied,
    })
}

fn whole(sum: i128) -> Value {
    i64::try_from(sum).map_or_else(|_| sum.to_string().into(), Value::from)
}

/// A closed month.
#[must_use]
pub fn close_body(close: &Close) -> Value {
    let accounts = close.accounts.iter().map(|sum| {
        json!({
            "account": sum.account, "currency": sum.currency, "debit": sum.debit, "credit": sum.credit,
            "net": sum.debit.saturating_sub(sum.credit),
        })
    });
    json!({
        "month": close.month,
        "entries": close.entries,
        "accounts": accounts.collect::<Vec<_>>(),
        "invoices": close.invoices,
        "creditNotes": close.credit_notes,
        "debitNotes": close.debit_notes,
        "closedBy": close.closed_by,
        "closedAt": close.closed_at.to_string(),
    })
}
