//! Examples of bodies. A test holds each against its schema.

use serde_json::{Value, json};

const ULID: &str = "01JDPGVQ3M6Y8T4R2W9ZKXBC5H";

fn id(prefix: &str) -> String {
    format!("{prefix}_{ULID}")
}

pub fn plans() -> Value {
    json!({ "plans": [{
        "code": "starter", "version": 1, "name": "Starter", "description": "One branch: bookings, customers and reminders.",
        "price": { "amount": 33_000, "currency": "KRW" }, "interval": "MONTH",
        "addons": [{ "code": "sms", "name": "SMS pack", "price": { "amount": 11_000, "currency": "KRW" } }],
    }] })
}

pub fn session() -> Value {
    json!({ "token": "eyJhbGciOiJIUzI1NiJ9.e30.signature", "role": "OPS_ADMIN", "expiresAt": "2027-01-31T04:00:00Z" })
}

pub fn application_form() -> Value {
    json!({
        "businessName": "봄날 심리상담센터", "businessNumber": "120-81-47521", "category": "counselling",
        "contact": { "name": "김하나", "email": "owner@example.kr", "phone": "010-1234-5678" },
        "planCode": "starter", "addonCodes": ["sms"],
        "consents": { "terms": true, "privacy": true, "recurring": true },
    })
}

pub fn submitted() -> Value {
    json!({
        "id": id("req"), "tenantId": id("ten"), "status": "SUBMITTED", "nextAction": "REGISTER_CARD",
        "applicationToken": "eyJhbGciOiJIUzI1NiJ9.e30.signature",
        "customerKey": "7d0c1f8e-2a4b-4c3d-9e5f-6a7b8c9d0e1f",
    })
}

pub fn application() -> Value {
    json!({
        "id": id("req"), "status": "SUBMITTED", "businessName": "봄날 심리상담센터",
        "contact": { "name": "김하나", "email": "owner@example.kr", "phone": "010-1234-5678" },
        "planCode": "starter", "addonCodes": [], "tenantId": id("ten"), "paymentMethodId": id("mth"),
        "nextAction": "WAIT_FOR_REVIEW", "submittedAt": "2027-01-05T01:30:00Z",
    })
}

pub fn decided() -> Value {
    let mut body = application();
    body["status"] = "APPROVED".into();
    body["subscriptionId"] = id("sub").into();
    body["decision"] = json!({ "status": "APPROVED", "by": "ops", "at": "2027-01-06T01:00:00Z" });
    body["nextAction"] = "NONE".into();
    body
}

pub fn withdrawn() -> Value {
    let mut body = application();
    body["status"] = "WITHDRAWN".into();
    body["decision"] = json!({ "status": "WITHDRAWN", "by": id("req"), "at": "2027-01-06T01:00:00Z" });
    body["nextAction"] = "NONE".into();
    body
}

pub fn setup() -> Value {
    json!({
        "gateway": "stripe", "clientKey": "pk_test_publishable", "customerKey": "cus_QYz1",
        "clientSecret": "seti_1QK_secret_R2",
    })
}

pub fn registration() -> Value {
    json!({ "gateway": "stripe", "setupIntentId": "seti_1QK", "holderName": "김하나" })
}

pub fn method() -> Value {
    json!({
        "id": id("mth"), "gateway": "stripe", "brand": "visa", "last4": "4242", "expMonth": 12, "expYear": 2031,
        "status": "ACTIVE",
    })
}

pub fn order() -> Value {
    json!({
        "onboardingRequestId": id("req"), "planCode": "starter", "addonCodes": [], "paymentMethodId": id("mth"),
    })
}

pub fn method_change() -> Value {
    json!({ "paymentMethodId": id("mth") })
}

pub fn pending_subscription() -> Value {
    json!({
        "id": id("sub"), "status": "PENDING_ACTIVATION", "tenantId": id("ten"), "plan": { "code": "starter", "version": 1 },
        "amount": 33_000, "currency": "KRW", "paymentMethodId": id("mth"), "parked": false,
    })
}

pub fn subscription() -> Value {
    let mut body = pending_subscription();
    body["status"] = "ACTIVE".into();
    body["currentPeriod"] = json!({ "start": "2027-01-06", "end": "2027-02-06" });
    body["nextBillingAt"] = "2027-02-05T15:00:00Z".into();
    body
}

