//! Gives facts an id, a time and an actor, and decisions a commit id. The randomness comes from the edge.

use domain::event::{Event, Fact};
use domain::ids::{EventId, ulid};

use crate::ports::{Context, Random};
use crate::store::{Commit, Write};

/// A commit of rows and the facts about them.
#[must_use]
pub fn commit(random: &dyn Random, context: &Context, writes: Vec<Write>, facts: Vec<Fact>) -> Commit {
    Commit {
        id: token(random),
        writes,
        events: facts.into_iter().map(|fact| event(random, context, fact, None)).collect(),
    }
}

/// One stamped event.
#[must_use]
pub fn event(random: &dyn Random, context: &Context, fact: Fact, reason: Option<String>) -> Event {
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
