//! Objects as Stripe shows them. Nothing here decides; expansion happens afterwards in `expand`.

use super::state::{Balance, Charge, Customer, Dispute, Hook, Intent, Method, Refund, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A customer, or what is left of a deleted one.
pub fn customer(it: &Customer) -> Value {
    if it.deleted {
        return json!({ "id": it.id, "object": "customer", "deleted": true });
    }
    json!({
        "id": it.id, "object": "customer", "created": it.created, "livemode": false, "name": it.name, "email": it.email,
        "phone": it.phone, "description": it.description, "address": address_or_null(&it.address), "balance": 0,
        "currency": null, "default_source": null, "delinquent": false, "discount": null, "metadata": it.metadata,
        "invoice_settings": { "custom_fields": null, "default_payment_method": it.default_method, "footer": null },
        "preferred_locales": it.locales, "shipping": null, "tax_exempt": "none", "test_clock": null,
    })
}

fn address(it: &BTreeMap<String, String>) -> Value {
    let part = |name: &str| it.get(name);
    json!({
        "city": part("city"), "country": part("country"), "line1": part("line1"), "line2": part("line2"),
        "postal_code": part("postal_code"), "state": part("state"),
    })
}

fn address_or_null(it: &BTreeMap<String, String>) -> Value {
    if it.is_empty() { Value::Null } else { address(it) }
}

fn billing(it: &Method) -> Value {
    let part = |name: &str| it.billing.get(name);
    json!({
        "name": part("name"), "email": part("email"), "phone": part("phone"), "tax_id": null,
        "address": address(&it.address),
    })
}

/// A saved card.
pub fn method(it: &Method) -> Value {
    json!({
        "id": it.id, "object": "payment_method", "type": "card", "customer": it.customer, "created": it.created,
        "livemode": false, "metadata": it.metadata, "billing_details": billing(it),
        "allow_redisplay": it.allow_redisplay.as_deref().unwrap_or("unspecified"),
        "card": {
            "brand": it.brand, "display_brand": it.brand, "last4": it.last4, "exp_month": it.exp_month,
            "exp_year": it.exp_year, "fingerprint": it.fingerprint, "funding": it.funding, "country": "US",
            "checks": { "cvc_check": "pass", "address_line1_check": null, "address_postal_code_check": null },
            "networks": { "available": [it.brand], "preferred": null },
            "three_d_secure_usage": { "supported": true }, "wallet": null, "generated_from": null,
            "regulated_status": "unregulated",
        },
    })
}

fn automatic(redirects: Option<&String>) -> Value {
    json!({ "enabled": true, "allow_redirects": redirects.map_or("always", String::as_str) })
}

/// What the browser has to do next; null unless the holder is awaited.
fn next_action(status: &str, id: &str) -> Value {
    if status != "requires_action" {
        return Value::Null;
    }
    let source = format!("{id}_authentication");
    json!({ "type": "use_stripe_sdk", "use_stripe_sdk": { "type": "three_d_secure_redirect", "source": source } })
}

/// A SetupIntent.
pub fn setup(it: &Setup) -> Value {
    json!({
        "id": it.id, "object": "setup_intent", "client_secret": it.secret, "created": it.created, "livemode": false,
        "status": it.status, "customer": it.customer, "payment_method": it.method, "usage": it.usage,
        "description": it.description, "last_setup_error": it.last_error, "cancellation_reason": it.cancellation_reason,
        "automatic_payment_methods": automatic(it.redirects.as_ref()), "payment_method_types": ["card"],
        "payment_method_options": { "card": { "request_three_d_secure": "automatic" } }, "latest_attempt": null,
        "mandate": null, "next_action": next_action(&it.status, &it.id), "single_use_mandate": null, "on_behalf_of": null,
        "application": null, "metadata": it.metadata,
    })
}

/// A PaymentIntent.
pub fn intent(it: &Intent) -> Value {
    json!({
        "id": it.id, "object": "payment_intent", "client_secret": it.secret, "created": it.created, "livemode": false,
        "amount": it.amount, "amount_received": it.received, "amount_capturable": 0, "amount_details": { "tip": {} },
        "currency": it.currency, "status": it.status, "customer": it.customer, "payment_method": it.method,
        "latest_charge": it.latest_charge, "capture_method": it.capture_method, "confirmation_method": "automatic",
        "setup_future_usage": it.setup_future_usage, "automatic_payment_methods": automatic(it.redirects.as_ref()),
        "payment_method_types": ["card"],
        "payment_method_options": { "card": { "installments": null, "mandate_options": null, "network": null,
            "request_three_d_secure": "automatic" } },
        "description": it.description, "receipt_email": it.receipt_email, "statement_descriptor": null,
        "statement_descriptor_suffix": it.suffix, "last_payment_error": it.last_error,
        "next_action": next_action(&it.status, &it.id), "canceled_at": it.canceled_at,
        "cancellation_reason": it.cancellation_reason, "processing": null, "review": null, "shipping": null,
        "source": null, "on_behalf_of": null, "application": null, "application_fee_amount": null,
        "transfer_data": null, "transfer_group": null, "metadata": it.metadata,
    })
}

/// Fields of a charge that the sandbox never fills.
const CHARGE_NULLS: [&str; 15] = [
    "application",
    "application_fee",
    "application_fee_amount",
    "failure_balance_transaction",
    "on_behalf_of",
    "receipt_email",
    "receipt_number",
    "review",
    "shipping",
    "source",
    "source_transfer",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
];

/// A charge as seen at `now`: its balance transaction appears once capture has caught up.
pub fn charge(it: &Charge, now: i64) -> Value {
    let paid = it.refused.is_none();
    let approved = json!({
        "type": "authorized", "network_status": "approved_by_network", "reason": null, "risk_level": "normal",
        "risk_score": 20, "seller_message": "Payment complete.", "advice_code": null, "network_advice_code": null,
        "network_decline_code": null,
    });
    let mut shown = json!({
        "id": it.id, "object": "charge", "created": it.created, "livemode": false, "amount": it.amount,
        "amount_captured": if paid { it.amount } else { 0 }, "amount_refunded": it.refunded, "currency": it.currency,
        "captured": paid, "paid": paid, "status": if paid { "succeeded" } else { "failed" },
        "refunded": paid && it.refunded >= it.amount, "disputed": it.disputed,
        "balance_transaction": it.balance.as_ref().filter(|_| now >= it.balance_at),
        "customer": it.customer, "payment_intent": it.intent, "payment_method": it.method, "description": it.description,
        "failure_code": it.refused.as_ref().map(|refused| &refused.code),
        "failure_message": it.refused.as_ref().map(|refused| &refused.message),
        "outcome": it.refused.as_ref().map_or(&approved, |refused| &refused.outcome),
        "payment_method_details": { "type": "card", "card": card_of(it, paid) },
        "billing_details": { "name": null, "email": null, "phone": null, "tax_id": null,
            "address": address(&BTreeMap::new()) },
        "calculated_statement_descriptor": "SANDBOX", "fraud_details": {}, "metadata": it.metadata,
        "receipt_url": paid.then(|| format!("https://pay.stripe.com/receipts/payment/{}", it.id)),
    });
    for name in CHARGE_NULLS {
        shown[name] = Value::Null;
    }
    shown
}

fn card_of(it: &Charge, paid: bool) -> Value {
    json!({
        "brand": it.brand, "last4": it.last4, "exp_month": it.exp_month, "exp_year": it.exp_year,
        "fingerprint": it.fingerprint, "funding": "credit", "country": "US", "network": it.brand, "mandate": null,
        "amount_authorized": paid.then_some(it.amount), "authorization_code": paid.then_some("123456"),
        "network_transaction_id": it.id, "three_d_secure": null, "wallet": null, "installments": null,
    })
}

/// A refund.
pub fn refund(it: &Refund) -> Value {
    let pending = it.status == "pending";
    json!({
        "id": it.id, "object": "refund", "created": it.created, "amount": it.amount, "currency": it.currency,
        "charge": it.charge, "payment_intent": it.intent, "status": it.status, "reason": it.reason,
        "balance_transaction": it.balance, "failure_balance_transaction": it.failure_balance,
        "failure_reason": it.failure_reason, "pending_reason": if pending { Some("processing") } else { None },
        "destination_details": { "type": "card", "card": {
            "type": if pending { "pending" } else { "refund" }, "reference": null, "reference_type": "acquirer_reference_number",
            "reference_status": if pending { "pending" } else { "available" } } },
        "receipt_number": null, "source_transfer_reversal": null, "transfer_reversal": null, "metadata": it.metadata,
    })
}

/// A movement of the balance as seen at `now`.
pub fn balance(it: &Balance, now: i64) -> Value {
    let fees = if it.fee == 0 {
        json!([])
    } else {
        json!([{ "amount": it.fee, "application": null, "currency": it.currency, "type": "stripe_fee",
                 "description": "Stripe processing fees" }])
    };
    json!({
        "id": it.id, "object": "balance_transaction", "created": it.created, "amount": it.amount, "fee": it.fee,
        "fee_details": fees, "net": it.amount - it.fee, "currency": it.currency, "exchange_rate": null,
        "available_on": it.available_on, "status": if now >= it.available_on { "available" } else { "pending" },
        "type": it.kind, "reporting_category": it.category, "source": it.source, "description": it.description,
        "balance_type": "payments",
    })
}

/// A dispute; `balances` are its movements, already rendered.
pub fn dispute(it: &Dispute, balances: &[Value]) -> Value {
    json!({
        "id": it.id, "object": "dispute", "created": it.created, "livemode": false, "amount": it.amount,
        "currency": it.currency, "charge": it.charge, "payment_intent": it.intent, "reason": it.reason,
        "status": it.status, "is_charge_refundable": it.inquiry, "balance_transactions": balances, "evidence": {},
        "evidence_details": { "due_by": it.created + 7 * 86_400, "has_evidence": false, "past_due": false,
            "submission_count": 0 },
        "payment_method_details": { "type": "card", "card": {
            "brand": "visa", "case_type": if it.inquiry { "inquiry" } else { "chargeback" }, "network_reason_code": "10.4" } },
        "metadata": {},
    })
}

/// A webhook endpoint; its secret is shown once, by the caller that made it.
pub fn hook(it: &Hook) -> Value {
    json!({
        "id": it.id, "object": "webhook_endpoint", "created": it.created, "livemode": false, "url": it.url,
        "enabled_events": it.enabled, "api_version": it.version, "description": it.description, "status": "enabled",
        "application": null, "metadata": it.metadata,
    })
}
