//! The `Idempotency-Key` of creating routes: the answer's seed is stored in the same transaction as the effect.
//!
//! Rows live 24 hours, compared on read (the table's TTL only cleans up later). A stored result holds ids, never a
//! credential: the answer is built again from state. Losing the race for a key is [`StoreError::Conflict`]
//! (crate::store): begin again and the winner's result comes back.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{ApiError, Request};
use crate::store::{IdempotencyRow, Key, Record, Store, Write};

const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// What to do with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    /// Do it, and commit [`Claim::write`] with the effect.
    New(Claim),
    /// It was done: rebuild the answer from this result.
    Replay(Value),
}

/// The row to commit with the effect; nothing when the caller sent no key.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    row: Option<(IdempotencyRow, Replaces)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Replaces {
    Nothing,
    /// An expired row, or one whose claim was left open.
    Earlier,
}

impl Claim {
    /// A claim of no key, for routes that take none.
    #[must_use]
    pub fn none() -> Claim {
        Claim { row: None }
    }

    /// The write that makes `result` the answer of this key from now on.
    #[must_use]
    pub fn write(&self, result: Value) -> Option<Write> {
        let (row, replaces) = self.row.clone()?;
        let record = Record::Idempotency(IdempotencyRow { result, ..row });
        Some(match replaces {
            Replaces::Nothing => Write::New(record),
            Replaces::Earlier => Write::Replace(record),
        })
    }
}

impl Claim {
    /// The write that changes the result after [`Claim::write`] was committed by itself.
    #[must_use]
    pub fn rewrite(&self, result: Value) -> Option<Write> {
        let (row, _) = self.row.clone()?;
        let version = row.version.saturating_add(1);
        Some(Write::Replace(Record::Idempotency(IdempotencyRow { result, version, ..row })))
    }
}

/// Looks the request's key up. `caller` is [`crate::auth::Caller::label`] or `"public"`, `route` is stable per endpoint.
///
/// # Errors
/// 422 when the key is malformed or was used with another request; the store's own failures.
pub async fn begin(
    store: &dyn Store,
    request: &Request,
    caller: &str,
    route: &str,
    now: Timestamp,
) -> Result<Started, ApiError> {
    let Some(key) = request.idempotency_key()? else { return Ok(Started::New(Claim::none())) };
    let key = format!("{caller}#{route}#{key}");
    decide(find(store, &key).await?, key, request.fingerprint(), now)
}

/// Takes over a key whose claim nobody will close any more. [`begin`] said that the request is the same.
///
/// # Errors
/// The store's own failures.
pub async fn take_over(store: &dyn Store, request: &Request, caller: &str, route: &str) -> Result<Claim, ApiError> {
    let Some(key) = request.idempotency_key()? else { return Ok(Claim::none()) };
    let found = find(store, &format!("{caller}#{route}#{key}")).await?;
    Ok(Claim { row: found.map(|row| (row, Replaces::Earlier)) })
}

async fn find(store: &dyn Store, key: &str) -> Result<Option<IdempotencyRow>, ApiError> {
    match store.get(&Key::Idempotency(key.to_owned())).await? {
        Some(Record::Idempotency(row)) => Ok(Some(row)),
        Some(_) | None => Ok(None),
    }
}

fn decide(
    found: Option<IdempotencyRow>,
    key: String,
    request_hash: String,
    now: Timestamp,
) -> Result<Started, ApiError> {
    let expires_at = now.checked_add(LIFETIME).map_err(ApiError::internal)?;
    let fresh =
        |version| IdempotencyRow { key, request_hash: request_hash.clone(), result: Value::Null, expires_at, version };
    match found {
        None => Ok(Started::New(Claim { row: Some((fresh(0), Replaces::Nothing)) })),
        Some(row) if row.expires_at <= now => {
            Ok(Started::New(Claim { row: Some((fresh(row.version), Replaces::Earlier)) }))
        }
        Some(row) if row.request_hash == request_hash => Ok(Started::Replay(row.result)),
        Some(_) => {
            Err(ApiError::new(422, "idempotency_key_reused", "This Idempotency-Key was used with another request."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn claim(started: Started) -> Claim {
        match started {
            Started::New(claim) => claim,
            Started::Replay(value) => panic!("replayed {value}"),
        }
    }

    fn stored(write: Option<Write>) -> IdempotencyRow {
        match write {
            Some(Write::New(Record::Idempotency(row)) | Write::Replace(Record::Idempotency(row))) => row,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_answers_once_for_a_day() {
        let now = at("2026-12-01T00:00:00Z");
        let first = claim(decide(None, "k".into(), "h".into(), now).unwrap());
        let write = first.write(json!({"id": "req_1"}));
        assert!(matches!(write, Some(Write::New(_))));
        let row = IdempotencyRow { version: 1, ..stored(write) };
        let replay = decide(Some(row.clone()), "k".into(), "h".into(), at("2026-12-01T23:59:59Z")).unwrap();
        assert_eq!(replay, Started::Replay(json!({"id": "req_1"})));
        let other = decide(Some(row.clone()), "k".into(), "x".into(), now).unwrap_err();
        assert_eq!((other.status(), other.code()), (422, "idempotency_key_reused"));
        let again = claim(decide(Some(row), "k".into(), "x".into(), at("2026-12-02T00:00:00Z")).unwrap());
        let write = again.write(json!(2));
        assert!(matches!(write, Some(Write::Replace(_))), "an expired row is replaced, not inserted");
        assert_eq!(stored(write).version, 1);
    }

    #[test]
    fn no_key_writes_nothing() {
        assert_eq!(Claim::none().write(json!(1)), None);
    }
}
