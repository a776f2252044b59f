//! Takes in what a gateway says by itself. A signed capture settles with an inbox row in the same commit; signed
//! declines and all unsigned events are hints: ignored unless the attempt is ours and can still change, and then the
//! gateway is asked (design.md §7).
//!
//! An `Err` means our failure: the edge answers 500 so that the gateway sends it again.

use std::time::Duration;

use domain::charge::{Answer, Billable, GatewayName, Lookup};
use domain::cycle::{Outcome, State};
use domain::event::{Actor, Fact};
use domain::method::{PaymentMethod, Status};
use domain::settle::Report;
use domain::subscription::Subscription;
use jiff::{SignedDuration, Timestamp};

use super::charge_subscription::{ChargeError, open};
use super::observe_refunds::{self, About, Said};
use super::resolve_attempt::resolve;
use super::settle::{SettleError, settle_report};
use super::{Charging, stamp};
use crate::gateway::Find;
use crate::ports::Context;
use crate::store::{InboxRow, Key, Query, Record, StoreError, Write, typed};

/// Inbox rows outlive the longest resend schedule (Stripe: 3 days, by hand 30).
const INBOX_DAYS: i64 = 40;
/// A re-read must leave room for an answer within the gateway's limit.
const REREAD: Duration = Duration::from_secs(6);

#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Charge(#[from] ChargeError),
    /// Nobody else would ask about it: the gateway has to send it again.
    #[error("the gateway did not answer")]
    Unanswered,
}

/// A verified event, in our words.
pub struct SignedEvent {
    pub gateway: GatewayName,
    pub id: String,
    pub kind: String,
    /// What it says about a billable, when it is about a payment of ours.
    pub report: Option<(Billable, Answer)>,
    /// What it says about money of a payment that was made: refunds and disputes.
    pub about: Option<(About, Said)>,
    /// Token hash of the method it says is gone.
    pub removed_method: Option<String>,
}

/// Applies a verified event once.
///
/// # Errors
/// When the store fails or races persist.
pub async fn receive_signed(charging: &Charging, now: Timestamp, event: SignedEvent) -> Result<(), ReceiveError> {
    let store = charging.store.as_ref();
    let key = format!("{}#{}", event.gateway.as_str(), event.id);
    // A capture needs no look first: its inbox row is written with its effect or neither is. Everything else would ask a
    // gateway, or an index, again.
    let captured = matches!(event.report, Some((_, Answer::Captured(_))));
    if !captured && typed::inbox(store, &key).await?.is_some() {
        return Ok(());
    }
    let context = Context { now, actor: Actor::Gateway(event.gateway.as_str().to_owned()) };
    let inbox = |outcome: &str| {
        Write::New(Record::Inbox(InboxRow {
            key: key.clone(),
            kind: event.kind.clone(),
            outcome: outcome.to_owned(),
            expires_at: now.saturating_add(SignedDuration::from_hours(INBOX_DAYS * 24)).unwrap_or(now),
            version: 0,
        }))
    };
    if let Some((billable, answer)) = event.report {
        let known = match answer {
            Answer::Captured(_) => settle_event(charging, &context, &billable, answer, inbox("SETTLED")).await?,
            // It may be about an attempt long over, so it never speaks for the one in flight: that one is looked up.
            Answer::Declined(_) | Answer::Refused { .. } | Answer::Unknown { .. } => {
                let known = look(charging, &context, event.gateway, &billable, None).await?;
                if known {
                    commit(charging, &context, vec![inbox("LOOKED_UP")], Vec::new()).await?;
                }
                known
            }
        };
        if known {
            return Ok(());
        }
        let fact = Fact::new("webhook.unmatched", key.clone()).with("kind", event.kind.as_str());
        return commit(charging, &context, vec![inbox("UNMATCHED")], vec![fact]).await;
    }
    if let Some((about, said)) = &event.about {
        if observe_refunds::receive(charging, &context, event.gateway, about, said, &inbox("OBSERVED")).await? {
            return Ok(());
        }
        let fact = Fact::new("webhook.unmatched", key.clone())
            .with("kind", event.kind.as_str())
            .with("paymentId", about.payment_id.clone().or_else(|| about.charge_id.clone()).unwrap_or_default());
        return commit(charging, &context, vec![inbox("UNMATCHED")], vec![fact]).await;
    }
    if let Some(hash) = event.removed_method {
        return suspect(charging, &context, &hash, vec![inbox("METHOD")]).await;
    }
    commit(charging, &context, vec![inbox("STORED")], Vec::new()).await
}

/// Settles a capture an event tells of. It carries no claim: who holds one speaks for the attempt in flight. Says
/// whether the subscription is known.
async fn settle_event(
    charging: &Charging,
    context: &Context,
    billable: &Billable,
    answer: Answer,
    inbox: Write,
) -> Result<bool, ReceiveError> {
    let report = Report { index: billable.index, seq: billable.seq, n: None, answer, token: None };
    match settle_report(charging, context, &billable.subscription, &report, None, &[inbox]).await {
        Err(SettleError::NotFound) => Ok(false),
        other => other.map(|_| true).map_err(ReceiveError::from),
    }
}

/// An unsigned event names an order, and perhaps that money was given back (`cancelled`). Asks the gateway only if that
/// order is an attempt of ours about which something can still change.
///
/// # Errors
/// When the store fails, or the gateway does not say what became of an attempt that nobody else would ask about.
pub async fn receive_hint(
    charging: &Charging,
    now: Timestamp,
    gateway: GatewayName,
    order_id: &str,
    cancelled: bool,
) -> Result<(), ReceiveError> {
    let Some((billable, n)) = Billable::parse_order_id(order_id) else { return Ok(()) };
    let context = Context { now, actor: Actor::Gateway(gateway.as_str().to_owned()) };
    look(charging, &context, gateway, &billable, n).await?;
    if cancelled { observe_refunds::follow(charging, &context, gateway, &billable).await } else { Ok(()) }
}

