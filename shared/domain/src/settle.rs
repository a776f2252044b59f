//! Settlement: the one place where an answer about an attempt changes money state. The call's reply, a webhook and
//! a poll all come here as a [`Report`], in any order and any number of times, and leave the same state.
//!
//! Invariants: a capture is settled on its merits whoever brings it; a second bringer is a no-op; a capture whose
//! amount differs, or that comes for a cycle already paid by another, is quarantined and never applied; negative
//! answers need the claim token and the live attempt; every date derives from the attempt's start.

use jiff::{SignedDuration, Timestamp};

mod capture;

use crate::calendar::{OutOfRange, next_seoul_day, seoul_date};
use crate::charge::{Answer, Decline, DeclineClass, Doubt, GatewayName, Heard, LiveAttempt, Trigger};
use crate::cycle::{Attempt, Cycle, Outcome, State};
use crate::dunning::DunningCase;
use crate::event::Fact;
use crate::ids::MethodId;
use crate::statistics::dunning_moved;
use crate::subscription::{Status, Subscription};

/// So many attempts on one cycle came to nothing, the last refused in a way nobody knows: an operator is told, and again
/// after as many more. It goes on being tried, because the trouble may be the gateway's and end by itself.
const STUCK_AFTER: u32 = 12;

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
    /// A method whose attempt was declined, and when that attempt started ([`crate::method::PaymentMethod::declined`]).
    pub declined_method: Option<(MethodId, Timestamp)>,
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
        Answer::Captured(capture) => capture::captured(subscription, cycle, live, report, capture, now),
        Answer::Declined(decline) => match fenced(live, report) {
            Some(live) => declined(subscription, cycle, live, decline),
            None => Ok(Settlement::Nothing),
        },
        Answer::Refused { code } => match fenced(live, report) {
            Some(live) => absent(subscription, cycle, live, Some(code.clone())),
            None => Ok(Settlement::Nothing),
        },
        Answer::Unknown { heard, code, intent } => match fenced(live, report) {
            Some(live) => unknown(subscription, live, *heard, code.as_deref(), intent.clone(), now),
            None => Ok(Settlement::Nothing),
        },
    }
}

/// The live attempt, if the report is about it and carries its claim token.
fn fenced<'a>(live: Option<&'a LiveAttempt>, report: &Report) -> Option<&'a LiveAttempt> {
    named(live, report).filter(|l| report.token.as_deref() == Some(l.token.as_str()))
}

/// The live attempt, if the report is about it. One without a number comes from Stripe and can mean no other gateway.
fn named<'a>(live: Option<&'a LiveAttempt>, report: &Report) -> Option<&'a LiveAttempt> {
    live.filter(|l| report.n.map_or(l.gateway == GatewayName::Stripe, |n| n == l.n))
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

fn declined(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: &LiveAttempt,
    decline: &Decline,
) -> Result<Settlement, OutOfRange> {
    let subject = subject(live);
    let mut cycle = close(subscription, cycle, live, decline.intent.clone())?.with_attempt(terminal(
        &subject,
        Outcome::Declined,
        Some(decline.class),
        Some(decline.code.clone()),
        decline.charge_id.clone(),
    ));
    if cycle.state == State::Open {
        // The decline names the intent a further attempt may use; one it no longer names was cancelled.
        cycle.intent = decline.intent.clone();
    }
    let fact = Fact::new("payment.declined", subscription.id.as_str())
        .with("index", live.index)
        .with("attempt", live.n)
        .with("gateway", live.gateway.as_str())
        .with("code", decline.code.as_str())
        .with("class", class_name(decline.class));
    let owed = subscription.owes_next(live.index, live.seq) && cycle.state == State::Open;
    let (after, suspended) = refused_card(subscription, live, decline, owed)?;
    let facts = [dunning_moved(fact, subscription, &after)].into_iter().chain(suspended).collect();
    let after = after.rested(&cycle, live.started_at)?;
    let invalid = (decline.class == DeclineClass::Hard).then(|| live.method_id.clone());
    Ok(Settlement::Apply(Box::new(Settled {
        subscription: Some(after),
        cycle: Some(cycle),
        invalid_method: invalid,
        declined_method: Some((live.method_id.clone(), live.started_at)),
        facts,
        hint: Some(Hint::Declined),
    })))
}

/// What a declined card means to the subscription, when the cycle is still `owed`.
fn refused_card(
    subscription: &Subscription,
    live: &LiveAttempt,
    decline: &Decline,
    owed: bool,
) -> Result<(Subscription, Option<Fact>), OutOfRange> {
    let mut after = subscription.without_live(live);
    // Another card was supplied meanwhile: the decline says nothing about that one, and nobody has tried it.
    let replaced = subscription.method_id != live.method_id;
    let untried = replaced.then_some(live.started_at);
    match subscription.status {
        // A decline of the first payment takes no dunning steps: it waits for a card (product.md, "Subscription").
        Status::PendingActivation if owed && !replaced => after.first_decline = Some(decline.code.clone()),
        Status::Active if owed => {
            let days = &subscription.plan.retry_days;
            let tried = after.tried();
            let case = match &subscription.dunning {
                Some(case) => case.declined(days, decline, live.trigger, live.started_at, tried)?,
                None => DunningCase::open(days, decline, live.started_at, tried)?,
            };
            let case = if replaced { case.with_new_card(days, live.started_at, tried)? } else { case };
            let exhausted = case.exhausted(live.started_at);
            after.dunning = Some(case);
            if exhausted {
                let (mut suspended, fact) = after.suspended_unpaid(live.started_at);
                suspended.dunning = suspended.dunning.map(|case| case.tried_next(untried));
                return Ok((suspended, Some(fact)));
            }
        }
        Status::Suspended if owed => {
            let (class, code) = (decline.class, decline.code.clone());
            let tried = |case: &DunningCase| DunningCase { class, code, ..case.tried_next(untried) };
            after.dunning = subscription.dunning.as_ref().map(tried);
        }
        Status::PendingActivation
        | Status::Active
        | Status::Suspended
        | Status::Cancelled
        | Status::Terminated
        | Status::Draft => {}
    }
    Ok((after, None))
}

