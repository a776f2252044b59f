//! Finds out what became of a live attempt nobody answered for: look it up first, then settle, resend the same bytes,
//! or close it as absent (design.md §5, step 4).

use std::time::Duration;

use domain::charge::{Answer, LiveAttempt, Lookup};
use domain::event::Fact;
use domain::money::Money;
use domain::resolve::{Next, after_lookup, stuck};
use domain::settle::{Report, Settlement, absent};
use domain::subscription::Subscription;
use tokio::time::Instant;

use super::allowance::of_lookup;
use super::charge_subscription::{
    ChargeError, ChargeResult, Charged, Opened, Sending, believed, lease_end, open, send_and_settle,
};
use super::settle::{Loaded, SettleError, load, settle_report};
use super::{Charging, stamp, switch};
use crate::gateway::{Find, REQUEST_VERSION};
use crate::ports::Context;
use crate::store::{Record, StoreError, Write, typed};

/// A resend that would be dropped sooner than this is left to others.
const RESEND_AT_LEAST: Duration = Duration::from_secs(8);

/// Asks the gateway about the live attempt of a subscription and acts on the answer; all of it takes `patience` at most.
/// Without a live attempt it reports the present state.
///
/// # Errors
/// When the store fails or races persist; the attempt then stays live.
pub async fn resolve(
    charging: &Charging,
    context: &Context,
    subscription: &Subscription,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    let Some(seen) = &subscription.live else {
        return Ok(Charged { subscription: subscription.clone(), result: ChargeResult::Pending });
    };
    let loaded = load(charging, &subscription.id, seen.index, seen.seq).await?;
    let Some(live) = loaded.subscription.live.clone() else {
        return Ok(Charged { result: ChargeResult::Pending, subscription: loaded.subscription });
    };
    // An unexpired lease belongs to somebody who is waiting for the gateway right now.
    if live.unknown.is_none() && live.lease_until > context.now {
        return Ok(Charged { result: ChargeResult::Pending, subscription: loaded.subscription });
    }
    let store = charging.store.as_ref();
    let method = typed::method(store, &loaded.subscription.tenant_id, &live.method_id)
        .await?
        .ok_or(ChargeError::MethodUnusable)?;
    let begun = Instant::now();
    let opened = open(charging, &method).await;
    let lookup = match &opened {
        Ok(opened) => look_up(charging, &loaded, &live, opened, patience).await,
        Err(_) => Lookup::Failed,
    };
    let gateway = charging.gateways.get(live.gateway);
    let keys = gateway.key_versions().await.unwrap_or_default();
    let frozen = live.request == REQUEST_VERSION && keys.contains(&live.secret) && method.chargeable();
    let sendable = frozen && loaded.subscription.may_resend();
    // Asking never waits, but an operator's pause holds for a resend as for any charge.
    let asked = sendable && lookup == Lookup::NotFound;
    let paused = asked && switch::read(store, live.gateway).await?.paused.is_some();
    let resendable = sendable && !paused;
    let next = after_lookup(&live, &gateway.profile(), lookup, resendable, context.now).map_err(SettleError::from)?;
    let left = patience.saturating_sub(begun.elapsed());
    if next == Next::Resend && left < RESEND_AT_LEAST {
        // Whoever has more time sends it: it stays due.
        return Ok(Charged { subscription: loaded.subscription, result: ChargeResult::Pending });
    }
    act(charging, context, loaded, live, opened, next, left).await
}

