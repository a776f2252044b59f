//! Takes in what anybody can send: Toss signs no payment event, so one is a hint. It is never deduplicated and never
//! believed; it is ignored unless the order is ours and can still change, and then the gateway is asked (design.md §7).
//!
//! Invariants: a hint makes us ask about a payment at most once in [`super::rereads::EVERY`], and one that comes too soon
//! is an error, so that it is sent again; a hint about which nothing can change costs reads of the store alone; what hints can
//! make us write is bounded by what is true, and by one inbox row per listed type and day.

use std::time::Duration;

use domain::charge::{Answer, Billable, GatewayName, Lookup};
use domain::cycle::{Cycle, Outcome, State};
use domain::event::Actor;
use domain::settle::Report;
use domain::subscription::Subscription;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use tokio::time::{Instant, timeout};

use super::Charging;
use super::allowance::of_lookup;
use super::charge_subscription::{ChargeError, open};
use super::observe_refunds::{self, About};
use super::receive_webhook::{REREAD, ReceiveError, change_method, commit, inbox_row, resolved, suspect};
use super::rereads::Rereads;
use super::resolve_attempt::resolve;
use super::settle::settle_report;
use crate::gateway::{Find, OfPayment, OrderOf};
use crate::ports::Context;
use crate::store::typed;

/// Comparing a claimed secret must leave room for the question that follows.
const COMPARISON: Duration = Duration::from_secs(3);

/// What an unsigned event claims.
#[derive(Clone, Copy)]
pub struct Hint<'a> {
    pub order_id: &'a str,
    pub payment_id: Option<&'a str>,
    /// The payment's own secret, which only its merchant and its gateway know.
    pub secret: Option<&'a SecretString>,
    /// That money was given back.
    pub cancelled: bool,
}

