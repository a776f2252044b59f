//! Charges what a subscription owes, once: claim, call, settle (design.md §5).
//!
//! Crash points: before the claim nothing happened; after it the subscription stays due with a live attempt, and
//! the next run or call looks it up; after the gateway's answer the same lookup finds the capture.

use std::time::Duration;

use domain::charge::{Answer, DeclineClass, GatewayName, Heard, LiveAttempt, Trigger};
use domain::cycle::Cycle;
use domain::ids::SubscriptionId;
use domain::method::PaymentMethod;
use domain::money::Money;
use domain::settle::Report;
use domain::subscription::{Claim, StartRefused, Subscription};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::time::Instant;

use super::allowance::{Said, of_answer};
use super::release_intent::{Released, release};
use super::settle::{Loaded, SettleError, settle_report};
use super::{Charging, stamp, switch};
use crate::gateway::{Charge, Gateway, REQUEST_VERSION, of_resend};
use crate::ports::{Context, VaultError};
use crate::store::{Commit, Record, StoreError, Write, typed};

/// A claim lasts this much longer than the gateway's time-out: within it nobody else acts on the attempt.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(25);
/// A charge over HTTP waits this long, because API Gateway cuts at 29 s (design.md §5).
pub const HTTP_PATIENCE: Duration = Duration::from_secs(20);
/// A charge in a run waits for the gateway's own limit.
pub const RUN_PATIENCE: Duration = Duration::from_secs(70);

