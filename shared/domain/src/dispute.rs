//! A payer's dispute of a payment, as the gateway tells it. It is recorded on the cycle; answering it is done in the
//! gateway's own console.
//!
//! Invariants: a closed dispute stays closed, in whatever order events come; money lost in one is gone and cannot be
//! refunded on top.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cycle::Cycle;
use crate::event::Fact;
use crate::refund::Change;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dispute {
    /// The gateway's id.
    pub id: String,
    /// What is disputed, minor units of the cycle's currency.
    pub amount: i64,
    /// The gateway's own word.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub opened_at: Timestamp,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub closed_at: Option<Timestamp>,
}

/// What an event says about a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub id: String,
    pub amount: i64,
    pub status: String,
    pub reason: Option<String>,
    /// No further change comes.
    pub closed: bool,
}

impl Dispute {
    /// Whether the gateway keeps the money for the payer now. An inquiry does not.
    #[must_use]
    pub fn holds_money(&self) -> bool {
        self.closed_at.is_none() && !self.status.starts_with("warning")
    }

    /// What is gone for good, minor units.
    #[must_use]
    pub fn lost_amount(&self) -> i64 {
        if self.closed_at.is_some() && self.status == "lost" { self.amount } else { 0 }
    }
}

impl Cycle {
    /// Takes in what an event says about a dispute of its payment. `None` when it says nothing new.
    #[must_use]
    pub fn disputed(&self, told: &Told, now: Timestamp) -> Option<Change> {
        self.payment()?;
        let known = self.dispute.as_ref().filter(|d| d.id == told.id);
        let same = |d: &Dispute| d.status == told.status && d.amount == told.amount && !told.closed;
        if known.is_some_and(|d| d.closed_at.is_some() || same(d)) {
            return None;
        }
        let dispute = Dispute {
            id: told.id.clone(),
            amount: told.amount,
            status: told.status.clone(),
            reason: told.reason.clone().or_else(|| known.and_then(|d| d.reason.clone())),
            opened_at: known.map_or(now, |d| d.opened_at),
            closed_at: told.closed.then_some(now),
        };
        let mut facts = Vec::new();
        if known.is_none() {
            facts.push(self.dispute_fact("dispute.opened", &dispute));
        }
        if told.closed {
            facts.push(self.dispute_fact("dispute.closed", &dispute).with("lost", dispute.lost_amount()));
        }
        Some(Change { cycle: Cycle { dispute: Some(dispute), ..self.clone() }, facts })
    }

    fn dispute_fact(&self, kind: &'static str, dispute: &Dispute) -> Fact {
        let (payment, gateway) = self.payment().map_or(("", ""), |(p, g)| (p.payment_id.as_str(), g.as_str()));
        Fact::new(kind, self.subscription_id.as_str())
            .with("index", self.index)
            .with("seq", self.seq)
            .with("disputeId", dispute.id.as_str())
            .with("amount", dispute.amount)
            .with("currency", self.amount.currency.code())
            .with("gateway", gateway)
            .with("paymentId", payment)
            .with("status", dispute.status.as_str())
            .with("reason", dispute.reason.clone().unwrap_or_default())
    }
}
