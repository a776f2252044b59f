//! Toss's objects as they are on the wire, and the arithmetic and formats they follow.
use jiff::{Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::errors::{self, Failure, Refusal};

/// The merchant id of everything here.
pub const MID: &str = "tvivarepublica";

/// A card the window offers: registration always works, the charge answers as its name says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TestCard(String);

impl TestCard {
    /// A test card by its short name, or by the code its charges are refused with. `None`: there is none.
    pub fn named(name: &str) -> Option<Self> {
        let known = refusal_of(name).is_some() || matches!(name, "approved" | "unknown_type");
        known.then(|| Self(name.to_owned()))
    }

    /// How a charge is refused; `None` approves it.
    pub fn refusal(&self) -> Option<Refusal> {
        refusal_of(&self.0)
    }

    /// Issuer code, issuer, masked number, kind.
    pub fn face(&self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self.0.as_str() {
            "approved" => ("21", "하나", "94100012****789*", "신용"),
            "insufficient_funds" => ("41", "신한", "55942012****210*", "체크"),
            "company_reject" => ("11", "국민", "49063012****345*", "신용"),
            "stopped" => ("51", "삼성", "53102712****901*", "신용"),
            "expired" => ("61", "현대", "40289012****678*", "신용"),
            "unknown_type" => ("31", "BC", "43301212****789*", "미확인"),
            _ => ("31", "BC", "49062512****345*", "신용"),
        }
    }
}

fn refusal_of(name: &str) -> Option<Refusal> {
    match name {
        "insufficient_funds" => Some(errors::REJECT_CARD_PAYMENT),
        "company_reject" => Some(errors::REJECT_CARD_COMPANY),
        "stopped" => Some(errors::INVALID_STOPPED_CARD),
        "expired" => Some(errors::INVALID_CARD_EXPIRATION),
        "unknown_type" => Some(errors::NOT_SUPPORTED_CARD_TYPE),
        code => errors::find(code),
    }
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Done,
    Canceled,
    /// Stays, even when nothing is left to cancel.
    PartialCanceled,
    Aborted,
}

/// The Payment object. Amounts are whole KRW; times are Seoul's with their offset.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub m_id: String,
    pub version: String,
    pub payment_key: String,
    pub r#type: String,
    pub order_id: String,
    pub order_name: String,
    pub currency: String,
    pub method: String,
    pub status: Status,
    pub total_amount: i64,
    pub balance_amount: i64,
    pub supplied_amount: i64,
    pub vat: i64,
    pub tax_free_amount: i64,
    pub tax_exemption_amount: i64,
    pub requested_at: String,
    pub approved_at: Option<String>,
    pub use_escrow: bool,
    pub culture_expense: bool,
    pub last_transaction_key: Option<String>,
    pub is_partial_cancelable: bool,
    pub card: PaidCard,
    pub virtual_account: Value,
    pub transfer: Value,
    pub mobile_phone: Value,
    pub gift_certificate: Value,
    pub easy_pay: Value,
    pub cash_receipt: Value,
    pub cash_receipts: Value,
    pub discount: Value,
    /// `None` (not an empty list) before the first cancel.
    pub cancels: Option<Vec<Cancel>>,
    pub secret: String,
    pub metadata: Value,
    pub country: String,
    pub failure: Option<Failure>,
    pub receipt: Link,
    pub checkout: Link,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Link {
    pub url: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaidCard {
    pub issuer_code: String,
    pub acquirer_code: String,
    pub number: String,
    pub installment_plan_months: i64,
    pub is_interest_free: bool,
    pub interest_payer: Value,
    pub approve_no: String,
    pub use_card_point: bool,
    pub card_type: String,
    pub owner_type: String,
    pub acquire_status: String,
    pub amount: i64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancel {
    pub transaction_key: String,
    pub cancel_reason: String,
    pub cancel_amount: i64,
    pub refundable_amount: i64,
    pub tax_free_amount: i64,
    pub tax_exemption_amount: i64,
    pub card_discount_amount: i64,
    pub transfer_discount_amount: i64,
    pub easy_pay_discount_amount: i64,
    pub canceled_at: String,
    pub receipt_key: Value,
    pub cancel_status: String,
    pub cancel_request_id: Value,
}

impl Payment {
    /// Splits what is left into net and tax. An ordinary taxable merchant has no tax-free part.
    pub fn split_balance(&mut self) {
        self.vat = tax_in(self.balance_amount - self.tax_exemption_amount);
        self.supplied_amount = self.balance_amount - self.vat - self.tax_exemption_amount;
    }

    /// As a body; `odd` adds a field nobody knows, as Toss does without notice.
    pub fn render(&self, odd: bool) -> Value {
        let mut object = serde_json::to_value(self).unwrap_or_default();
        if let (true, Some(fields)) = (odd, object.as_object_mut()) {
            fields.insert("sandboxNovelty".into(), serde_json::json!({ "since": "tomorrow" }));
        }
        object
    }
}

/// The value added tax inside a gross amount: an eleventh, rounded half up.
pub fn tax_in(gross: i64) -> i64 {
    (2 * gross + 11).div_euclid(22)
}

fn seoul(at: Timestamp) -> Zoned {
    at.to_zoned(TimeZone::fixed(jiff::tz::offset(9)))
}

/// `2026-11-22T10:05:14+09:00`.
pub fn stamp(at: Timestamp) -> String {
    seoul(at).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// `20261122100514`.
pub fn compact(at: Timestamp) -> String {
    seoul(at).strftime("%Y%m%d%H%M%S").to_string()
}

/// A webhook's `createdAt`: Seoul time without an offset, five or six digits of a second.
pub fn created(at: Timestamp) -> String {
    let text = seoul(at).strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string();
    text.strip_suffix('0').map_or(text.clone(), str::to_owned)
}

/// Seoul's date and time.
pub fn civil(at: Timestamp) -> jiff::civil::DateTime {
    seoul(at).datetime()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tax_is_an_eleventh_rounded_half_up() {
        for (gross, tax) in [(33_000, 3_000), (37_400, 3_400), (15_000, 1_364), (4_900, 445), (0, 0), (100, 9)] {
            assert_eq!(tax_in(gross), tax, "{gross}");
        }
    }

    #[test]
    fn times_are_seouls() {
        let at: Timestamp = "2026-11-22T01:05:14.653270Z".parse().unwrap();
        assert_eq!(stamp(at), "2026-11-22T10:05:14+09:00");
        assert_eq!(created(at), "2026-11-22T10:05:14.65327");
        assert_eq!(compact(at), "20261122100514");
    }
}
