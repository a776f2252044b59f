//! Gives facts an id, a time and an actor, and decisions a commit id. The randomness comes from the edge.

use domain::event::{Event, Fact};
use domain::ids::{EventId, ulid};

use crate::ports::{Context, Random};
use crate::store::{Commit, Write};

/// Events an operator must hear of now. Each has a log line with its kind as `alert`, which the template counts and
/// turns into an alarm, and an entry in `infra/runbook.md`.
pub const ALERTS: [&str; 12] = [
    "attempt.stuck",
    "audit.broken",
    "dispute.opened",
    "gateway.opened",
    "gateway.paused",
    "payment.quarantined",
    "refund.failed",
    "refund.stuck",
    "run.held",
    domain::settlement::UNEXPLAINED,
    "subscription.parked",
    "webhook.unmatched",
];

/// A commit of rows and the facts about them.
#[must_use]
pub fn commit(random: &dyn Random, context: &Context, writes: Vec<Write>, facts: Vec<Fact>) -> Commit {
    Commit {
        id: token(random),
        writes,
        events: facts.into_iter().map(|fact| event(random, context, fact, None)).collect(),
    }
}

/// One stamped event. One of [`ALERTS`] is logged here, before it is committed: a lost race says it twice, a crash
/// never leaves it unsaid.
#[must_use]
pub fn event(random: &dyn Random, context: &Context, fact: Fact, reason: Option<String>) -> Event {
    if ALERTS.contains(&fact.kind) {
        tracing::error!(alert = fact.kind, subject = fact.subject, "an operator must look");
    }
    Event {
        id: EventId::new(ulid(context.now, random.bits())),
        at: context.now,
        kind: fact.kind.to_owned(),
        subject: fact.subject,
        actor: context.actor.clone(),
        reason,
        changes: fact.changes,
    }
}

/// A random token: claim tokens, commit ids. 26 characters, so that rows stay small.
#[must_use]
pub fn token(random: &dyn Random) -> String {
    domain::ids::ulid_of(random.bits())
}
