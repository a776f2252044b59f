//! Routes that charge: what came of it as an answer, and the Idempotency-Key that makes repeating them harmless.
//!
//! The claim is written before the charge and closed after it. While it is open and fresh, or once it is closed, the
//! same key answers from state; an open one older than the lease is done again, which is safe because an attempt that
//! is live is looked up and never charged twice.

use domain::charge::DeclineClass;
use domain::subscription::{Status, Subscription};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::idempotency::{self, Claim, Started};
use super::{ApiError, Reply, Request};
use crate::api::SubscriptionBody;
use crate::store::{Commit, Store};
use crate::usecase::charge_subscription::{ChargeResult, Charged};

/// How long an unfinished request under a key keeps others from doing it again.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Whether to charge now.
pub enum Go {
    Charge(Claim),
    /// Answer from state: it was done, or is being done.
    Answer,
}

/// Claims the request's key, if it has one.
///
/// # Errors
/// 422 when the key was used with another request; the store's own failures.
pub async fn claim(
    store: &dyn Store,
    request: &Request,
    caller: &str,
    route: &str,
    id: &str,
    now: Timestamp,
) -> Result<Go, ApiError> {
    match idempotency::begin(store, request, caller, route, now).await? {
        Started::New(claim) => {
            if let Some(write) = claim.write(json!({ "at": now.as_millisecond() })) {
                store.commit(&Commit { id: id.to_owned(), writes: vec![write], events: Vec::new() }).await?;
            }
            Ok(Go::Charge(claim))
        }
        Started::Replay(result) if stale(&result, now) => Ok(Go::Charge(Claim::none())),
        Started::Replay(_) => Ok(Go::Answer),
    }
}

fn stale(result: &Value, now: Timestamp) -> bool {
    let at = result.get("at").and_then(Value::as_i64).and_then(|at| Timestamp::from_millisecond(at).ok());
    at.is_some_and(|at| at.checked_add(LEASE).is_ok_and(|end| end <= now))
}

/// Closes a claim. Losing it costs a repeated lookup, never a charge, so a failure here is only logged.
pub async fn finish(store: &dyn Store, claim: &Claim, id: &str) {
    if let Some(write) = claim.rewrite(json!({ "done": true })) {
        let commit = Commit { id: id.to_owned(), writes: vec![write], events: Vec::new() };
        if let Err(e) = store.commit(&commit).await {
            tracing::warn!(error = %e, "idempotency claim left open");
        }
    }
}

/// 200 paid, 402 declined, 202 not known yet, 503 when our configuration is refused.
///
/// # Errors
/// The declined payment, as a problem with its class.
pub fn reply(charged: &Charged) -> Result<Reply, ApiError> {
    let body = SubscriptionBody::from(&charged.subscription);
    match &charged.result {
        ChargeResult::Captured => Reply::json(200, &body),
        ChargeResult::Pending => Reply::json(202, &body),
        ChargeResult::Declined { class, code } => Err(declined(Some(*class), code)),
        ChargeResult::Misconfigured => Err(ApiError::unavailable("the gateway refuses our configuration")),
    }
}

/// The same answer from state alone.
///
/// # Errors
/// The declined payment, as a problem.
pub fn reply_from_state(subscription: &Subscription) -> Result<Reply, ApiError> {
    let body = SubscriptionBody::from(subscription);
    match (&subscription.live, &subscription.dunning, &subscription.first_decline) {
        (Some(_), _, _) => Reply::json(202, &body),
        (None, Some(case), _) => Err(declined(Some(case.class), &case.code)),
        (None, None, Some(code)) => Err(declined(None, code)),
        (None, None, None) if subscription.status == Status::PendingActivation => Reply::json(202, &body),
        (None, None, None) => Reply::json(200, &body),
    }
}

fn declined(class: Option<DeclineClass>, code: &str) -> ApiError {
    let problem = ApiError::new(402, "payment_declined", "The payment was declined.").with("declineCode", code);
    match class {
        Some(class) => problem.with("declineClass", json!(class)),
        None => problem,
    }
}

/// What an immediate charge came to, in the word the API uses.
#[must_use]
pub fn word(result: &ChargeResult) -> &'static str {
    match result {
        ChargeResult::Captured => "SUCCEEDED",
        ChargeResult::Declined { .. } => "DECLINED",
        ChargeResult::Pending | ChargeResult::Misconfigured => "PENDING",
    }
}
