//! Takes a payment because a person asked: activation of an approved subscription, or a retry of what is owed.
//!
//! Both are safe to repeat: an attempt that is live is looked up, never charged again.

use std::time::Duration;

use domain::charge::Trigger;
use domain::event::Actor;
use domain::ids::SubscriptionId;
use domain::subscription::{StartRefused, Status, Subscription};

use super::Charging;
use super::charge_subscription::{ChargeError, ChargeResult, Charged, charge, load_subscription};
use super::resolve_attempt::resolve;
use crate::ports::Context;
use crate::store::StoreError;

/// Takes the first payment of an approved subscription. Already active: the same answer, no charge.
///
/// # Errors
/// When it is not approved, has ended, or cannot be charged.
pub async fn activate(
    charging: &Charging,
    context: &Context,
    id: &SubscriptionId,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    let subscription = load_subscription(charging, id).await?;
    match subscription.status {
        Status::Active => Ok(captured(subscription)),
        Status::PendingActivation => collect(charging, context, subscription, patience).await,
        Status::Draft => Err(StartRefused::NotApproved.into()),
        Status::Suspended | Status::Cancelled | Status::Terminated => Err(StartRefused::Ended.into()),
    }
}

/// Charges what is owed now. Nothing owed: the same answer as after a payment, no charge.
///
/// # Errors
/// When it has ended or cannot be charged.
pub async fn retry(
    charging: &Charging,
    context: &Context,
    id: &SubscriptionId,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    let subscription = load_subscription(charging, id).await?;
    match collect(charging, context, subscription.clone(), patience).await {
        Err(ChargeError::Refused(StartRefused::NothingOwed)) => Ok(captured(subscription)),
        other => other,
    }
}

/// Looks a live attempt up, or starts one. A charger that was faster counts as ours: its outcome is reported.
///
/// # Errors
/// As [`charge`].
pub async fn collect(
    charging: &Charging,
    context: &Context,
    subscription: Subscription,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    let (id, owed) = (subscription.id.clone(), subscription.next_index());
    let result = if subscription.live.is_some() {
        resolve(charging, context, &subscription, patience).await
    } else if subscription.parked && !matches!(context.actor, Actor::Operator(_)) {
        // Parked means money may have moved that is not in the books: only an operator, who has looked, charges again.
        return Err(StartRefused::Parked.into());
    } else {
        charge(charging, context, subscription, Trigger::Manual, patience).await
    };
    match result {
        Ok(charged) => Ok(settled(charged, owed)),
        Err(ChargeError::Busy | ChargeError::Store(StoreError::Conflict { .. })) => {
            let subscription = load_subscription(charging, &id).await?;
            Ok(settled(Charged { subscription, result: ChargeResult::Pending }, owed))
        }
        Err(e) => Err(e),
    }
}

/// A pending result is a captured one if what was `owed` is paid, whoever brought the answer. An attempt that came to
/// nothing leaves an active subscription without a doubt, and still unpaid.
fn settled(charged: Charged, owed: u32) -> Charged {
    let paid = charged.subscription.paid.is_some_and(|k| k >= owed);
    match charged.result {
        ChargeResult::Pending if paid => captured(charged.subscription),
        _ => charged,
    }
}

fn captured(subscription: Subscription) -> Charged {
    Charged { subscription, result: ChargeResult::Captured }
}