impl<'a> Hint<'a> {
    /// Something happened to an order.
    #[must_use]
    pub fn about(order_id: &'a str) -> Hint<'a> {
        Hint { order_id, payment_id: None, secret: None, cancelled: false }
    }

    /// Money of an order was given back.
    #[must_use]
    pub fn cancelled(order_id: &'a str) -> Hint<'a> {
        Hint { cancelled: true, ..Hint::about(order_id) }
    }
}

/// What can still be asked about the attempt a hint names.
enum Question {
    Nothing,
    /// It is in flight.
    Live(Box<Subscription>),
    /// It is over, and money may have come for it all the same.
    Past(Box<Subscription>, Box<Cycle>, u32),
}

/// Asks the gateway about an order, only if it is an attempt of ours about which something can still change.
///
/// # Errors
/// When the store fails, the gateway does not say what became of an attempt that nobody else would ask about, it was asked
/// a moment ago, or the claimed secret is another one than the payment's.
pub async fn receive_hint(
    charging: &Charging,
    rereads: &Rereads,
    now: Timestamp,
    gateway: GatewayName,
    hint: &Hint<'_>,
) -> Result<(), ReceiveError> {
    let Some((billable, n)) = Billable::parse_order_id(hint.order_id) else { return Ok(()) };
    let context = Context { now, actor: Actor::Gateway(gateway.as_str().to_owned()) };
    let question = question(charging, &context, gateway, &billable, n).await?;
    let refunds = hint.cancelled && observe_refunds::open_payment(charging, gateway, &billable).await?.is_some();
    if matches!(question, Question::Nothing) && !refunds {
        return Ok(());
    }
    if let (Some(payment_id), Some(secret)) = (hint.payment_id, hint.secret) {
        rereads.claimed(gateway, &billable, secret).take(now)?;
        compare(charging, gateway, hint.order_id, payment_id, secret).await?;
    }
    rereads.about(gateway, &billable).take(now)?;
    match question {
        Question::Nothing => {}
        Question::Live(subscription) => resolved(resolve(charging, &context, &subscription, REREAD).await)?,
        Question::Past(subscription, cycle, n) => {
            look_back(charging, &context, gateway, &subscription, &cycle, n).await?;
        }
    }
    if hint.cancelled { observe_refunds::follow(charging, &context, gateway, &billable).await } else { Ok(()) }
}

async fn question(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    billable: &Billable,
    n: Option<u32>,
) -> Result<Question, ReceiveError> {
    let store = charging.store.as_ref();
    let Some(subscription) = typed::subscription(store, &billable.subscription).await? else {
        return Ok(Question::Nothing);
    };
    let place = (billable.index, billable.seq);
    let live = subscription.live.as_ref().filter(|l| l.gateway == gateway && (l.index, l.seq) == place);
    if let Some(live) = live.filter(|live| n.is_none_or(|n| n == live.n)) {
        // Somebody holds the lease and waits for the gateway right now.
        let waited_for = live.unknown.is_none() && live.lease_until > context.now;
        return Ok(if waited_for { Question::Nothing } else { Question::Live(Box::new(subscription)) });
    }
    let Some(n) = n else { return Ok(Question::Nothing) };
    let Some(cycle) = typed::cycle(store, &billable.subscription, billable.index, billable.seq).await? else {
        return Ok(Question::Nothing);
    };
    let record = cycle.attempt(n).filter(|a| a.gateway == gateway);
    let absent = record.is_some_and(|a| a.outcome == Outcome::Absent);
    let started = subscription.owes_next(billable.index, billable.seq) && n <= subscription.tries;
    let may_change = absent || (started && cycle.state == State::Open);
    Ok(if may_change { Question::Past(Box::new(subscription), Box::new(cycle), n) } else { Question::Nothing })
}

/// Compares a claimed secret with the payment's. One that cannot be compared is not held against the hint.
async fn compare(
    charging: &Charging,
    gateway: GatewayName,
    order: &str,
    payment_id: &str,
    secret: &SecretString,
) -> Result<(), ReceiveError> {
    let of = OfPayment { payment_id: Some(payment_id), charge_id: None, secret: Some(secret) };
    match timeout(COMPARISON, charging.gateways.get(gateway).order_of(&of)).await {
        Ok(OrderOf::Order { order_id, .. }) if order_id != order => Err(ReceiveError::Forged),
        Ok(OrderOf::Forged) => Err(ReceiveError::Forged),
        Ok(OrderOf::Order { .. } | OrderOf::Foreign) => Ok(()),
        Ok(OrderOf::Failed) | Err(_) => Err(ReceiveError::Unanswered),
    }
}

/// Money may have come for an attempt that was closed as absent, or for a cycle that is still open: the gateway is asked,
/// and what it captured is settled on its merits. Stripe's events are signed and say themselves what was captured.
async fn look_back(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    subscription: &Subscription,
    cycle: &Cycle,
    n: u32,
) -> Result<(), ReceiveError> {
    let billable = Billable { subscription: subscription.id.clone(), index: cycle.index, seq: cycle.seq };
    let record = cycle.attempt(n).filter(|a| a.gateway == gateway);
    let method = record.map_or(&subscription.method_id, |a| &a.method_id);
    let store = charging.store.as_ref();
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
    charging.allowance.turn(gateway).await;
    let sent = Instant::now();
    let found = timeout(REREAD, charging.gateways.get(gateway).find(&find)).await.unwrap_or(Lookup::Failed);
    charging.allowance.heard(gateway, of_lookup(&found), sent.elapsed());
    match found {
        Lookup::Found(answer @ Answer::Captured(_)) => {
            let report = Report { index: cycle.index, seq: cycle.seq, n: Some(n), answer, token: None };
            settle_report(charging, context, &subscription.id, &report, None, &[]).await?;
            Ok(())
        }
        Lookup::Found(_) | Lookup::Pending | Lookup::NotFound => Ok(()),
        Lookup::Failed => Err(ReceiveError::Unanswered),
    }
}

/// An unsigned event names a payment whose cancels changed. Its order is read back, then it is a hint like any other.
///
/// # Errors
/// As [`receive_hint`].
pub async fn receive_cancel_hint(
    charging: &Charging,
    rereads: &Rereads,
    now: Timestamp,
    gateway: GatewayName,
    payment_id: &str,
) -> Result<(), ReceiveError> {
    rereads.about_unnamed(gateway).take(now)?;
    let about = About { payment_id: Some(payment_id.to_owned()), ..About::default() };
    let Some((billable, _)) = observe_refunds::locate(charging, gateway, &about).await? else { return Ok(()) };
    let context = Context { now, actor: Actor::Gateway(gateway.as_str().to_owned()) };
    observe_refunds::follow(charging, &context, gateway, &billable).await
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
    change_method(charging, &context, token_hash, None, suspect).await
}

/// Keeps that an unsigned event of no consequence came: one row per type and UTC day, however many come. `kind` is one of
/// a fixed list, never the sender's word.
///
/// # Errors
/// When the store fails.
pub async fn receive_other(
    charging: &Charging,
    now: Timestamp,
    gateway: GatewayName,
    kind: &'static str,
) -> Result<(), ReceiveError> {
    let day = now.to_zoned(TimeZone::UTC).date();
    let key = format!("{}#unsigned#{kind}#{day}", gateway.as_str());
    if typed::inbox(charging.store.as_ref(), &key).await?.is_some() {
        return Ok(());
    }
    let context = Context { now, actor: Actor::Gateway(gateway.as_str().to_owned()) };
    commit(charging, &context, vec![inbox_row(&key, kind, "STORED", now)], Vec::new()).await
}
