//! Counting events into the figures of their day and into the levels: an idempotent projection of the audit log.
//!
//! Invariants: an event and its effect are one transaction with a row that says it was counted, so one heard twice, or by
//! two workers, counts once; order does not matter. Nothing here is on the way of a charge.

use std::collections::BTreeMap;

use domain::event::Event;
use domain::statistics::{LEVELS, Statistic, Sums, add, day, effect};
use jiff::{SignedDuration, Timestamp};

use super::RACES;
use crate::ports::Random;
use crate::store::{Commit, InboxRow, Key, Record, Store, StoreError, Write, typed};

/// How long it is remembered that an event was counted: longer than a message lives, with its time in a dead-letter queue.
const REMEMBERED_DAYS: i64 = 40;
/// Events of one transaction: with a row each, their days and the levels it stays below the store's limit.
pub const BATCH: usize = 40;

/// Counts events; those counted before are left out. At most [`BATCH`] of them, or it is refused as too large.
///
/// # Errors
/// When the store fails or races persist: all of them come back, which is harmless.
pub async fn count(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    events: &[Event],
) -> Result<usize, StoreError> {
    let distinct: BTreeMap<String, &Event> = events.iter().map(|event| (marker(event), event)).collect();
    for _ in 0..RACES {
        let markers: Vec<Key> = distinct.keys().cloned().map(Key::Inbox).collect();
        let known = typed::get_many::<InboxRow>(store, &markers).await?;
        let fresh: BTreeMap<&String, &&Event> =
            distinct.iter().filter(|(key, _)| known.iter().all(|row| row.key != **key)).collect();
        if fresh.is_empty() {
            return Ok(0);
        }
        let counted = fresh.len();
        let mut writes: Vec<Write> = fresh.iter().map(|(key, event)| counted_row(key, event, now)).collect();
        writes.extend(sums(store, fresh.into_values().copied()).await?);
        let commit = Commit { id: super::stamp::token(random), writes, events: Vec::new() };
        match store.commit(&commit).await {
            Ok(()) => return Ok(counted),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Err(StoreError::Conflict { key: None })
}

fn marker(event: &Event) -> String {
    format!("statistics#{}", event.id)
}

fn counted_row(key: &str, event: &Event, now: Timestamp) -> Write {
    Write::New(Record::Inbox(InboxRow {
        key: key.to_owned(),
        kind: event.kind.clone(),
        outcome: "COUNTED".to_owned(),
        expires_at: now.saturating_add(SignedDuration::from_hours(REMEMBERED_DAYS * 24)).unwrap_or(now),
        version: 0,
    }))
}

/// The rows of figures after these events.
async fn sums(store: &dyn Store, events: impl Iterator<Item = &Event>) -> Result<Vec<Write>, StoreError> {
    let mut effects: BTreeMap<String, Sums> = BTreeMap::new();
    for event in events {
        let effect = effect(event);
        for (name, sums) in [(day(event).to_string(), effect.day), (LEVELS.to_owned(), effect.levels)] {
            if !sums.is_empty() {
                add(effects.entry(name).or_default(), &sums);
            }
        }
    }
    let keys: Vec<Key> = effects.keys().cloned().map(Key::Statistic).collect();
    let mut rows: BTreeMap<String, Statistic> = BTreeMap::new();
    for row in typed::get_many::<Statistic>(store, &keys).await? {
        rows.insert(row.name.clone(), row);
    }
    let after = |(name, sums): (&String, &Sums)| match rows.get(name) {
        Some(row) => Write::Replace(Record::Statistic(row.plus(sums))),
        None => Write::New(Record::Statistic(Statistic::new(name).plus(sums))),
    };
    Ok(effects.iter().map(after).collect())
}
