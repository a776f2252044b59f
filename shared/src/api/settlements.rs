//! Bodies of a gateway's settlement: JSON, and a sheet for people who work in one.
//!
//! Invariants of the sheet: UTF-8 with a byte order mark, CRLF, every cell quoted; text from elsewhere never starts a
//! formula; amounts are plain whole numbers.

use domain::Date;
use domain::charge::{Billable, GatewayName};
use domain::money::Currency;
use domain::settlement::{Bucket, Reason, SettlementRow};
use serde_json::{Map, Value, json};

use crate::usecase::settlement_report::{Sum, Totals};

/// Heads of the sheet's columns: Korean, with the field's name.
const COLUMNS: [&str; 21] = [
    "정산일(day)",
    "PG(gateway)",
    "행(id)",
    "주체(side)",
    "종류(kind)",
    "구분(bucket)",
    "사유(reason)",
    "주문번호(orderId)",
    "구독(subscriptionId)",
    "결제키(paymentId)",
    "대상(about)",
    "금액(amount)",
    "통화(currency)",
    "일시(at)",
    "수수료(fee)",
    "수수료 부가세(feeVat)",
    "정산액(net)",
    "지급일(paidOutOn)",
    "설명된 금액(explained)",
    "미설명 금액(unexplained)",
    "원문(raw)",
];

/// One row.
#[must_use]
pub fn row_body(row: &SettlementRow) -> Value {
    let mut body = json!({
        "id": row.id, "side": row.side, "bucket": row.verdict.bucket, "explained": row.verdict.explained,
        "unexplained": row.verdict.unexplained, "reason": row.verdict.reason, "answeredBy": row.answered_by,
        "raw": row.raw,
    });
    if let (Value::Object(body), Some(moved)) = (&mut body, &row.movement) {
        let fee = moved.fee.as_ref();
        let more = json!({
            "kind": moved.kind, "orderId": moved.order_id, "subscriptionId": subscription(row), "paymentId": moved.payment_id,
            "about": moved.about, "amount": moved.amount.amount, "currency": moved.amount.currency.code(),
            "at": moved.at.to_string(), "fee": fee.map(|fee| fee.amount), "feeVat": fee.and_then(|fee| fee.vat),
            "net": fee.map(|fee| fee.net), "paidOutOn": fee.and_then(|fee| fee.paid_out_on).map(|day| day.to_string()),
        });
        if let Value::Object(more) = more {
            body.extend(more);
        }
        body.retain(|_, value| !value.is_null());
    }
    body
}

fn subscription(row: &SettlementRow) -> Option<String> {
    let order = row.movement.as_ref()?.order_id.as_deref()?;
    Billable::parse_order_id(order).map(|(of, _)| of.subscription.to_string())
}

/// A page of a day with the sums of all of it.
#[must_use]
pub fn settlement_body(
    gateway: GatewayName,
    day: Date,
    rows: &[SettlementRow],
    totals: &Totals,
    next_cursor: Option<String>,
) -> Value {
    let sums = Bucket::ALL.map(|bucket| {
        let sum = totals.buckets.get(&bucket).cloned().unwrap_or_default();
        (bucket.as_str().to_owned(), sum_body(&sum))
    });
    let mut body = json!({
        "gateway": gateway, "day": day.to_string(), "rows": rows.iter().map(row_body).collect::<Vec<_>>(),
        "totals": sums.into_iter().collect::<Map<String, Value>>(), "unexplained": sum_body(&totals.unexplained),
        "complete": totals.complete,
    });
    if let Some(cursor) = next_cursor {
        body["nextCursor"] = cursor.into();
    }
    body
}

/// `amount` is in won; what is in another currency stands beside it.
fn sum_body(sum: &Sum) -> Value {
    let whole = |sum: i128| i64::try_from(sum).map_or_else(|_| sum.to_string().into(), Value::from);
    let won = sum.amounts.get(&Currency::KRW).copied().unwrap_or(0);
    let mut body = json!({ "count": sum.count, "amount": whole(won) });
    let others = sum.amounts.iter().filter(|(currency, _)| **currency != Currency::KRW);
    let others: Map<String, Value> = others.map(|(c, sum)| (c.code().to_owned(), whole(*sum))).collect();
    if !others.is_empty() {
        body["otherCurrencies"] = others.into();
    }
    body
}

/// The rows as a sheet.
#[must_use]
pub fn sheet(rows: &[SettlementRow]) -> String {
    let mut text = String::from("\u{feff}");
    line(&mut text, COLUMNS.map(str::to_owned));
    for row in rows {
        line(&mut text, cells(row));
    }
    text
}

fn line(text: &mut String, cells: [String; 21]) {
    let quoted = cells.map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
    text.push_str(&quoted.join(","));
    text.push_str("\r\n");
}

