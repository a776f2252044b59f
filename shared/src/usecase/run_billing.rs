//! The tick: makes sure today's run exists and sends every runner its message. The tick, not the hand-on, is the
//! source of truth: whatever died is picked up by the next one.

use std::time::Duration;

use domain::calendar::{next_seoul_day, seoul_date, seoul_midnight};
use domain::ids::{RunId, ulid};
use domain::run::Run;
use jiff::Timestamp;

use super::stamp;
use crate::ports::{QueueUnavailable, Random, ShardMessage, Shards};
use crate::store::{Commit, Record, Store, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum TickError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueUnavailable),
}

/// Continues the run of the civil day `now` falls on.
///
/// # Errors
/// When the store or the queue fails; the next tick does it again.
pub async fn tick(
    store: &dyn Store,
    shards: &dyn Shards,
    random: &dyn Random,
    now: Timestamp,
    runners: u32,
) -> Result<Run, TickError> {
    let run = begin(store, random, Run::new(day_run(now), None, runners, now)).await?;
    dispatch(shards, &run).await?;
    Ok(run)
}

/// The id of a day's run: the same for every tick of that day.
#[must_use]
pub fn day_run(now: Timestamp) -> RunId {
    let midnight = seoul_midnight(seoul_date(now)).or_else(|_| next_seoul_day(now)).unwrap_or(now);
    RunId::new(ulid(midnight, 0))
}

/// Inserts a run unless it is there already.
///
/// # Errors
/// When the store fails.
pub async fn begin(store: &dyn Store, random: &dyn Random, run: Run) -> Result<Run, StoreError> {
    if let Some(existing) = typed::run(store, &run.id).await? {
        return Ok(existing);
    }
    let commit =
        Commit { id: stamp::token(random), writes: vec![Write::New(Record::Run(run.clone()))], events: Vec::new() };
    match store.commit(&commit).await {
        Ok(()) => Ok(Run { version: 1, ..run }),
        Err(StoreError::Conflict { key }) => typed::run(store, &run.id).await?.ok_or(StoreError::Conflict { key }),
        Err(e) => Err(e),
    }
}

/// One message per runner.
///
/// # Errors
/// When the queue fails.
pub async fn dispatch(shards: &dyn Shards, run: &Run) -> Result<(), QueueUnavailable> {
    for shard in 0..run.runners {
        let message =
            ShardMessage { run_id: run.id.clone(), shard, runners: run.runners, as_of: run.as_of, continued: false };
        shards.send(&message, Duration::ZERO).await?;
    }
    Ok(())
}
