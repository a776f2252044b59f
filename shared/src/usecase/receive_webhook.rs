//! Takes in what a gateway says by itself and signs. A capture settles with an inbox row in the same commit, so do refunds,
//! disputes and new faces of cards; declines only say that looking is worth while (design.md §7). What nobody signed is in
//! `receive_hint`.
//!
//! An `Err` means our failure: the edge answers 500 so that the gateway sends it again.

use std::time::Duration;

use domain::charge::{Answer, Billable, GatewayName};
use domain::event::{Actor, Fact};
use domain::method::{MaskedCard, PaymentMethod, Status};
use domain::settle::Report;
use jiff::{SignedDuration, Timestamp};

use super::charge_subscription::ChargeError;
use super::observe_refunds::{self, About, Said};
use super::rereads::TooSoon;
use super::resolve_attempt::resolve;
use super::settle::{SettleError, settle_report};
use super::{Charging, RACES, stamp};
use crate::ports::Context;
use crate::store::{InboxRow, Key, Query, Record, StoreError, Write, typed};

/// Inbox rows outlive the longest resend schedule (Stripe: 3 days, by hand 30).
const INBOX_DAYS: i64 = 40;
/// A question must leave room for an answer within the gateway's limit.
pub(super) const REREAD: Duration = Duration::from_secs(6);

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
    /// Something can still change, and was asked about a moment ago: it has to come again.
    #[error(transparent)]
    TooSoon(#[from] TooSoon),
    /// It claims a secret that is not the payment's: not the gateway's.
    #[error("another secret than the payment's")]
    Forged,
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
    /// Token hash of a method and the new face of its card.
    pub updated_method: Option<(String, MaskedCard)>,
    /// What it leaves in the audit log, when it is about something that we do not keep.
    pub recorded: Option<Fact>,
    /// The gateway's id of a payment that was taken and names no order of ours.
    pub stray_payment: Option<String>,
}

impl SignedEvent {
    /// One that says nothing of consequence.
    #[must_use]
    pub fn stored(gateway: GatewayName, id: impl Into<String>, kind: impl Into<String>) -> SignedEvent {
        SignedEvent {
            gateway,
            id: id.into(),
            kind: kind.into(),
            report: None,
            about: None,
            removed_method: None,
            updated_method: None,
            recorded: None,
            stray_payment: None,
        }
    }
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
    let inbox = |outcome: &str| inbox_row(&key, &event.kind, outcome, now);
    let recorded = || event.recorded.clone().into_iter().collect::<Vec<Fact>>();
    // Signed, and about nothing we ever heard of: money may have moved for nobody. Kept, and an operator is told.
    let unmatched = |payment: Option<&String>| {
        let fact = Fact::new("webhook.unmatched", key.clone()).with("kind", event.kind.as_str());
        (inbox("UNMATCHED"), payment.map_or(fact.clone(), |id| fact.with("paymentId", id.as_str())))
    };
    let (row, fact) = if let Some((billable, answer)) = &event.report {
        let known = match answer {
            Answer::Captured(_) => settle_event(charging, &context, billable, answer.clone(), inbox("SETTLED")).await?,
            // It may be about an attempt long over, so it never speaks for the one in flight: that one is looked up.
            Answer::Declined(_) | Answer::Refused { .. } | Answer::Unknown { .. } => {
                let known = look(charging, &context, event.gateway, billable).await?;
                if known {
                    commit(charging, &context, vec![inbox("LOOKED_UP")], recorded()).await?;
                }
                known
            }
        };
        if known {
            return Ok(());
        }
        unmatched(None)
    } else if let Some((about, said)) = &event.about {
        if observe_refunds::receive(charging, &context, event.gateway, about, said, &inbox("OBSERVED")).await? {
            return Ok(());
        }
        unmatched(about.payment_id.as_ref().or(about.charge_id.as_ref()))
    } else if let Some(hash) = &event.removed_method {
        return change_method(charging, &context, hash, Some(inbox("METHOD")), suspect).await;
    } else if let Some((hash, card)) = &event.updated_method {
        return change_method(charging, &context, hash, Some(inbox("METHOD")), |method| method.updated(card)).await;
    } else if event.stray_payment.is_some() {
        unmatched(event.stray_payment.as_ref())
    } else {
        let outcome = if event.recorded.is_some() { "RECORDED" } else { "STORED" };
        return commit(charging, &context, vec![inbox(outcome)], recorded()).await;
    };
    let facts = recorded().into_iter().chain([fact]).collect();
    commit(charging, &context, vec![row], facts).await
}

/// The row by which an event is known when it comes again.
pub(super) fn inbox_row(key: &str, kind: &str, outcome: &str, now: Timestamp) -> Write {
    Write::New(Record::Inbox(InboxRow {
        key: key.to_owned(),
        kind: kind.to_owned(),
        outcome: outcome.to_owned(),
        expires_at: now.saturating_add(SignedDuration::from_hours(INBOX_DAYS * 24)).unwrap_or(now),
        version: 0,
    }))
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

/// Looks the live attempt up, if the event can be about it. Says whether the subscription is known.
async fn look(
    charging: &Charging,
    context: &Context,
    gateway: GatewayName,
    billable: &Billable,
) -> Result<bool, ReceiveError> {
    let Some(subscription) = typed::subscription(charging.store.as_ref(), &billable.subscription).await? else {
        return Ok(false);
    };
    let live = subscription.live.as_ref();
    if live.is_some_and(|l| l.gateway == gateway && (l.index, l.seq) == (billable.index, billable.seq)) {
        resolved(resolve(charging, context, &subscription, REREAD).await)?;
    }
    Ok(true)
}

/// Whether an event that made us look has done its work.
pub(super) fn resolved<T>(result: Result<T, ChargeError>) -> Result<(), ReceiveError> {
    match result {
        // Somebody else is at it, or will be: the due index holds the attempt either way.
        Ok(_) | Err(ChargeError::Busy | ChargeError::MethodUnusable) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The method a gateway says is gone. A signature proves who says so, not that the next charge would fail.
pub(super) fn suspect(method: &PaymentMethod) -> Option<(PaymentMethod, Fact)> {
    (method.status == Status::Active).then(|| {
        let fact = Fact::new("payment_method.suspect", method.tenant_id.as_str());
        (PaymentMethod { status: Status::Suspect, ..method.clone() }, fact.with("methodId", method.id.as_str()))
    })
}

/// Changes the method behind a token, if it is one of ours and there is something to change. `inbox` is written either way.
pub(super) async fn change_method(
    charging: &Charging,
    context: &Context,
    token_hash: &str,
    inbox: Option<Write>,
    decide: impl Fn(&PaymentMethod) -> Option<(PaymentMethod, Fact)>,
) -> Result<(), ReceiveError> {
    let query = Query::MethodsByToken { token_hash: token_hash.to_owned() };
    for _ in 0..RACES {
        let (methods, _) = typed::list::<PaymentMethod>(charging.store.as_ref(), &query, 1, None).await?;
        let mut writes: Vec<Write> = inbox.iter().cloned().collect();
        let mut facts = Vec::new();
        if let Some((method, fact)) = methods.first().and_then(&decide) {
            writes.push(Write::Replace(Record::Method(method)));
            facts.push(fact);
        }
        if writes.is_empty() {
            return Ok(());
        }
        match commit(charging, context, writes, facts).await {
            Err(ReceiveError::Store(StoreError::Conflict { .. })) => {}
            done => return done,
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

pub(super) async fn commit(
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