fn cells(row: &SettlementRow) -> [String; 21] {
    let moved = row.movement.as_ref();
    let fee = moved.and_then(|m| m.fee.as_ref());
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let own = |text: Option<&str>| text.map(str::to_owned).unwrap_or_default();
    let foreign = |value: Option<&String>| value.map(|text| harmless(text)).unwrap_or_default();
    [
        row.day.to_string(),
        row.gateway.as_str().to_owned(),
        harmless(&row.id),
        own(json!(row.side).as_str()),
        own(moved.map(|m| m.kind.as_str())),
        row.verdict.bucket.as_str().to_owned(),
        own(row.verdict.reason.map(Reason::as_str)),
        foreign(moved.and_then(|m| m.order_id.as_ref())),
        foreign(subscription(row).as_ref()),
        foreign(moved.and_then(|m| m.payment_id.as_ref())),
        foreign(moved.and_then(|m| m.about.as_ref())),
        number(moved.map(|m| m.amount.amount)),
        own(moved.map(|m| m.amount.currency.code())),
        own(moved.map(|m| m.at.to_string()).as_deref()),
        number(fee.map(|fee| fee.amount)),
        number(fee.and_then(|fee| fee.vat)),
        number(fee.map(|fee| fee.net)),
        own(fee.and_then(|fee| fee.paid_out_on).map(|day| day.to_string()).as_deref()),
        number(Some(row.verdict.explained)),
        number(row.verdict.unexplained),
        foreign(row.raw.as_ref()),
    ]
}

/// Text that a sheet would take for a formula is marked as text. Spaces and control characters before one hide nothing.
fn harmless(text: &str) -> String {
    let starts = |c: char| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    let first = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control()).chars().next();
    let control = text.starts_with(['\t', '\r', '\n']);
    if control || first.is_some_and(starts) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::Money;
    use domain::movement::{Kind, Movement};
    use domain::settlement::{Booked, Side, Verdict};

    fn row(id: &str, amount: i64, bucket: Bucket, unexplained: Option<i64>) -> SettlementRow {
        let movement = Movement {
            id: id.into(),
            kind: Kind::Refund,
            order_id: Some("=HYPERLINK(\"http://x\")".into()),
            payment_id: Some("+82, \"quoted\"".into()),
            charge_id: None,
            about: Some("pay-1".into()),
            amount: Money::krw(amount),
            at: "2027-01-31T00:00:00Z".parse().unwrap(),
            fee: None,
        };
        SettlementRow {
            gateway: GatewayName::Toss,
            day: "2027-01-31".parse().unwrap(),
            id: id.into(),
            side: Side::Gateway,
            movement: Some(movement),
            raw: None,
            verdict: Verdict { bucket, reason: None, explained: 0, unexplained, answers: None },
            booked: Booked::default(),
            brought: false,
            told: false,
            answered_by: None,
            version: 1,
        }
    }

    #[test]
    fn a_sheet_opens_in_excel_and_runs_nothing() {
        let raw = SettlementRow {
            movement: None,
            raw: Some("\t@SUM(1)\r\nx".into()),
            ..row("-1+1", 0, Bucket::MissingInternal, None)
        };
        let text = sheet(&[row("tx1", -1_000, Bucket::Matched, Some(0)), raw]);
        assert!(text.as_bytes().starts_with(&[0xEF, 0xBB, 0xBF]), "a byte order mark");
        assert!(text.ends_with("\"\r\n"));
        let head = text.trim_start_matches('\u{feff}').lines().next().unwrap();
        assert!(head.starts_with("\"정산일(day)\",\"PG(gateway)\""), "{head}");
        assert_eq!(head.split("\",\"").count(), COLUMNS.len());
        assert!(text.contains("\"'=HYPERLINK(\"\"http://x\"\")\""), "{text}");
        assert!(
            text.contains("\"'+82, \"\"quoted\"\"\"") && text.contains("\"'-1+1\"") && text.contains("\"'\t@SUM(1)")
        );
        assert!(text.contains(",\"-1000\",\"KRW\""), "numbers stay numbers: {text}");
        assert_eq!(harmless("pay-1"), "pay-1");
        for evil in [" =1", "\u{a0}=1", "＝1", "\r=1", "-1", "@x"] {
            assert!(harmless(evil).starts_with('\''), "{evil:?}");
        }
    }

    #[test]
    fn sums_never_cancel_and_never_mix() {
        let mut totals = Totals::default();
        let usd = Money::new(5, Currency::USD);
        let mut other = row("c", 5, Bucket::AmountMismatch, Some(5));
        other.movement = other.movement.map(|m| Movement { amount: usd, ..m });
        let came = SettlementRow { answered_by: Some("a".into()), ..row("d", 9, Bucket::Matched, Some(0)) };
        let rows = [
            row("a", 1_000, Bucket::MissingInternal, Some(1_000)),
            row("b", -1_000, Bucket::MissingGateway, Some(-1_000)),
            other,
            came,
            row("e", 700, Bucket::Matched, Some(0)),
        ];
        rows.iter().for_each(|row| totals.add(row));
        let body = settlement_body(GatewayName::Toss, rows[0].day, &rows, &totals, Some("next".into()));
        assert_eq!(body["unexplained"], json!({ "count": 3, "amount": 2_000, "otherCurrencies": { "USD": 5 } }));
        assert_eq!(body["totals"]["matched"], json!({ "count": 1, "amount": 700 }), "the answered one is not counted");
        assert_eq!(body["totals"]["timing"], json!({ "count": 0, "amount": 0 }));
        assert_eq!((&body["nextCursor"], body["rows"].as_array().unwrap().len()), (&json!("next"), 5));
    }
}
