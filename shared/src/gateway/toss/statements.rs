//! Toss's lists of transactions and settlements (facts: approvals and cancels are rows of their own, joined by
//! `transactionKey`; settlements appear the day after the sale, cancels negative; neither list says how long it is).

use async_trait::async_trait;
use domain::Date;
use domain::calendar::zone;
use domain::charge::GatewayName;
use domain::money::Money;
use domain::movement::{Fee, Kind, Listed, Movement};
use jiff::Timestamp;
use serde_json::Value;

use super::super::json::{id, money, owned, text, whole};
use super::super::statements::{Statement, Statements, Window, unreadable};
use super::super::transport::{NoAnswer, Reply, send};
use super::super::{GatewayError, RATE_LIMITED};
use super::{Toss, build};

/// Rows asked for per page. Toss gives at most 5,000; an answer must stay below the size we read.
const PAGE: usize = 1_000;

#[async_trait]
impl Statements for Toss {
    fn name(&self) -> GatewayName {
        GatewayName::Toss
    }

    async fn movements(&self, window: &Window<'_>) -> Result<Statement, GatewayError> {
        let key = self.key().await?;
        let call = build::transactions(&self.base, &key, window, PAGE);
        let rows = rows(&send(&self.client, call).await.map_err(|NoAnswer| GatewayError::Unknown)?)?;
        // A full page may be the last one; the next is empty then.
        let after = rows.last().filter(|_| rows.len() >= PAGE).and_then(|row| owned(row, "transactionKey"));
        let inside = |row: &Listed| match row {
            // Toss's window is closed at both ends and counts whole seconds.
            Listed::Movement(movement) => movement.at >= window.from && movement.at < window.until,
            Listed::Unreadable { .. } => true,
        };
        Ok(Statement { rows: rows.iter().map(transaction).filter(inside).collect(), after })
    }

    async fn settled(&self, day: Date, after: Option<&str>) -> Result<Statement, GatewayError> {
        let key = self.key().await?;
        let page = after.and_then(|page| page.parse().ok()).unwrap_or(1u32);
        let call = build::settlements(&self.base, &key, day, page, PAGE);
        let rows = rows(&send(&self.client, call).await.map_err(|NoAnswer| GatewayError::Unknown)?)?;
        let after = (rows.len() >= PAGE).then(|| page.saturating_add(1).to_string());
        Ok(Statement { rows: rows.iter().map(settlement).collect(), after })
    }
}

fn rows(reply: &Reply) -> Result<Vec<Value>, GatewayError> {
    if reply.status == 429 {
        return Err(GatewayError::Rejected { code: RATE_LIMITED.to_owned() });
    }
    if reply.status == 401 || reply.status == 403 {
        return Err(GatewayError::Config { code: format!("http_{}", reply.status) });
    }
    match reply.json() {
        Some(Value::Array(rows)) if reply.ok() => Ok(rows),
        Some(_) | None => Err(GatewayError::Unknown),
    }
}

fn transaction(row: &Value) -> Listed {
    read_transaction(row).map_or_else(|| unreadable(row, "transactionKey"), Listed::Movement)
}

fn read_transaction(row: &Value) -> Option<Movement> {
    let amount = money(row, "amount", "currency")?;
    let (kind, sign) = match text(row, "status")? {
        "DONE" => (Kind::Capture, 1),
        "CANCELED" | "PARTIAL_CANCELED" => (Kind::Refund, -1),
        _ => return None,
    };
    let amount = Money { amount: amount.amount.checked_abs()?.checked_mul(sign)?, ..amount };
    named(row, kind, amount, instant(text(row, "transactionAt")?)?, None)
}

fn settlement(row: &Value) -> Listed {
    read_settlement(row).map_or_else(|| unreadable(row, "transactionKey"), Listed::Movement)
}

fn read_settlement(row: &Value) -> Option<Movement> {
    let amount = money(row, "amount", "currency")?;
    let cancel = row.get("cancel").filter(|cancel| cancel.is_object());
    let kind = if cancel.is_some() || amount.amount < 0 { Kind::Refund } else { Kind::Capture };
    let at = cancel.and_then(|cancel| text(cancel, "canceledAt")).or_else(|| text(row, "approvedAt"));
    let at = match at {
        Some(at) => instant(at)?,
        // Old bodies lack the instant: the day of the sale is certain.
        None => text(row, "soldDate")?.parse::<Date>().ok()?.to_zoned(zone()).ok()?.timestamp(),
    };
    let fee = Fee {
        amount: number(row, "fee")?,
        vat: number(row, "vat"),
        net: number(row, "payOutAmount")?,
        paid_out_on: text(row, "paidOutDate").and_then(|date| date.parse().ok()),
    };
    named(row, kind, amount, at, Some(fee))
}