/// An unsigned event names a payment whose cancels changed. Its order is read back, then it is a hint like any other.
///
/// # Errors
/// As [`receive_hint`].
pub async fn receive_cancel_hint(
    charging: &Charging,
    now: Timestamp,
    gateway: GatewayName,
    payment_id: &str,
) -> Result<(), ReceiveError> {
    let about = About { payment_id: Some(payment_id.to_owned()), ..About::default() };
    let Some((billable, _)) = observe_refunds::locate(charging, gateway, &about).await? else { return Ok(()) };
    let context = Context { now, actor: Actor::Gateway(gateway.as_str().to_owned()) };
    observe_refunds::follow(charging, &context, gateway, &billable).await
}

/// Looks the live attempt up, if the event can be about it. Says whether the subscription is known.
async fn look(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    billable: &Billable,
    n: Option<u32>,
) -> Result<bool, ReceiveError> {
    let Some(subscription) = typed::subscription(charging.store.as_ref(), &billable.subscription).await? else {
        return Ok(false);
    };
    let open = subscription.live.as_ref().is_some_and(|live| {
        live.gateway == gateway
            && live.index == billable.index
            && live.seq == billable.seq
            && n.is_none_or(|n| n == live.n)
    });
    if !open {
        look_back(charging, context, gateway, &subscription, billable, n).await?;
        return Ok(true);
    }
    match resolve(charging, context, &subscription, REREAD).await {
        // Somebody else is at it, or will be: the due index holds the attempt either way.
        Ok(_) | Err(ChargeError::Busy | ChargeError::MethodUnusable) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

/// An unsigned event about an attempt that is over. Money may have come for one that was closed as absent, or for a cycle
/// that is still open: the gateway is asked, and what it captured is settled on its merits. Stripe's events are signed and
/// say themselves what was captured.
async fn look_back(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    subscription: &Subscription,
    billable: &Billable,
    n: Option<u32>,
) -> Result<(), ReceiveError> {
    let store = charging.store.as_ref();
    let Some(n) = n else { return Ok(()) };
    let cycle = typed::cycle(store, &billable.subscription, billable.index, billable.seq).await?;
    let Some(cycle) = cycle else { return Ok(()) };
    let record = cycle.attempt(n).filter(|a| a.gateway == gateway);
    let absent = record.is_some_and(|a| a.outcome == Outcome::Absent);
    let started = subscription.owes_next(billable.index, billable.seq) && n <= subscription.tries;
    let may_change = absent || (started && cycle.state == State::Open);
    if !may_change {
        return Ok(());
    }
    let method = record.map_or(&subscription.method_id, |a| &a.method_id);
    let method = typed::method(store, &subscription.tenant_id, method).await?.ok_or(ChargeError::MethodUnusable)?;
    let opened = open(charging, &method).await?;
    let find = Find {
        order_id: &billable.order_id(gateway, n),
        amount: cycle.amount,
        customer: &opened.customer,
        intent: None,
        known_charges: &cycle.known_charges(),
        since: record.map_or(subscription.created_at, |a| a.at),
    };
    match tokio::time::timeout(REREAD, charging.gateways.get(gateway).find(&find)).await {
        Ok(Lookup::Found(answer @ Answer::Captured(_))) => {
            let report = Report { index: billable.index, seq: billable.seq, n: Some(n), answer, token: None };
            settle_report(charging, context, &billable.subscription, &report, None, &[]).await?;
            Ok(())
        }
        Ok(Lookup::Found(_) | Lookup::Pending | Lookup::NotFound) => Ok(()),
        Ok(Lookup::Failed) | Err(_) => Err(ReceiveError::Unanswered),
    }
}

/// An unsigned event says a key is gone. It cannot be read back: the method becomes suspect, and the next charge
/// confirms it.
///
/// # Errors
/// When the store fails.
pub async fn receive_removal(
    charging: &Charging,
    now: Timestamp,
    gateway: GatewayName,
    token_hash: &str,
) -> Result<(), ReceiveError> {
    let context = Context { now, actor: Actor::Gateway(gateway.as_str().to_owned()) };
    suspect(charging, &context, token_hash, Vec::new()).await
}

async fn suspect(
    charging: &Charging,
    context: &Context,
    token_hash: &str,
    also: Vec<Write>,
) -> Result<(), ReceiveError> {
    let query = Query::MethodsByToken { token_hash: token_hash.to_owned() };
    let (methods, _) = typed::list::<PaymentMethod>(charging.store.as_ref(), &query, 1, None).await?;
    let mut writes = also;
    let mut facts = Vec::new();
    if let Some(method) = methods.into_iter().next().filter(|m| m.status == Status::Active) {
        facts.push(Fact::new("payment_method.suspect", method.tenant_id.as_str()).with("methodId", method.id.as_str()));
        writes.push(Write::Replace(Record::Method(PaymentMethod { status: Status::Suspect, ..method })));
    }
    if writes.is_empty() {
        return Ok(());
    }
    commit(charging, context, writes, facts).await
}

async fn commit(
    charging: &Charging,
    context: &Context,
    writes: Vec<Write>,
    facts: Vec<Fact>,
) -> Result<(), ReceiveError> {
    match charging.store.commit(&stamp::commit(charging.random.as_ref(), context, writes, facts)).await {
        // The same event on another worker: it wrote the inbox row first.
        Ok(()) | Err(StoreError::Conflict { key: Some(Key::Inbox(_)) }) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
