//! Bodies of a gateway's settlement: JSON, and a sheet for people who work in one.
//!
//! Invariants of the sheet: UTF-8 with a byte order mark, CRLF, every cell quoted; text from elsewhere never starts a
//! formula; amounts are plain whole numbers.

use std::collections::BTreeMap;

use domain::Date;
use domain::charge::{Billable, GatewayName};
use domain::money::Currency;
use domain::movement::{Kind, Movement};
use domain::settlement::{Bucket, Reason, SettlementRow, Side};
use serde::Serialize;

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

/// A row as it was listed, or a fact of ours no row answers, with what the books say to it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SettlementRow))]
#[serde(rename_all = "camelCase")]
struct RowBody {
    /// The gateway's own, or the fact of ours.
    id: String,
    side: Side,
    bucket: Bucket,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Minor units the books account for.
    explained: i64,
    /// Minor units nobody accounts for, the gateway's side less ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    unexplained: Option<i64>,
    /// The row that answers a fact of ours after all.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<String>,
    /// What came, where it does not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    movement: Option<MovementBody>,
}

/// Money that moved at the gateway. Amounts are minor units of `currency`; what went to the payer is negative.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Movement))]
#[serde(rename_all = "camelCase")]
struct MovementBody {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<String>,
    /// The gateway's id of the refund or dispute.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    amount: i64,
    currency: &'static str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_vat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<i64>,
    /// Seoul date.
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_out_on: Option<String>,
}

impl From<&SettlementRow> for RowBody {
    fn from(row: &SettlementRow) -> Self {
        RowBody {
            id: row.id.clone(),
            side: row.side,
            bucket: row.verdict.bucket,
            reason: row.verdict.reason,
            explained: row.verdict.explained,
            unexplained: row.verdict.unexplained,
            answered_by: row.answered_by.clone(),
            raw: row.raw.clone(),
            movement: row.movement.as_ref().map(|moved| movement(row, moved)),
        }
    }
}

fn movement(row: &SettlementRow, moved: &Movement) -> MovementBody {
    let fee = moved.fee.as_ref();
    MovementBody {
        kind: moved.kind,
        order_id: moved.order_id.clone(),
        subscription_id: subscription(row),
        payment_id: moved.payment_id.clone(),
        about: moved.about.clone(),
        amount: moved.amount.amount,
        currency: moved.amount.currency.code(),
        at: moved.at.to_string(),
        fee: fee.map(|fee| fee.amount),
        fee_vat: fee.and_then(|fee| fee.vat),
        net: fee.map(|fee| fee.net),
        paid_out_on: fee.and_then(|fee| fee.paid_out_on).map(|day| day.to_string()),
    }
}

fn subscription(row: &SettlementRow) -> Option<String> {
    let order = row.movement.as_ref()?.order_id.as_deref()?;
    Billable::parse_order_id(order).map(|(of, _)| of.subscription.to_string())
}

/// A page of a day with the sums of all of it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Settlement))]
#[serde(rename_all = "camelCase")]
pub struct SettlementBody {
    gateway: GatewayName,
    /// Seoul date.
    day: String,
    rows: Vec<RowBody>,
    /// By bucket; each is there.
    totals: BTreeMap<&'static str, SumBody>,
    unexplained: SumBody,
    /// False when the day has more rows than were summed.
    complete: bool,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SettlementSum))]
#[serde(rename_all = "camelCase")]
struct SumBody {
    count: u64,
    /// In won; what is in another currency stands beside it.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    amount: i128,
    /// Minor units by ISO 4217 code.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, i64>))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    other_currencies: BTreeMap<&'static str, i128>,
}

impl SettlementBody {
    #[must_use]
    pub fn new(
        gateway: GatewayName,
        day: Date,
        rows: &[SettlementRow],
        totals: &Totals,
        next_cursor: Option<String>,
    ) -> SettlementBody {
        let sum = |bucket: Bucket| {
            let none = Sum::default();
            (bucket.as_str(), SumBody::from(totals.buckets.get(&bucket).unwrap_or(&none)))
        };
        SettlementBody {
            gateway,
            day: day.to_string(),
            rows: rows.iter().map(RowBody::from).collect(),
            totals: Bucket::ALL.map(sum).into(),
            unexplained: (&totals.unexplained).into(),
            complete: totals.complete,
            next_cursor,
        }
    }
}

impl From<&Sum> for SumBody {
    fn from(sum: &Sum) -> Self {
        let mut amounts: BTreeMap<_, _> = sum.amounts.iter().map(|(currency, sum)| (currency.code(), *sum)).collect();
        let amount = amounts.remove(Currency::KRW.code()).unwrap_or(0);
        SumBody { count: sum.count, amount, other_currencies: amounts }
    }
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
        own(Some(row.side.as_str())),
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
    use domain::settlement::{Booked, Verdict};
    use serde_json::json;

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
        let body = SettlementBody::new(GatewayName::Toss, rows[0].day, &rows, &totals, Some("next".into()));
        let body = serde_json::to_value(body).unwrap();
        assert_eq!(body["unexplained"], json!({ "count": 3, "amount": 2_000, "otherCurrencies": { "USD": 5 } }));
        assert_eq!(body["totals"]["matched"], json!({ "count": 1, "amount": 700 }), "the answered one is not counted");
        assert_eq!(body["totals"]["timing"], json!({ "count": 0, "amount": 0 }));
        assert_eq!((&body["nextCursor"], body["rows"].as_array().unwrap().len()), (&json!("next"), 5));
    }
}
