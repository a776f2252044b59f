//! Counters that start again every civil day, kept where rows expire by themselves.

use domain::calendar::seoul_date;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::{RACES, stamp};
use crate::ports::Random;
use crate::store::{Commit, IdempotencyRow, Record, Store, StoreError, Write, typed};

/// Where somebody without a token calls from. No `Debug`: an address is personal.
#[derive(Clone, Copy)]
pub struct From<'a> {
    pub address: &'a str,
    /// How often one address may do a kind of thing in a day.
    pub limit: u64,
}

impl From<'_> {
    /// Names the counter of a kind of thing from this address. Only a hash of the address is in it.
    #[must_use]
    pub fn what(&self, kind: &str) -> String {
        let hash: String = hex::encode(Sha256::digest(self.address)).chars().take(24).collect();
        format!("{kind}#address#{hash}")
    }
}

fn key(what: &str, now: Timestamp) -> String {
    format!("limit#{what}#{}", seoul_date(now))
}

fn counted(row: Option<&IdempotencyRow>) -> u64 {
    row.and_then(|r| r.result.as_u64()).unwrap_or(0)
}

/// Whether `what` happened `limit` times today.
///
/// # Errors
/// When the store fails.
pub async fn reached(store: &dyn Store, what: &str, limit: u64, now: Timestamp) -> Result<bool, StoreError> {
    let row = typed::idempotency(store, &key(what, now)).await?;
    Ok(counted(row.as_ref()) >= limit)
}

/// How often `what` happened today so far, and the write that counts one more. Committed with something else it counts
/// exactly what was done; a lost race is the caller's to decide again.
///
/// # Errors
/// When the store fails.
pub async fn next(store: &dyn Store, what: &str, now: Timestamp) -> Result<(u64, Write), StoreError> {
    let key = key(what, now);
    let row = typed::idempotency(store, &key).await?;
    let seen = counted(row.as_ref());
    let next = IdempotencyRow {
        key,
        request_hash: String::new(),
        result: seen.saturating_add(1).into(),
        expires_at: now.saturating_add(SignedDuration::from_hours(48)).unwrap_or(now),
        version: row.as_ref().map_or(0, |r| r.version),
    };
    let record = Record::Idempotency(next);
    Ok((seen, if row.is_some() { Write::Replace(record) } else { Write::New(record) }))
}

/// Counts one more.
///
/// # Errors
/// When the store fails or races persist.
pub async fn count(store: &dyn Store, random: &dyn Random, what: &str, now: Timestamp) -> Result<(), StoreError> {
    for _ in 0..RACES {
        let (_, write) = next(store, what, now).await?;
        match store.commit(&Commit { id: stamp::token(random), writes: vec![write], events: Vec::new() }).await {
            Err(StoreError::Conflict { .. }) => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict { key: None })
}
