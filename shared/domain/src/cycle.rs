//! A cycle: what one billable owes, its attempts, and its payment once there is one. It is the structural guard
//! against double billing: one row per (subscription, period, seq), `OPEN -> PAID | VOID | UNCOLLECTIBLE`. Money that
//! arrives for a cycle closed unpaid makes it PAID too, and is owed back.
//!
//! Invariants: amounts are frozen when the row is first written; a paid cycle has exactly one payment and stays paid;
//! terminal attempts are kept with their raw codes; one number has at most one ordinary record, and beside it one
//! for every payment that was quarantined under it, so that no money is forgotten.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::Period;
use crate::charge::{Capture, DeclineClass, GatewayName};
use crate::dispute::Dispute;
use crate::event::Fact;
use crate::ids::{MethodId, SubscriptionId};
use crate::money::Money;
use crate::plan::Line;
use crate::refund::Refund;

/// Attempts proved absent more than this many numbers ago are dropped from the row, so that a misconfigured gateway
/// polled for a week cannot grow it without bound. Counted in numbers, not in records: then what is kept does not
/// depend on the order in which answers came.
const ABSENT_KEPT: u32 = 6;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    Open,
    Paid(Payment),
    Void,
    Uncollectible,
}

impl State {
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Open => "OPEN",
            State::Paid(_) => "PAID",
            State::Void => "VOID",
            State::Uncollectible => "UNCOLLECTIBLE",
        }
    }
}

/// The one capture that paid a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub payment_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_id: Option<String>,
    /// Start of the attempt that captured it.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    Succeeded,
    Declined,
    Absent,
    /// Money moved that we did not ask for in this amount or again; an operator decides.
    Quarantined,
}

impl Outcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "SUCCEEDED",
            Outcome::Declined => "DECLINED",
            Outcome::Absent => "ABSENT",
            Outcome::Quarantined => "QUARANTINED",
        }
    }
}

/// A terminal attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub n: u32,
    pub gateway: GatewayName,
    pub method_id: MethodId,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeclineClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Stripe's charge id; of a quarantined payment without one, the payment id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_id: Option<String>,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cycle {
    pub subscription_id: SubscriptionId,
    pub index: u32,
    pub seq: u32,
    pub period: Period,
    pub lines: Vec<Line>,
    pub amount: Money,
    #[serde(flatten)]
    pub state: State,
    pub attempts: Vec<Attempt>,
    /// Stripe: the PaymentIntent that serves every attempt of this cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// Minor units given back so far: the sum of the refunds that succeeded.
    pub refunded: i64,
    /// Every refund of its payment, asked for or found at the gateway, in the order they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Refund>,
    /// The last dispute about its payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<Dispute>,
    pub version: u64,
}

impl Cycle {
    /// The record of an attempt; the ordinary one where money was also quarantined under its number.
    #[must_use]
    pub fn attempt(&self, n: u32) -> Option<&Attempt> {
        let of_number = || self.attempts.iter().filter(|a| a.n == n);
        of_number().find(|a| a.outcome != Outcome::Quarantined).or_else(|| of_number().next())
    }

    /// Charge ids that belong to attempts already settled: seeing one of them proves nothing about a later attempt.
    #[must_use]
    pub fn known_charges(&self) -> Vec<String> {
        self.attempts.iter().filter_map(|a| a.charge_id.clone()).collect()
    }

    /// Whether this very payment paid the cycle. A payment id names one capture at either gateway; charge ids only
    /// tell two apart when both are known.
    #[must_use]
    pub fn paid_by(&self, capture: &Capture) -> bool {
        match &self.state {
            State::Paid(payment) => {
                let contradicts = matches!((&payment.charge_id, &capture.charge_id), (Some(a), Some(b)) if a != b);
                payment.payment_id == capture.payment_id && !contradicts
            }
            State::Open | State::Void | State::Uncollectible => false,
        }
    }

    /// Whether this very payment is already quarantined here.
    #[must_use]
    pub fn holds_in_quarantine(&self, capture: &Capture) -> bool {
        self.attempts.iter().any(|a| is_quarantine_of(a, capture))
    }

    /// When the last attempt on record started.
    #[must_use]
    pub fn last_start(&self) -> Option<Timestamp> {
        self.attempts.iter().map(|a| a.at).max()
    }

    /// Records a terminal attempt, replacing an earlier record of the same number (a late capture of an attempt
    /// once proved absent). A quarantined payment replaces neither another payment nor a success.
    #[must_use]
    pub fn with_attempt(mut self, attempt: Attempt) -> Cycle {
        self.attempts.retain(|a| a.n != attempt.n || !replaces(&attempt, a));
        self.attempts.push(attempt);
        self.attempts.sort_by(|a, b| order(a).cmp(&order(b)));
        let newest = self.attempts.iter().map(|a| a.n).max().unwrap_or(0);
        self.attempts.retain(|a| a.outcome != Outcome::Absent || a.n.saturating_add(ABSENT_KEPT) >= newest);
        self
    }

    /// The cycle without the quarantine of a payment that turned out to be the right one.
    #[must_use]
    pub(crate) fn released(mut self, capture: &Capture) -> Cycle {
        self.attempts.retain(|a| !is_quarantine_of(a, capture));
        self
    }

    /// Gives an open cycle up, when its subscription is terminated unpaid. `None` when it was paid or closed before.
    #[must_use]
    pub fn uncollectible(&self) -> Option<(Cycle, Fact)> {
        self.closed(State::Uncollectible, "cycle.uncollectible")
    }

    /// Nobody owes it any more, because its subscription was cancelled. `None` when it was paid or closed before.
    #[must_use]
    pub fn voided(&self) -> Option<(Cycle, Fact)> {
        self.closed(State::Void, "cycle.void")
    }

    fn closed(&self, state: State, kind: &'static str) -> Option<(Cycle, Fact)> {
        match self.state {
            State::Open => {
                let fact = Fact::new(kind, self.subscription_id.as_str())
                    .with("index", self.index)
                    .with("amount", self.amount.amount)
                    .with("currency", self.amount.currency.code());
                Some((Cycle { state, ..self.clone() }, fact))
            }
            State::Paid(_) | State::Void | State::Uncollectible => None,
        }
    }
}

/// What a quarantined record keeps to know its payment by.
pub(crate) fn quarantine_id(capture: &Capture) -> &str {
    capture.charge_id.as_deref().unwrap_or(&capture.payment_id)
}

fn is_quarantine_of(attempt: &Attempt, capture: &Capture) -> bool {
    attempt.outcome == Outcome::Quarantined && attempt.charge_id.as_deref() == Some(quarantine_id(capture))
}

/// Whether `new` takes the place of `old`, which has the same number.
fn replaces(new: &Attempt, old: &Attempt) -> bool {
    match (new.outcome == Outcome::Quarantined, old.outcome) {
        (true, Outcome::Quarantined) => new.charge_id == old.charge_id,
        (true, Outcome::Succeeded) | (false, Outcome::Quarantined) => false,
        (true, Outcome::Declined | Outcome::Absent) => true,
        (false, Outcome::Succeeded | Outcome::Declined | Outcome::Absent) => true,
    }
}

fn order(attempt: &Attempt) -> (u32, bool, Option<&str>) {
    (attempt.n, attempt.outcome == Outcome::Quarantined, attempt.charge_id.as_deref())
}
