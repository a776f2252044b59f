//! A gateway account's shared allowance of calls, as one process may draw on it (design.md §6).
//!
//! Invariant: every charge, resend and lookup takes a turn directly before it is sent and says what came of it, so
//! that pacing, concurrency and the breaker see exactly what the gateway sees. A decline is an answer like any other.

use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, GatewayName, Heard, Lookup};

use crate::gateway::RATE_LIMITED;

/// What a call says about the health of the account it went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The gateway did its work, whatever it answered.
    Answered,
    /// Too many calls: slow down.
    Slower,
    /// No answer, a 5xx or something unreadable.
    Outage,
    /// Nothing was sent.
    Unsent,
}

#[async_trait]
pub trait Allowance: Send + Sync {
    /// Waits until one call may be sent.
    async fn turn(&self, gateway: GatewayName);

    /// What the call that took the turn came to, and how long it took.
    fn heard(&self, gateway: GatewayName, said: Said, took: Duration);
}

/// For callers a person waits for: they send at once, out of the share that the runner leaves free.
pub struct Unpaced;

#[async_trait]
impl Allowance for Unpaced {
    async fn turn(&self, _: GatewayName) {}

    fn heard(&self, _: GatewayName, _: Said, _: Duration) {}
}

/// How the answer to a charge counts.
#[must_use]
pub fn of_answer(answer: &Answer) -> Said {
    match answer {
        Answer::Unknown { code: Some(code), .. } if code == RATE_LIMITED => Said::Slower,
        // Not sent for want of a key, or an earlier send under the same key still runs: says nothing about health.
        Answer::Unknown { heard: Heard::Nothing, code: Some(_), .. } => Said::Unsent,
        Answer::Unknown { heard: Heard::Nothing | Heard::Error, .. } => Said::Outage,
        Answer::Unknown { heard: Heard::Refusal, .. }
        | Answer::Captured(_)
        | Answer::Declined(_)
        | Answer::Refused { .. } => Said::Answered,
    }
}

/// How the answer to a question counts.
#[must_use]
pub fn of_lookup(lookup: &Lookup) -> Said {
    match lookup {
        Lookup::Failed => Said::Outage,
        Lookup::Found(_) | Lookup::Pending | Lookup::NotFound => Said::Answered,
    }
}
