//! Settlement: the one place where an answer about an attempt changes money state. The call's reply, a webhook and
//! a poll all come here as a [`Report`], in any order and any number of times, and leave the same state.
//!
//! Invariants: a capture is settled on its merits whoever brings it; a second bringer is a no-op; a capture whose
//! amount differs, or that comes for a cycle already paid by another, is quarantined and never applied; negative
//! answers need the claim token and the live attempt; every date derives from the attempt's start.

use jiff::Timestamp;

use crate::calendar::{OutOfRange, plus_days, seoul_date};
use crate::charge::{Answer, Capture, Decline, DeclineClass, Doubt, GatewayName, Heard, LiveAttempt};
use crate::cycle::{Attempt, Cycle, Outcome, Payment, State};
use crate::dunning::DunningCase;
use crate::event::Fact;
use crate::ids::MethodId;
use crate::money::Money;
use crate::subscription::{Status, Subscription, UNPAID_DAYS};

/// An answer and the attempt it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub index: u32,
    pub seq: u32,
    /// Known from a Toss order id and from our own calls; a Stripe event names the cycle only.
    pub n: Option<u32>,
    pub answer: Answer,
    /// The claim token of whoever brings it; negative answers without the live token change nothing.
    pub token: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    Apply(Box<Settled>),
    /// Nothing to change: already settled, or not ours to say.
    Nothing,
}

/// New states and what happened, to be committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub subscription: Option<Subscription>,
    pub cycle: Option<Cycle>,
    /// A method the gateway will never charge again.
    pub invalid_method: Option<MethodId>,
    pub facts: Vec<Fact>,
    pub hint: Option<Hint>,
}

/// Why recovery should look soon (the body of a `failed-charges` message; a hint, never the state).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    Declined,
    Unknown,
}

/// What is known of the attempt a report is about.
struct Subject {
    n: u32,
    gateway: GatewayName,
    method_id: MethodId,
    started_at: Timestamp,
    amount: i64,
    live: bool,
}

/// Decides what a report changes.
///
/// # Errors
/// Past the range of the calendar.
pub fn settle(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    report: &Report,
    now: Timestamp,
) -> Result<Settlement, OutOfRange> {
    let live = subscription.live.as_ref().filter(|l| l.index == report.index && l.seq == report.seq);
    match &report.answer {
        Answer::Captured(capture) => captured(subscription, cycle, live, report, capture, now),
        Answer::Declined(decline) => match fenced(live, report) {
            Some(live) => declined(subscription, cycle, live, decline),
            None => Ok(Settlement::Nothing),
        },
        Answer::Refused { code } => match fenced(live, report) {
            Some(live) => absent(subscription, cycle, live, Some(code.clone())),
            None => Ok(Settlement::Nothing),
        },
        Answer::Unknown { heard, code, intent } => match fenced(live, report) {
            Some(live) if live.unknown.is_none() => {
                unknown(subscription, live, *heard, code.as_deref(), intent.clone(), now)
            }
            Some(_) | None => Ok(Settlement::Nothing),
        },
    }
}

/// The live attempt, if the report is about it and carries its claim token.
fn fenced<'a>(live: Option<&'a LiveAttempt>, report: &Report) -> Option<&'a LiveAttempt> {
    live.filter(|l| report.n.is_none_or(|n| n == l.n) && report.token.as_deref() == Some(l.token.as_str()))
}

