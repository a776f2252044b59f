//! Ends an application without an operator's word: the applicant withdraws it, or nobody went on with it for a month.
//!
//! Invariants: the application and the subscription it was to start end in one commit; whoever decides at the same time
//! wins or loses as a whole.

use domain::event::Fact;
use domain::ids::RequestId;
use domain::onboarding::{Application, DecideError, IDLE, Status};
use domain::subscription::Status as SubscriptionStatus;
use tokio::time::Instant;

use super::{RACES, stamp};
use crate::ports::{Context, Random};
use crate::store::{PAGE_MAX, Query, Record, Store, StoreError, Write, typed};

/// Statuses in which an application can still end.
const OPEN: [Status; 3] = [Status::Submitted, Status::InReview, Status::OnHold];

#[derive(Debug, thiserror::Error)]
pub enum EndError {
    #[error("no such application")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] DecideError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The applicant takes the application back; `also` joins the commit. Doing it again answers the same.
///
/// # Errors
/// When there is none, it was decided, races persist, or the store fails.
pub async fn withdraw(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    id: &RequestId,
    by: &str,
    also: &[Write],
) -> Result<Application, EndError> {
    for _ in 0..RACES {
        let application = typed::application(store, id).await?.ok_or(EndError::NotFound)?;
        let Some((ended, fact)) = application.withdrawn(by, context.now)? else { return Ok(application) };
        match end(store, random, context, &ended, fact, also).await {
            Ok(()) => return Ok(ended),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// Ends every application that was idle for too long. Says how many. What is left at `deadline` is found the next time.
///
/// # Errors
/// When the store fails; a lost race is somebody else's word about it.
pub async fn expire(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    deadline: Instant,
) -> Result<u32, StoreError> {
    let mut expired = 0_u32;
    for status in OPEN {
        let (query, mut cursor) = (Query::ApplicationsByStatus { status }, None::<String>);
        loop {
            let (page, next) = typed::list::<Application>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
            for application in &page {
                if Instant::now() > deadline {
                    return Ok(expired);
                }
                let Some((ended, fact)) = application.expired(context.now) else { continue };
                match end(store, random, context, &ended, fact, &[]).await {
                    Ok(()) => expired = expired.saturating_add(1),
                    Err(StoreError::Conflict { .. }) => {}
                    Err(e) => return Err(e),
                }
            }
            cursor = next;
            // Oldest first: whoever applied since cannot have been idle for long enough.
            let young = page.last().is_some_and(|last| context.now.duration_since(last.submitted_at) < IDLE);
            if cursor.is_none() || young {
                break;
            }
        }
    }
    Ok(expired)
}

async fn end(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    ended: &Application,
    fact: Fact,
    also: &[Write],
) -> Result<(), StoreError> {
    let (mut writes, mut facts) = (vec![Write::Replace(Record::Application(ended.clone()))], vec![fact]);
    let open = typed::subscription(store, &ended.id.subscription()).await?;
    if let Some(open) = open.filter(|s| s.status == SubscriptionStatus::PendingActivation) {
        let lapsed = open.lapsed(context.now).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        writes.push(Write::Replace(Record::Subscription(lapsed.0)));
        facts.push(lapsed.1);
    }
    writes.extend_from_slice(also);
    store.commit(&stamp::commit(random, context, writes, facts)).await
}
