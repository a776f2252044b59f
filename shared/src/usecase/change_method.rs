//! Makes a registered card the one a subscription is charged on, and charges what is owed with it at once. Registering a
//! card does this where something is owed; a person may ask for it at any time.
//!
//! Crash points: the change and the charge are two commits. Between them the subscription is due where the rules let the
//! run charge it, and asking again charges a card that was not tried on what is owed.

use std::time::Duration;

use domain::charge::DeclineClass;
use domain::cycle::Outcome;
use domain::event::Fact;
use domain::ids::{MethodId, SubscriptionId};
use domain::method::PaymentMethod;
use domain::subscription::{StartRefused, Status, Subscription};

use super::activate_subscription::collect;
use super::charge_subscription::{ChargeError, ChargeResult, load_subscription};
use super::{Charging, RACES, stamp};
use crate::ports::Context;
use crate::store::{Record, Store, StoreError, Write, typed};

/// The subscription with its new card, and what an immediate charge brought.
pub struct Changed {
    pub subscription: Subscription,
    pub charge: Option<ChargeResult>,
}

/// Charges a subscription to another of its tenant's cards from now on. An attempt in flight keeps the card it froze.
/// Changing to the card it already has charges nothing twice.
///
/// # Errors
/// When the subscription or the card does not exist (or is somebody else's), the subscription has ended, or the card can
/// never be charged. A declined charge is not an error.
pub async fn change(
    charging: &Charging,
    context: &Context,
    id: &SubscriptionId,
    method: &MethodId,
    patience: Duration,
) -> Result<Changed, ChangeError> {
    let store = charging.store.as_ref();
    let subscription = load_subscription(charging, id).await?;
    let method = typed::method(store, &subscription.tenant_id, method).await?.ok_or(ChangeError::UnknownMethod)?;
    if ended(&subscription) {
        return Err(StartRefused::Ended.into());
    }
    if !method.chargeable() || !method.gateway.takes(subscription.amount.currency) {
        return Err(ChargeError::MethodUnusable.into());
    }
    if subscription.method_id == method.id
        && let Some(charge) = tried(store, &subscription, &method).await?
    {
        return Ok(Changed { subscription, charge: Some(charge) });
    }
    match switch(charging, context, id, &method, patience, |s| !ended(s)).await? {
        Some(changed) => Ok(changed),
        // Somebody was faster: the subscription ended, or the card is gone.
        None if ended(&load_subscription(charging, id).await?) => Err(StartRefused::Ended.into()),
        None => Err(ChargeError::MethodUnusable.into()),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("no such payment method")]
    UnknownMethod,
    #[error(transparent)]
    Charge(#[from] ChargeError),
}

impl From<StartRefused> for ChangeError {
    fn from(e: StartRefused) -> Self {
        ChangeError::Charge(e.into())
    }
}

impl From<StoreError> for ChangeError {
    fn from(e: StoreError) -> Self {
        ChangeError::Charge(e.into())
    }
}

fn ended(subscription: &Subscription) -> bool {
    matches!(subscription.status, Status::Draft | Status::Cancelled | Status::Terminated)
}

/// Makes a card just registered the subscription's, where that is what registering means: something is owed, or nothing
/// was approved yet.
pub(super) async fn put_to_use(
    charging: &Charging,
    context: &Context,
    id: &SubscriptionId,
    method: &PaymentMethod,
    patience: Duration,
) -> Result<(Option<Subscription>, Option<ChargeResult>), StoreError> {
    let fits = |s: &Subscription| method.gateway.takes(s.amount.currency);
    let wanted = |s: &Subscription| fits(s) && (s.waits_for_card() || s.approved_at.is_none());
    match switch(charging, context, id, method, patience, wanted).await? {
        Some(changed) => Ok((Some(changed.subscription), changed.charge)),
        None => Ok((typed::subscription(charging.store.as_ref(), id).await?, None)),
    }
}

/// Changes the card of a subscription for which that is `wanted`, and charges what is owed. `None` when it is not wanted,
/// there is no such subscription, or the card is gone.
async fn switch(
    charging: &Charging,
    context: &Context,
    id: &SubscriptionId,
    method: &PaymentMethod,
    patience: Duration,
    wanted: impl Fn(&Subscription) -> bool + Send,
) -> Result<Option<Changed>, StoreError> {
    let store = charging.store.as_ref();
    let mut card = method.clone();
    for _ in 0..RACES {
        let Some(subscription) = typed::subscription(store, id).await?.filter(&wanted) else {
            return Ok(None);
        };
        let current = if subscription.method_id == method.id {
            subscription
        } else {
            let updated = match subscription.with_method(method.id.clone(), method.gateway, context.now) {
                Ok(updated) => updated,
                // The old card's answer is still open and decides first; what is owed after it, the new card pays.
                Err(StartRefused::LiveAttempt) => subscription.with_next_method(method.id.clone(), method.gateway),
                Err(_) => return Ok(Some(Changed { subscription, charge: None })),
            };
            match adopt(charging, context, &updated, &card).await {
                Ok(()) => Subscription { version: updated.version.saturating_add(1), ..updated },
                Err(StoreError::Conflict { .. }) => {
                    match typed::method(store, &method.tenant_id, &method.id).await?.filter(PaymentMethod::chargeable) {
                        Some(current) => card = current,
                        // Deleted, or refused for good, by somebody who was faster.
                        None => return Ok(None),
                    }
                    continue;
                }
                Err(e) => return Err(e),
            }
        };
        return charge_owed(charging, context, current, patience).await.map(Some);
    }
    Err(StoreError::Conflict { key: None })
}

async fn charge_owed(
    charging: &Charging,
    context: &Context,
    current: Subscription,
    patience: Duration,
) -> Result<Changed, StoreError> {
    if !current.waits_for_card() {
        return Ok(Changed { subscription: current, charge: None });
    }
    Ok(match collect(charging, context, current.clone(), patience).await {
        Ok(charged) => Changed { subscription: charged.subscription, charge: Some(charged.result) },
        // The rules forbid it now, and nothing will charge it later.
        Err(ChargeError::Refused(_)) => Changed { subscription: current, charge: None },
        Err(e) => {
            tracing::warn!(subscription = %current.id, error = %e, "charge on a new card left to the run");
            Changed { subscription: current, charge: Some(ChargeResult::Pending) }
        }
    })
}

/// Writes the card's row too, unchanged: deleting a card and putting it to use must not both succeed.
async fn adopt(
    charging: &Charging,
    context: &Context,
    updated: &Subscription,
    card: &PaymentMethod,
) -> Result<(), StoreError> {
    let fact =
        Fact::new("subscription.method_changed", updated.id.as_str()).with("methodId", updated.method_id.as_str());
    let writes =
        vec![Write::Replace(Record::Subscription(updated.clone())), Write::Replace(Record::Method(card.clone()))];
    charging.store.commit(&stamp::commit(charging.random.as_ref(), context, writes, vec![fact])).await
}

/// What this card's last attempt on the cycle that is owed came to, if there was one that counts.
pub(super) async fn tried(
    store: &dyn Store,
    owing: &Subscription,
    method: &PaymentMethod,
) -> Result<Option<ChargeResult>, StoreError> {
    if owing.live.as_ref().is_some_and(|live| live.method_id == method.id) {
        return Ok(Some(ChargeResult::Pending));
    }
    let billable = owing.next_billable();
    let cycle = typed::cycle(store, &billable.subscription, billable.index, billable.seq).await?;
    let attempts = cycle.map(|c| c.attempts).unwrap_or_default();
    let last = attempts.into_iter().rev().find(|a| a.method_id == method.id && a.outcome == Outcome::Declined);
    Ok(last.map(|a| ChargeResult::Declined {
        class: a.class.unwrap_or(DeclineClass::Soft),
        code: a.code.unwrap_or_default(),
    }))
}
