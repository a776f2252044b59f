//! Subscriptions, answers and reports to reason about.

use domain::calendar::Interval;
use domain::charge::{Answer, Billable, Capture, Decline, DeclineClass, GatewayName, Heard, LiveAttempt, Trigger};
use domain::ids::{MethodId, RequestId, SubscriptionId, ulid};
use domain::money::Money;
use domain::plan::{Line, PlanSnapshot, RETRY_DAYS};
use domain::settle::Report;
use domain::subscription::{Claim, Status, Subscription};
use jiff::{SignedDuration, Timestamp};

pub const PRICE: i64 = 33_000;

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

pub fn days(n: i64) -> SignedDuration {
    hours(24 * n)
}

pub fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// When the subscription of these tests was created: noon in Seoul.
pub fn birth() -> Timestamp {
    at("2027-01-31T03:00:00Z")
}

pub fn method(n: u128) -> MethodId {
    MethodId::new(ulid(birth(), n))
}

/// Created, card registered, not approved.
pub fn unapproved(gateway: GatewayName) -> Subscription {
    let request = RequestId::new(ulid(birth(), 1));
    let lines = vec![Line { code: "CORE".into(), amount: PRICE }];
    Subscription {
        id: request.subscription(),
        tenant_id: request.tenant(),
        plan: PlanSnapshot {
            code: "CORE".into(),
            version: 1,
            interval: Interval::Month,
            lines,
            retry_days: RETRY_DAYS.to_vec(),
        },
        amount: Money::krw(PRICE),
        gateway,
        method_id: method(1),
        status: Status::PendingActivation,
        anchor: None,
        paid: None,
        tries: 0,
        absent: 0,
        due_at: None,
        live: None,
        dunning: None,
        approved_at: None,
        stopped_at: None,
        cancel_at: None,
        first_decline: None,
        parked: false,
        created_at: birth(),
        version: 0,
    }
}

/// What a worker writes before it calls the gateway.
pub fn claim(trigger: Trigger, now: Timestamp) -> Claim {
    Claim {
        trigger,
        token: format!("token {trigger:?} {now}"),
        now,
        lease_until: now + minutes(2),
        secret: "v1".into(),
        request: 1,
        intent: None,
    }
}

pub fn billable(id: &SubscriptionId, live: &LiveAttempt) -> Billable {
    live.billable(id)
}

/// The intent that serves the cycle, where the gateway has such a thing.
pub fn intent(live: &LiveAttempt) -> Option<String> {
    (live.gateway == GatewayName::Stripe).then(|| format!("pi_{}_{}", live.index, live.seq))
}

/// The one payment this attempt would make.
pub fn capture(subscription: &Subscription, live: &LiveAttempt) -> Capture {
    let order_id = live.billable(&subscription.id).order_id(live.gateway, live.n);
    Capture {
        payment_id: intent(live).unwrap_or_else(|| format!("pay_{order_id}")),
        charge_id: intent(live).map(|i| format!("ch_{i}_{}", live.n)),
        order_id,
        amount: Money { amount: live.amount, ..subscription.amount },
    }
}

pub fn captured(subscription: &Subscription, live: &LiveAttempt) -> Answer {
    Answer::Captured(capture(subscription, live))
}

pub fn decline(class: DeclineClass, live: &LiveAttempt) -> Decline {
    let charge_id = intent(live).map(|i| format!("ch_{i}_{}_declined", live.n));
    Decline { class, code: "REJECT_CARD_PAYMENT".into(), intent: intent(live), charge_id }
}

pub fn soft(live: &LiveAttempt) -> Answer {
    Answer::Declined(decline(DeclineClass::Soft, live))
}

pub fn hard(live: &LiveAttempt) -> Answer {
    Answer::Declined(decline(DeclineClass::Hard, live))
}

pub fn refused() -> Answer {
    Answer::Refused { code: "UNAUTHORIZED_KEY".into() }
}

pub fn unknown(heard: Heard, live: &LiveAttempt) -> Answer {
    Answer::Unknown { heard, code: None, intent: intent(live) }
}

/// As the worker that holds the claim brings it: numbered, with the token.
pub fn by_call(live: &LiveAttempt, answer: Answer) -> Report {
    Report { index: live.index, seq: live.seq, n: Some(live.n), answer, token: Some(live.token.clone()) }
}

/// As a gateway's event brings it: without the token, and without a number where the order id has none.
pub fn by_event(live: &LiveAttempt, answer: Answer) -> Report {
    let n = (live.gateway == GatewayName::Toss).then_some(live.n);
    Report { index: live.index, seq: live.seq, n, answer, token: None }
}
