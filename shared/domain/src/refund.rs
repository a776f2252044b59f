//! Refunds of a cycle's payment. They live in the cycle's row, so that reserving money is one conditional write.
//!
//! Invariants: what was given back and what may still be given back never exceed what was paid; at most one refund of
//! ours is under way per payment, its amount reserved in the row; a refund that moved money counts whoever says so and
//! whenever, one that did not counts only by who holds its claim; the gateway's word about one refund only ever moves on
//! (pending, succeeded, failed), so events may come in any order; after every success the VAT given back is exactly the
//! VAT of all that was given back.

mod observe;
mod resolve;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::charge::{Doubt, GatewayName, Heard};
use crate::cycle::{Cycle, Outcome, Payment, State};
use crate::event::Fact;
use crate::ids::{RefundId, spread};
use crate::money::Money;

pub use observe::{Change, Seen, SeenState, of_resend};
pub use resolve::{Listed, Looked, Resend};

/// Most refunds asked for per cycle. What is found at the gateway is always recorded.
pub const REFUNDS_MAX: usize = 20;
/// A refund of ours whose outcome is open for so long is told to an operator.
pub const STUCK_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Partitions of the index of refunds that wait. Stored keys depend on it.
const DUE_PARTITIONS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefundStatus))]
pub enum Status {
    /// Above the limit: a second person must agree.
    PendingApproval,
    /// To be sent.
    Requested,
    /// Somebody holds the claim and may be sending it right now.
    Started,
    /// The gateway took it and has not finished.
    Pending,
    /// It was sent and nobody knows what came of it.
    Unknown,
    Succeeded,
    /// Nothing was given back, or what was given back came back.
    Failed,
    /// Never sent: the second person said no, or nothing was left to give back.
    Rejected,
}

impl Status {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::PendingApproval => "PENDING_APPROVAL",
            Status::Requested => "REQUESTED",
            Status::Started => "STARTED",
            Status::Pending => "PENDING",
            Status::Unknown => "UNKNOWN",
            Status::Succeeded => "SUCCEEDED",
            Status::Failed => "FAILED",
            Status::Rejected => "REJECTED",
        }
    }

    /// Whether it may still move money.
    #[must_use]
    pub fn live(self) -> bool {
        match self {
            Status::PendingApproval | Status::Requested | Status::Started | Status::Pending | Status::Unknown => true,
            Status::Succeeded | Status::Failed | Status::Rejected => false,
        }
    }
}

/// Who wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefundOrigin))]
pub enum Origin {
    Ours,
    /// Made in the gateway's own console.
    Console,
    /// The payment came for a subscription that had ended.
    Owed,
}

impl Origin {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Ours => "OURS",
            Origin::Console => "CONSOLE",
            Origin::Owed => "OWED",
        }
    }
}

/// The claim on a refund, and what it was first sent with: a resend renders the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sending {
    /// What was left before it, minor units, frozen when it was first started.
    pub refundable: i64,
    pub token: String,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub lease_until: Timestamp,
    /// First claim; the key window counts from here.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub started_at: Timestamp,
    /// Once its outcome is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    pub id: RefundId,
    /// Minor units of the cycle's currency.
    pub amount: i64,
    pub status: Status,
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub requested_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_refund_id: Option<String>,
    /// Why it failed, in the gateway's word or ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The VAT that went back with it, once it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vat: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending: Option<Sending>,
    /// When it is to be looked at; none when nobody needs to.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub due_at: Option<Timestamp>,
    /// Whether an operator was told that it is stuck.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
}

/// What a gateway said to our own refund call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done {
        gateway_refund_id: String,
    },
    Pending {
        gateway_refund_id: String,
    },
    /// Provably nothing was given back.
    Refused {
        code: String,
    },
    Unknown {
        heard: Heard,
        code: Option<String>,
    },
}

/// A refund somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub id: RefundId,
    /// Minor units; all that is left when none.
    pub amount: Option<i64>,
    pub reason: String,
    pub by: String,
    /// Amounts above it need a second person; none when one person is enough for any.
    pub limit: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no such refund")]
    NotFound,
    #[error("the cycle is not paid")]
    NotPaid,
    #[error("the amount must be positive")]
    Amount,
    #[error("more than is left")]
    TooMuch { left: i64 },
    #[error("another refund of this payment is under way")]
    UnderWay,
    #[error("the payment is disputed")]
    Disputed,
    #[error("too many refunds of this payment")]
    TooMany,
    #[error("a second person must approve")]
    SecondPerson,
    #[error("the refund does not wait for approval")]
    NotWaiting,
}

