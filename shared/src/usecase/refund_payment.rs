//! Asks for a refund and lets a second person decide about a large one. Reserving it is one commit; sending it is
//! [`super::send_refund`]'s and may be done by anybody afterwards.

use domain::ids::RefundId;
use domain::refund::{Refused, Wish};

use super::send_refund::{Place, SendError};
use super::{Charging, RACES, stamp};
use crate::ports::Context;
use crate::store::{Commit, Record, StoreError, Write};
use domain::cycle::Cycle;

#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    #[error("no such cycle or refund")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SendError> for RefundError {
    fn from(e: SendError) -> Self {
        match e {
            SendError::NotFound => RefundError::NotFound,
            SendError::Store(e) => RefundError::Store(e),
        }
    }
}

/// Reserves a refund; `also` joins the transaction.
///
/// # Errors
/// When there is no such cycle, the rules forbid it, the store fails or races persist.
pub async fn request(
    charging: &Charging,
    context: &Context,
    place: &Place,
    wish: &Wish,
    also: &[Write],
) -> Result<Cycle, RefundError> {
    for _ in 0..RACES {
        let before = place.load(charging).await?;
        let change = before.request_refund(wish.clone(), context.now)?;
        if let Some(after) = commit(charging, context, change, Some(&wish.reason), also).await? {
            return Ok(after);
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// The second person's word about a refund; `also` joins the transaction. Saying the same again changes nothing.
///
/// # Errors
/// When there is no such refund, the rules forbid it, the store fails or races persist.
pub async fn decide(
    charging: &Charging,
    context: &Context,
    place: &Place,
    id: &RefundId,
    word: (&str, bool, Option<&str>),
    also: &[Write],
) -> Result<Cycle, RefundError> {
    let (by, agreed, reason) = word;
    for _ in 0..RACES {
        let before = place.load(charging).await?;
        let Some(change) = before.decide_refund(id, agreed, by, context.now)? else { return Ok(before) };
        if let Some(after) = commit(charging, context, change, reason, also).await? {
            return Ok(after);
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// The row as written; `None` after a lost race.
async fn commit(
    charging: &Charging,
    context: &Context,
    change: domain::refund::Change,
    reason: Option<&str>,
    also: &[Write],
) -> Result<Option<Cycle>, StoreError> {
    let random = charging.random.as_ref();
    let mut writes = also.to_vec();
    writes.push(Write::Replace(Record::Cycle(change.cycle.clone())));
    let stamped = |fact| stamp::event(random, context, fact, reason.map(str::to_owned));
    let events = change.facts.into_iter().map(stamped).collect();
    match charging.store.commit(&Commit { id: stamp::token(random), writes, events }).await {
        Ok(()) => Ok(Some(Cycle { version: change.cycle.version.saturating_add(1), ..change.cycle })),
        Err(StoreError::Conflict { key: Some(crate::store::Key::Idempotency(_)) }) => {
            Err(StoreError::Conflict { key: None })
        }
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}
