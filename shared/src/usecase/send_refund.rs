//! Sends one reserved refund, once: claim, call, settle; and finds out what became of one nobody answered for.
//!
//! Crash points: before the claim the refund is still to be sent and stays in the index; after it the lease runs out and
//! the gateway is asked before anything is sent again; after the gateway acted the same question finds the refund, by our
//! id in it.

use std::time::Duration;

use domain::cycle::Cycle;
use domain::ids::{RefundId, SubscriptionId};
use domain::money::Money;
use domain::refund::{Answer, Change, Listed, Refund as Row, Resend, Start, Status, of_resend};
use tokio::time::Instant;

use super::allowance::Said;
use super::charge_subscription::lease_end;
use super::{Charging, RACES, stamp, switch};
use crate::gateway::Refund;
use crate::ports::Context;
use crate::store::{Record, StoreError, Write, typed};

/// A send that would be dropped sooner than this is left to others.
const SEND_AT_LEAST: Duration = Duration::from_secs(8);

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("no such refund")]
    NotFound,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A cycle by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub subscription: SubscriptionId,
    pub index: u32,
    pub seq: u32,
}

impl Place {
    #[must_use]
    pub fn of(cycle: &Cycle) -> Place {
        Place { subscription: cycle.subscription_id.clone(), index: cycle.index, seq: cycle.seq }
    }

    /// # Errors
    /// When there is no such cycle, or the store fails.
    pub async fn load(&self, charging: &Charging) -> Result<Cycle, SendError> {
        let cycle = typed::cycle(charging.store.as_ref(), &self.subscription, self.index, self.seq).await?;
        cycle.ok_or(SendError::NotFound)
    }
}

/// Which send it is: what a refusal proves depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    First,
    Again,
}

/// Brings a refund as far as it goes now: one to be sent is sent, one whose outcome is open is looked up. All of it takes
/// `patience` at most. The row afterwards.
///
/// # Errors
/// When the store fails or races persist; the refund then stays where the index finds it.
pub async fn advance(
    charging: &Charging,
    context: &Context,
    place: &Place,
    id: &RefundId,
    patience: Duration,
) -> Result<Cycle, SendError> {
    let begun = Instant::now();
    let cycle = place.load(charging).await?;
    let refund = cycle.refund(id).ok_or(SendError::NotFound)?;
    match refund.status {
        Status::Requested => start(charging, context, cycle, id, patience).await,
        Status::Started | Status::Unknown | Status::Pending => {
            look(charging, context, cycle, id, begun, patience).await
        }
        Status::PendingApproval | Status::Succeeded | Status::Failed | Status::Rejected => Ok(cycle),
    }
}

/// Claims it and sends it for the first time.
async fn start(
    charging: &Charging,
    context: &Context,
    cycle: Cycle,
    id: &RefundId,
    patience: Duration,
) -> Result<Cycle, SendError> {
    let Some((_, gateway)) = cycle.payment() else { return Ok(cycle) };
    // An operator's pause holds for money in either direction; what is owed stays due.
    if switch::read(charging.store.as_ref(), gateway).await?.paused.is_some() {
        return Ok(cycle);
    }
    let token = stamp::token(charging.random.as_ref());
    let lease = lease_end(charging.gateways.get(gateway), context.now);
    match cycle.start_refund(id, token, lease, context.now) {
        Start::No => Ok(cycle),
        Start::Ended(change) => commit(charging, context, change).await,
        Start::Claimed(claimed) => {
            let claimed = commit(charging, context, Change { cycle: claimed, facts: Vec::new() }).await?;
            send(charging, context, claimed, id, Sending::First, patience).await
        }
    }
}

/// Asks the gateway for the payment's refunds, and acts on what it shows.
async fn look(
    charging: &Charging,
    context: &Context,
    cycle: Cycle,
    id: &RefundId,
    begun: Instant,
    patience: Duration,
) -> Result<Cycle, SendError> {
    let Some((payment, gateway)) = cycle.payment() else { return Ok(cycle) };
    let port = charging.gateways.get(gateway);
    let open = cycle.refund(id).and_then(|r| r.sending.as_ref());
    // An unexpired lease belongs to somebody who is waiting for the gateway right now.
    if cycle.refund(id).is_some_and(|r| r.status == Status::Started)
        && open.is_some_and(|s| s.lease_until > context.now)
    {
        return Ok(cycle);
    }
    charging.allowance.turn(gateway).await;
    let asked = Instant::now();
    let listed = tokio::time::timeout(patience, port.find_refunds(&payment.payment_id)).await;
    let listed = listed.unwrap_or(Listed::Failed);
    let said = if listed == Listed::Failed { Said::Outage } else { Said::Answered };
    charging.allowance.heard(gateway, said, asked.elapsed());
    let left = patience.saturating_sub(begun.elapsed());
    let paused = switch::read(charging.store.as_ref(), gateway).await?.paused.is_some();
    let resend = (!paused && left >= SEND_AT_LEAST)
        .then(|| Resend { token: stamp::token(charging.random.as_ref()), lease_until: lease_end(port, context.now) });
    let Some(looked) = cycle.refund_looked_up(id, &listed, &port.profile(), resend, context.now) else {
        return Ok(cycle);
    };
    let after = commit(charging, context, looked.change).await?;
    if looked.send { send(charging, context, after, id, Sending::Again, left).await } else { Ok(after) }
}