/// What came of claiming a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Commit this, then send.
    Claimed(Cycle),
    /// Nothing is left to give back: commit this, send nothing.
    Ended(Change),
    /// Not to be sent (any more).
    No,
}

impl Cycle {
    /// The payment and the gateway that took it, once paid.
    #[must_use]
    pub fn payment(&self) -> Option<(&Payment, GatewayName)> {
        let State::Paid(payment) = &self.state else { return None };
        let gateway = self.attempts.iter().find(|a| a.outcome == Outcome::Succeeded)?.gateway;
        Some((payment, gateway))
    }

    #[must_use]
    pub fn refund(&self, id: &RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|r| r.id == *id)
    }

    /// What is left to give back, minor units: paid, less what went back, is under way, or was lost in a dispute.
    #[must_use]
    pub fn refundable(&self) -> i64 {
        self.left_beside(None)
    }

    /// The same for one refund of these: its own reservation does not count.
    pub(crate) fn left_beside(&self, own: Option<&RefundId>) -> i64 {
        if self.payment().is_none() {
            return 0;
        }
        let live = self.refunds.iter().filter(|r| r.status.live() && Some(&r.id) != own).map(|r| r.amount);
        let reserved = live.fold(0i64, i64::saturating_add);
        let lost = self.dispute.as_ref().map_or(0, |d| d.lost_amount());
        self.amount.amount.saturating_sub(self.refunded).saturating_sub(reserved).saturating_sub(lost).max(0)
    }

    /// When the first of its refunds is to be looked at.
    #[must_use]
    pub fn refund_due(&self) -> Option<Timestamp> {
        self.refunds.iter().filter(|r| r.status.live()).filter_map(|r| r.due_at).min()
    }

    /// Its partition of the index of refunds that wait.
    #[must_use]
    pub fn refund_partition(&self) -> String {
        format!("refund#{}", spread(self.subscription_id.as_str()) % DUE_PARTITIONS)
    }

    /// Reserves a refund.
    ///
    /// # Errors
    /// When the rules forbid it; nothing is reserved then.
    pub fn request_refund(&self, wish: Wish, now: Timestamp) -> Result<Change, Refused> {
        if self.payment().is_none() {
            return Err(Refused::NotPaid);
        }
        if self.refunds.iter().any(|r| r.status.live()) {
            return Err(Refused::UnderWay);
        }
        if self.dispute.as_ref().is_some_and(|d| d.holds_money()) {
            return Err(Refused::Disputed);
        }
        if self.refunds.len() >= REFUNDS_MAX {
            return Err(Refused::TooMany);
        }
        let left = self.refundable();
        let amount = wish.amount.unwrap_or(left);
        if wish.amount.is_some_and(|a| a < 1) {
            return Err(Refused::Amount);
        }
        if amount < 1 || amount > left {
            return Err(Refused::TooMuch { left });
        }
        let waits = wish.limit.is_some_and(|limit| amount > limit);
        let refund = Refund {
            status: if waits { Status::PendingApproval } else { Status::Requested },
            reason: wish.reason,
            due_at: (!waits).then_some(now),
            ..blank(wish.id, amount, Origin::Ours, wish.by, now)
        };
        let fact = self.refund_fact("refund.requested", &refund).with("status", refund.status.as_str());
        let mut after = self.clone();
        after.refunds.push(refund);
        Ok(Change { cycle: after, facts: vec![fact] })
    }

    /// The second person's word. The one who asked may take a request back, but never approve it. `None` when it was said
    /// before.
    ///
    /// # Errors
    /// When there is no such request, it waits for nobody, or the same person approves.
    pub fn decide_refund(
        &self,
        id: &RefundId,
        agreed: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Change>, Refused> {
        let refund = self.refund(id).ok_or(Refused::NotFound)?;
        if agreed && refund.requested_by == by {
            return Err(Refused::SecondPerson);
        }
        match refund.status {
            Status::PendingApproval => {}
            Status::Rejected if !agreed => return Ok(None),
            Status::Requested
            | Status::Started
            | Status::Pending
            | Status::Unknown
            | Status::Succeeded
            | Status::Failed
                if agreed && refund.approved_by.as_deref() == Some(by) =>
            {
                return Ok(None);
            }
            Status::Requested
            | Status::Started
            | Status::Pending
            | Status::Unknown
            | Status::Succeeded
            | Status::Failed
            | Status::Rejected => return Err(Refused::NotWaiting),
        }
        let decided = Refund {
            status: if agreed { Status::Requested } else { Status::Rejected },
            approved_by: agreed.then(|| by.to_owned()),
            due_at: agreed.then_some(now),
            ..refund.clone()
        };
        let kind = if agreed { "refund.approved" } else { "refund.rejected" };
        let fact = self.refund_fact(kind, &decided).with("requestedBy", refund.requested_by.as_str());
        Ok(Some(Change { cycle: self.with_refund(decided), facts: vec![fact] }))
    }

    /// Opens the refund of all that was paid, for money that belongs to nobody any more. One per payment: asked again, it
    /// is there already.
    pub(crate) fn owed_back(self, at: Timestamp) -> (Cycle, Option<Fact>) {
        let Some((payment, gateway)) = self.payment() else { return (self, None) };
        let name = format!("owed {} {} {}", self.subscription_id, gateway.as_str(), payment.payment_id);
        let left = self.refundable();
        let id = RefundId::named(&name);
        if left < 1 || self.refund(&id).is_some() {
            return (self, None);
        }
        let refund = Refund { due_at: Some(at), ..blank(id, left, Origin::Owed, "system".to_owned(), at) };
        let fact = self.refund_fact("refund.requested", &refund).with("status", refund.status.as_str());
        let mut after = self;
        after.refunds.push(refund);
        (after, Some(fact))
    }

    /// Claims a refund that was not sent yet.
    #[must_use]
    pub fn start_refund(&self, id: &RefundId, token: String, lease_until: Timestamp, now: Timestamp) -> Start {
        let Some(refund) = self.refund(id).filter(|r| r.status == Status::Requested) else { return Start::No };
        let left = self.left_beside(Some(id));
        // Something else was given back meanwhile. What is owed is whatever is left; what a person asked for is asked anew.
        let amount = if refund.origin == Origin::Owed { refund.amount.min(left) } else { refund.amount };
        if amount < 1 || amount > left {
            return Start::Ended(self.failed(refund, "NOTHING_LEFT"));
        }
        // What the gateway itself counts as left: money under way elsewhere is not back yet.
        let refundable = self.amount.amount.saturating_sub(self.refunded);
        let sending = Sending { refundable, token, lease_until, started_at: now, doubt: None };
        let claimed = Refund {
            amount,
            status: Status::Started,
            sending: Some(sending),
            due_at: Some(lease_until),
            ..refund.clone()
        };
        Start::Claimed(self.with_refund(claimed))
    }

    /// The row with one of its refunds replaced.
    fn with_refund(&self, refund: Refund) -> Cycle {
        let mut after = self.clone();
        for slot in after.refunds.iter_mut().filter(|r| r.id == refund.id) {
            slot.clone_from(&refund);
        }
        after
    }

    /// What every event about a refund says.
    fn refund_fact(&self, kind: &'static str, refund: &Refund) -> Fact {
        let (payment, gateway) = self.payment().map_or(("", ""), |(p, g)| (p.payment_id.as_str(), g.as_str()));
        Fact::new(kind, self.subscription_id.as_str())
            .with("index", self.index)
            .with("seq", self.seq)
            .with("refundId", refund.id.as_str())
            .with("amount", refund.amount)
            .with("currency", self.amount.currency.code())
            .with("gateway", gateway)
            .with("paymentId", payment)
            .with("origin", refund.origin.as_str())
    }

    /// The VAT that went back with refunds that stand.
    fn vat_refunded(&self) -> i64 {
        let stand = self.refunds.iter().filter(|r| r.status == Status::Succeeded).filter_map(|r| r.vat);
        stand.fold(0, i64::saturating_add)
    }

    /// The VAT of `total` minor units of this cycle.
    fn vat_of(&self, total: i64) -> i64 {
        Money { amount: total, ..self.amount }.vat_split().vat.amount
    }

    /// The VAT a refund gives back, or would if it succeeded now.
    #[must_use]
    pub fn vat_of_refund(&self, refund: &Refund) -> i64 {
        let next = || self.vat_of(self.refunded.saturating_add(refund.amount)).saturating_sub(self.vat_refunded());
        refund.vat.unwrap_or_else(next)
    }
}

fn blank(id: RefundId, amount: i64, origin: Origin, requested_by: String, at: Timestamp) -> Refund {
    Refund {
        id,
        amount,
        status: Status::Requested,
        origin,
        reason: String::new(),
        requested_by,
        approved_by: None,
        gateway_refund_id: None,
        code: None,
        vat: None,
        sending: None,
        due_at: None,
        stuck: false,
        at,
    }
}

/// Partitions of the index of refunds that wait.
#[must_use]
pub fn due_partitions() -> Vec<String> {
    (0..DUE_PARTITIONS).map(|shard| format!("refund#{shard}")).collect()
}