fn captured(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: Option<&LiveAttempt>,
    report: &Report,
    capture: &Capture,
    now: Timestamp,
) -> Result<Settlement, OutOfRange> {
    let Some(subject) = subject_of_capture(subscription, cycle, live, report, capture, now) else {
        return Ok(Settlement::Nothing);
    };
    let expected = Money { amount: subject.amount, currency: subscription.amount.currency };
    let cycle = match cycle {
        Some(cycle) => cycle.clone(),
        None => open_cycle(subscription, report.index, report.seq, subject.started_at)?,
    };
    match &cycle.state {
        State::Paid(payment) if payment.payment_id == capture.payment_id && payment.charge_id == capture.charge_id => {
            return Ok(Settlement::Nothing);
        }
        State::Open if capture.amount == expected => {}
        State::Open | State::Paid(_) | State::Void | State::Uncollectible => {
            return Ok(quarantine(subscription, cycle, &subject, capture));
        }
    }
    let payment = Payment {
        payment_id: capture.payment_id.clone(),
        charge_id: capture.charge_id.clone(),
        at: subject.started_at,
    };
    let advanced = advance(subscription, report.index, &subject)?;
    let mut facts = vec![
        Fact::new("payment.captured", subscription.id.as_str())
            .with("index", report.index)
            .with("amount", capture.amount.amount)
            .with("currency", capture.amount.currency.code())
            .with("orderId", capture.order_id.as_str())
            .with("paymentId", capture.payment_id.as_str()),
    ];
    if advanced.status != subscription.status {
        facts.push(
            Fact::new("subscription.activated", subscription.id.as_str()).with("from", subscription.status.as_str()),
        );
    }
    let period = match advanced.anchor {
        Some(anchor) => crate::calendar::period(anchor, advanced.interval(), report.index)?,
        None => cycle.period,
    };
    let cycle = Cycle { state: State::Paid(payment), period, ..cycle }.with_attempt(terminal(
        &subject,
        Outcome::Succeeded,
        None,
        None,
        capture.charge_id.clone(),
    ));
    Ok(apply(Some(advanced), Some(cycle), None, facts, None))
}

/// The attempt a capture belongs to: the numbered one, the one that already recorded this charge, or the live one.
fn subject_of_capture(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: Option<&LiveAttempt>,
    report: &Report,
    capture: &Capture,
    now: Timestamp,
) -> Option<Subject> {
    let recorded = cycle.and_then(|c| match report.n {
        Some(n) => c.attempt(n),
        None => c.attempts.iter().find(|a| a.charge_id.is_some() && a.charge_id == capture.charge_id),
    });
    if recorded.is_some_and(|a| a.outcome == Outcome::Quarantined) {
        return None;
    }
    if let Some(a) = recorded {
        return Some(Subject {
            n: a.n,
            gateway: a.gateway,
            method_id: a.method_id.clone(),
            started_at: a.at,
            amount: cycle.map_or(subscription.amount.amount, |c| c.amount.amount),
            live: false,
        });
    }
    if let Some(l) = live.filter(|l| report.n.is_none_or(|n| n == l.n)) {
        return Some(subject(l));
    }
    // Money for an attempt we kept no record of (its ABSENT record was dropped, or a console payment under our order
    // id): it still counts, dated now, because nothing better is known.
    let due = report.index == subscription.next_index() || cycle.is_some();
    due.then(|| Subject {
        n: report.n.unwrap_or(subscription.tries.max(1)),
        gateway: subscription.gateway,
        method_id: subscription.method_id.clone(),
        started_at: now,
        amount: cycle.map_or(subscription.amount.amount, |c| c.amount.amount),
        live: false,
    })
}

fn subject(live: &LiveAttempt) -> Subject {
    Subject {
        n: live.n,
        gateway: live.gateway,
        method_id: live.method_id.clone(),
        started_at: live.started_at,
        amount: live.amount,
        live: true,
    }
}

/// The subscription after cycle `index` was paid.
fn advance(subscription: &Subscription, index: u32, subject: &Subject) -> Result<Subscription, OutOfRange> {
    let live = if subject.live { None } else { subscription.live.clone() };
    if index != subscription.next_index() {
        return Ok(Subscription { live, ..subscription.clone() });
    }
    let anchor = subscription.anchor.unwrap_or_else(|| seoul_date(subject.started_at));
    let ended = matches!(subscription.status, Status::Cancelled | Status::Terminated);
    let due_at =
        if ended { subscription.due_at } else { Some(subscription.due_after(index, anchor, subject.started_at)?) };
    Ok(Subscription {
        status: if ended { subscription.status } else { Status::Active },
        anchor: Some(anchor),
        paid: Some(index),
        tries: 0,
        due_at,
        live,
        dunning: None,
        first_decline: None,
        parked: false,
        stopped_at: if ended { subscription.stopped_at } else { None },
        ..subscription.clone()
    })
}

