//! Seals of the audit log: a SHA-256 chain over the events of each shard of a UTC day, and over the heads of the shards
//! and the seal of the day before one seal of the day. Who has a day's seal can tell whether anything in that day, or in
//! any day before it, was changed, left out, put in, or put elsewhere.
//!
//! Invariants: what is hashed can be read back in one way only ([`canonical`]), so two different days never have the same
//! input; every field of an event is in it, in an order of its own, so the order of attributes does not matter; events
//! are hashed in the order of their ids, whatever order they are read in is refused; a seal names its form, and a form is
//! never changed: another one gets another number.

mod canonical;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::{Event, Fact};
use crate::ids::EventId;

pub use canonical::canonical;

/// How seals are computed. Stored seals depend on it.
pub const FORM: u32 = 1;

/// A SHA-256, as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 in hex")]
pub struct NotAHash;

impl Hash {
    /// Of parts that each have a fixed length or say theirs.
    fn of(parts: &[&[u8]]) -> Hash {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Hash(hash.finalize().into())
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Hash {
    type Error = NotAHash;
    fn try_from(text: String) -> Result<Hash, NotAHash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| NotAHash)?;
        let hash = Hash(bytes);
        if hash.to_string() == text { Ok(hash) } else { Err(NotAHash) }
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

/// One shard of a day: how many events, and the head of their chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub events: u64,
    pub head: Hash,
}

/// An event came that does not follow the one before it by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events out of order")]
pub struct OutOfOrder;

/// The chain of one shard of one day, fed event by event in the order of their ids.
#[derive(Clone, Debug)]
pub struct Chain {
    head: Head,
    last: Option<EventId>,
}

impl Chain {
    /// An empty shard already says which day and shard it is, so that shards cannot change places.
    #[must_use]
    pub fn new(day: Date, shard: u32) -> Chain {
        let head = Hash::of(&[b"shard", &FORM.to_be_bytes(), &day_bytes(day), &shard.to_be_bytes()]);
        Chain { head: Head { events: 0, head }, last: None }
    }

    /// # Errors
    /// When the event's id is not after the last one's.
    pub fn add(&mut self, event: &Event) -> Result<(), OutOfOrder> {
        if self.last.as_ref().is_some_and(|last| *last >= event.id) {
            return Err(OutOfOrder);
        }
        let head = Hash::of(&[b"event", &self.head.head.0, &canonical(event)]);
        self.head = Head { events: self.head.events.saturating_add(1), head };
        self.last = Some(event.id.clone());
        Ok(())
    }

    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }
}

/// The seal of a UTC day. Written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    pub day: Date,
    /// [`FORM`] when it was written.
    pub form: u32,
    /// By shard.
    pub shards: Vec<Head>,
    /// The seal of the day before; none for the first day that was ever sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    pub seal: Hash,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub sealed_at: Timestamp,
    pub version: u64,
}

impl Seal {
    /// Binds the heads of a day's shards to the day before.
    #[must_use]
    pub fn new(day: Date, shards: Vec<Head>, previous: Option<Hash>, sealed_at: Timestamp) -> Seal {
        let seal = bind(day, &shards, previous);
        Seal { day, form: FORM, shards, previous, seal, sealed_at, version: 0 }
    }

    #[must_use]
    pub fn events(&self) -> u64 {
        self.shards.iter().fold(0, |sum, head| sum.saturating_add(head.events))
    }

    /// What the audit log itself keeps of it, on a later day: a seal that is replaced later contradicts it.
    #[must_use]
    pub fn fact(&self) -> Fact {
        Fact::new("audit.sealed", subject(self.day))
            .with("day", self.day.to_string())
            .with("seal", self.seal.to_string())
            .with("events", self.events())
    }
}

/// What events about a day of the audit log are about.
#[must_use]
pub fn subject(day: Date) -> String {
    format!("audit#{day}")
}

/// The day and the seal an `audit.sealed` event tells of.
#[must_use]
pub fn told(event: &Event) -> Option<(Date, Hash)> {
    let text = |name: &str| event.changes.get(name).and_then(|value| value.as_str());
    let day = text("day")?.parse().ok()?;
    let seal = Hash::try_from(text("seal")?.to_owned()).ok()?;
    (event.kind == "audit.sealed" && event.subject == subject(day)).then_some((day, seal))
}

/// Why a day is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("the day has no seal")]
    Missing,
    #[error("the seal has an unknown form")]
    Form,
    /// It was made after another seal of the day before.
    #[error("the seal does not follow that of the day before")]
    Previous,
    /// The seal does not fit its own heads.
    #[error("the seal was changed")]
    Changed,
    #[error("shard {shard} has {found} events and had {sealed}, or one of them was changed")]
    Shard { shard: u32, sealed: u64, found: u64 },
    /// A row of the shard does not read, or lies where it does not belong.
    #[error("shard {shard} holds a row that is no event")]
    Unreadable { shard: u32 },
    /// The audit log tells of another seal of the day.
    #[error("the audit log tells of another seal")]
    Contradicted,
}

impl Broken {
    /// The shard it was found in, where it is about one.
    #[must_use]
    pub fn shard(&self) -> Option<u32> {
        match self {
            Broken::Shard { shard, .. } | Broken::Unreadable { shard } => Some(*shard),
            Broken::Missing | Broken::Form | Broken::Previous | Broken::Changed | Broken::Contradicted => None,
        }
    }

    /// What the audit log says of it, and an operator hears.
    #[must_use]
    pub fn fact(&self, day: Date) -> Fact {
        let fact = Fact::new("audit.broken", subject(day)).with("day", day.to_string()).with("why", self.to_string());
        match self.shard() {
            Some(shard) => fact.with("shard", shard),
            None => fact,
        }
    }
}

/// Compares a stored seal with the day before it and with the heads of its shards, computed again.
///
/// # Errors
/// The first difference.
pub fn verify(stored: &Seal, previous: Option<Hash>, found: &[Head]) -> Result<(), Broken> {
    if stored.form != FORM {
        return Err(Broken::Form);
    }
    if stored.previous != previous {
        return Err(Broken::Previous);
    }
    if stored.seal != bind(stored.day, &stored.shards, stored.previous) || stored.shards.len() != found.len() {
        return Err(Broken::Changed);
    }
    for ((shard, sealed), found) in (0_u32..).zip(&stored.shards).zip(found) {
        if sealed != found {
            return Err(Broken::Shard { shard, sealed: sealed.events, found: found.events });
        }
    }
    Ok(())
}

fn bind(day: Date, shards: &[Head], previous: Option<Hash>) -> Hash {
    let count = u64::try_from(shards.len()).unwrap_or(u64::MAX);
    // 32 zeros stand for "none": nobody knows an input that hashes to them.
    let previous = previous.map_or([0; 32], |hash| hash.0);
    let mut heads = Vec::new();
    for head in shards {
        heads.extend(head.events.to_be_bytes());
        heads.extend(head.head.0);
    }
    Hash::of(&[b"day", &FORM.to_be_bytes(), &day_bytes(day), &previous, &count.to_be_bytes(), &heads])
}

/// `YYYY-MM-DD`: ten bytes for the years 0 to 9999, which is more than an id can name.
fn day_bytes(day: Date) -> [u8; 10] {
    let mut bytes = [b'?'; 10];
    for (slot, byte) in bytes.iter_mut().zip(day.to_string().bytes()) {
        *slot = byte;
    }
    bytes
}
