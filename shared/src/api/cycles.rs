//! Cycles of a subscription and the attempts to charge them.

use domain::calendar::Period;
use domain::charge::DeclineClass;
use domain::cycle::{Attempt, Cycle, Outcome, State};
use domain::money::Money;
use domain::plan::Line;
use domain::subscription::Subscription;
use jiff::Timestamp;
use serde::Serialize;

use super::refunds::{DisputeBody, RefundBody};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CycleStatus {
    /// Owed.
    Open,
    Paid,
    /// Closed without a payment, because it was cancelled.
    Void,
    /// Closed unpaid after suspension.
    Uncollectible,
}

impl From<&State> for CycleStatus {
    fn from(state: &State) -> Self {
        match state {
            State::Open => CycleStatus::Open,
            State::Paid(_) => CycleStatus::Paid,
            State::Void => CycleStatus::Void,
            State::Uncollectible => CycleStatus::Uncollectible,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum AttemptOutcome {
    /// Somebody may be calling the gateway right now.
    Started,
    Succeeded,
    Declined,
    /// The gateway never executed it.
    Absent,
    /// Nobody knows yet; it is looked up, never charged again.
    Unknown,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Cycle))]
pub struct CycleBody {
    /// 0 is the first payment.
    index: u32,
    seq: u32,
    period: Period,
    status: CycleStatus,
    lines: Vec<Line>,
    supply: i64,
    vat: i64,
    total: i64,
    currency: domain::money::Currency,
    attempts: Vec<AttemptBody>,
    refunded: i64,
    refunds: Vec<RefundBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispute: Option<DisputeBody>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Attempt))]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptBody {
    n: u32,
    order_id: String,
    gateway: domain::charge::GatewayName,
    outcome: AttemptOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_class: Option<DeclineClass>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    at: Timestamp,
    /// Money moved that was not applied; an operator decides.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    quarantined: bool,
}

/// The cycles of a subscription, the live attempt in its place. An attempt whose cycle was not written yet shows as
/// an open cycle, on the last page.
#[must_use]
pub fn cycle_bodies(subscription: &Subscription, cycles: Vec<Cycle>, last_page: bool) -> Vec<CycleBody> {
    let live = subscription.live.as_ref().filter(|_| last_page);
    let mut bodies: Vec<CycleBody> = cycles.into_iter().map(|cycle| cycle_body(subscription, cycle)).collect();
    let unwritten = live.filter(|l| !bodies.iter().any(|b| b.index == l.index && b.seq == l.seq));
    if let Some(live) = unwritten
        && let Ok(period) = subscription.period(live.index, domain::calendar::seoul_date(live.started_at))
    {
        let amount = Money { amount: live.amount, ..subscription.amount };
        let mut body =
            empty_cycle(live.index, live.seq, period, CycleStatus::Open, subscription.plan.lines.clone(), amount);
        body.attempts.extend(live_body(subscription, live.index, live.seq));
        bodies.push(body);
    }
    bodies
}

fn cycle_body(subscription: &Subscription, cycle: Cycle) -> CycleBody {
    let mut body =
        empty_cycle(cycle.index, cycle.seq, cycle.period, (&cycle.state).into(), cycle.lines.clone(), cycle.amount);
    body.refunded = cycle.refunded;
    body.refunds = RefundBody::all(&cycle);
    body.dispute = cycle.dispute.as_ref().map(DisputeBody::from);
    body.attempts = cycle.attempts.iter().map(|a| attempt_body(subscription, &cycle, a)).collect();
    body.attempts.extend(live_body(subscription, cycle.index, cycle.seq));
    body
}

fn empty_cycle(
    index: u32,
    seq: u32,
    period: Period,
    status: CycleStatus,
    lines: Vec<Line>,
    amount: Money,
) -> CycleBody {
    let split = amount.vat_split();
    CycleBody {
        index,
        seq,
        period,
        status,
        lines,
        supply: split.supply.amount,
        vat: split.vat.amount,
        total: amount.amount,
        currency: amount.currency,
        attempts: Vec::new(),
        refunded: 0,
        refunds: Vec::new(),
        dispute: None,
    }
}

pub(super) fn attempt_body(subscription: &Subscription, cycle: &Cycle, a: &Attempt) -> AttemptBody {
    let billable =
        domain::charge::Billable { subscription: subscription.id.clone(), index: cycle.index, seq: cycle.seq };
    let outcome = match a.outcome {
        Outcome::Succeeded | Outcome::Quarantined => AttemptOutcome::Succeeded,
        Outcome::Declined => AttemptOutcome::Declined,
        Outcome::Absent => AttemptOutcome::Absent,
    };
    AttemptBody {
        n: a.n,
        order_id: billable.order_id(a.gateway, a.n),
        gateway: a.gateway,
        outcome,
        decline_class: a.class,
        code: a.code.clone(),
        at: a.at,
        quarantined: a.outcome == Outcome::Quarantined,
    }
}

pub(super) fn live_body(subscription: &Subscription, index: u32, seq: u32) -> Option<AttemptBody> {
    let live = subscription.live.as_ref().filter(|l| l.index == index && l.seq == seq)?;
    Some(AttemptBody {
        n: live.n,
        order_id: live.billable(&subscription.id).order_id(live.gateway, live.n),
        gateway: live.gateway,
        outcome: if live.unknown.is_some() { AttemptOutcome::Unknown } else { AttemptOutcome::Started },
        decline_class: None,
        code: None,
        at: live.started_at,
        quarantined: false,
    })
}
