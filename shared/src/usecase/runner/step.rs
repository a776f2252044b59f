//! What one due subscription comes to in a run.

use domain::charge::Trigger;
use domain::event::Actor;
use domain::subscription::{Due, Subscription};
use jiff::Timestamp;

use super::feed::{Item, Method};
use super::{HORIZON, Share};
use crate::ports::Context;
use crate::store::StoreError;
use crate::usecase::charge_subscription::{ChargeError, ChargeResult, Charged, RUN_PATIENCE, charge_with};
use crate::usecase::resolve_attempt::resolve;
use crate::usecase::settle::SettleError;
use crate::usecase::{Charging, park, retire};

/// What one subscription came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Charged,
    Declined,
    Unknown,
    /// A state moved without a charge.
    Stepped,
    /// Nothing to do before then.
    Rests(Timestamp),
    /// Not due after all, not now, or somebody else is at it.
    Idle,
    /// Our configuration is refused: this gateway's share stops.
    Misconfigured,
}

/// Whether a run may do what is due, and if not, what keeps it.
pub(super) enum Ready {
    Now(Due),
    /// Look again then.
    At(Timestamp),
    /// A later tick of this civil day may.
    LaterToday,
    Never,
    /// Its dates are out of range: an operator must look.
    Broken,
}

/// What a run that began now would do with a subscription.
pub(super) fn ready(share: &Share<'_>, subscription: &Subscription, now: Timestamp) -> Ready {
    let Ok(due) = subscription.due(now) else { return Ready::Broken };
    match due {
        Due::Nothing => Ready::Never,
        Due::Wait(until) if until > now.saturating_add(HORIZON).unwrap_or(now) => Ready::Never,
        Due::Wait(until) => Ready::At(until),
        Due::Charge(_) if !share.may_charge => Ready::Never,
        Due::Charge(Trigger::Renewal | Trigger::Dunning) => match share.settings.window {
            Some(window) if window.opens_later(now) => Ready::LaterToday,
            Some(window) if !window.contains(now) => Ready::Never,
            Some(_) | None => Ready::Now(due),
        },
        Due::Charge(_) | Due::Resolve | Due::Suspend | Due::Cancel | Due::Terminate | Due::Lapse => Ready::Now(due),
    }
}

/// Does what is due. Never an error: whatever fails is found again by the next pass, or parked. What few charges come to
/// is boxed: hundreds wait at once, and each keeps room for all it might await.
pub(super) async fn step(charging: &Charging, item: Item, due: Due, now: Timestamp) -> Moved {
    let context = Context { now, actor: Actor::System("billing_run".to_owned()) };
    let row = item.subscription.clone();
    let result = match due {
        Due::Charge(trigger) => charged(charging, &context, item, trigger).await,
        Due::Resolve => Box::pin(resolve(charging, &context, &item.subscription, RUN_PATIENCE)).await.map(resolved),
        Due::Suspend | Due::Cancel | Due::Terminate | Due::Lapse => {
            Box::pin(retire::retire(charging, &context, item.subscription, due)).await.map(|()| Moved::Stepped)
        }
        Due::Nothing | Due::Wait(_) => Ok(Moved::Idle),
    };
    match result {
        Ok(moved) => moved,
        Err(e) => Box::pin(failed(charging, &context, row, e)).await,
    }
}

async fn charged(charging: &Charging, context: &Context, item: Item, trigger: Trigger) -> Result<Moved, ChargeError> {
    let Item { subscription, method } = item;
    let method = match method {
        Method::There(method) if method.chargeable() => method,
        Method::There(_) | Method::Missing => {
            Box::pin(retire::without_card(charging, context, subscription, trigger)).await?;
            return Ok(Moved::Stepped);
        }
        Method::Damaged => return Err(StoreError::Corrupt("payment method".to_owned()).into()),
    };
    match charge_with(charging, context, subscription.clone(), &method, trigger, RUN_PATIENCE).await {
        // This one card's row does not open: for its owner that is a card that is gone.
        Err(ChargeError::MethodUnusable) => {
            Box::pin(retire::without_card(charging, context, subscription, trigger)).await.map(|()| Moved::Stepped)
        }
        other => other.map(moved),
    }
}

async fn failed(charging: &Charging, context: &Context, subscription: Subscription, error: ChargeError) -> Moved {
    let id = subscription.id.as_str();
    match error {
        // Somebody else moved it first, or the claim is written and the index will bring it back.
        ChargeError::Busy | ChargeError::Refused(_) | ChargeError::GatewayPaused(_) => Moved::Idle,
        ChargeError::KeysUnavailable => Moved::Misconfigured,
        // It would fail the same way in every run: one bad account must not keep runs awake, nor be forgotten.
        ChargeError::Settle(
            SettleError::Calendar(_) | SettleError::Store(StoreError::Corrupt(_) | StoreError::TooLarge),
        )
        | ChargeError::Store(StoreError::Corrupt(_) | StoreError::TooLarge) => {
            tracing::error!(subscription = id, %error, "parked: an operator must look");
            match park::park(charging, context, &subscription.id, "unbillable").await {
                Ok(true) => Moved::Stepped,
                Ok(false) | Err(_) => Moved::Idle,
            }
        }
        ChargeError::NotFound
        | ChargeError::MethodUnusable
        | ChargeError::IntentOpen
        | ChargeError::Settle(_)
        | ChargeError::Store(_) => {
            tracing::error!(subscription = id, %error, "left to the next run");
            Moved::Idle
        }
    }
}

fn moved(charged: Charged) -> Moved {
    match charged.result {
        ChargeResult::Captured => Moved::Charged,
        ChargeResult::Declined { .. } => Moved::Declined,
        ChargeResult::Pending => Moved::Unknown,
        ChargeResult::Misconfigured => Moved::Misconfigured,
    }
}

/// A look that settled nothing only rests; it was counted as unknown when it became so.
fn resolved(charged: Charged) -> Moved {
    match (&charged.result, &charged.subscription.live) {
        (ChargeResult::Pending, Some(live)) => Moved::Rests(match (&live.unknown, charged.subscription.due_at) {
            (Some(_), Some(due)) => due,
            (Some(_), None) | (None, _) => live.lease_until,
        }),
        (ChargeResult::Pending, None) => Moved::Stepped,
        _ => moved(charged),
    }
}
