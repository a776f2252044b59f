//! Searching the audit log: events about a subject, or of a UTC day, newest first.
//!
//! Invariants: pages of one search neither repeat nor leave out an event that was there when the first one was read, in
//! the order of ids whatever shard they are in; the work of one page is bounded, so a page of a rare kind may be short or
//! empty and still have a successor. Events hold no personal data (`domain/event.rs`), so there is nothing to leave out.

use std::collections::VecDeque;

use domain::Date;
use domain::event::Event;
use domain::ids::EventId;

use crate::store::schema::LOG_SHARDS;
use crate::store::{LogPart, PAGE_MAX, Query, Store, StoreError, typed};

/// Events looked at for one page.
pub const LOOKED_AT_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Subject(String),
    /// A UTC day.
    Day(Date),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub about: About,
    /// Only events of this kind.
    pub kind: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub events: Vec<Event>,
    /// The last event looked at: the next page starts below it. None when nothing is left.
    pub next: Option<EventId>,
}

/// One part of the log, read a page ahead.
struct Reader {
    part: LogPart,
    ahead: VecDeque<Event>,
    below: Option<EventId>,
    more: bool,
}

impl Reader {
    async fn fill(&mut self, store: &dyn Store, page: u32) -> Result<(), StoreError> {
        while self.ahead.is_empty() && self.more {
            let query = Query::EventsBelow { part: self.part.clone(), below: self.below.clone() };
            let (events, next) = typed::list::<Event>(store, &query, page, None).await?;
            self.more = next.is_some() && !events.is_empty();
            self.below = events.last().map(|event| event.id.clone()).or(self.below.take());
            self.ahead = events.into();
        }
        Ok(())
    }
}

/// One page of at most `limit` events, from below `after` on.
///
/// # Errors
/// When the store fails.
pub async fn search(
    store: &dyn Store,
    search: &Search,
    limit: u32,
    after: Option<&EventId>,
) -> Result<Found, StoreError> {
    let parts = match &search.about {
        About::Subject(subject) => vec![LogPart::Subject(subject.clone())],
        About::Day(day) => (0..LOG_SHARDS).map(|shard| LogPart::Day(*day, shard)).collect(),
    };
    let reader = |part| Reader { part, ahead: VecDeque::new(), below: after.cloned(), more: true };
    let mut readers: Vec<Reader> = parts.into_iter().map(reader).collect();
    let page = if search.kind.is_some() { PAGE_MAX } else { limit.clamp(1, PAGE_MAX) };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut events, mut last) = (Vec::new(), None);
    for _ in 0..LOOKED_AT_MAX {
        if events.len() >= limit {
            break;
        }
        let Some(event) = newest(store, &mut readers, page).await? else {
            return Ok(Found { events, next: None });
        };
        last = Some(event.id.clone());
        if search.kind.as_ref().is_none_or(|kind| *kind == event.kind) {
            events.push(event);
        }
    }
    let left = readers.iter().any(|reader| reader.more || !reader.ahead.is_empty());
    Ok(Found { events, next: last.filter(|_| left) })
}

/// Takes the newest event that any part has left.
async fn newest(store: &dyn Store, readers: &mut [Reader], page: u32) -> Result<Option<Event>, StoreError> {
    for reader in readers.iter_mut() {
        reader.fill(store, page).await?;
    }
    let head = |reader: &Reader| reader.ahead.front().map(|event| event.id.clone());
    let first = readers.iter_mut().max_by_key(|reader| head(reader));
    Ok(first.and_then(|reader| reader.ahead.pop_front()))
}
