//! Brings what a gateway says about money of a payment that was made (refunds, disputes) into the books, by event or by
//! poll: load, decide, commit, again on a lost race.
//!
//! An `Err` means our failure: the edge answers 500 so that the gateway sends it again.

use std::time::Duration;

use domain::charge::{Billable, GatewayName};
use domain::cycle::Cycle;
use domain::dispute::Told;
use domain::refund::{Change, Listed, Seen};
use domain::subscription::Subscription;

use super::receive_webhook::ReceiveError;
use super::resolve_attempt::resolve;
use super::{Charging, RACES, stamp};
use crate::gateway::{OfPayment, OrderOf};
use crate::ports::Context;
use crate::store::{Key, Record, StoreError, Write, typed};

/// A question must leave room for an answer within the gateway's limit.
const PATIENCE: Duration = Duration::from_secs(6);

/// The payment an event is about, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub order_id: Option<String>,
    pub payment_id: Option<String>,
    pub charge_id: Option<String>,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Refund(Seen),
    /// So much was given back in all, minor units; the refunds themselves have to be asked for.
    Refunded {
        total: Option<i64>,
    },
    Dispute(Told),
}

/// Applies a signed event; `inbox` joins the commit. Says whether the payment is one of ours.
///
/// # Errors
/// When the store fails, races persist, or the gateway does not answer a question.
pub async fn receive(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    about: &About,
    said: &Said,
    inbox: &Write,
) -> Result<bool, ReceiveError> {
    let Some((billable, payment_id)) = locate(charging, gateway, about).await? else { return Ok(false) };
    let Some(cycle) = paid(charging, context, gateway, &billable, &payment_id).await? else { return Ok(false) };
    let listed = match said {
        Said::Refund(_) | Said::Dispute(_) => Vec::new(),
        // Our own refunds come back as events too: what the books have is not asked for again.
        Said::Refunded { total } if *total == Some(cycle.refunded) => Vec::new(),
        Said::Refunded { .. } => list(charging, gateway, &payment_id).await?,
    };
    let decide = |cycle: &Cycle| match said {
        Said::Refund(seen) => cycle.observe_refunds(std::slice::from_ref(seen), context.now),
        Said::Refunded { .. } => cycle.observe_refunds(&listed, context.now),
        Said::Dispute(told) => cycle.disputed(told, context.now),
    };
    apply(charging, context, cycle, decide, std::slice::from_ref(inbox)).await?;
    Ok(true)
}

/// Follows an unsigned event that says money was given back: asks the gateway, if there is still anything left that could
/// have been.
///
/// # Errors
/// When the store fails, races persist, or the gateway does not answer.
pub async fn follow(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    billable: &Billable,
) -> Result<(), ReceiveError> {
    let Some((cycle, payment_id)) = open_payment(charging, gateway, billable).await? else { return Ok(()) };
    let seen = list(charging, gateway, &payment_id).await?;
    apply(charging, context, cycle, |cycle| cycle.observe_refunds(&seen, context.now), &[]).await
}

/// The cycle and its payment, while there is anything left that could be given back at this gateway.
///
/// # Errors
/// When the store fails.
pub async fn open_payment(
    charging: &Charging,
    gateway: GatewayName,
    billable: &Billable,
) -> Result<Option<(Cycle, String)>, ReceiveError> {
    let found = typed::cycle(charging.store.as_ref(), &billable.subscription, billable.index, billable.seq).await?;
    let Some(cycle) = found else { return Ok(None) };
    let open = cycle.refunded < cycle.amount.amount || cycle.refund_due().is_some();
    let payment = cycle.payment().filter(|(_, taken_by)| *taken_by == gateway && open);
    let payment_id = payment.map(|(payment, _)| payment.payment_id.clone());
    Ok(payment_id.map(|payment_id| (cycle, payment_id)))
}

/// Takes in what the gateway's own list shows and nobody told us of: the refunds of a payment, or the dispute as `told`.
/// Answers with the cycle as it is then; none when the payment pays none of ours.
///
/// # Errors
/// When the store fails, races persist, the gateway does not answer, or an attempt it may belong to is in flight.
pub async fn absorb(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    billable: &Billable,
    payment_id: &str,
    told: Option<&Told>,
) -> Result<Option<Cycle>, ReceiveError> {
    let cycle = match standing(charging, gateway, billable, payment_id).await? {
        Standing::Paid(cycle) => *cycle,
        // Whoever charges finds out first: a list is read again on other days, and reading it never sends a charge.
        Standing::InFlight(_) => return Err(ReceiveError::Unanswered),
        Standing::Foreign => return Ok(None),
    };
    match told {
        // Another dispute has the place: which of the two is the newer one, a list does not say.
        Some(told) if cycle.dispute.as_ref().is_some_and(|d| d.id != told.id) => return Ok(Some(cycle)),
        Some(told) => apply(charging, context, cycle, |cycle| cycle.disputed(told, context.now), &[]).await?,
        None => {
            let seen = list(charging, gateway, payment_id).await?;
            apply(charging, context, cycle, |cycle| cycle.observe_refunds(&seen, context.now), &[]).await?;
        }
    }
    let store = charging.store.as_ref();
    Ok(typed::cycle(store, &billable.subscription, billable.index, billable.seq).await?)
}

