//! Counters that start again every civil day, kept where rows expire by themselves.

use domain::calendar::seoul_date;
use jiff::{SignedDuration, Timestamp};

use super::{RACES, stamp};
use crate::ports::Random;
use crate::store::{Commit, IdempotencyRow, Record, Store, StoreError, Write, typed};

fn key(what: &str, now: Timestamp) -> String {
    format!("limit#{what}#{}", seoul_date(now))
}

/// Whether `what` happened `limit` times today.
///
/// # Errors
/// When the store fails.
pub async fn reached(store: &dyn Store, what: &str, limit: u64, now: Timestamp) -> Result<bool, StoreError> {
    let row = typed::idempotency(store, &key(what, now)).await?;
    Ok(row.and_then(|r| r.result.as_u64()).unwrap_or(0) >= limit)
}

/// Counts one more.
///
/// # Errors
/// When the store fails or races persist.
pub async fn count(store: &dyn Store, random: &dyn Random, what: &str, now: Timestamp) -> Result<(), StoreError> {
    let key = key(what, now);
    for _ in 0..RACES {
        let row = typed::idempotency(store, &key).await?;
        let seen = row.as_ref().and_then(|r| r.result.as_u64()).unwrap_or(0);
        let next = IdempotencyRow {
            key: key.clone(),
            request_hash: String::new(),
            result: seen.saturating_add(1).into(),
            expires_at: now.saturating_add(SignedDuration::from_hours(48)).unwrap_or(now),
            version: row.as_ref().map_or(0, |r| r.version),
        };
        let record = Record::Idempotency(next);
        let write = if row.is_some() { Write::Replace(record) } else { Write::New(record) };
        match store.commit(&Commit { id: stamp::token(random), writes: vec![write], events: Vec::new() }).await {
            Err(StoreError::Conflict { .. }) => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict { key: None })
}
