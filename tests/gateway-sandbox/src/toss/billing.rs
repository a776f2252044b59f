//! Billing keys: issue, charge, delete.
use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use serde_json::{Value, json};

use super::{
    Billing, Stored, TossState, Transaction,
    errors::{self, Failure, Refusal},
    objects::{Link, MID, PaidCard, Payment, Status, TestCard, compact, created, stamp},
    wire::{self, Answer, Call},
};
use crate::core::{Core, Delivery, Gateway, Kind, LedgerEntry, Operation, Signing, lock};

/// Above this Toss fails with a 500 that is our fault.
const LONGEST_CUSTOMER_KEY: usize = 300;
const SMALLEST_AMOUNT: i64 = 100;

pub async fn issue(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Register, request, issue_key).await
}

pub async fn charge(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Charge, request, take_payment).await
}

pub async fn delete(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Register, request, delete_key).await
}

fn issue_key(core: &Arc<Core>, call: &Call) -> Answer {
    let auth_key = required(&call.body, "authKey")?;
    let customer_key = customer_key(&call.body)?;
    let now = core.now();
    let mut toss = lock(&core.toss);
    let grant = toss.grants.get_mut(auth_key).filter(|grant| !grant.used).ok_or(errors::NOT_FOUND_BILLING)?;
    if grant.customer_key != customer_key {
        return Err(errors::NOT_MATCHES_CUSTOMER_KEY);
    }
    grant.used = true;
    let card = grant.card.clone();
    let (code, issuer, number, kind) = card.face();
    let billing_key = URL_SAFE.encode(rand::random::<[u8; 32]>());
    let object = json!({
        "mId": MID, "customerKey": customer_key, "authenticatedAt": stamp(now), "method": "카드",
        "billingKey": billing_key,
        "card": {
            "issuerCode": code, "acquirerCode": code, "number": number, "cardType": kind, "ownerType": "개인"
        },
        "transfers": null, "easyPay": null, "cardCompany": issuer, "cardNumber": number,
    });
    let customer_key = customer_key.to_owned();
    toss.billings.insert(billing_key, Billing { customer_key, card, deleted: false });
    Ok(Some(object))
}

fn delete_key(core: &Arc<Core>, call: &Call) -> Answer {
    let billing_key = call.segment(0);
    let now = core.now();
    {
        let mut toss = lock(&core.toss);
        let billing = toss.billings.get_mut(billing_key).ok_or(errors::NOT_FOUND_BILLING)?;
        if billing.deleted {
            return Err(errors::ALREADY_REMOVED_BILLING_KEY);
        }
        billing.deleted = true;
    }
    let data = json!({ "billingKey": billing_key, "reason": "삭제 API 요청" });
    let event = json!({ "eventType": "BILLING_DELETED", "createdAt": created(now), "data": data });
    core.deliver(Delivery {
        gateway: Gateway::Toss,
        order_id: None,
        event_type: "BILLING_DELETED".to_owned(),
        body: event.to_string().into_bytes(),
        sign: Signing::Toss,
    });
    Ok(None)
}

/// A charge request whose fields are all acceptable.
struct Order<'a> {
    customer_key: &'a str,
    order_id: &'a str,
    order_name: &'a str,
    amount: i64,
    tax_exemption: Option<i64>,
}

impl<'a> Order<'a> {
    fn read(body: &'a Value) -> Result<Self, Refusal> {
        let customer_key = customer_key(body)?;
        let order_id = required(body, "orderId")?;
        let plain = order_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !plain || !(6..=64).contains(&order_id.len()) {
            return Err(errors::INVALID_ORDER_ID);
        }
        let order_name = required(body, "orderName")?;
        if order_name.chars().count() > 100 {
            return Err(errors::INVALID_ORDER_NAME);
        }
        let mail = body.get("customerEmail").and_then(Value::as_str);
        if mail.is_some_and(|mail| mail.len() > 100 || !mail.contains('@')) {
            return Err(errors::INVALID_EMAIL);
        }
        let amount = match body.get("amount") {
            None | Some(Value::Null) => return Err(errors::REQUIRED_AMOUNT),
            Some(amount) => whole(amount).ok_or(errors::INVALID_REQUEST)?,
        };
        if amount <= 0 {
            return Err(errors::BELOW_ZERO_AMOUNT);
        }
        if amount < SMALLEST_AMOUNT {
            return Err(errors::BELOW_MINIMUM_AMOUNT);
        }
        let tax_exemption = body.get("taxExemptionAmount").and_then(whole);
        Ok(Self { customer_key, order_id, order_name, amount, tax_exemption })
    }
}

