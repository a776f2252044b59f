//! The lease of a runner's share and its reports to the run row. The lease saves work; it is not what keeps charges
//! single (claims are), so losing it is harmless.

use std::time::Duration;

use domain::ids::RunId;
use domain::run::Progress;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Charging, RACES, stamp};
use crate::ports::ShardMessage;
use crate::store::{Commit, Control, Record, Store, StoreError, Write, typed};

/// A held lease.
pub struct Lease {
    row: Control,
}

/// What asking for a lease came to.
pub enum Asked {
    Taken(Lease),
    /// Somebody holds it, for this run if the holder said so.
    Held {
        for_run: Option<String>,
    },
}

fn name(shard: u32) -> String {
    format!("runner#{shard}")
}

/// Takes the lease of a share for a run, for at most `left`.
///
/// # Errors
/// When the store fails.
pub async fn acquire(charging: &Charging, shard: u32, run: &RunId, left: Duration) -> Result<Asked, StoreError> {
    let store = charging.store.as_ref();
    let now = charging.clock.now().await;
    let row = typed::control(store, &name(shard)).await?;
    let held = row.as_ref().and_then(|r| r.value.get("until")?.as_i64()).unwrap_or(0);
    if held > now.as_millisecond() {
        let for_run = row.as_ref().and_then(|r| r.value.get("run")?.as_str()).map(str::to_owned);
        return Ok(Asked::Held { for_run });
    }
    let until = now.saturating_add(SignedDuration::try_from(left).unwrap_or(SignedDuration::ZERO)).unwrap_or(now);
    let next = Control {
        name: name(shard),
        value: json!({ "until": until.as_millisecond(), "run": run.as_str() }),
        version: row.as_ref().map_or(0, |r| r.version),
    };
    let record = Record::Control(next.clone());
    let write = if row.is_some() { Write::Replace(record) } else { Write::New(record) };
    match store
        .commit(&Commit { id: stamp::token(charging.random.as_ref()), writes: vec![write], events: Vec::new() })
        .await
    {
        Ok(()) => Ok(Asked::Taken(Lease { row: Control { version: next.version.saturating_add(1), ..next } })),
        Err(StoreError::Conflict { .. }) => Ok(Asked::Held { for_run: None }),
        Err(e) => Err(e),
    }
}

/// Gives the lease back. If it was lost meanwhile there is nothing to give.
///
/// # Errors
/// When the store fails.
pub async fn release(charging: &Charging, lease: Lease) -> Result<(), StoreError> {
    let freed = Control { value: json!({ "until": 0 }), ..lease.row };
    let commit = Commit {
        id: stamp::token(charging.random.as_ref()),
        writes: vec![Write::Replace(Record::Control(freed))],
        events: Vec::new(),
    };
    match charging.store.commit(&commit).await {
        Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Folds what a runner did into the run row.
///
/// # Errors
/// When the store fails or races persist.
pub async fn report(
    store: &dyn Store,
    charging: &Charging,
    message: &ShardMessage,
    progress: &Progress,
) -> Result<(), StoreError> {
    let now: Timestamp = charging.clock.now().await;
    for _ in 0..RACES {
        let Some(run) = typed::run(store, &message.run_id).await? else { return Ok(()) };
        let after = run.progressed(message.shard, progress, now);
        if after == run {
            return Ok(());
        }
        let commit = Commit {
            id: stamp::token(charging.random.as_ref()),
            writes: vec![Write::Replace(Record::Run(after))],
            events: Vec::new(),
        };
        match store.commit(&commit).await {
            Err(StoreError::Conflict { .. }) => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict { key: None })
}