/// The attempt provably never executed: it is closed, consumes no step, and the next may start. Nothing when `live` is
/// no longer the attempt in flight.
///
/// # Errors
/// Past the range of the calendar.
pub fn absent(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: &LiveAttempt,
    code: Option<String>,
) -> Result<Settlement, OutOfRange> {
    let same = |l: &LiveAttempt| (l.index, l.seq, l.n, &l.token) == (live.index, live.seq, live.n, &live.token);
    if !subscription.live.as_ref().is_some_and(same) {
        return Ok(Settlement::Nothing);
    }
    let fact = Fact::new("attempt.absent", subscription.id.as_str())
        .with("index", live.index)
        .with("attempt", live.n)
        .with("gateway", live.gateway.as_str())
        .with("code", code.clone().unwrap_or_default());
    let mut facts = vec![fact];
    let cycle = close(subscription, cycle, live, None)?.with_attempt(terminal(
        &subject(live),
        Outcome::Absent,
        None,
        code,
        None,
    ));
    let mut after = subscription.without_live(live);
    if subscription.owes_next(live.index, live.seq) {
        after.absent = after.absent.saturating_add(1);
        let refused = live.unknown.as_ref().is_some_and(|doubt| doubt.heard == Heard::Refusal);
        if refused && after.absent.is_multiple_of(STUCK_AFTER) {
            facts.push(Fact::new("subscription.stuck", subscription.id.as_str()).with("absent", after.absent));
        }
    }
    let mut after = after.rested(&cycle, live.started_at)?;
    let owed = after.owes_next(live.index, live.seq) && cycle.state == State::Open && !after.parked;
    if owed && live.trigger == Trigger::Manual && after.status == Status::Active && after.dunning.is_none() {
        // A person asked before the run was due to charge: the run keeps its one charge per civil day.
        after.due_at = Some(next_seoul_day(live.started_at)?);
    }
    if owed {
        let earliest = live.started_at.checked_add(pause_after(after.absent)).map_err(|_| OutOfRange)?;
        after.due_at = after.due_at.map(|at| at.max(earliest));
    }
    Ok(apply(Some(after), Some(cycle), facts, None))
}

/// How long the next attempt waits after so many on one cycle came to nothing, counted from the start of the last: not at
/// all after two, because accidents happen; ever longer after that, because an account the gateway always refuses would
/// keep every run awake.
fn pause_after(absent: u32) -> SignedDuration {
    match absent {
        0..=2 => SignedDuration::ZERO,
        3 => SignedDuration::from_mins(20),
        _ => SignedDuration::from_hours(1),
    }
}

/// The outcome is open. Hearing more later, of the same or a second send, makes the doubt stronger, never weaker.
fn unknown(
    subscription: &Subscription,
    live: &LiveAttempt,
    heard: Heard,
    code: Option<&str>,
    intent: Option<String>,
    now: Timestamp,
) -> Result<Settlement, OutOfRange> {
    let intent = live.intent.clone().or(intent);
    let (heard, looks, due_at) = match &live.unknown {
        Some(d) if d.heard >= heard && live.intent == intent => return Ok(Settlement::Nothing),
        Some(d) => (d.heard.max(heard), d.looks, subscription.due_at),
        None => (heard, 0, None),
    };
    let due_at = match due_at.filter(|at| *at > now) {
        Some(at) => at,
        None => crate::resolve::next_look(now, looks)?.max(crate::resolve::look_after_silence(now, live.started_at)?),
    };
    // Empty lookups from before this answer prove nothing about it.
    let doubt = Doubt { heard, empty: 0, last_empty_at: None, looks };
    let doubtful = LiveAttempt { unknown: Some(doubt), intent, ..live.clone() };
    // Counted once per attempt, however often more is heard.
    let kind = if live.unknown.is_none() { "attempt.unknown" } else { "attempt.still_unknown" };
    let fact = Fact::new(kind, subscription.id.as_str())
        .with("index", live.index)
        .with("attempt", live.n)
        .with("gateway", live.gateway.as_str())
        .with("code", code.unwrap_or_default());
    let after = Subscription { live: Some(doubtful), due_at: Some(due_at), ..subscription.clone() };
    Ok(apply(Some(after), None, vec![fact], Some(Hint::Unknown)))
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
        refunds: Vec::new(),
        dispute: None,
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

fn apply(subscription: Option<Subscription>, cycle: Option<Cycle>, facts: Vec<Fact>, hint: Option<Hint>) -> Settlement {
    let (invalid_method, declined_method) = (None, None);
    Settlement::Apply(Box::new(Settled { subscription, cycle, invalid_method, declined_method, facts, hint }))
}
