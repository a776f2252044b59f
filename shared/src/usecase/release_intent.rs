//! Makes sure that nothing more can be captured under the PaymentIntent of an open cycle: before another gateway charges
//! the cycle, and before it is void or given up.
//!
//! A Stripe attempt closed as absent without ever teaching us an intent leaves nothing to cancel. Should a worker frozen
//! for longer than the proof of absence still send it, its capture is settled or quarantined like any other.

use std::time::Duration;

use domain::charge::{Answer, GatewayName};
use domain::cycle::{Cycle, State};
use domain::settle::Report;

use super::Charging;
use super::charge_subscription::ChargeError;
use super::settle::{Loaded, settle_report};
use crate::gateway::{CancelIntent, IntentCancelled};
use crate::ports::Context;

/// How long the gateway may take: an HTTP call has a charge still to come.
const PATIENCE: Duration = Duration::from_secs(6);

/// What stands in the way of closing the cycle or charging it elsewhere.
pub enum Released {
    /// Nothing: it has no intent, or none that could still capture.
    Free,
    /// It was paid under its intent. That is settled; decide again from these rows.
    Settled(Box<Loaded>),
}

/// Cancels the intent of `cycle`, if it has one.
///
/// # Errors
/// When the gateway does not say what became of it (nothing may be decided on that), or the books cannot be written.
pub async fn release(charging: &Charging, context: &Context, cycle: Option<&Cycle>) -> Result<Released, ChargeError> {
    let Some(cycle) = cycle.filter(|cycle| cycle.state == State::Open) else { return Ok(Released::Free) };
    let Some(intent) = cycle.intent.as_deref() else { return Ok(Released::Free) };
    let request = CancelIntent { intent };
    let asked = charging.gateways.get(GatewayName::Stripe).cancel_intent(&request);
    let capture = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(IntentCancelled::Cancelled) => return Ok(Released::Free),
        // An intent captures once: what is in quarantine already is all there will ever be.
        Ok(IntentCancelled::Captured(capture)) if cycle.holds_in_quarantine(&capture) => return Ok(Released::Free),
        Ok(IntentCancelled::Captured(capture)) => capture,
        Ok(IntentCancelled::Unknown) | Err(_) => return Err(ChargeError::IntentOpen),
    };
    let answer = Answer::Captured(capture);
    let report = Report { index: cycle.index, seq: cycle.seq, n: None, answer, token: None };
    let settled = settle_report(charging, context, &cycle.subscription_id, &report, None, &[]).await?;
    Ok(Released::Settled(Box::new(settled)))
}
