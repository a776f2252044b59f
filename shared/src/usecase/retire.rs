//! Steps of the life cycle that time brings without a charge: suspension, termination, lapse, and a charge that fell
//! due with no usable card.

use domain::charge::Trigger;
use domain::cycle::{Cycle, State};
use domain::event::Fact;
use domain::subscription::{Due, Subscription};

use super::charge_subscription::ChargeError;
use super::settle::SettleError;
use super::{Charging, stamp};
use crate::ports::Context;
use crate::store::{Record, StoreError, Write, typed};

/// Suspends, terminates or lapses a subscription, as `due` says. A terminated one's open cycle is uncollectible.
///
/// # Errors
/// When somebody else moved it first or the store fails.
pub async fn retire(
    charging: &Charging,
    context: &Context,
    subscription: Subscription,
    due: Due,
) -> Result<(), ChargeError> {
    let mut writes = Vec::new();
    let (after, fact) = match due {
        Due::Suspend => subscription.suspended(context.now).map_err(SettleError::from)?,
        Due::Lapse => subscription.lapsed(context.now).map_err(SettleError::from)?,
        Due::Terminate => {
            let billable = subscription.next_billable();
            let open =
                typed::cycle(charging.store.as_ref(), &billable.subscription, billable.index, billable.seq).await?;
            if let Some(cycle) = open.filter(|c| c.state == State::Open) {
                writes.push(Write::Replace(Record::Cycle(Cycle { state: State::Uncollectible, ..cycle })));
            }
            subscription.terminated()
        }
        Due::Nothing | Due::Wait(_) | Due::Resolve | Due::Charge(_) => return Ok(()),
    };
    writes.push(Write::Replace(Record::Subscription(after)));
    commit(charging, context, writes, fact).await
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
    let (after, fact) = subscription.without_card(trigger, context.now).map_err(SettleError::from)?;
    commit(charging, context, vec![Write::Replace(Record::Subscription(after))], fact).await
}

async fn commit(charging: &Charging, context: &Context, writes: Vec<Write>, fact: Fact) -> Result<(), ChargeError> {
    match charging.store.commit(&stamp::commit(charging.random.as_ref(), context, writes, vec![fact])).await {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict { .. }) => Err(ChargeError::Busy),
        Err(e) => Err(e.into()),
    }
}