/// Money that must not be applied: recorded, reported, and the subscription parked if it would be charged again.
fn quarantine(subscription: &Subscription, cycle: Cycle, subject: &Subject, capture: &Capture) -> Settlement {
    let unpaid = cycle.state == State::Open;
    let fact = Fact::new("payment.quarantined", subscription.id.as_str())
        .with("index", cycle.index)
        .with("amount", capture.amount.amount)
        .with("currency", capture.amount.currency.code())
        .with("expected", subject.amount)
        .with("orderId", capture.order_id.as_str())
        .with("paymentId", capture.payment_id.as_str());
    let mut after = subscription.clone();
    if subject.live {
        after.live = None;
        after.tries = subject.n;
    }
    if unpaid && cycle.index == subscription.next_index() {
        after.parked = true;
        after.due_at = None;
    }
    let cycle = cycle.with_attempt(terminal(subject, Outcome::Quarantined, None, None, capture.charge_id.clone()));
    apply((after != *subscription).then_some(after), Some(cycle), None, vec![fact], None)
}

fn declined(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: &LiveAttempt,
    decline: &Decline,
) -> Result<Settlement, OutOfRange> {
    let subject = subject(live);
    let cycle = close(subscription, cycle, live, decline.intent.clone())?.with_attempt(terminal(
        &subject,
        Outcome::Declined,
        Some(decline.class),
        Some(decline.code.clone()),
        decline.charge_id.clone(),
    ));
    let mut facts = vec![
        Fact::new("payment.declined", subscription.id.as_str())
            .with("index", live.index)
            .with("attempt", live.n)
            .with("code", decline.code.as_str())
            .with("class", class_name(decline.class)),
    ];
    let mut after = Subscription { live: None, tries: live.n, ..subscription.clone() };
    match subscription.status {
        // A decline of the first payment takes no dunning steps: it waits for a card (product.md, "Subscription").
        Status::PendingActivation => {
            after.first_decline = Some(decline.code.clone());
            after.due_at = Some(plus_days(subscription.approved_at.unwrap_or(live.started_at), UNPAID_DAYS)?);
        }
        Status::Active if cycle.state == State::Open => {
            let days = &subscription.plan.retry_days;
            let case = match &subscription.dunning {
                Some(case) => case.declined(days, decline, live.trigger, live.started_at, live.n)?,
                None => DunningCase::open(days, decline, live.started_at, live.n)?,
            };
            after.due_at = Some(case.due_at());
            let exhausted = case.exhausted(live.started_at);
            after.dunning = Some(case);
            if exhausted {
                let (suspended, fact) = after.suspended(live.started_at)?;
                after = suspended;
                facts.push(fact);
            }
        }
        Status::Active | Status::Suspended | Status::Cancelled | Status::Terminated | Status::Draft => {
            after.due_at = rest_due(subscription)?;
        }
    }
    let invalid = (decline.class == DeclineClass::Hard).then(|| live.method_id.clone());
    Ok(apply(Some(after), Some(cycle), invalid, facts, Some(Hint::Declined)))
}

/// When a subscription whose attempt changed nothing is due again.
fn rest_due(subscription: &Subscription) -> Result<Option<Timestamp>, OutOfRange> {
    match (subscription.status, subscription.stopped_at.or(subscription.approved_at)) {
        (Status::PendingActivation, Some(at)) if subscription.first_decline.is_some() => {
            plus_days(at, UNPAID_DAYS).map(Some)
        }
        (Status::Suspended | Status::Cancelled, Some(at)) => {
            plus_days(at, crate::dunning::SUSPENDED_DAYS.max(crate::subscription::CANCELLED_DAYS)).map(Some)
        }
        (_, _) => Ok(subscription.due_at),
    }
}

