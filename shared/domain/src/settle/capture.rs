//! Settling a capture: money moved. It pays its cycle, or it is quarantined; it is never ignored.
//!
//! Invariants: a cycle is paid once; a capture is applied only under its order id, in its amount and currency; what is
//! quarantined is recorded under its payment, so that bringing it again changes nothing.

use jiff::Timestamp;

use super::{Report, Settlement, Subject, absent, apply, fenced, named, open_cycle, subject, terminal};
use crate::calendar::{OutOfRange, seoul_date, seoul_midnight};
use crate::charge::{Billable, Capture, GatewayName, LiveAttempt};
use crate::cycle::{Attempt, Cycle, Outcome, Payment, State, quarantine_id};
use crate::event::Fact;
use crate::money::Money;
use crate::statistics::{dunning_moved, worth};
use crate::subscription::{Status, Subscription};

pub(super) fn captured(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: Option<&LiveAttempt>,
    report: &Report,
    capture: &Capture,
    now: Timestamp,
) -> Result<Settlement, OutOfRange> {
    if cycle.is_some_and(|c| c.paid_by(capture)) {
        // Seen before. If a later attempt heard it as its own answer (Stripe: "already succeeded"), that one took
        // nothing and is over.
        return match fenced(live, report) {
            Some(live) => absent(subscription, cycle, live, Some("ALREADY_PAID".to_owned())),
            None => Ok(Settlement::Nothing),
        };
    }
    let Some(subject) = subject_of_capture(subscription, cycle, live, report, capture, now) else {
        let fact = quarantine_fact(subscription, report.index, capture);
        return Ok(apply(None, None, vec![fact], None));
    };
    let before = match cycle {
        Some(cycle) => cycle.clone(),
        None => open_cycle(subscription, report.index, report.seq, subject.started_at)?,
    };
    let expected = Money { amount: subject.amount, currency: subscription.amount.currency };
    let ours = is_ours(subscription, report, subject.n, capture) && capture.amount == expected;
    let unpaid = match before.state {
        // Closed unpaid, and the money came after all: it belongs here, and is owed back because the subscription ended.
        State::Void | State::Uncollectible => has_ended(subscription),
        State::Open => true,
        State::Paid(_) => false,
    };
    if ours && was_approved(subscription) && unpaid {
        return pay(subscription, before, report, &subject, capture);
    }
    if !subject.live && before.holds_in_quarantine(capture) {
        return Ok(Settlement::Nothing);
    }
    quarantine(subscription, before, &subject, capture)
}

/// Whether the capture was made under this attempt's order id: a gateway that replays another order's answer under
/// our key must not pay this one.
fn is_ours(subscription: &Subscription, report: &Report, n: u32, capture: &Capture) -> bool {
    let billable = Billable { subscription: subscription.id.clone(), index: report.index, seq: report.seq };
    Billable::parse_order_id(&capture.order_id)
        .is_some_and(|(named, attempt)| named == billable && attempt.is_none_or(|a| a == n))
}

fn pay(
    subscription: &Subscription,
    before: Cycle,
    report: &Report,
    subject: &Subject,
    capture: &Capture,
) -> Result<Settlement, OutOfRange> {
    let payment = Payment {
        payment_id: capture.payment_id.clone(),
        charge_id: capture.charge_id.clone(),
        at: subject.started_at,
    };
    let intent = match subject.gateway {
        GatewayName::Stripe => Some(capture.payment_id.clone()),
        GatewayName::Toss => before.intent.clone(),
    };
    let anchor = subscription.anchor.unwrap_or_else(|| seoul_date(subject.started_at));
    let period = crate::calendar::period(anchor, subscription.interval(), report.index)?;
    let attempt = terminal(subject, Outcome::Succeeded, None, None, capture.charge_id.clone());
    let cycle = Cycle { state: State::Paid(payment), period, intent, ..before.released(capture) }.with_attempt(attempt);
    let advanced = advance(subscription, &cycle, subject)?;
    let mut facts = paid_facts(subscription, &advanced, report, capture, subject.gateway);
    // Money for a subscription that had ended meanwhile is attached and owed back in full (design.md §5).
    let (cycle, owed) = if has_ended(&advanced) { cycle.owed_back(subject.started_at) } else { (cycle, None) };
    facts.extend(owed);
    Ok(apply(Some(advanced), Some(cycle), facts, None))
}

fn paid_facts(
    before: &Subscription,
    after: &Subscription,
    report: &Report,
    capture: &Capture,
    gateway: GatewayName,
) -> Vec<Fact> {
    let paid = |kind| {
        Fact::new(kind, before.id.as_str())
            .with("index", report.index)
            .with("amount", capture.amount.amount)
            .with("currency", capture.amount.currency.code())
    };
    let captured = paid("payment.captured")
        .with("gateway", gateway.as_str())
        .with("orderId", capture.order_id.as_str())
        .with("paymentId", capture.payment_id.as_str());
    let mut facts = vec![dunning_moved(captured, before, after)];
    if after.status != before.status {
        let fact = Fact::new("subscription.activated", before.id.as_str()).with("from", before.status.as_str());
        facts.push(worth(fact, after));
    }
    if has_ended(after) {
        facts.push(paid("payment.refund_owed").with("paymentId", capture.payment_id.as_str()));
    }
    facts
}

