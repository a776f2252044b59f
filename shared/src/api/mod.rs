//! The bodies of the API (api.md), made from domain values and nothing else. Wire names live here; a field that is
//! here keeps its name, type and meaning.
//!
//! Invariants: no token, key or ciphertext has a field here; amounts are integer minor units beside one currency.

pub mod documents;
pub mod operations;
pub mod refunds;
pub mod settlements;

use domain::calendar::{Period, seoul_midnight};
use domain::charge::DeclineClass;
use domain::cycle::{Attempt, Cycle, Outcome};
use domain::method::PaymentMethod;
use domain::money::Money;
use domain::onboarding::{Application, Decision, NextAction};
use domain::plan::{Line, Plan};
use domain::run::Run;
use domain::subscription::{Status, Subscription};
use jiff::Timestamp;
use refunds::{DisputeBody, RefundBody};
use serde::Serialize;
use serde_json::{Value, json};

/// A page of anything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemsBody<T> {
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Serialize)]
pub struct PlanBody {
    code: String,
    version: u32,
    name: String,
    description: String,
    price: Money,
    interval: domain::calendar::Interval,
    addons: Vec<domain::plan::Addon>,
}

impl From<Plan> for PlanBody {
    fn from(p: Plan) -> Self {
        PlanBody {
            code: p.code,
            version: p.version,
            name: p.name,
            description: p.description,
            price: p.price,
            interval: p.interval,
            addons: p.addons,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationBody {
    id: String,
    status: domain::onboarding::Status,
    business_name: String,
    contact: domain::contact::Contact,
    plan_code: String,
    addon_codes: Vec<String>,
    tenant_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionBody>,
    next_action: NextAction,
    submitted_at: Timestamp,
}

#[derive(Serialize)]
struct DecisionBody {
    status: domain::onboarding::Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    by: String,
    at: Timestamp,
}

impl From<Decision> for DecisionBody {
    fn from(d: Decision) -> Self {
        DecisionBody { status: d.status, note: d.note, by: d.by, at: d.at }
    }
}

impl ApplicationBody {
    /// An application as its applicant and the operators see it; `subscription` decides what comes next.
    #[must_use]
    pub fn new(a: Application, subscription: Option<&Subscription>) -> Self {
        let next_action = a.next_action(subscription.map(|s| (s.status, s.live.is_some(), s.first_decline.is_some())));
        ApplicationBody {
            tenant_id: a.tenant_id().to_string(),
            id: a.id.to_string(),
            status: a.status,
            business_name: a.business_name,
            contact: a.contact,
            plan_code: a.plan_code,
            addon_codes: a.addon_codes,
            payment_method_id: a.method_id.map(String::from),
            subscription_id: a.subscription_id.map(String::from),
            decision: a.decision.map(Into::into),
            next_action,
            submitted_at: a.submitted_at,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodBody {
    id: String,
    gateway: domain::charge::GatewayName,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    card: Option<CardBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_name: Option<String>,
    status: domain::method::Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<String>,
    /// What an immediate charge brought: `SUCCEEDED`, `DECLINED` or `PENDING`.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CardBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp_month: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp_year: Option<u16>,
}

impl MethodBody {
    #[must_use]
    pub fn new(m: PaymentMethod) -> Self {
        let card = CardBody {
            brand: m.card.brand,
            last4: m.card.last4,
            exp_month: m.card.exp_month,
            exp_year: m.card.exp_year,
        };
        MethodBody {
            id: m.id.into(),
            gateway: m.gateway,
            card: Some(card),
            holder_name: None,
            status: m.status,
            subscription_id: None,
            charge: None,
        }
    }

    /// The answer to a registration.
    #[must_use]
    pub fn registered(
        self,
        holder_name: Option<String>,
        subscription_id: Option<String>,
        charge: Option<&'static str>,
    ) -> Self {
        MethodBody { holder_name, subscription_id, charge, ..self }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionBody {
    id: String,
    status: Status,
    tenant_id: String,
    plan: PlanRef,
    amount: i64,
    currency: domain::money::Currency,
    payment_method_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_billing_at: Option<Timestamp>,
    /// It ends then, with what is paid for; nothing more is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dunning: Option<DunningBody>,
    /// Code of the declined first payment, while it is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_decline: Option<String>,
    parked: bool,
    /// What an immediate charge brought: `SUCCEEDED`, `DECLINED` or `PENDING`.
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<&'static str>,
}

#[derive(Serialize)]
struct PlanRef {
    code: String,
    version: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DunningBody {
    step: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_retry_at: Option<Timestamp>,
    deadline: Timestamp,
    last_decline: DeclineBody,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeclineBody {
    decline_class: DeclineClass,
    code: String,
}

impl From<&Subscription> for SubscriptionBody {
    fn from(s: &Subscription) -> Self {
        let current_period = s.current_period().ok().flatten();
        let billed = matches!(s.status, Status::Active | Status::Suspended) && s.cancel_at.is_none();
        SubscriptionBody {
            id: s.id.to_string(),
            status: s.status,
            tenant_id: s.tenant_id.to_string(),
            plan: PlanRef { code: s.plan.code.clone(), version: s.plan.version },
            amount: s.amount.amount,
            currency: s.amount.currency,
            payment_method_id: s.method_id.to_string(),
            next_billing_at: current_period.filter(|_| billed).and_then(|p| seoul_midnight(p.end).ok()),
            current_period,
            cancel_at: s.cancel_at,
            dunning: s.dunning.as_ref().map(|d| DunningBody {
                step: d.step,
                next_retry_at: d.next_at.filter(|_| s.status == Status::Active),
                deadline: d.deadline,
                last_decline: DeclineBody { decline_class: d.class, code: d.code.clone() },
            }),
            first_decline: s.first_decline.clone(),
            parked: s.parked,
            charge: None,
        }
    }
}

impl SubscriptionBody {
    /// The answer to a change that may have charged at once.
    #[must_use]
    pub fn charged(self, charge: Option<&'static str>) -> Self {
        SubscriptionBody { charge, ..self }
    }
}

#[derive(Serialize)]
pub struct CycleBody {
    index: u32,
    seq: u32,
    period: Period,
    status: &'static str,
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
#[serde(rename_all = "camelCase")]
struct AttemptBody {
    n: u32,
    order_id: String,
    gateway: domain::charge::GatewayName,
    /// `STARTED`, `SUCCEEDED`, `DECLINED`, `ABSENT` or `UNKNOWN`.
    outcome: &'static str,
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
        let mut body = empty_cycle(live.index, live.seq, period, "OPEN", subscription.plan.lines.clone(), amount);
        body.attempts.extend(live_body(subscription, live.index, live.seq));
        bodies.push(body);
    }
    bodies
}

fn cycle_body(subscription: &Subscription, cycle: Cycle) -> CycleBody {
    let mut body =
        empty_cycle(cycle.index, cycle.seq, cycle.period, cycle.state.as_str(), cycle.lines.clone(), cycle.amount);
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
    status: &'static str,
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

fn attempt_body(subscription: &Subscription, cycle: &Cycle, a: &Attempt) -> AttemptBody {
    let billable =
        domain::charge::Billable { subscription: subscription.id.clone(), index: cycle.index, seq: cycle.seq };
    let quarantined = a.outcome == Outcome::Quarantined;
    AttemptBody {
        n: a.n,
        order_id: billable.order_id(a.gateway, a.n),
        gateway: a.gateway,
        outcome: if quarantined { "SUCCEEDED" } else { a.outcome.as_str() },
        decline_class: a.class,
        code: a.code.clone(),
        at: a.at,
        quarantined,
    }
}

fn live_body(subscription: &Subscription, index: u32, seq: u32) -> Option<AttemptBody> {
    let live = subscription.live.as_ref().filter(|l| l.index == index && l.seq == seq)?;
    Some(AttemptBody {
        n: live.n,
        order_id: live.billable(&subscription.id).order_id(live.gateway, live.n),
        gateway: live.gateway,
        outcome: if live.unknown.is_some() { "UNKNOWN" } else { "STARTED" },
        decline_class: None,
        code: None,
        at: live.started_at,
        quarantined: false,
    })
}

/// A run as operators see it.
#[must_use]
pub fn run_body(run: &Run) -> Value {
    let mut body = json!({
        "id": run.id.as_str(),
        "status": run.status,
        "forecast": { "count": run.forecast.count, "amount": run.forecast.amount },
        "charged": run.charged,
        "declined": run.declined,
        "unknown": run.unknown,
        "startedAt": run.started_at.to_string(),
    });
    if let Some(as_of) = run.as_of {
        body["asOf"] = as_of.to_string().into();
    }
    if let Some(ended) = run.ended_at {
        body["endedAt"] = ended.to_string().into();
    }
    if let Some(held) = run.held_at {
        body["heldAt"] = held.to_string().into();
    }
    if let Some(by) = &run.approved_by {
        body["approvedBy"] = by.as_str().into();
    }
    body
}