/// What came of charging.
#[derive(Clone, Debug)]
pub struct Charged {
    pub subscription: Subscription,
    pub result: ChargeResult,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeResult {
    Captured,
    Declined {
        class: DeclineClass,
        code: String,
    },
    /// Not known yet; the attempt is live and will be resolved.
    Pending,
    /// The gateway refused our configuration; nothing was executed and the run must stop.
    Misconfigured,
}

#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    #[error("no such subscription")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] StartRefused),
    #[error("the payment method cannot be charged")]
    MethodUnusable,
    #[error("somebody else is charging it")]
    Busy,
    #[error("keys are unavailable")]
    KeysUnavailable,
    /// Nothing was claimed: what is owed stays due.
    #[error(transparent)]
    GatewayPaused(#[from] switch::Stopped),
    /// A PaymentIntent of the cycle may still capture and could not be cancelled: nothing was done.
    #[error("the gateway does not say what became of the open payment")]
    IntentOpen,
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Charges the next billable of a subscription read by the caller.
///
/// # Errors
/// When the rules, the method, another charger or the store forbid it. A gateway's answer is never an error.
pub async fn charge(
    charging: &Charging,
    context: &Context,
    subscription: Subscription,
    trigger: Trigger,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    subscription.may_charge(trigger, context.now)?;
    let store = charging.store.as_ref();
    let method = typed::method(store, &subscription.tenant_id, &subscription.method_id).await?;
    let method = method.filter(PaymentMethod::chargeable).ok_or(ChargeError::MethodUnusable)?;
    let (gateway, random) = (subscription.gateway, charging.random.as_ref());
    let pass = switch::admit(store, random, context.now, gateway).await??;
    let charged = charge_with(charging, context, subscription, &method, trigger, patience).await;
    if pass == switch::Pass::Probe {
        heard_of_probe(charging, gateway, &charged).await;
    }
    charged
}

/// A payment somebody asked for was also the probe of an open breaker. Not being able to say so is logged only: the
/// probe's lease ends by itself.
async fn heard_of_probe(charging: &Charging, gateway: GatewayName, charged: &Result<Charged, ChargeError>) {
    let (store, random, now) = (charging.store.as_ref(), charging.random.as_ref(), charging.clock.now().await);
    let told = match charged.as_ref().map(|c| &c.result) {
        Ok(ChargeResult::Captured | ChargeResult::Declined { .. } | ChargeResult::Misconfigured) => {
            switch::recover(store, random, now, gateway).await
        }
        Ok(ChargeResult::Pending) => switch::probe_failed(store, random, now, gateway).await,
        Err(_) => switch::probe_unused(store, random, now, gateway).await,
    };
    if let Err(error) = told {
        tracing::warn!(gateway = gateway.as_str(), %error, "the probe's outcome was not written");
    }
}

/// The same with the method already read (the runner reads methods in batches).
///
/// # Errors
/// As [`charge`].
pub async fn charge_with(
    charging: &Charging,
    context: &Context,
    subscription: Subscription,
    method: &PaymentMethod,
    trigger: Trigger,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    let store = charging.store.as_ref();
    // Dead, refused so often of late that trying again would only annoy its issuer, or of a gateway that does not take
    // this currency.
    if !method.chargeable_at(context.now) || !subscription.gateway.takes(subscription.amount.currency) {
        return Err(ChargeError::MethodUnusable);
    }
    let opened = open(charging, method).await?;
    let billable = subscription.next_billable();
    // The first attempt of a cycle has no row yet: an ordinary renewal saves the read.
    let mut cycle = if subscription.tries == 0 {
        None
    } else {
        typed::cycle(store, &billable.subscription, billable.index, billable.seq).await?
    };
    let begun = Instant::now();
    let moved = has_intent_elsewhere(&subscription, cycle.as_ref());
    if moved {
        if let Released::Settled(loaded) = Box::pin(release(charging, context, cycle.as_ref())).await? {
            return Ok(paid_meanwhile(*loaded, billable.index));
        }
        cycle = cycle.map(|c| Cycle { intent: None, ..c });
    }
    let gateway = charging.gateways.get(subscription.gateway);
    let secret =
        gateway.key_versions().await.ok().and_then(|v| v.into_iter().next()).ok_or(ChargeError::KeysUnavailable)?;
    let claim = Claim {
        trigger,
        token: stamp::token(charging.random.as_ref()),
        now: context.now,
        lease_until: lease_end(gateway, context.now),
        secret,
        request: REQUEST_VERSION,
        intent: cycle.as_ref().and_then(|c| c.intent.clone()),
    };
    let claimed = subscription.start(claim)?;
    let mut writes = vec![Write::Replace(Record::Subscription(claimed.clone()))];
    if moved {
        writes.extend(cycle.clone().map(|c| Write::Replace(Record::Cycle(c))));
        cycle = cycle.map(|c| Cycle { version: c.version.saturating_add(1), ..c });
    }
    let write = Commit { id: stamp::token(charging.random.as_ref()), writes, events: Vec::new() };
    match store.commit(&write).await {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) => return Err(ChargeError::Busy),
        Err(e) => return Err(e.into()),
    }
    let claimed = Subscription { version: claimed.version.saturating_add(1), ..claimed };
    let left = patience.saturating_sub(begun.elapsed());
    send_and_settle(charging, context, Loaded { subscription: claimed, cycle }, &opened, Sending::First, left).await
}

/// Whether the open cycle has a PaymentIntent, and another gateway is about to charge it.
fn has_intent_elsewhere(subscription: &Subscription, cycle: Option<&Cycle>) -> bool {
    subscription.gateway != GatewayName::Stripe && cycle.is_some_and(|c| c.intent.is_some())
}

/// The cycle turned out to be paid under its intent, or holds that money in quarantine.
fn paid_meanwhile(loaded: Loaded, index: u32) -> Charged {
    let paid = loaded.subscription.paid.is_some_and(|k| k >= index);
    let result = if paid { ChargeResult::Captured } else { ChargeResult::Pending };
    Charged { subscription: loaded.subscription, result }
}

/// Whether an attempt goes out for the first time: what the answer to a resend proves is less ([`of_resend`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    First,
    Again,
}

/// Calls the gateway for the live attempt of `loaded` and settles what it says.
///
/// # Errors
/// When the answer could not be written: the attempt stays live and is looked up later.
pub async fn send_and_settle(
    charging: &Charging,
    context: &Context,
    loaded: Loaded,
    opened: &Opened,
    which: Sending,
    patience: Duration,
) -> Result<Charged, ChargeError> {
    let Some(live) = loaded.subscription.live.clone() else { return Err(ChargeError::Busy) };
    let answer = send(charging, &loaded.subscription, loaded.cycle.as_ref(), &live, opened, patience).await;
    let answer = match (which, answer) {
        (Sending::First, answer) => answer,
        // A 4xx to a resend may be about the resend alone: absence is proved with the longer delay.
        (Sending::Again, Answer::Unknown { heard: Heard::Refusal, code, intent }) => {
            Answer::Unknown { heard: Heard::Error, code, intent }
        }
        (Sending::Again, answer) => of_resend(answer),
    };
    let result = match &answer {
        Answer::Captured(_) => ChargeResult::Captured,
        Answer::Declined(d) => ChargeResult::Declined { class: d.class, code: d.code.clone() },
        Answer::Refused { .. } => ChargeResult::Misconfigured,
        Answer::Unknown { .. } => ChargeResult::Pending,
    };
    let id = loaded.subscription.id.clone();
    let report = Report { index: live.index, seq: live.seq, n: Some(live.n), answer, token: Some(live.token) };
    let now = charging.clock.now().await.max(context.now);
    let context = Context { now, actor: context.actor.clone() };
    // Boxed, so that a call under way does not keep room for it.
    let after = Box::pin(settle_report(charging, &context, &id, &report, Some(loaded), &[])).await?;
    Ok(Charged { result: believed(result, &after.subscription, &report), subscription: after.subscription })
}

