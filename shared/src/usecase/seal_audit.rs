//! The nightly seal: sends again what the forwarder never sent, then seals every UTC day that is over, oldest first.
//!
//! A day is settled two hours after its end. An event's id carries the time its decision was made, and its commit may land
//! later: calls, retries and the longest function are over in minutes. Invariants: a day is sealed once and its seal never
//! replaced; no day is left out, however long nothing was sealed; a day is sealed only after each of its wanted events was
//! taken by its queues, because a sealed day is not looked at again.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Date;
use domain::event::Event;
use domain::ids::EventId;
use domain::seal::{Chain, Head, Seal};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::forward_events::{Streamed, forward, wanted};
use super::{forwarded_marks, stamp};
use crate::ports::{Context, Outbox, Random};
use crate::store::schema::LOG_SHARDS;
use crate::store::{PAGE_MAX, Query, Record, Store, StoreError, Write, typed};

/// From a day's end until its rows are settled.
pub const GRACE: SignedDuration = SignedDuration::from_hours(2);
/// Days before the last settled one with which a log that was never sealed begins.
const FIRST_DAYS_BACK: i64 = 2;
/// No other day is begun with less time than this left.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events handed to the forwarder's queues together.
const BATCH: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A queue did not take an event; the next night tries again.
    #[error("events of {0} could not be sent again, so the day is not sealed")]
    NotSent(Date),
    #[error("the calendar ends")]
    Calendar,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a sealer works with.
pub struct Sealer<'a> {
    pub store: &'a dyn Store,
    pub outbox: &'a dyn Outbox,
    pub random: &'a dyn Random,
}

/// What a night did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    pub sealed: Vec<Seal>,
    /// Events that had no mark and were sent again.
    pub resent: usize,
}

/// The last UTC day whose rows are settled.
#[must_use]
pub fn last_settled(now: Timestamp) -> Option<Date> {
    let settled = now.checked_sub(GRACE).ok()?;
    settled.to_zoned(TimeZone::UTC).date().yesterday().ok()
}

/// Seals every settled day that is not sealed yet, as far as time allows.
///
/// # Errors
/// When the store fails, a row of the log does not read, or a queue takes nothing: days before stay sealed.
pub async fn seal_settled(sealer: &Sealer<'_>, context: &Context, deadline: Instant) -> Result<Sealing, SealError> {
    let last = last_settled(context.now).ok_or(SealError::Calendar)?;
    let (newest, _) = typed::list::<Seal>(sealer.store, &Query::Seals, 1, None).await?;
    let mut before = newest.into_iter().next();
    let mut sealing = Sealing::default();
    loop {
        let day = match &before {
            Some(seal) => seal.day.tomorrow().map_err(|_| SealError::Calendar)?,
            None => {
                let back = jiff::Span::new().days(FIRST_DAYS_BACK);
                last.checked_sub(back).map_err(|_| SealError::Calendar)?
            }
        };
        if day > last || Instant::now() + PATIENCE > deadline {
            return Ok(sealing);
        }
        let (heads, resent) = read(sealer, day).await?;
        sealing.resent = sealing.resent.saturating_add(resent);
        let seal = Seal::new(day, heads, before.as_ref().map(|seal| seal.seal), context.now);
        if write(sealer, context, &seal).await? {
            sealing.sealed.push(seal.clone());
        }
        before = Some(seal);
    }
}

/// Whether it was written: somebody else may have been first, with the same seal or one that `verify_audit` will find.
async fn write(sealer: &Sealer<'_>, context: &Context, seal: &Seal) -> Result<bool, SealError> {
    let writes = vec![Write::New(Record::Seal(seal.clone()))];
    match sealer.store.commit(&stamp::commit(sealer.random, context, writes, vec![seal.fact()])).await {
        Ok(()) => {
            // Kept in the log as well: who can rewrite the tables cannot rewrite this.
            tracing::info!(day = %seal.day, events = seal.events(), seal = %seal.seal, "a day of the audit log is sealed");
            Ok(true)
        }
        Err(StoreError::Conflict { .. }) => {
            let (stored, _) = typed::list::<Seal>(sealer.store, &Query::Seals, PAGE_MAX, None).await?;
            let same = stored.iter().any(|stored| (stored.day, &stored.seal) == (seal.day, &seal.seal));
            if same { Ok(false) } else { Err(StoreError::Conflict { key: None }.into()) }
        }
        Err(e) => Err(e.into()),
    }
}

/// The heads of a day's shards, and how many of its events had to be sent again.
async fn read(sealer: &Sealer<'_>, day: Date) -> Result<(Vec<Head>, usize), SealError> {
    let marked = forwarded_marks::of_day(sealer.store, day).await?;
    let (mut heads, mut unsent, mut resent) = (Vec::new(), Vec::new(), 0_usize);
    for shard in 0..LOG_SHARDS {
        let (mut chain, mut cursor) = (Chain::new(day, shard), None::<String>);
        loop {
            let query = Query::EventsOn { day, shard };
            let (events, next) = typed::list::<Event>(sealer.store, &query, PAGE_MAX, cursor.as_deref()).await?;
            for event in events {
                chain.add(&event).map_err(|e| StoreError::Corrupt(e.to_string()))?;
                if is_unsent(&event, &marked) {
                    unsent.push(event);
                }
            }
            resent = resent.saturating_add(send(sealer, day, &mut unsent, BATCH).await?);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        heads.push(chain.head());
    }
    resent = resent.saturating_add(send(sealer, day, &mut unsent, 1).await?);
    Ok((heads, resent))
}

fn is_unsent(event: &Event, marked: &BTreeSet<EventId>) -> bool {
    wanted(&event.kind) && !marked.contains(&event.id)
}

/// Sends events in batches while there are at least so many, as the stream would have.
async fn send(sealer: &Sealer<'_>, day: Date, unsent: &mut Vec<Event>, at_least: usize) -> Result<usize, SealError> {
    let mut sent = 0_usize;
    while !unsent.is_empty() && unsent.len() >= at_least {
        let batch = unsent.drain(..BATCH.min(unsent.len()));
        let rows: Vec<Streamed> =
            batch.map(|event| Streamed { sequence: event.id.to_string(), event: Ok(event) }).collect();
        let forwarded = forward(sealer.outbox, &rows).await;
        forwarded_marks::keep(sealer.store, sealer.random, &forwarded.taken).await;
        sent = sent.saturating_add(forwarded.taken.len());
        if forwarded.again.is_some() {
            return Err(SealError::NotSent(day));
        }
    }
    Ok(sent)
}