/// The attempt provably never executed: it is closed, consumes no step, and the next may start.
///
/// # Errors
/// Past the range of the calendar.
pub fn absent(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: &LiveAttempt,
    code: Option<String>,
) -> Result<Settlement, OutOfRange> {
    let fact = Fact::new("attempt.absent", subscription.id.as_str())
        .with("index", live.index)
        .with("attempt", live.n)
        .with("code", code.clone().unwrap_or_default());
    let cycle = close(subscription, cycle, live, None)?.with_attempt(terminal(
        &subject(live),
        Outcome::Absent,
        None,
        code,
        None,
    ));
    let due_at = match (subscription.status, &subscription.dunning) {
        (Status::Active, Some(case)) => Some(case.due_at()),
        (Status::Suspended | Status::Cancelled, _) => rest_due(subscription)?,
        (Status::PendingActivation, _) if subscription.first_decline.is_some() => rest_due(subscription)?,
        (_, _) => Some(live.started_at),
    };
    let after = Subscription { live: None, tries: live.n, due_at, ..subscription.clone() };
    Ok(apply(Some(after), Some(cycle), None, vec![fact], None))
}

fn unknown(
    subscription: &Subscription,
    live: &LiveAttempt,
    heard: Heard,
    code: Option<&str>,
    intent: Option<String>,
    now: Timestamp,
) -> Result<Settlement, OutOfRange> {
    let doubt = Doubt { heard, empty: 0, last_empty_at: None, looks: 0 };
    let due_at = crate::resolve::next_look(now, 0)?;
    let intent = intent.or_else(|| live.intent.clone());
    let doubtful = LiveAttempt { unknown: Some(doubt), intent, ..live.clone() };
    let fact = Fact::new("attempt.unknown", subscription.id.as_str())
        .with("index", live.index)
        .with("attempt", live.n)
        .with("code", code.unwrap_or_default());
    let after = Subscription { live: Some(doubtful), due_at: Some(due_at), ..subscription.clone() };
    Ok(apply(Some(after), None, None, vec![fact], Some(Hint::Unknown)))
}

/// The cycle an attempt was about, opened if this is its first settled attempt, with the intent it taught us.
fn close(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: &LiveAttempt,
    intent: Option<String>,
) -> Result<Cycle, OutOfRange> {
    let cycle = match cycle {
        Some(cycle) => cycle.clone(),
        None => open_cycle(subscription, live.index, live.seq, live.started_at)?,
    };
    let intent = intent.or_else(|| live.intent.clone()).or_else(|| cycle.intent.clone());
    Ok(Cycle { intent, ..cycle })
}

/// A cycle row as first written. Amounts freeze here.
fn open_cycle(subscription: &Subscription, index: u32, seq: u32, started_at: Timestamp) -> Result<Cycle, OutOfRange> {
    Ok(Cycle {
        subscription_id: subscription.id.clone(),
        index,
        seq,
        period: subscription.period(index, seoul_date(started_at))?,
        lines: subscription.plan.lines.clone(),
        amount: subscription.amount,
        state: State::Open,
        attempts: Vec::new(),
        intent: None,
        refunded: 0,
        version: 0,
    })
}

fn terminal(
    subject: &Subject,
    outcome: Outcome,
    class: Option<DeclineClass>,
    code: Option<String>,
    charge_id: Option<String>,
) -> Attempt {
    Attempt {
        n: subject.n,
        gateway: subject.gateway,
        method_id: subject.method_id.clone(),
        outcome,
        class,
        code,
        charge_id,
        at: subject.started_at,
    }
}

fn class_name(class: DeclineClass) -> &'static str {
    match class {
        DeclineClass::Hard => "HARD",
        DeclineClass::Soft => "SOFT",
        DeclineClass::Auth => "AUTH",
    }
}

fn apply(
    subscription: Option<Subscription>,
    cycle: Option<Cycle>,
    invalid_method: Option<MethodId>,
    facts: Vec<Fact>,
    hint: Option<Hint>,
) -> Settlement {
    Settlement::Apply(Box::new(Settled { subscription, cycle, invalid_method, facts, hint }))
}