fn take_payment(core: &Arc<Core>, call: &Call) -> Answer {
    let order = Order::read(&call.body)?;
    let mut toss = lock(&core.toss);
    let billing = toss.billings.get(call.segment(0)).ok_or(errors::INVALID_BILL_KEY_REQUEST)?;
    if billing.deleted {
        return Err(errors::ALREADY_REMOVED_BILLING_KEY);
    }
    if billing.customer_key != order.customer_key {
        return Err(errors::NOT_MATCHES_CUSTOMER_KEY);
    }
    if order_id_taken(&toss, order.order_id) {
        return Err(errors::DUPLICATED_ORDER_ID);
    }
    let override_card = core.behaviour(order.customer_key).as_deref().and_then(TestCard::named);
    let card = billing.card.clone();
    let refusal = override_card.as_ref().unwrap_or(&card).refusal();
    let payment = new_payment(core, &order, &card, refusal);
    core.record(LedgerEntry {
        gateway: Gateway::Toss,
        kind: if refusal.is_some() { Kind::Decline } else { Kind::Capture },
        order_id: payment.order_id.clone(),
        payment_id: payment.payment_key.clone(),
        amount: payment.total_amount,
        currency: payment.currency.clone(),
        at: core.now(),
    });
    let object = payment.render(toss.switches.oddities);
    if refusal.is_none() || toss.switches.keep_declined || toss.switches.declined_order_id_taken {
        keep(core, &mut toss, payment, order.customer_key);
    }
    match refusal {
        Some(refusal) => Err(refusal),
        None => Ok(Some(object)),
    }
}

fn order_id_taken(toss: &TossState, order_id: &str) -> bool {
    let latest = toss.orders.get(order_id).and_then(|key| toss.payments.get(key));
    latest.is_some_and(|stored| stored.payment.status != Status::Aborted || toss.switches.declined_order_id_taken)
}

fn keep(core: &Core, toss: &mut TossState, payment: Payment, customer_key: &str) {
    let payment_key = payment.payment_key.clone();
    toss.orders.insert(payment.order_id.clone(), payment_key.clone());
    if let Some(key) = &payment.last_transaction_key {
        toss.transactions.push(Transaction {
            key: key.clone(),
            payment_key: payment_key.clone(),
            at: core.now(),
            amount: payment.total_amount,
            status: payment.status,
        });
    }
    toss.payments.insert(payment_key, Stored { payment, customer_key: customer_key.to_owned() });
}

fn new_payment(core: &Core, order: &Order<'_>, card: &TestCard, refusal: Option<Refusal>) -> Payment {
    let now = core.now();
    let payment_key = format!("tviva{}{}", compact(now), core.token(5));
    let (issuer, _, number, kind) = card.face();
    let approved = refusal.is_none();
    let balance_amount = if approved { order.amount } else { 0 };
    let receipt = format!("https://dashboard.tosspayments.com/receipt/redirection?transactionId={payment_key}&ref=PX");
    let checkout = format!("https://api.tosspayments.com/v1/payments/{payment_key}/checkout");
    let mut payment = Payment {
        m_id: MID.to_owned(),
        version: "2022-11-16".to_owned(),
        payment_key,
        r#type: "BILLING".to_owned(),
        order_id: order.order_id.to_owned(),
        order_name: order.order_name.to_owned(),
        currency: "KRW".to_owned(),
        method: "카드".to_owned(),
        status: if approved { Status::Done } else { Status::Aborted },
        total_amount: order.amount,
        balance_amount,
        supplied_amount: 0,
        vat: 0,
        tax_free_amount: 0,
        tax_exemption_amount: order.tax_exemption.unwrap_or(0),
        requested_at: stamp(now),
        approved_at: approved.then(|| stamp(now)),
        use_escrow: false,
        culture_expense: false,
        last_transaction_key: approved.then(|| transaction_key(core)),
        is_partial_cancelable: order.tax_exemption.is_none(),
        card: PaidCard {
            issuer_code: issuer.to_owned(),
            acquirer_code: issuer.to_owned(),
            number: number.to_owned(),
            installment_plan_months: 0,
            is_interest_free: false,
            interest_payer: Value::Null,
            approve_no: "00000000".to_owned(),
            use_card_point: false,
            card_type: kind.to_owned(),
            owner_type: "개인".to_owned(),
            acquire_status: "READY".to_owned(),
            amount: order.amount,
        },
        virtual_account: Value::Null,
        transfer: Value::Null,
        mobile_phone: Value::Null,
        gift_certificate: Value::Null,
        easy_pay: Value::Null,
        cash_receipt: Value::Null,
        cash_receipts: Value::Null,
        discount: Value::Null,
        cancels: None,
        secret: format!("ps_{}", core.token(20)),
        metadata: Value::Null,
        country: "KR".to_owned(),
        failure: refusal.map(Failure::from),
        receipt: Link { url: receipt },
        checkout: Link { url: checkout },
    };
    payment.split_balance();
    payment
}

/// `txrd_a01…`, 32 characters.
pub fn transaction_key(core: &Core) -> String {
    format!("txrd_a01{}", core.token(24).to_lowercase())
}

/// A string field that is there and not empty.
pub fn required<'a>(body: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    if !body.is_object() {
        return Err(errors::INVALID_REQUEST);
    }
    let text = body.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or(errors::INVALID_REQUIRED_PARAM)
}

fn customer_key(body: &Value) -> Result<&str, Refusal> {
    let key = required(body, "customerKey")?;
    match key.len() {
        0 | 1 => Err(errors::INVALID_CUSTOMER_KEY),
        2..=LONGEST_CUSTOMER_KEY => Ok(key),
        _ => Err(errors::FAILED_DB_PROCESSING),
    }
}

/// A whole number, also when it is written `5000.0`.
pub fn whole(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).parse().ok()
}
