//! Events: the audit log and the outbox in one. An event is written in the same transaction as the state it
//! describes; it carries who did what, why, and the changed fields only (at most about 1 KB), never personal data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::EventId;

/// Who caused a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Actor {
    Operator(String),
    Tenant(String),
    Applicant(String),
    /// A gateway, by name, through a webhook.
    Gateway(String),
    /// The scheduled run or recovery.
    System(String),
}

/// What happened, before it has an id and a time. The domain makes these; the use case stamps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// `noun.past_participle`, stable: consumers match on it.
    pub kind: &'static str,
    /// The id of the aggregate it is about.
    pub subject: String,
    pub changes: Map<String, Value>,
}

impl Fact {
    #[must_use]
    pub fn new(kind: &'static str, subject: impl Into<String>) -> Self {
        Fact { kind, subject: subject.into(), changes: Map::new() }
    }

    /// Adds a changed field.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.changes.insert(field.to_owned(), value.into());
        self
    }
}

/// A stamped event, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
    pub kind: String,
    pub subject: String,
    pub actor: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub changes: Map<String, Value>,
}
