//! An applicant lost the link: a new one is mailed, if the address is the application's.
//!
//! Invariants: whoever asks learns nothing. Whether there is such an application, whether the address is its, whether it
//! still takes one: the answer is the same, after the same reads and one commit of two rows. The token itself is made when the mail is
//! sent and kept nowhere. An application is mailed a few times a day, whoever asks; each try counts for the address it
//! came from before anything is looked at.

use domain::event::Fact;
use domain::ids::RequestId;
use subtle::ConstantTimeEq;

use super::{RACES, daily_limit, stamp};
use crate::ports::{Context, Random};
use crate::store::{Store, StoreError, typed};

/// Mails an application is sent in a day.
const MAILS: u64 = 5;

#[derive(Debug, thiserror::Error)]
pub enum ReissueError {
    /// The address asked too often today, about whatever.
    #[error("too many requests")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Has a new link mailed for `id` if `email` is the applicant's.
///
/// # Errors
/// When the caller's address asked too often or the store fails; never for what was asked.
pub async fn reissue_token(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    id: &RequestId,
    email: &str,
    from: daily_limit::From<'_>,
) -> Result<(), ReissueError> {
    let address = from.what("token");
    if daily_limit::reached(store, &address, from.limit, context.now).await? {
        return Err(ReissueError::TooMany);
    }
    daily_limit::count(store, random, &address, context.now).await?;
    let takes_one = takes_one(store, id, email).await?;
    for _ in 0..RACES {
        // Counted apart: whoever asks with a wrong address does not use up the owner's mails.
        let counter = if takes_one { format!("token#{id}") } else { format!("token-other#{id}") };
        let (mailed, counted) = daily_limit::next(store, &counter, context.now).await?;
        let (_, unsaid) = daily_limit::next(store, &format!("token-unsaid#{id}"), context.now).await?;
        // A row in the place of the event: one put is faster than a transaction, and somebody could measure that.
        let (writes, facts) = if takes_one && mailed < MAILS {
            (vec![counted], vec![Fact::new("application.token_requested", id.as_str())])
        } else {
            (vec![counted, unsaid], Vec::new())
        };
        match store.commit(&stamp::commit(random, context, writes, facts)).await {
            Err(StoreError::Conflict { .. }) => {}
            other => return Ok(other?),
        }
    }
    // As many others were faster: either the owner is being written to, or nobody would have been. A conflict would say
    // which, because the two count apart.
    Ok(())
}

/// Whether there is such an application, its contact has this address, and its token still opens something.
async fn takes_one(store: &dyn Store, id: &RequestId, email: &str) -> Result<bool, StoreError> {
    let application = typed::application(store, id).await?;
    // Read whether or not there is an application, so that the two look alike from outside.
    let subscription = typed::subscription(store, &id.subscription()).await?.map(|s| s.status);
    Ok(application.is_some_and(|application| {
        let (own, asked) = (application.contact.email.to_lowercase(), email.trim().to_lowercase());
        bool::from(own.as_bytes().ct_eq(asked.as_bytes())) && application.token_lives(subscription)
    }))
}
