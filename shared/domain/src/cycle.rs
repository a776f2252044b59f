//! A cycle: what one billable owes, its attempts, and its payment once there is one. It is the structural guard
//! against double billing: one row per (subscription, period, seq), `OPEN -> PAID | VOID | UNCOLLECTIBLE`.
//!
//! Invariants: amounts are frozen when the row is first written; a paid cycle has exactly one payment and stays paid;
//! terminal attempts are kept with their raw codes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::Period;
use crate::charge::{DeclineClass, GatewayName};
use crate::ids::{MethodId, SubscriptionId};
use crate::money::Money;
use crate::plan::Line;

/// Attempts proved absent beyond this many are dropped from the row, oldest first, so that a misconfigured gateway
/// polled for a week cannot grow it without bound.
const ABSENT_KEPT: usize = 6;

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
    /// Minor units given back so far.
    pub refunded: i64,
    pub version: u64,
}

impl Cycle {
    #[must_use]
    pub fn attempt(&self, n: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|a| a.n == n)
    }

    /// Charge ids that belong to attempts already settled: seeing one of them proves nothing about a later attempt.
    #[must_use]
    pub fn known_charges(&self) -> Vec<String> {
        self.attempts.iter().filter_map(|a| a.charge_id.clone()).collect()
    }

    /// Records a terminal attempt, replacing an earlier record of the same number (a late capture of an attempt
    /// once proved absent).
    #[must_use]
    pub fn with_attempt(mut self, attempt: Attempt) -> Cycle {
        self.attempts.retain(|a| a.n != attempt.n);
        self.attempts.push(attempt);
        self.attempts.sort_by_key(|a| a.n);
        while self.attempts.iter().filter(|a| a.outcome == Outcome::Absent).count() > ABSENT_KEPT {
            let oldest = self.attempts.iter().position(|a| a.outcome == Outcome::Absent);
            oldest.map(|i| self.attempts.remove(i));
        }
        self
    }
}
