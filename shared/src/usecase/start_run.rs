//! An operator starts a run, now or, where the stage allows time travel, as of an instant. The travelled clock is kept
//! in `control` and never goes back.

use domain::event::Fact;
use domain::ids::{RunId, ulid};
use domain::run::Run;
use jiff::Timestamp;
use serde_json::json;

use super::run_billing::{TickError, begin, day_run, dispatch};
use super::{RACES, stamp};
use crate::ports::{Context, QueueUnavailable, Random, Shards};
use crate::store::{Commit, Control, Record, Store, StoreError, Write, typed};

/// Name of the control row that holds the travelled clock.
pub const CLOCK: &str = "clock";

#[derive(Debug, thiserror::Error)]
pub enum StartRunError {
    #[error("this stage does not allow time travel")]
    TimeTravelRefused,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueUnavailable),
}

impl From<TickError> for StartRunError {
    fn from(e: TickError) -> Self {
        match e {
            TickError::Store(e) => StartRunError::Store(e),
            TickError::Queue(e) => StartRunError::Queue(e),
        }
    }
}

/// What starting a run needs besides the store.
pub struct Starter<'a> {
    pub shards: &'a dyn Shards,
    pub random: &'a dyn Random,
    pub runners: u32,
    pub time_travel: bool,
    /// The wall clock: what the travelled clock is counted from.
    pub wall: Timestamp,
}

/// Starts or continues a run. A drained one is opened again, because something may be due by now; a held one stays held.
///
/// # Errors
/// When time travel is asked for and refused, or the store or queue fails.
pub async fn start_run(
    store: &dyn Store,
    starter: &Starter<'_>,
    context: &Context,
    as_of: Option<Timestamp>,
) -> Result<Run, StartRunError> {
    if as_of.is_some() && !starter.time_travel {
        return Err(StartRunError::TimeTravelRefused);
    }
    let id = match as_of {
        Some(at) => RunId::new(ulid(at, 1)),
        None => day_run(context.now),
    };
    if let Some(at) = as_of.filter(|at| *at > context.now) {
        travel(store, starter, at).await?;
    }
    let run = begin(store, starter.random, Run::new(id, as_of, starter.runners, context.now)).await?;
    let run = reopen(store, starter.random, context, run).await?;
    dispatch(starter.shards, &run).await?;
    Ok(run)
}

async fn reopen(store: &dyn Store, random: &dyn Random, context: &Context, run: Run) -> Result<Run, StoreError> {
    let mut run = run;
    for _ in 0..RACES {
        let opened = run.reopened();
        let fact = Fact::new("run.started", run.id.as_str()).with("asOf", run.as_of.map(|t| t.to_string()));
        let writes = vec![Write::Replace(Record::Run(opened.clone()))];
        match store.commit(&stamp::commit(random, context, writes, vec![fact])).await {
            Ok(()) => return Ok(Run { version: opened.version.saturating_add(1), ..opened }),
            Err(StoreError::Conflict { key }) => {
                run = typed::run(store, &run.id).await?.ok_or(StoreError::Conflict { key })?;
            }
            Err(e) => return Err(e),
        }
    }
    Err(StoreError::Conflict { key: None })
}

/// Moves the travelled clock forward; a later one already set stays.
async fn travel(store: &dyn Store, starter: &Starter<'_>, at: Timestamp) -> Result<(), StoreError> {
    for _ in 0..RACES {
        let row = typed::control(store, CLOCK).await?;
        // Whoever travelled further while we looked at the clock has the last word.
        if row.as_ref().and_then(|row| travelled(row, starter.wall)).is_some_and(|later| later >= at) {
            return Ok(());
        }
        let value = json!({ "asOf": at.as_millisecond(), "setAt": starter.wall.as_millisecond() });
        let version = row.as_ref().map_or(0, |r| r.version);
        let record = Record::Control(Control { name: CLOCK.to_owned(), value, version });
        let write = if row.is_some() { Write::Replace(record) } else { Write::New(record) };
        match store.commit(&Commit { id: stamp::token(starter.random), writes: vec![write], events: Vec::new() }).await
        {
            Err(StoreError::Conflict { .. }) => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict { key: None })
}

/// The travelled instant now: `asOf` plus the wall time that has passed since it was set.
#[must_use]
pub fn travelled(row: &Control, wall: Timestamp) -> Option<Timestamp> {
    let as_of = Timestamp::from_millisecond(row.value.get("asOf")?.as_i64()?).ok()?;
    let set_at = Timestamp::from_millisecond(row.value.get("setAt")?.as_i64()?).ok()?;
    as_of.checked_add(wall.duration_since(set_at)).ok()
}
