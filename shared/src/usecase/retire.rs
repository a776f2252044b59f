//! Steps of the life cycle that time brings without a charge: suspension, the end of a cancelled period, termination,
//! lapse, and a charge that fell due with no usable card.

use domain::card::{CARD_CEILING, NO_CARD};
use domain::charge::Trigger;
use domain::event::Fact;
use domain::subscription::{Due, Status, Subscription};

use super::charge_subscription::ChargeError;
use super::release_intent::{Released, release};
use super::settle::SettleError;
use super::{Charging, stamp};
use crate::ports::Context;
use crate::store::{Record, StoreError, Write, typed};

/// Suspends, cancels, terminates or lapses a subscription, as `due` says, and closes its open cycle where that ends what
/// is owed.
///
/// # Errors
/// When somebody else moved it first, its open PaymentIntent could not be cancelled (it stays due), or the store fails.
pub async fn retire(
    charging: &Charging,
    context: &Context,
    subscription: Subscription,
    due: Due,
) -> Result<(), ChargeError> {
    let (after, fact) = match due {
        Due::Suspend => subscription.suspended(context.now)?,
        Due::Cancel => subscription.cancelled_as_of(context.now)?,
        Due::Lapse => subscription.lapsed(context.now)?,
        Due::Terminate => subscription.terminated()?,
        Due::Nothing | Due::Wait(_) | Due::Resolve | Due::Charge(_) => return Ok(()),
    };
    let (mut writes, mut facts) = (Vec::new(), Vec::new());
    if after.status != Status::Suspended {
        let billable = subscription.next_billable();
        let open = typed::cycle(charging.store.as_ref(), &billable.subscription, billable.index, billable.seq).await?;
        if let Some((cycle, fact)) = open.as_ref().and_then(|open| subscription.closing(after.status, open)) {
            if let Released::Settled(_) = release(charging, context, open.as_ref()).await? {
                // It was paid after all: the next pass decides anew.
                return Ok(());
            }
            writes.push(Write::Replace(Record::Cycle(cycle)));
            facts.push(fact);
        }
    }
    writes.push(Write::Replace(Record::Subscription(after)));
    facts.push(fact);
    commit(charging, context, writes, facts).await
}

/// A charge is due but no usable card is there: no charge, the customer is asked for a card, and the deadline runs.
///
/// # Errors
/// When somebody else moved it first or the store fails.
pub async fn without_card(
    charging: &Charging,
    context: &Context,
    subscription: Subscription,
    trigger: Trigger,
) -> Result<(), ChargeError> {
    let method = typed::method(charging.store.as_ref(), &subscription.tenant_id, &subscription.method_id).await?;
    let spent = method.is_some_and(|m| m.chargeable() && !m.chargeable_at(context.now));
    let code = if spent { CARD_CEILING } else { NO_CARD };
    let (after, fact) = subscription.without_card(trigger, code, context.now).map_err(SettleError::from)?;
    commit(charging, context, vec![Write::Replace(Record::Subscription(after))], vec![fact]).await
}

async fn commit(
    charging: &Charging,
    context: &Context,
    writes: Vec<Write>,
    facts: Vec<Fact>,
) -> Result<(), ChargeError> {
    match charging.store.commit(&stamp::commit(charging.random.as_ref(), context, writes, facts)).await {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict { .. }) => Err(ChargeError::Busy),
        Err(e) => Err(e.into()),
    }
}