fn named(row: &Value, kind: Kind, amount: Money, at: Timestamp, fee: Option<Fee>) -> Option<Movement> {
    let key = id(row, "transactionKey")?;
    let about = (kind == Kind::Refund).then(|| key.clone());
    let (order_id, payment_id) = (owned(row, "orderId"), owned(row, "paymentKey"));
    Some(Movement { id: key, kind, order_id, payment_id, charge_id: None, about, amount, at, fee })
}

/// A whole number, also when it is written as text.
fn number(row: &Value, field: &str) -> Option<i64> {
    whole(row, field).or_else(|| text(row, field)?.parse().ok())
}

/// An instant; one without an offset is Seoul's.
fn instant(text: &str) -> Option<Timestamp> {
    let civil = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(zone()).ok().map(|at| at.timestamp());
    text.parse().ok().or_else(civil)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sold() -> Value {
        json!({
            "mId": "tvivarepublica", "paymentKey": "tviva1", "transactionKey": "tx1", "orderId": "o-0-0-1",
            "currency": "KRW", "method": "카드", "amount": 33000, "interestFee": 0, "fee": 1237,
            "fees": [{"type": "BASE", "fee": 1237}], "supplyAmount": 1125, "vat": 112, "payOutAmount": 31763,
            "approvedAt": "2026-11-22T10:05:14+09:00", "soldDate": "2026-11-22", "paidOutDate": "2026-11-27", "cancel": null,
        })
    }

    fn with(mut row: Value, field: &str, value: Value) -> Value {
        row[field] = value;
        row
    }

    #[test]
    fn a_sale_carries_its_fee() {
        let Listed::Movement(movement) = settlement(&sold()) else { panic!("read") };
        assert_eq!(
            (movement.kind, movement.amount, movement.adds_up()),
            (Kind::Capture, Money::krw(33_000), Some(true))
        );
        let fee = movement.fee.unwrap();
        assert_eq!((fee.amount, fee.vat, fee.net), (1_237, Some(112), 31_763));
        assert_eq!(fee.paid_out_on.unwrap().to_string(), "2026-11-27");
        assert_eq!(movement.at.to_string(), "2026-11-22T01:05:14Z");
        let texts = with(with(sold(), "fee", json!("1237")), "fees", Value::Null);
        assert!(matches!(settlement(&texts), Listed::Movement(m) if m.adds_up() == Some(true)));
        let wrong = with(sold(), "payOutAmount", json!(31_764));
        assert!(matches!(settlement(&wrong), Listed::Movement(m) if m.adds_up() == Some(false)));
    }

    #[test]
    fn a_cancel_is_negative_and_its_own_row() {
        let mut row = sold();
        for field in ["amount", "fee", "supplyAmount", "vat", "payOutAmount"] {
            row[field] = json!(-row[field].as_i64().unwrap());
        }
        row["cancel"] = json!({"canceledAt": "2026-11-23T09:00:00+09:00", "transactionKey": "tx1"});
        let Listed::Movement(movement) = settlement(&row) else { panic!("read") };
        assert_eq!((movement.kind, movement.amount.amount, movement.adds_up()), (Kind::Refund, -33_000, Some(true)));
        assert_eq!(
            (movement.about.as_deref(), movement.at.to_string().as_str()),
            (Some("tx1"), "2026-11-23T00:00:00Z")
        );
    }

    #[test]
    fn transactions_are_signed_by_what_they_are() {
        let row = |status: &str, at: &str| {
            json!({"transactionKey": "tx1", "paymentKey": "p", "orderId": "o", "status": status, "transactionAt": at,
                   "currency": "KRW", "amount": 500})
        };
        for (status, kind, amount) in
            [("DONE", Kind::Capture, 500), ("CANCELED", Kind::Refund, -500), ("PARTIAL_CANCELED", Kind::Refund, -500)]
        {
            let Listed::Movement(movement) = transaction(&row(status, "2026-11-22T10:00:00+09:00")) else { panic!() };
            assert_eq!((movement.kind, movement.amount.amount, movement.adds_up()), (kind, amount, None));
        }
        let local = transaction(&row("DONE", "2026-11-22T10:00:00"));
        assert!(matches!(local, Listed::Movement(m) if m.at.to_string() == "2026-11-22T01:00:00Z"));
        let odd = transaction(&row("BRAND_NEW", "2026-11-22T10:00:00"));
        assert!(matches!(odd, Listed::Unreadable { id: Some(id), raw } if id == "tx1" && raw.contains("BRAND_NEW")));
    }

    #[test]
    fn what_is_no_list_is_no_answer() {
        let reply = |status, body: &str| Reply { status, body: body.as_bytes().to_vec() };
        assert_eq!(rows(&reply(200, "[]")), Ok(Vec::new()));
        assert_eq!(rows(&reply(200, "{}")), Err(GatewayError::Unknown));
        assert_eq!(rows(&reply(500, "[]")), Err(GatewayError::Unknown));
        assert_eq!(rows(&reply(429, "[]")), Err(GatewayError::Rejected { code: RATE_LIMITED.into() }));
        assert!(matches!(rows(&reply(401, "{}")), Err(GatewayError::Config { .. })));
    }
}