/// Calls the gateway under the claim in the row, and settles what it says.
async fn send(
    charging: &Charging,
    context: &Context,
    cycle: Cycle,
    id: &RefundId,
    which: Sending,
    patience: Duration,
) -> Result<Cycle, SendError> {
    let Some(refund) = cycle.refund(id).cloned() else { return Err(SendError::NotFound) };
    let Some(token) = refund.sending.as_ref().map(|s| s.token.clone()) else { return Ok(cycle) };
    let Some(answer) = call(charging, &cycle, &refund, patience).await else { return Ok(cycle) };
    let answer = if which == Sending::Again { of_resend(answer) } else { answer };
    let now = charging.clock.now().await.max(context.now);
    let context = Context { now, actor: context.actor.clone() };
    // A refusal may be because something was given back that we have not heard of: the books learn of it first.
    let listed = match &answer {
        Answer::Refused { .. } => Some(find(charging, &cycle).await),
        Answer::Done { .. } | Answer::Pending { .. } | Answer::Unknown { .. } => None,
    };
    settle(charging, &context, cycle, id, &token, &answer, listed).await
}

async fn find(charging: &Charging, cycle: &Cycle) -> Listed {
    let Some((payment, gateway)) = cycle.payment() else { return Listed::Failed };
    let asked = charging.gateways.get(gateway).find_refunds(&payment.payment_id);
    tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap_or(Listed::Failed)
}

/// The call itself; `None` when it was too late to make it.
async fn call(charging: &Charging, cycle: &Cycle, refund: &Row, patience: Duration) -> Option<Answer> {
    let (payment, gateway) = cycle.payment()?;
    let sending = refund.sending.as_ref()?;
    let port = charging.gateways.get(gateway);
    charging.allowance.turn(gateway).await;
    // Thawed too late to be heard before the lease ends: somebody may already be looking this refund up.
    let send_by = sending.lease_until.saturating_sub(port.profile().timeout).unwrap_or(sending.lease_until);
    if charging.clock.now().await > send_by {
        charging.allowance.heard(gateway, Said::Unsent, Duration::ZERO);
        return None;
    }
    let order_id = order_id(cycle);
    let request = Refund {
        refund_id: refund.id.as_str(),
        order_id: &order_id,
        payment_id: &payment.payment_id,
        charge_id: payment.charge_id.as_deref(),
        amount: Money { amount: refund.amount, ..cycle.amount },
        refundable: sending.refundable,
        idempotency_key: &format!("refund:{}", refund.id),
    };
    let sent = Instant::now();
    let silence = Answer::Unknown { heard: domain::charge::Heard::Nothing, code: None };
    let answer = tokio::time::timeout(patience, port.refund(&request)).await.unwrap_or(silence);
    let said = if matches!(answer, Answer::Unknown { .. }) { Said::Outage } else { Said::Answered };
    charging.allowance.heard(gateway, said, sent.elapsed());
    Some(answer)
}

/// The order that names the cycle, whichever gateway: a pure function of the row, so that a resend says the same.
fn order_id(cycle: &Cycle) -> String {
    let id = cycle.subscription_id.clone();
    let billable = domain::charge::Billable { subscription: id, index: cycle.index, seq: cycle.seq };
    billable.order_id(domain::charge::GatewayName::Stripe, 0)
}

async fn settle(
    charging: &Charging,
    context: &Context,
    first: Cycle,
    id: &RefundId,
    token: &str,
    answer: &Answer,
    listed: Option<Listed>,
) -> Result<Cycle, SendError> {
    let place = Place::of(&first);
    let mut seen = Some(first);
    for _ in 0..RACES {
        let cycle = match seen.take() {
            Some(cycle) => cycle,
            None => place.load(charging).await?,
        };
        let observed = match &listed {
            Some(Listed::All(rows)) => cycle.observe_refunds(rows, context.now),
            Some(Listed::Failed) | None => None,
        };
        let mut change = observed.unwrap_or(Change { cycle: cycle.clone(), facts: Vec::new() });
        if let Some(settled) = change.cycle.settle_refund(id, token, answer, context.now) {
            change.cycle = settled.cycle;
            change.facts.extend(settled.facts);
        }
        if change.cycle == cycle && change.facts.is_empty() {
            return Ok(cycle);
        }
        match commit(charging, context, change).await {
            Err(SendError::Store(StoreError::Conflict { .. })) => {}
            other => return other,
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

async fn commit(charging: &Charging, context: &Context, change: Change) -> Result<Cycle, SendError> {
    let Change { cycle, facts } = change;
    let writes = vec![Write::Replace(Record::Cycle(cycle.clone()))];
    charging.store.commit(&stamp::commit(charging.random.as_ref(), context, writes, facts)).await?;
    Ok(Cycle { version: cycle.version.saturating_add(1), ..cycle })
}
