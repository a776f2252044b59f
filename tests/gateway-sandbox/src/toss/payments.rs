//! Looking payments up and cancelling them, whole or in part.
use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Transaction,
    billing::{transaction_key, whole},
    errors::{self, Refusal},
    objects::{Cancel, Payment, Status, created, stamp},
    wire::{self, Answer, Call},
};
use crate::core::{Core, Delivery, Gateway, Kind, LedgerEntry, Operation, Signing, lock};

const LONGEST_REASON: usize = 200;

pub async fn by_key(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Find, request, find_by_key).await
}

pub async fn by_order(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Find, request, find_by_order).await
}

pub async fn cancel(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Refund, request, give_back).await
}

fn find_by_key(core: &Arc<Core>, call: &Call) -> Answer {
    show(core, call.segment(0))
}

fn find_by_order(core: &Arc<Core>, call: &Call) -> Answer {
    let payment_key = lock(&core.toss).orders.get(call.segment(0)).cloned();
    show(core, &payment_key.ok_or(errors::NOT_FOUND_PAYMENT)?)
}

fn show(core: &Core, payment_key: &str) -> Answer {
    let toss = lock(&core.toss);
    let stored = toss.payments.get(payment_key).ok_or(errors::NOT_FOUND_PAYMENT)?;
    // A declined charge may be kept only because its order id is spent.
    if stored.payment.status == Status::Aborted && !toss.switches.keep_declined {
        return Err(errors::NOT_FOUND_PAYMENT);
    }
    Ok(Some(stored.payment.render(toss.switches.oddities)))
}

fn give_back(core: &Arc<Core>, call: &Call) -> Answer {
    cancel_payment(core, call.segment(1), &call.body)
}

/// Cancels a payment, by a merchant's server or by hand.
pub(super) fn cancel_payment(core: &Arc<Core>, payment_key: &str, body: &Value) -> Answer {
    let now = core.now();
    let key = transaction_key(core);
    let mut toss = lock(&core.toss);
    let odd = toss.switches.oddities;
    let stored = toss.payments.get_mut(payment_key).ok_or(errors::NOT_FOUND_PAYMENT)?;
    let payment = &mut stored.payment;
    let (amount, reason) = decide(payment, body)?;
    let whole_at_once = payment.status == Status::Done && amount == payment.balance_amount;
    payment.status = if whole_at_once { Status::Canceled } else { Status::PartialCanceled };
    payment.balance_amount -= amount;
    if payment.balance_amount == 0 {
        payment.tax_exemption_amount = 0;
        payment.card.acquire_status = "CANCELED".to_owned();
    }
    payment.split_balance();
    payment.last_transaction_key = Some(key.clone());
    payment.cancels.get_or_insert_default().push(Cancel {
        transaction_key: key.clone(),
        cancel_reason: reason.to_owned(),
        cancel_amount: amount,
        refundable_amount: payment.balance_amount,
        tax_free_amount: 0,
        tax_exemption_amount: 0,
        card_discount_amount: 0,
        transfer_discount_amount: 0,
        easy_pay_discount_amount: 0,
        canceled_at: stamp(now),
        receipt_key: Value::Null,
        cancel_status: "DONE".to_owned(),
        cancel_request_id: Value::Null,
    });
    let payment = payment.clone();
    let object = payment.render(odd);
    let (payment_key, status) = (payment.payment_key.clone(), payment.status);
    toss.transactions.push(Transaction { key, payment_key, at: now, amount: -amount, status });
    tell(core, &payment, amount, &object);
    Ok(Some(object))
}

/// How much is cancelled and why, or the refusal of Toss's cancel table.
fn decide<'a>(payment: &Payment, body: &'a Value) -> Result<(i64, &'a str), Refusal> {
    let reason = body.get("cancelReason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
    let reason = reason.filter(|reason| reason.chars().count() <= LONGEST_REASON).ok_or(errors::INVALID_REQUEST)?;
    if body.get("currency").is_some_and(|currency| *currency != payment.currency.as_str()) {
        return Err(errors::INVALID_REQUEST);
    }
    let balance = payment.balance_amount;
    match payment.status {
        Status::Aborted => return Err(errors::NOT_CANCELABLE_PAYMENT),
        Status::Canceled => return Err(errors::ALREADY_CANCELED_PAYMENT),
        Status::PartialCanceled if balance == 0 => return Err(errors::NOT_CANCELABLE_AMOUNT),
        Status::PartialCanceled | Status::Done => {}
    }
    if let Some(expected) = optional(body, "refundableAmount")?
        && expected != balance
    {
        return Err(errors::NOT_MATCHES_REFUNDABLE_AMOUNT);
    }
    let amount = optional(body, "cancelAmount")?.unwrap_or(balance);
    if amount <= 0 {
        return Err(errors::INVALID_REQUEST);
    }
    if amount > balance {
        return Err(errors::NOT_CANCELABLE_AMOUNT);
    }
    if amount < balance && !payment.is_partial_cancelable {
        return Err(errors::NOT_ALLOWED_PARTIAL_REFUND);
    }
    Ok((amount, reason))
}

fn optional(body: &Value, field: &str) -> Result<Option<i64>, Refusal> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => whole(value).map(Some).ok_or(errors::INVALID_REQUEST),
    }
}

/// Ledger and webhook of one cancel.
fn tell(core: &Arc<Core>, payment: &Payment, amount: i64, object: &Value) {
    let now = core.now();
    core.record(LedgerEntry {
        gateway: Gateway::Toss,
        kind: Kind::Refund,
        order_id: payment.order_id.clone(),
        payment_id: payment.payment_key.clone(),
        amount,
        currency: payment.currency.clone(),
        at: now,
    });
    let event = json!({ "eventType": "PAYMENT_STATUS_CHANGED", "createdAt": created(now), "data": object });
    core.deliver(Delivery {
        gateway: Gateway::Toss,
        order_id: Some(payment.order_id.clone()),
        event_type: "PAYMENT_STATUS_CHANGED".to_owned(),
        body: event.to_string().into_bytes(),
        sign: Signing::Toss,
    });
}
