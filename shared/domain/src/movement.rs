//! What a gateway says moved, in our words: the rows of its transactions, balance and settlement lists.
//!
//! Invariants: amounts are signed from our side, captures positive, money given back or taken negative; `net` is
//! `amount - fee`; a row we cannot read is kept as it came, never dropped.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::money::Money;

/// Longest raw text of an unreadable row that is kept, in characters.
pub const RAW_KEPT: usize = 1_500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = MovementKind))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Capture,
    Refund,
    /// A refund that failed after all: the money came back to us.
    RefundReturned,
    Dispute,
    DisputeReturned,
    /// The gateway's own charge to us.
    Fee,
    /// Money on its way to our bank, or back.
    PayOut,
    /// A kind nobody listed.
    Other,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Capture => "CAPTURE",
            Kind::Refund => "REFUND",
            Kind::RefundReturned => "REFUND_RETURNED",
            Kind::Dispute => "DISPUTE",
            Kind::DisputeReturned => "DISPUTE_RETURNED",
            Kind::Fee => "FEE",
            Kind::PayOut => "PAY_OUT",
            Kind::Other => "OTHER",
        }
    }
}

/// One movement of money at a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Movement {
    /// The gateway's own id of the row: Toss transactionKey, Stripe balance transaction.
    pub id: String,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Toss paymentKey, Stripe PaymentIntent id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// Stripe's charge; Toss has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_id: Option<String>,
    /// The gateway's id of the refund or dispute it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    pub amount: Money,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
    /// What the gateway keeps, once it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<Fee>,
}

/// The gateway's fee on a movement, in minor units of its currency, VAT included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fee {
    pub amount: i64,
    /// The VAT in it, where the gateway says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vat: Option<i64>,
    /// What the gateway says it pays out of the movement.
    pub net: i64,
    /// Civil date of the pay-out, where the gateway says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_out_on: Option<Date>,
}

impl Movement {
    /// Whether the row adds up by itself: `net = amount - fee`. `None` while the fee is not known.
    #[must_use]
    pub fn adds_up(&self) -> Option<bool> {
        let fee = self.fee.as_ref()?;
        Some(self.amount.amount.checked_sub(fee.amount) == Some(fee.net))
    }
}

/// A row of a gateway's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Movement(Movement),
    /// Its id if it has one, and its text, cut to [`RAW_KEPT`].
    Unreadable {
        id: Option<String>,
        raw: String,
    },
}
