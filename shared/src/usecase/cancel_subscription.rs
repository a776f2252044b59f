//! Cancels a subscription: for the end of the paid period, or at once.
//!
//! Crash points: one commit closes the subscription, its dunning case and its open cycle together; before it nothing was
//! changed that asking again would not find, because a PaymentIntent is cancelled first. An attempt in flight is not waited for: it is looked up later, and what it captured is owed back.

use domain::cancelling::CancelAt;
use domain::ids::SubscriptionId;
use domain::subscription::Subscription;

use super::charge_subscription::{ChargeError, load_subscription};
use super::release_intent::{Released, release};
use super::{Charging, RACES, stamp};
use crate::ports::Context;
use crate::store::{Commit, Record, StoreError, Write, typed};

/// Cancels it; `also` joins the transaction. Cancelling what is cancelled changes nothing and succeeds.
///
/// # Errors
/// When it does not exist, was never more than a draft, its open PaymentIntent could not be cancelled (nothing changed),
/// the store fails or races persist.
pub async fn cancel(
    charging: &Charging,
    context: &Context,
    id: &SubscriptionId,
    at: CancelAt,
    reason: Option<&str>,
    also: &[Write],
) -> Result<Subscription, ChargeError> {
    let store = charging.store.as_ref();
    for _ in 0..RACES {
        let before = load_subscription(charging, id).await?;
        let Some((after, fact)) = before.cancelled(at, context.now)? else { return Ok(before) };
        let (mut writes, mut facts) = (also.to_vec(), vec![fact]);
        let billable = before.next_billable();
        let open = typed::cycle(store, &billable.subscription, billable.index, billable.seq).await?;
        if let Some((cycle, fact)) = open.as_ref().and_then(|open| before.closing(after.status, open)) {
            if let Released::Settled(_) = release(charging, context, open.as_ref()).await? {
                continue;
            }
            writes.push(Write::Replace(Record::Cycle(cycle)));
            facts.push(fact);
        }
        writes.push(Write::Replace(Record::Subscription(after.clone())));
        let random = charging.random.as_ref();
        let events = facts.into_iter().map(|f| stamp::event(random, context, f, reason.map(str::to_owned))).collect();
        match store.commit(&Commit { id: stamp::token(random), writes, events }).await {
            Ok(()) => return Ok(Subscription { version: after.version.saturating_add(1), ..after }),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}
