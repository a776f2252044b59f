//! Routes that charge: what came of it as an answer, and the Idempotency-Key that makes repeating them harmless.
//!
//! The claim is written before the charge and closed after it. While it is open and fresh, or once it is closed, the
//! same key answers from state. An open one older than the lease is taken over and done again, by one of those who ask;
//! so is one whose request failed, because nothing was answered that a repeat could repeat. Both are safe because an
//! attempt that is live is looked up and never charged twice.

use domain::charge::{DeclineClass, Trigger};
use domain::subscription::{StartRefused, Subscription};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::idempotency::{self, Claim, Started};
use super::{ApiError, Reply, Request};
use crate::api::{Charged as Word, SubscriptionBody};
use crate::store::{Commit, Store, StoreError};
use crate::usecase::RACES;
use crate::usecase::charge_subscription::{ChargeError, ChargeResult, Charged};

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
    for _ in 0..RACES {
        let claim = match idempotency::begin(store, request, caller, route, now).await? {
            Started::New(claim) => claim,
            Started::Replay(result) if stale(&result, now) => {
                idempotency::take_over(store, request, caller, route).await?
            }
            Started::Replay(_) => return Ok(Go::Answer),
        };
        let Some(write) = claim.write(json!({ "at": now.as_millisecond() })) else { return Ok(Go::Charge(claim)) };
        match store.commit(&Commit { id: id.to_owned(), writes: vec![write], events: Vec::new() }).await {
            Ok(()) => return Ok(Go::Charge(claim)),
            // The same request came twice at once: the other one does it.
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

fn stale(result: &Value, now: Timestamp) -> bool {
    let at = result.get("at").and_then(Value::as_i64).and_then(|at| Timestamp::from_millisecond(at).ok());
    at.is_some_and(|at| at.checked_add(LEASE).is_ok_and(|end| end <= now))
}

/// Closes a claim or, when the request came to nothing that could be answered again, leaves it to whoever repeats it.
/// Losing it costs a repeated lookup, never a charge, so a failure here is only logged.
pub async fn finish(store: &dyn Store, claim: &Claim, id: &str, outcome: &Result<Charged, ChargeError>) {
    let answered = outcome.as_ref().is_ok_and(|c| c.result != ChargeResult::Misconfigured);
    let result = if answered { json!({ "done": true }) } else { json!({ "at": 0 }) };
    if let Some(write) = claim.rewrite(result) {
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

/// The same answer from state alone. `owed` is whether what was asked for is still unpaid.
///
/// # Errors
/// The declined payment, as a problem.
pub fn reply_from_state(subscription: &Subscription, owed: bool) -> Result<Reply, ApiError> {
    let body = SubscriptionBody::from(subscription);
    match (&subscription.live, &subscription.dunning, &subscription.first_decline) {
        (Some(_), _, _) => Reply::json(202, &body),
        (None, Some(case), _) => Err(declined(Some(case.class), &case.code)),
        (None, None, Some(code)) => Err(declined(None, code)),
        (None, None, None) => Reply::json(if owed { 202 } else { 200 }, &body),
    }
}

/// What can never be charged as it is leaves no trace, not even of the key.
///
/// # Errors
/// 409 not approved or ended.
pub fn refused_outright(subscription: &Subscription, now: Timestamp) -> Result<(), ApiError> {
    match subscription.may_charge(Trigger::Manual, now) {
        Err(refused @ (StartRefused::NotApproved | StartRefused::Ended)) => Err(refused.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a person could charge it now: something is owed, and not in flight already.
#[must_use]
pub fn owes(subscription: &Subscription, now: Timestamp) -> bool {
    subscription.may_charge(Trigger::Manual, now).is_ok()
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
pub fn word(result: &ChargeResult) -> Word {
    match result {
        ChargeResult::Captured => Word::Succeeded,
        ChargeResult::Declined { .. } => Word::Declined,
        ChargeResult::Pending | ChargeResult::Misconfigured => Word::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use futures::executor::block_on;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn request(body: &str) -> Request {
        let mut request = Request { body: body.as_bytes().to_vec(), ..Request::default() };
        request.headers.insert("idempotency-key", "k-1".parse().unwrap());
        request
    }

    /// `Some` when the caller is the one who charges.
    fn ask(store: &MemoryStore, id: &str, now: Timestamp) -> Option<Claim> {
        match block_on(claim(store, &request("{}"), "ops", "retry", id, now)).unwrap() {
            Go::Charge(claim) => Some(claim),
            Go::Answer => None,
        }
    }

    fn subscription(status: &str) -> Subscription {
        let row = json!({
            "id": "sub_01ARZ3NDEKTSV4RRFFQ69G5FAV", "tenantId": "ten_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "plan": { "code": "starter", "version": 1, "interval": "MONTH", "lines": [], "retryDays": [] },
            "amount": { "amount": 33_000, "currency": "KRW" }, "gateway": "toss", "status": status, "tries": 0,
            "methodId": "mth_01ARZ3NDEKTSV4RRFFQ69G5FAV", "createdAt": 0, "version": 1,
        });
        serde_json::from_value(row).unwrap()
    }

    fn charged(result: ChargeResult) -> Result<Charged, ChargeError> {
        Ok(Charged { subscription: subscription("ACTIVE"), result })
    }

    #[test]
    fn a_claim_left_open_is_done_again_by_one_and_only_once() {
        let store = MemoryStore::new();
        assert!(ask(&store, "c-1", at(0)).is_some());
        assert!(ask(&store, "c-2", at(30)).is_none(), "fresh: the first one is at it");
        // The first one died. One of those who ask again takes over; the others wait for it.
        let taken = ask(&store, "c-3", at(61)).unwrap();
        assert!(ask(&store, "c-4", at(62)).is_none(), "taken over a second ago");
        block_on(finish(&store, &taken, "c-5", &charged(ChargeResult::Captured)));
        assert!(ask(&store, "c-6", at(3_600)).is_none(), "done is done");
    }

    #[test]
    fn what_failed_is_not_done() {
        let store = MemoryStore::new();
        let unavailable = || Err(ChargeError::Store(StoreError::Unavailable("x".into())));
        for (i, outcome) in
            [unavailable(), Err(ChargeError::KeysUnavailable), charged(ChargeResult::Misconfigured)].iter().enumerate()
        {
            let i = i64::try_from(i).unwrap();
            let claim = ask(&store, &format!("a-{i}"), at(i)).expect("the request before came to nothing");
            block_on(finish(&store, &claim, &format!("b-{i}"), outcome));
        }
        let claim = ask(&store, "last", at(9)).unwrap();
        block_on(finish(&store, &claim, "end", &charged(ChargeResult::Pending)));
        assert!(ask(&store, "again", at(10)).is_none(), "an open outcome is an answer");
    }

    #[test]
    fn what_the_rules_refuse_is_refused_before_the_key_is_written() {
        let code = |status| refused_outright(&subscription(status), at(0)).err().map(|e| e.code().to_owned());
        assert_eq!(code("PENDING_ACTIVATION").as_deref(), Some("not_approved"));
        assert_eq!(code("CANCELLED").as_deref(), Some("subscription_ended"));
        assert_eq!((code("ACTIVE"), code("SUSPENDED")), (None, None));
    }

    #[test]
    fn two_at_once_are_one() {
        let store = MemoryStore::new();
        let other = store.clone();
        let raced = std::sync::atomic::AtomicBool::new(false);
        store.inject(move |call| {
            let first = matches!(call, crate::store::memory::Call::Commit(_))
                && !raced.swap(true, std::sync::atomic::Ordering::SeqCst);
            if first {
                // An executor does not run inside another.
                let other = other.clone();
                let went = std::thread::spawn(move || ask(&other, "c-2", at(0)).is_some()).join();
                assert!(went.unwrap());
            }
            None
        });
        assert!(ask(&store, "c-1", at(0)).is_none(), "the other one does it");
    }
}