/// What the books say counts more than what this call heard: a webhook may have settled it first, or the capture
/// may have been quarantined.
pub(super) fn believed(heard: ChargeResult, after: &Subscription, report: &Report) -> ChargeResult {
    let paid = after.paid.is_some_and(|k| k >= report.index);
    match heard {
        ChargeResult::Captured if !paid => ChargeResult::Pending,
        _ if paid => ChargeResult::Captured,
        other => other,
    }
}

async fn send(
    charging: &Charging,
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: &LiveAttempt,
    opened: &Opened,
    patience: Duration,
) -> Answer {
    let allowance = &charging.allowance;
    allowance.turn(live.gateway).await;
    // Thawed too late to be heard before the lease ends: somebody may already be looking this attempt up.
    let timeout = charging.gateways.get(live.gateway).profile().timeout;
    let send_by = live.lease_until.saturating_sub(timeout).unwrap_or(live.lease_until);
    if charging.clock.now().await > send_by {
        allowance.heard(live.gateway, Said::Unsent, Duration::ZERO);
        return silence();
    }
    let billable = live.billable(&subscription.id);
    let known_charges = cycle.map(Cycle::known_charges).unwrap_or_default();
    let charge = Charge {
        order_id: &billable.order_id(live.gateway, live.n),
        idempotency_key: &billable.key("charge", live.n),
        amount: Money { amount: live.amount, currency: subscription.amount.currency },
        order_name: &order_name(subscription, live),
        token: &opened.token,
        customer: &opened.customer,
        key_version: &live.secret,
        request_version: live.request,
        intent: live.intent.as_deref(),
        known_charges: &known_charges,
    };
    let call = charging.gateways.get(live.gateway).charge(&charge);
    let sent = Instant::now();
    let answer = tokio::time::timeout(patience, call).await.unwrap_or_else(|_| silence());
    allowance.heard(live.gateway, of_answer(&answer), sent.elapsed());
    answer
}

/// A method's secrets, opened before anything is claimed: a card that cannot be charged starts no attempt.
pub struct Opened {
    pub(super) token: SecretString,
    pub(super) customer: SecretString,
}

/// # Errors
/// Without data keys; or the method is unusable, because its ciphertext is not its own.
pub(super) async fn open(charging: &Charging, method: &PaymentMethod) -> Result<Opened, ChargeError> {
    let aad = aad(method);
    let sealed = |e| match e {
        VaultError::Unavailable => ChargeError::KeysUnavailable,
        VaultError::Refused => ChargeError::MethodUnusable,
    };
    let token = charging.vault.open(&method.token, &aad).await.map_err(sealed)?;
    let customer = charging.vault.open(&method.customer, &aad).await.map_err(sealed)?;
    Ok(Opened { token, customer })
}

fn silence() -> Answer {
    Answer::Unknown { heard: Heard::Nothing, code: None, intent: None }
}

/// What a ciphertext of this method is bound to.
#[must_use]
pub fn aad(method: &PaymentMethod) -> String {
    format!("{}#{}", method.tenant_id, method.id)
}

/// The name on the payer's slip: a pure function of frozen values, because a resend must render the same bytes.
fn order_name(subscription: &Subscription, live: &LiveAttempt) -> String {
    format!("MindGarden {} #{}", subscription.plan.code, live.index.saturating_add(1))
}

/// Reads a subscription for charging.
///
/// # Errors
/// When it does not exist or the store fails.
pub async fn load_subscription(charging: &Charging, id: &SubscriptionId) -> Result<Subscription, ChargeError> {
    typed::subscription(charging.store.as_ref(), id).await?.ok_or(ChargeError::NotFound)
}

/// The gateway's rate is shared: who charges must know which account it draws on.
#[must_use]
pub fn account(subscription: &Subscription) -> GatewayName {
    subscription.gateway
}

/// How long a claim made now keeps everybody else away.
#[must_use]
pub fn lease_end(gateway: &dyn Gateway, now: Timestamp) -> Timestamp {
    now.saturating_add(gateway.profile().timeout.saturating_add(LEASE_MARGIN)).unwrap_or(now)
}