async fn act(
    charging: &Charging,
    context: &Context,
    loaded: Loaded,
    live: LiveAttempt,
    opened: Result<Opened, ChargeError>,
    next: Next,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    match next {
        Next::Settle(answer) => {
            let result = match &answer {
                Answer::Captured(_) => ChargeResult::Captured,
                Answer::Declined(d) => ChargeResult::Declined { class: d.class, code: d.code.clone() },
                Answer::Refused { .. } | Answer::Unknown { .. } => ChargeResult::Pending,
            };
            let id = loaded.subscription.id.clone();
            let report = Report { index: live.index, seq: live.seq, n: Some(live.n), answer, token: Some(live.token) };
            let after = settle_report(charging, context, &id, &report, Some(loaded), &[]).await?;
            Ok(Charged { result: believed(result, &after.subscription, &report), subscription: after.subscription })
        }
        Next::Absent => close(charging, context, loaded, &live).await,
        Next::Resend => {
            let opened = opened?;
            // A fresh token and lease: whoever was sending before can no longer report anything but a capture.
            let resent = LiveAttempt {
                token: stamp::token(charging.random.as_ref()),
                lease_until: lease_end(charging.gateways.get(live.gateway), context.now),
                unknown: None,
                ..live
            };
            let subscription = Subscription { live: Some(resent), ..loaded.subscription };
            let subscription = replace(charging, context, subscription, None).await?;
            let loaded = Loaded { subscription, cycle: loaded.cycle };
            send_and_settle(charging, context, loaded, &opened, Sending::Again, patience).await
        }
        Next::Look { doubt, at } => {
            let told = stuck(&loaded.subscription.id, &live, &doubt);
            let waiting = LiveAttempt { unknown: Some(doubt), ..live };
            let subscription = Subscription { live: Some(waiting), due_at: Some(at), ..loaded.subscription };
            let subscription = replace(charging, context, subscription, told).await?;
            Ok(Charged { subscription, result: ChargeResult::Pending })
        }
    }
}

async fn replace(
    charging: &Charging,
    context: &Context,
    subscription: Subscription,
    fact: Option<Fact>,
) -> Result<Subscription, ChargeError> {
    let writes = vec![Write::Replace(Record::Subscription(subscription.clone()))];
    let commit = stamp::commit(charging.random.as_ref(), context, writes, fact.into_iter().collect());
    match charging.store.commit(&commit).await {
        Ok(()) => Ok(Subscription { version: subscription.version.saturating_add(1), ..subscription }),
        Err(StoreError::Conflict { .. }) => Err(ChargeError::Busy),
        Err(e) => Err(e.into()),
    }
}

async fn close(
    charging: &Charging,
    context: &Context,
    loaded: Loaded,
    live: &LiveAttempt,
) -> Result<Charged, ChargeError> {
    let settlement = absent(&loaded.subscription, loaded.cycle.as_ref(), live, None).map_err(SettleError::from)?;
    let Settlement::Apply(settled) = settlement else {
        return Ok(Charged { subscription: loaded.subscription, result: ChargeResult::Pending });
    };
    let mut writes = Vec::new();
    let mut after = loaded.subscription.clone();
    if let Some(subscription) = settled.subscription {
        writes.push(Write::Replace(Record::Subscription(subscription.clone())));
        after = Subscription { version: subscription.version.saturating_add(1), ..subscription };
    }
    if let Some(cycle) = settled.cycle {
        let record = Record::Cycle(cycle);
        writes.push(if loaded.cycle.is_some() { Write::Replace(record) } else { Write::New(record) });
    }
    let commit = stamp::commit(charging.random.as_ref(), context, writes, settled.facts);
    match charging.store.commit(&commit).await {
        Ok(()) => Ok(Charged { subscription: after, result: ChargeResult::Pending }),
        Err(StoreError::Conflict { .. }) => Err(ChargeError::Busy),
        Err(e) => Err(e.into()),
    }
}

async fn look_up(
    charging: &Charging,
    loaded: &Loaded,
    live: &LiveAttempt,
    opened: &Opened,
    patience: Duration,
) -> Lookup {
    let known_charges = loaded.cycle.as_ref().map(|c| c.known_charges()).unwrap_or_default();
    let find = Find {
        order_id: &live.billable(&loaded.subscription.id).order_id(live.gateway, live.n),
        amount: Money { amount: live.amount, currency: loaded.subscription.amount.currency },
        customer: &opened.customer,
        intent: live.intent.as_deref(),
        known_charges: &known_charges,
        since: live.started_at,
    };
    charging.allowance.turn(live.gateway).await;
    let sent = Instant::now();
    let found = tokio::time::timeout(patience, charging.gateways.get(live.gateway).find(&find)).await;
    // A question that takes too long is a question that failed: it says nothing.
    let lookup = found.unwrap_or(Lookup::Failed);
    charging.allowance.heard(live.gateway, of_lookup(&lookup), sent.elapsed());
    lookup
}
