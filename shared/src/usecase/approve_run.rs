//! An operator lets a held run go on. The runners are called after the commit; should that fail, the same request calls
//! them again, and for a day's run so does the next tick.

use domain::event::Actor;
use domain::ids::RunId;
use domain::run::Run;

use super::run_billing::dispatch;
use super::{RACES, stamp};
use crate::ports::{Context, QueueUnavailable, Random, Shards};
use crate::store::{Record, Store, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum ApproveRunError {
    #[error("no such run")]
    NotFound,
    /// It runs or ran without having been held.
    #[error("the run is not held")]
    NotHeld,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueUnavailable),
}

/// Approves a held run and calls its runners. Approved before: the same answer, and the runners are called again.
///
/// # Errors
/// When there is no such run, it was never held, or the store or the queue fails.
pub async fn approve_run(
    store: &dyn Store,
    shards: &dyn Shards,
    random: &dyn Random,
    context: &Context,
    id: &RunId,
) -> Result<Run, ApproveRunError> {
    let run = approved(store, random, context, id).await?;
    dispatch(shards, &run).await?;
    Ok(run)
}

async fn approved(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    id: &RunId,
) -> Result<Run, ApproveRunError> {
    let by = match &context.actor {
        Actor::Operator(id) | Actor::Tenant(id) | Actor::Applicant(id) | Actor::Gateway(id) | Actor::System(id) => id,
    };
    for _ in 0..RACES {
        let run = typed::run(store, id).await?.ok_or(ApproveRunError::NotFound)?;
        if run.approved_by.is_some() {
            return Ok(run);
        }
        let (after, fact) = run.approved(by).ok_or(ApproveRunError::NotHeld)?;
        let writes = vec![Write::Replace(Record::Run(after.clone()))];
        match store.commit(&stamp::commit(random, context, writes, vec![fact])).await {
            Ok(()) => return Ok(Run { version: after.version.saturating_add(1), ..after }),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}
