//! Refunds, invoices and the ledger.

use serde_json::{Value, json};
use shared::api::documents::{CloseBody, ExplanationBody, InvoiceBody, InvoiceSummaryBody, LedgerBody, TaxBody};
use shared::api::refunds::RefundBody;
use shared::api::requests::{ApproveRefund, NoFields, RefundPayment};
use shared::api::settlements::SettlementBody;

use crate::examples;
use crate::operation::{MONTH, Operation, id_schema};

fn seq() -> Value {
    json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": u32::MAX })
}

pub fn refund_payment() -> Operation {
    Operation::new("refunds", "Give a payment back, in full or in part")
        .keyed()
        .query("seq", seq(), "Which billable of the period, where the body does not say; 0, the renewal, when absent.")
        .takes::<RefundPayment>(json!({ "amount": 11_000, "reason": "service was down" }))
        .answers::<RefundBody>(200, "It was taken back before it was sent.", examples::refund("REJECTED"))
        .answers::<RefundBody>(201, "Given back.", examples::refund("SUCCEEDED"))
        .answers::<RefundBody>(
            202,
            "It waits for a second person, or for the gateway.",
            examples::refund("PENDING_APPROVAL"),
        )
        .refuses(
            409,
            &[
                "conflict",
                "more_than_left",
                "not_paid",
                "payment_disputed",
                "refund_failed",
                "refund_in_progress",
                "too_many_refunds",
            ],
        )
}

pub fn approve_refund() -> Operation {
    Operation::new("refunds", "The second person's word about a large refund")
        .keyed()
        .query("seq", seq(), "As for asking for it.")
        .may_take::<ApproveRefund>(json!({ "approve": true }))
        .answers::<RefundBody>(200, "Given back, or taken back.", examples::refund("SUCCEEDED"))
        .answers::<RefundBody>(202, "Approved; the gateway has not finished.", examples::refund("PENDING"))
        .refuses(403, &["second_person_required"])
        .refuses(
            409,
            &[
                "conflict",
                "more_than_left",
                "not_paid",
                "not_waiting",
                "payment_disputed",
                "refund_failed",
                "refund_in_progress",
                "too_many_refunds",
            ],
        )
}

pub fn get_invoice() -> Operation {
    Operation::new("invoices", "An invoice with its credit notes")
        .about("As a page to print when `Accept` prefers `text/html`.")
        .answers::<InvoiceBody>(200, "The invoice.", examples::invoice())
        .page_of_html(200, "The invoice.")
}

pub fn list_invoices() -> Operation {
    Operation::new("invoices", "A tenant's invoices, newest first")
        .query("tenantId", id_schema("ten"), "Whose: operators name the tenant, a tenant sees only itself.")
        .paged()
        .page::<InvoiceSummaryBody>("A page of invoices.", examples::invoice_summary())
}

pub fn issue_tax_document() -> Operation {
    Operation::new("invoices", "Decide and record the tax document of an invoice")
        .about("It is issued where one is due. Asking again gives the same document.")
        .keyed()
        .may_take::<NoFields>(json!({}))
        .answers::<TaxBody>(200, "The tax document.", examples::tax_document())
        .refuses(409, &["conflict", "tax_document_refused"])
}

pub fn explain_invoice() -> Operation {
    Operation::new("invoices", "An invoice's amounts, computed anew from what is stored").answers::<ExplanationBody>(
        200,
        "Each step beside what is stored.",
        examples::explanation(),
    )
}

pub fn show_ledger() -> Operation {
    Operation::new("operations", "A month of the ledger, and whether it ties to its documents")
        .parameter(json!({
            "name": "month", "in": "query", "required": true, "description": "`YYYY-MM`.",
            "schema": { "type": "string", "pattern": MONTH }, "example": "2027-01",
        }))
        .answers::<LedgerBody>(200, "The month's sums.", examples::ledger())
}

pub fn close_month() -> Operation {
    Operation::new("operations", "Close a month: what it says is kept, and later entries go to the next open month")
        .about("Closing it again answers the same. A month that is not over, does not tie or has unexplained money is refused.")
        .keyed()
        .may_take::<NoFields>(json!({}))
        .answers::<CloseBody>(200, "The closed month.", examples::close())
        .refuses(409, &["conflict", "month_not_closable", "month_not_over"])
}

pub fn list_settlements() -> Operation {
    let date = || json!({ "type": "string", "format": "date" });
    let required = |name: &str, schema: Value, text: &str, example: &str| json!({ "name": name, "in": "query", "required": true, "description": text, "schema": schema, "example": example });
    Operation::new("operations", "What a gateway listed on a day, and what the books say to it")
        .about("As a sheet when `Accept` names `text/csv`; `x-next-cursor` then says where the following part begins.")
        .parameter(required("gateway", json!({ "type": "string", "enum": ["toss", "stripe"] }), "Whose list.", "toss"))
        .parameter(required("day", date(), "A Seoul day.", "2027-01-31"))
        .paged()
        .answers::<SettlementBody>(200, "The day.", examples::settlement())
        .sheet(200)
        .header(200, "x-next-cursor", "Of a sheet: the `cursor` of its next part.")
}