pub fn overdue_subscription() -> Value {
    let mut body = subscription();
    body["dunning"] = json!({
        "step": 1, "nextRetryAt": "2027-02-09T01:00:00Z", "deadline": "2027-02-20T01:00:00Z",
        "lastDecline": { "declineClass": "SOFT", "code": "insufficient_funds" },
    });
    body
}

pub fn cycle() -> Value {
    json!({
        "index": 0, "seq": 0, "period": { "start": "2027-01-06", "end": "2027-02-06" }, "status": "PAID",
        "lines": [{ "code": "starter", "amount": 33_000 }], "supply": 30_000, "vat": 3_000, "total": 33_000,
        "currency": "KRW", "refunded": 0, "refunds": [],
        "attempts": [{
            "n": 1, "orderId": format!("{ULID}-0-0-1"), "gateway": "toss", "outcome": "SUCCEEDED", "at": "2027-01-06T01:00:00Z",
        }],
    })
}

pub fn refund(status: &str) -> Value {
    json!({
        "id": id("rf"), "amount": 11_000, "supply": 10_000, "vat": 1_000, "currency": "KRW", "status": status,
        "origin": "OURS", "at": "2027-01-07T02:00:00Z",
    })
}

pub fn run(status: &str) -> Value {
    json!({
        "id": id("run"), "status": status, "forecast": { "count": 1_200, "amount": 45_600_000 }, "charged": 0,
        "declined": 0, "unknown": 0, "startedAt": "2027-02-06T00:00:00Z",
    })
}

pub fn demo_form() -> Value {
    json!({ "name": "김하나", "email": "owner@example.kr", "message": "두 지점을 함께 보고 싶습니다." })
}

pub fn demo_request() -> Value {
    let mut body = demo_form();
    body["id"] = id("demo").into();
    body["requestedAt"] = "2027-01-05T01:30:00Z".into();
    body["keptUntil"] = "2028-01-05T01:30:00Z".into();
    body
}

pub fn gateway() -> Value {
    json!({
        "gateway": "toss", "status": "PAUSED",
        "pause": { "by": "ops", "reason": "Toss announced an outage", "at": "2027-02-06T00:10:00Z" },
    })
}

pub fn guides() -> Value {
    json!({
        "gateway": "toss", "told": 1, "already": 0, "open": 0,
        "items": [{ "subscriptionId": id("sub"), "path": "/api/v1/billing/guides/eyJhbGciOiJIUzI1NiJ9.e30.signature" }],
    })
}

pub fn placed_attempt() -> Value {
    json!({
        "subscriptionId": id("sub"), "index": 0, "seq": 0, "status": "PAID", "n": 1, "orderId": format!("{ULID}-0-0-1"),
        "gateway": "toss", "outcome": "SUCCEEDED", "at": "2027-01-06T01:00:00Z",
    })
}

pub fn dead_letters() -> Value {
    json!({
        "queue": "failed-charges", "total": 1,
        "items": [{
            "id": "0b8f6d4e", "sentAt": "2027-02-06T00:20:00Z",
            "message": { "subscriptionId": id("sub"), "orderId": format!("{ULID}-1-0-1"), "reason": "UNKNOWN" },
        }],
    })
}

pub fn redriven() -> Value {
    json!({ "queue": "failed-charges", "sent": 1, "undeleted": 0, "left": 0 })
}

pub fn invoice_summary() -> Value {
    json!({
        "id": format!("inv_{ULID}-0-0"), "number": "MG-2027-000001", "tenantId": id("ten"),
        "period": { "start": "2027-01-06", "end": "2027-02-06" }, "supply": 30_000, "vat": 3_000, "total": 33_000,
        "currency": "KRW", "paidOn": "2027-01-06", "issuedAt": "2027-01-06T01:00:05Z",
    })
}

