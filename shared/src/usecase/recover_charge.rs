//! Recovery of one subscription named by a hint: if its attempt is open, ask the gateway; everything else is the run's.

use std::time::Duration;

use domain::ids::SubscriptionId;

use super::Charging;
use super::charge_subscription::ChargeError;
use super::resolve_attempt::resolve;
use crate::ports::Context;
use crate::store::typed;

/// The function is stopped after 60 s, and a batch of ten is worked on four at a time: three of these must fit.
const PATIENCE: Duration = Duration::from_secs(16);

/// Resolves the live attempt, if there is one. A hint about something unknown or settled is done.
///
/// # Errors
/// When the store or the keys fail: the message comes back.
pub async fn recover(charging: &Charging, context: &Context, id: &SubscriptionId) -> Result<(), ChargeError> {
    let Some(subscription) = typed::subscription(charging.store.as_ref(), id).await? else { return Ok(()) };
    if subscription.live.is_none() {
        return Ok(());
    }
    match resolve(charging, context, &subscription, PATIENCE).await {
        // Somebody else is at it; the due index holds the attempt either way.
        Ok(_) | Err(ChargeError::Busy | ChargeError::Refused(_) | ChargeError::MethodUnusable) => Ok(()),
        Err(e) => Err(e),
    }
}