/// The attempt a capture belongs to: the numbered one, the one that already recorded this charge, or the live one.
/// None for a billable we never opened.
fn subject_of_capture(
    subscription: &Subscription,
    cycle: Option<&Cycle>,
    live: Option<&LiveAttempt>,
    report: &Report,
    capture: &Capture,
    now: Timestamp,
) -> Option<Subject> {
    let attempts = cycle.map_or(&[][..], |c| &c.attempts);
    let charged = |a: &&Attempt| a.charge_id.is_some() && a.charge_id == capture.charge_id;
    let in_flight = || named(live, report).map(subject);
    let amount = cycle.map_or(subscription.amount.amount, |c| c.amount.amount);
    let record = |a: &Attempt| Subject {
        n: a.n,
        gateway: a.gateway,
        method_id: a.method_id.clone(),
        started_at: a.at,
        amount,
        live: false,
    };
    let known = match report.n {
        Some(n) => in_flight().or_else(|| cycle.and_then(|c| c.attempt(n)).map(record)),
        // Without a number: by its charge, else the one in flight, else the last whose charge we never learnt.
        None => (attempts.iter().find(charged).map(record))
            .or_else(in_flight)
            .or_else(|| attempts.iter().rev().find(|a| a.charge_id.is_none()).map(record)),
    };
    // Money for an attempt we kept no record of (its ABSENT record was dropped, or a console payment under our order
    // id): it still counts, dated now, because nothing better is known.
    let opened = subscription.owes_next(report.index, report.seq) || cycle.is_some();
    known.or_else(|| {
        opened.then(|| Subject {
            n: report.n.unwrap_or(subscription.tries.max(1)),
            gateway: subscription.gateway,
            method_id: subscription.method_id.clone(),
            started_at: now,
            amount,
            live: false,
        })
    })
}

/// Whether anybody decided that it may be charged. Money from before that is nobody's payment yet: paying with it would
/// activate what was never approved.
fn was_approved(subscription: &Subscription) -> bool {
    match subscription.status {
        Status::Draft => false,
        Status::PendingActivation => subscription.approved_at.is_some(),
        Status::Active | Status::Suspended | Status::Cancelled | Status::Terminated => true,
    }
}

fn has_ended(subscription: &Subscription) -> bool {
    matches!(subscription.status, Status::Cancelled | Status::Terminated)
}

/// The subscription after `cycle` was paid.
fn advance(subscription: &Subscription, cycle: &Cycle, subject: &Subject) -> Result<Subscription, OutOfRange> {
    let mut after = subscription.clone();
    if subject.live {
        after.live = None;
    }
    if subscription.owes_next(cycle.index, cycle.seq) {
        after.anchor = Some(subscription.anchor.unwrap_or_else(|| seoul_date(subject.started_at)));
        after.paid = Some(cycle.index);
        (after.tries, after.absent) = (0, 0);
        after.dunning = None;
        after.first_decline = None;
        after.parked = false;
        if let Some(end) = after.cancel_at {
            // Paid for after all: what was paid for is used up first.
            after.cancel_at = Some(end.max(seoul_midnight(cycle.period.end)?));
        }
        if !has_ended(subscription) {
            after.status = Status::Active;
            after.stopped_at = None;
        }
    }
    after.rested(cycle, subject.started_at)
}

/// Money that must not be applied: recorded, reported, and the subscription parked if it would be charged again.
fn quarantine(
    subscription: &Subscription,
    before: Cycle,
    subject: &Subject,
    capture: &Capture,
) -> Result<Settlement, OutOfRange> {
    let fact = quarantine_fact(subscription, before.index, capture)
        .with("expected", subject.amount)
        .with("gateway", subject.gateway.as_str());
    let charged_again =
        matches!(subscription.status, Status::PendingActivation | Status::Active) && was_approved(subscription);
    let park = charged_again && before.state == State::Open && subscription.owes_next(before.index, before.seq);
    let money = Some(quarantine_id(capture).to_owned());
    let cycle = before.with_attempt(terminal(subject, Outcome::Quarantined, None, None, money));
    let mut after = match (&subscription.live, subject.live) {
        (Some(live), true) => subscription.without_live(live),
        (_, _) => subscription.clone(),
    };
    after.parked |= park;
    if after != *subscription {
        after = after.rested(&cycle, subject.started_at)?;
    }
    let subscription = (after != *subscription).then_some(after);
    Ok(apply(subscription, Some(cycle), vec![fact], None))
}

fn quarantine_fact(subscription: &Subscription, index: u32, capture: &Capture) -> Fact {
    Fact::new("payment.quarantined", subscription.id.as_str())
        .with("index", index)
        .with("amount", capture.amount.amount)
        .with("currency", capture.amount.currency.code())
        .with("orderId", capture.order_id.as_str())
        .with("paymentId", capture.payment_id.as_str())
}