pub fn invoice() -> Value {
    let mut body = invoice_summary();
    let more = json!({
        "subscriptionId": id("sub"), "index": 0, "seq": 0,
        "supplier": { "name": "MindGarden", "registrationNumber": "000-00-00000", "representative": "Gardener", "address": "Seoul" },
        "buyer": { "name": "봄날 심리상담센터" }, "plan": { "code": "starter", "version": 1 },
        "lines": [{ "code": "starter", "name": "Starter", "amount": 33_000 }],
        "payment": { "rail": "CARD", "gateway": "toss", "paymentId": "tpay_1", "last4": "1234", "paidOn": "2027-01-06" },
        "refunded": 0, "refunds": [], "returns": [], "rules": 1,
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

pub fn tax_document() -> Value {
    json!({
        "invoiceId": format!("inv_{ULID}-0-0"), "kind": "CARD_SLIP", "status": "NOT_REQUIRED",
        "law": "부가가치세법 제33조 제2항", "decidedAt": "2027-01-06T02:00:00Z",
    })
}

pub fn explanation() -> Value {
    json!({
        "id": format!("inv_{ULID}-0-0"), "number": "MG-2027-000001", "rules": 1, "matches": true,
        "inputs": {
            "plan": { "code": "starter", "version": 1 }, "period": { "start": "2027-01-06", "end": "2027-02-06" },
            "lines": [{ "code": "starter", "name": "Starter", "amount": 33_000 }], "currency": "KRW", "refunds": [],
        },
        "steps": [{
            "name": "vat", "of": "MG-2027-000001", "formula": "33000 - 30000", "result": 3_000, "stored": 3_000, "matches": true,
        }],
    })
}

pub fn ledger() -> Value {
    json!({
        "month": "2027-01", "entries": 2, "complete": true, "balanced": true, "tied": true, "untied": [], "creditNotes": [],
        "debitNotes": [],
        "accounts": [{ "account": "REVENUE", "currency": "KRW", "debit": 0, "credit": 30_000, "net": -30_000 }],
        "invoices": [{ "currency": "KRW", "count": 1, "supply": 30_000, "vat": 3_000, "total": 33_000 }],
    })
}

fn figures() -> Value {
    json!({
        "charges": 4, "captured": 3, "declined": 1, "successRate": 0.75, "recovered": 1, "unknown": 0, "absent": 0,
        "quarantined": 0, "capturedAmounts": [{ "currency": "KRW", "amount": 99_000 }], "refundedAmounts": [],
        "declines": [{ "class": "SOFT", "code": "REJECT_CARD_PAYMENT", "count": 1 }],
        "subscriptions": { "activated": 1, "suspended": 0, "cancelled": 0, "terminated": 0 },
    })
}

pub fn metrics() -> Value {
    let mut day = figures();
    day["date"] = "2027-01-31".into();
    let mut metrics = figures();
    let now = json!({
        "from": "2027-01-01", "to": "2027-01-31", "mrr": [{ "currency": "KRW", "amount": 99_000 }], "active": 3,
        "openDunning": 0, "unknowns": 0, "unknownsComplete": true, "days": [day],
    });
    if let (Value::Object(metrics), Value::Object(now)) = (&mut metrics, now) {
        metrics.extend(now);
    }
    metrics
}

pub fn event() -> Value {
    json!({
        "id": "evt_01KBAVXJ7MZQ8R5T2W4Y6A9C1E", "at": "2027-01-31T01:00:00Z", "type": "gateway.paused",
        "subject": "gateway#toss", "actor": { "kind": "OPERATOR", "id": "ops" }, "reason": "Toss announced an outage",
        "changes": {},
    })
}

pub fn close() -> Value {
    json!({
        "month": "2027-01", "entries": 2, "creditNotes": [], "debitNotes": [], "closedBy": "ops",
        "closedAt": "2027-02-02T01:00:00Z",
        "accounts": [{ "account": "REVENUE", "currency": "KRW", "debit": 0, "credit": 30_000, "net": -30_000 }],
        "invoices": [{ "currency": "KRW", "count": 1, "supply": 30_000, "vat": 3_000, "total": 33_000 }],
    })
}

pub fn settlement() -> Value {
    let sum = |count: u64, amount: i64| json!({ "count": count, "amount": amount });
    json!({
        "gateway": "toss", "day": "2027-01-31", "complete": true, "unexplained": sum(0, 0),
        "totals": {
            "matched": sum(1, 33_000), "timing": sum(0, 0), "missing-internal": sum(0, 0), "missing-gateway": sum(0, 0),
            "amount-mismatch": sum(0, 0),
        },
        "rows": [{
            "id": "tx_1", "side": "gateway", "bucket": "matched", "explained": 33_000, "unexplained": 0,
            "kind": "CAPTURE", "paymentId": "pay_1", "amount": 33_000, "currency": "KRW", "at": "2027-01-31T01:00:00Z",
            "fee": 1_000, "net": 32_000, "paidOutOn": "2027-02-03",
        }],
    })
}
