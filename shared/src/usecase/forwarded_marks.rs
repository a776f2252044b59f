//! Marks of events that their consumers' queues took. The nightly seal sends again what has none, so that an event is not
//! lost with a stream that stood still for a day.
//!
//! One row holds the marks of a whole batch of the stream, a write unit or three for up to a hundred events, and events
//! nobody wants have none. Invariants: a mark is written after the queues took the event, never before; a mark that could
//! not be written costs a second message, which consumers know by its id.

use std::collections::{BTreeMap, BTreeSet};

use domain::Date;
use domain::calendar::seoul_midnight;
use domain::ids::EventId;
use jiff::{SignedDuration, Timestamp};

use super::stamp;
use crate::ports::Random;
use crate::store::{Commit, ForwardedRow, PAGE_MAX, Query, Record, Store, StoreError, Write, typed};

/// How long marks are kept, counted from the day of their events: far longer than any seal waits.
const KEPT: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Keeps marks of events that were just sent. Failing is logged only.
pub async fn keep(store: &dyn Store, random: &dyn Random, taken: &[EventId]) {
    let mut days: BTreeMap<Date, Vec<EventId>> = BTreeMap::new();
    for id in taken {
        days.entry(id.day()).or_default().push(id.clone());
    }
    for (day, events) in days {
        let midnight = seoul_midnight(day).unwrap_or(Timestamp::UNIX_EPOCH);
        let expires_at = midnight.saturating_add(KEPT).unwrap_or(midnight);
        let row = ForwardedRow { day, id: stamp::token(random), events, expires_at, version: 0 };
        let commit =
            Commit { id: row.id.clone(), writes: vec![Write::New(Record::Forwarded(row))], events: Vec::new() };
        if let Err(error) = store.commit(&commit).await {
            tracing::warn!(%error, %day, "marks were not kept; the nightly seal sends these events again");
        }
    }
}

/// All marks of a UTC day.
///
/// # Errors
/// When the store fails.
pub async fn of_day(store: &dyn Store, day: Date) -> Result<BTreeSet<EventId>, StoreError> {
    let (query, mut cursor, mut marked) = (Query::ForwardedOn { day }, None::<String>, BTreeSet::new());
    loop {
        let (rows, next) = typed::list::<ForwardedRow>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
        marked.extend(rows.into_iter().flat_map(|row| row.events));
        cursor = next;
        if cursor.is_none() {
            return Ok(marked);
        }
    }
}
