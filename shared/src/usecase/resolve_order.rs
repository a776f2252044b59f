//! An operator asks what became of one attempt, named by its order id, now: an open one is looked up at the gateway, a
//! settled one is shown as it is.

use std::time::Duration;

use domain::charge::{Billable, GatewayName};
use domain::cycle::Cycle;
use domain::subscription::Subscription;
use jiff::Timestamp;

use super::Charging;
use super::charge_subscription::ChargeError;
use super::resolve_attempt::resolve;
use super::settle::{Loaded, SettleError, load};
use crate::ports::Context;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum ResolveOrderError {
    /// Not an order id of ours, or of an attempt that was never started.
    #[error("no such attempt")]
    NotFound,
    /// Somebody is waiting for the gateway's answer right now, at the latest until then.
    #[error("the attempt is being sent")]
    InFlight { until: Timestamp },
    #[error(transparent)]
    Charge(#[from] ChargeError),
}

/// An attempt in its place.
#[derive(Debug)]
pub struct Placed {
    pub subscription: Subscription,
    pub cycle: Option<Cycle>,
    pub index: u32,
    pub seq: u32,
    pub n: u32,
}

impl Placed {
    /// Whether its outcome is still open.
    #[must_use]
    pub fn open(&self) -> bool {
        let this = |l: &domain::charge::LiveAttempt| (l.index, l.seq, l.n) == (self.index, self.seq, self.n);
        self.subscription.live.as_ref().is_some_and(this)
    }
}

/// Finds the attempt of an order id without asking anybody. Stripe's order id names the cycle: it means the attempt in
/// flight or, without one, the last.
///
/// # Errors
/// When there is none, or the store fails.
pub async fn find(charging: &Charging, order_id: &str) -> Result<Placed, ResolveOrderError> {
    let (billable, n) = Billable::parse_order_id(order_id).ok_or(ResolveOrderError::NotFound)?;
    let Billable { subscription: id, index, seq } = billable;
    let Loaded { subscription, cycle } = match load(charging, &id, index, seq).await {
        Err(SettleError::NotFound) => return Err(ResolveOrderError::NotFound),
        other => other.map_err(ChargeError::from)?,
    };
    let gateway = if n.is_some() { GatewayName::Toss } else { GatewayName::Stripe };
    let fits = |number: u32| n.is_none_or(|n| n == number);
    let live = subscription.live.as_ref().filter(|l| (l.index, l.seq, l.gateway) == (index, seq, gateway));
    let settled = || cycle.iter().flat_map(|c| &c.attempts).filter(|a| a.gateway == gateway).map(|a| a.n);
    let n = live.map(|l| l.n).filter(|n| fits(*n)).or_else(|| settled().filter(|n| fits(*n)).max());
    let n = n.ok_or(ResolveOrderError::NotFound)?;
    Ok(Placed { subscription, cycle, index, seq, n })
}

/// Looks an open attempt up, within `patience`, and says where it is now.
///
/// # Errors
/// When there is no such attempt, it is being sent, or the method, the keys or the store fail.
pub async fn resolve_order(
    charging: &Charging,
    context: &Context,
    order_id: &str,
    patience: Duration,
) -> Result<Placed, ResolveOrderError> {
    let placed = find(charging, order_id).await?;
    let Some(live) = placed.subscription.live.as_ref().filter(|_| placed.open()) else { return Ok(placed) };
    if live.unknown.is_none() && live.lease_until > context.now {
        return Err(ResolveOrderError::InFlight { until: live.lease_until });
    }
    match resolve(charging, context, &placed.subscription, patience).await {
        // Somebody else moved it meanwhile: what they wrote is the answer.
        Ok(_) | Err(ChargeError::Busy | ChargeError::Store(StoreError::Conflict { .. })) => {}
        Err(e) => return Err(e.into()),
    }
    let Placed { index, seq, n, .. } = placed;
    let Loaded { subscription, cycle } =
        load(charging, &placed.subscription.id, index, seq).await.map_err(ChargeError::from)?;
    Ok(Placed { subscription, cycle, index, seq, n })
}