/// The billable a payment was made for, and the payment. `None` when it is none of ours.
///
/// # Errors
/// When the gateway does not say.
pub async fn locate(
    charging: &Charging,
    gateway: GatewayName,
    about: &About,
) -> Result<Option<(Billable, String)>, ReceiveError> {
    let ours = |order_id: &str| Billable::parse_order_id(order_id).map(|(billable, _)| billable);
    if let (Some(order_id), Some(payment_id)) = (&about.order_id, &about.payment_id) {
        return Ok(ours(order_id).map(|billable| (billable, payment_id.clone())));
    }
    let (payment_id, charge_id) = (about.payment_id.as_deref(), about.charge_id.as_deref());
    let of = OfPayment { payment_id, charge_id, secret: None };
    match tokio::time::timeout(PATIENCE, charging.gateways.get(gateway).order_of(&of)).await {
        Ok(OrderOf::Order { order_id, payment_id }) => Ok(ours(&order_id).map(|billable| (billable, payment_id))),
        Ok(OrderOf::Foreign | OrderOf::Forged) => Ok(None),
        Ok(OrderOf::Failed) | Err(_) => Err(ReceiveError::Unanswered),
    }
}

/// The cycle this payment paid. An event may come before our own call's answer: then the attempt in flight is looked up
/// first. `None` when the payment paid nothing of ours (it may be in quarantine).
async fn paid(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    billable: &Billable,
    payment_id: &str,
) -> Result<Option<Cycle>, ReceiveError> {
    match standing(charging, gateway, billable, payment_id).await? {
        Standing::Paid(cycle) => return Ok(Some(*cycle)),
        Standing::Foreign => return Ok(None),
        Standing::InFlight(subscription) => resolve(charging, context, &subscription, PATIENCE).await?,
    };
    match standing(charging, gateway, billable, payment_id).await? {
        Standing::Paid(cycle) => Ok(Some(*cycle)),
        // The payment may be about to become the cycle's, so the event has to come again.
        Standing::InFlight(_) | Standing::Foreign => Err(ReceiveError::Unanswered),
    }
}

/// What a payment is to a billable.
enum Standing {
    Paid(Box<Cycle>),
    /// Nothing yet, and the outcome of an attempt at this gateway is open.
    InFlight(Box<Subscription>),
    Foreign,
}

async fn standing(
    charging: &Charging,
    gateway: GatewayName,
    billable: &Billable,
    payment_id: &str,
) -> Result<Standing, StoreError> {
    let store = charging.store.as_ref();
    let cycle = typed::cycle(store, &billable.subscription, billable.index, billable.seq).await?;
    let its = |c: &Cycle| c.payment().is_some_and(|(p, by)| by == gateway && p.payment_id == payment_id);
    if let Some(cycle) = cycle.filter(its) {
        return Ok(Standing::Paid(Box::new(cycle)));
    }
    let subscription = typed::subscription(store, &billable.subscription).await?;
    let place = (gateway, billable.index, billable.seq);
    let in_flight = |s: &Subscription| s.live.as_ref().is_some_and(|l| (l.gateway, l.index, l.seq) == place);
    Ok(subscription.filter(in_flight).map_or(Standing::Foreign, |s| Standing::InFlight(Box::new(s))))
}

pub(super) async fn list(
    charging: &Charging,
    gateway: GatewayName,
    payment_id: &str,
) -> Result<Vec<Seen>, ReceiveError> {
    match tokio::time::timeout(PATIENCE, charging.gateways.get(gateway).find_refunds(payment_id)).await {
        Ok(Listed::All(seen)) => Ok(seen),
        Ok(Listed::Failed) | Err(_) => Err(ReceiveError::Unanswered),
    }
}

/// Commits what `decide` says of the newest row, with `also`. What `also` holds is written even when nothing changes.
async fn apply(
    charging: &Charging,
    context: &Context,
    first: Cycle,
    decide: impl Fn(&Cycle) -> Option<Change>,
    also: &[Write],
) -> Result<(), ReceiveError> {
    let store = charging.store.as_ref();
    let (id, index, seq) = (first.subscription_id.clone(), first.index, first.seq);
    let mut seen = Some(first);
    for _ in 0..RACES {
        let cycle = match seen.take() {
            Some(cycle) => Some(cycle),
            None => typed::cycle(store, &id, index, seq).await?,
        };
        let change = cycle.as_ref().and_then(&decide);
        let mut writes = also.to_vec();
        let mut facts = Vec::new();
        if let Some(change) = change {
            writes.push(Write::Replace(Record::Cycle(change.cycle)));
            facts = change.facts;
        }
        if writes.is_empty() {
            return Ok(());
        }
        match store.commit(&stamp::commit(charging.random.as_ref(), context, writes, facts)).await {
            // The same event on another worker: it wrote the inbox row first.
            Ok(()) | Err(StoreError::Conflict { key: Some(Key::Inbox(_)) }) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}
