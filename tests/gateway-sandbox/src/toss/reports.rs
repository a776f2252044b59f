//! Transactions as they happened, and settlements made up the day after, cancels as negative rows.
use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{
    Stored, Transaction,
    errors::{self, Refusal},
    objects::{Cancel, MID, civil, stamp, tax_in},
    wire::{self, Answer, Call},
};
use crate::core::{Core, Operation, lock};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 5_000;
/// Merchant fee including its tax, in hundredths of a percent.
const FEE_RATE: i64 = 374;
/// Days from sale to pay-out.
const PAID_AFTER: i64 = 5;

pub async fn transactions(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Find, request, list_transactions).await
}

pub async fn settlements(State(core): State<Arc<Core>>, request: Request) -> Response {
    wire::run(core, Operation::Find, request, list_settlements).await
}

fn list_transactions(core: &Arc<Core>, call: &Call) -> Answer {
    let query = query(&call.query);
    let from = moment(&query, "startDate")?;
    let to = moment(&query, "endDate")?;
    let limit = count(&query, "limit")?;
    let after = query.get("startingAfter");
    let toss = lock(&core.toss);
    let skip = match after {
        None => 0,
        Some(key) => toss.transactions.iter().position(|row| row.key == *key).ok_or(errors::INVALID_REQUEST)? + 1,
    };
    let rows = toss.transactions.iter().skip(skip).filter(|row| (from..=to).contains(&civil(row.at)));
    let rows: Vec<Value> =
        rows.filter_map(|row| Some(transaction_row(row, toss.payments.get(&row.payment_key)?))).take(limit).collect();
    Ok(Some(Value::Array(rows)))
}

fn transaction_row(row: &Transaction, stored: &Stored) -> Value {
    let payment = &stored.payment;
    json!({
        "mId": MID, "transactionKey": row.key, "paymentKey": row.payment_key, "orderId": payment.order_id,
        "method": payment.method, "customerKey": stored.customer_key, "useEscrow": false,
        "receiptUrl": payment.receipt.url, "status": row.status, "transactionAt": stamp(row.at),
        "currency": payment.currency, "amount": row.amount.abs(),
    })
}

fn list_settlements(core: &Arc<Core>, call: &Call) -> Answer {
    let query = query(&call.query);
    let from = day(&query, "startDate")?;
    let to = day(&query, "endDate")?;
    let size = count(&query, "size")?;
    let page = match query.get("page") {
        None => 1,
        Some(text) => text.parse().ok().filter(|page| *page > 0).ok_or(errors::INVALID_REQUEST)?,
    };
    let paid_out = match query.get("dateType").map(String::as_str) {
        None | Some("soldDate") => false,
        Some("paidOutDate") => true,
        Some(_) => return Err(errors::INVALID_REQUEST),
    };
    let today = civil(core.now()).date();
    let toss = lock(&core.toss);
    let wanted = |row: &&Transaction| {
        let sold = civil(row.at).date();
        let dated = if paid_out { paid_out_on(sold) } else { sold };
        sold < today && (from..=to).contains(&dated)
    };
    let rows = toss.transactions.iter().filter(wanted).skip(size.saturating_mul(page - 1)).take(size);
    let odd = toss.switches.oddities;
    let rows = rows.filter_map(|row| Some(settlement_row(row, toss.payments.get(&row.payment_key)?, odd)));
    Ok(Some(Value::Array(rows.collect())))
}

fn paid_out_on(sold: Date) -> Date {
    sold.saturating_add(PAID_AFTER.days())
}

fn settlement_row(row: &Transaction, stored: &Stored, odd: bool) -> Value {
    let payment = &stored.payment;
    let fee = fee_of(row.amount);
    let vat = row.amount.signum() * tax_in(fee.abs());
    let cancels: &[Cancel] = payment.cancels.as_deref().unwrap_or_default();
    let cancel = cancels.iter().find(|cancel| cancel.transaction_key == row.key);
    let sold = civil(row.at).date();
    let mut object = json!({
        "mId": MID, "paymentKey": row.payment_key, "transactionKey": row.key, "orderId": payment.order_id,
        "currency": payment.currency, "method": payment.method, "amount": row.amount, "interestFee": 0, "fee": fee,
        "fees": [{ "type": "BASE", "fee": fee }], "supplyAmount": fee - vat, "vat": vat,
        "payOutAmount": row.amount - fee, "approvedAt": payment.approved_at,
        "soldDate": sold.to_string(), "paidOutDate": paid_out_on(sold).to_string(), "card": payment.card,
        "easyPay": null, "giftCertificate": null, "mobilePhone": null, "transfer": null, "virtualAccount": null,
        "cancel": cancel,
    });
    if let (true, Some(fields)) = (odd, object.as_object_mut()) {
        fields.insert("fee".into(), fee.to_string().into());
        fields.remove("fees");
    }
    object
}

/// The merchant fee of a row, rounded half away from zero; negative for a cancel.
fn fee_of(amount: i64) -> i64 {
    amount.signum() * ((amount.abs() * FEE_RATE + 5_000) / 10_000)
}

fn query(text: &str) -> BTreeMap<String, String> {
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// `yyyy-MM-dd` or `yyyy-MM-dd'T'HH:mm:ss`, Seoul time, no offset.
fn moment(query: &BTreeMap<String, String>, name: &str) -> Result<DateTime, Refusal> {
    let text = query.get(name).ok_or(errors::INVALID_REQUIRED_PARAM)?;
    let offset = text.get(10..).is_some_and(|time| time.contains(['Z', 'z', '+', '-', '[']));
    if offset { Err(errors::INVALID_DATE) } else { text.parse().map_err(|_| errors::INVALID_DATE) }
}

fn day(query: &BTreeMap<String, String>, name: &str) -> Result<Date, Refusal> {
    let text = query.get(name).ok_or(errors::INVALID_REQUIRED_PARAM)?;
    if text.len() == 10 { text.parse().map_err(|_| errors::INVALID_DATE) } else { Err(errors::INVALID_DATE) }
}

fn count(query: &BTreeMap<String, String>, name: &str) -> Result<usize, Refusal> {
    let Some(text) = query.get(name) else { return Ok(PAGE) };
    text.parse().ok().filter(|count| (1..=LARGEST_PAGE).contains(count)).ok_or(errors::INVALID_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_gives_its_fee_back() {
        for amount in [33_000, 77_000, 100, 1] {
            assert_eq!(fee_of(-amount), -fee_of(amount));
        }
        assert_eq!(fee_of(33_000), 1_234);
        assert_eq!(tax_in(1_234), 112);
    }
}
