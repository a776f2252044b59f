//! An operator decides. Approval creates the tenant, makes sure there is a subscription, makes it due and takes the
//! first payment.
//!
//! Crash points: the decision, the tenant and a subscription that is due now are one commit. A crash after it loses
//! nothing, because the next run or call charges what is due.

use std::time::Duration;

use domain::charge::Trigger;
use domain::event::Fact;
use domain::ids::RequestId;
use domain::method::PaymentMethod;
use domain::onboarding::{Application, DecideError, Status, Tenant, Verdict};
use domain::subscription::{Status as SubscriptionStatus, Subscription};

use super::charge_subscription::{ChargeError, ChargeResult, charge};
use super::create_subscription::{CreateError, created, draft};
use super::{Charging, stamp};
use crate::ports::Context;
use crate::store::{Record, Store, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    #[error("no such application")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] DecideError),
    #[error("its subscription was cancelled")]
    SubscriptionEnded,
    /// The plan or add-on it names is no longer on sale.
    #[error("the plan cannot be sold")]
    PlanGone,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the operator said.
pub struct Ruling {
    pub id: RequestId,
    pub verdict: Verdict,
    pub note: Option<String>,
    pub by: String,
}

/// The application after the decision, its subscription, and what the first payment brought, if one was tried.
pub struct Decided {
    pub application: Application,
    pub subscription: Option<Subscription>,
    pub payment: Option<ChargeResult>,
}

/// What is written with the decision.
struct Plan {
    application: Application,
    subscription: Option<Subscription>,
    writes: Vec<Write>,
    facts: Vec<Fact>,
}

/// Applies a verdict; on approval also charges, waiting at most `patience` for the gateway.
///
/// # Errors
/// When the application is unknown or cannot be decided this way, or the store fails. A declined or unknown payment
/// is not an error.
pub async fn decide(
    charging: &Charging,
    context: &Context,
    ruling: Ruling,
    patience: Duration,
    also: Vec<Write>,
) -> Result<Decided, DecisionError> {
    let store = charging.store.as_ref();
    let application = typed::application(store, &ruling.id).await?.ok_or(DecisionError::NotFound)?;
    let (decided, fact) = application.decide(ruling.verdict, ruling.note, &ruling.by, context.now)?;
    let mut plan = plan(store, context, decided, fact).await?;
    plan.writes.extend(also);
    let commit = stamp::commit(charging.random.as_ref(), context, plan.writes, plan.facts);
    store.commit(&commit).await?;
    let application = Application { version: plan.application.version.saturating_add(1), ..plan.application };
    let Some(subscription) = plan.subscription.filter(|_| application.status == Status::Approved) else {
        return Ok(Decided { application, subscription: None, payment: None });
    };
    let subscription = Subscription { version: subscription.version.saturating_add(1), ..subscription };
    match charge(charging, context, subscription.clone(), Trigger::First, patience).await {
        Ok(charged) => {
            Ok(Decided { application, subscription: Some(charged.subscription), payment: Some(charged.result) })
        }
        // The decision stands; the payment is due and the next run takes it.
        Err(e) => {
            tracing::warn!(subscription = %subscription.id, error = %e, "first payment left to the run");
            let subscription = typed::subscription(store, &subscription.id).await?.unwrap_or(subscription);
            let usable = !matches!(e, ChargeError::MethodUnusable);
            let payment = usable.then_some(ChargeResult::Pending);
            Ok(Decided { application, subscription: Some(subscription), payment })
        }
    }
}

async fn plan(store: &dyn Store, context: &Context, decided: Application, fact: Fact) -> Result<Plan, DecisionError> {
    let existing = typed::subscription(store, &decided.id.subscription()).await?;
    let mut plan = Plan { application: decided, subscription: None, writes: Vec::new(), facts: vec![fact] };
    match plan.application.status {
        Status::Approved => approve(store, context, &mut plan, existing).await?,
        Status::Rejected => {
            if let Some(open) = existing.filter(|s| s.status == SubscriptionStatus::PendingActivation) {
                let (lapsed, fact) = open.lapsed(context.now).map_err(|_| DecisionError::PlanGone)?;
                plan.facts.push(fact);
                plan.writes.push(Write::Replace(Record::Subscription(lapsed)));
            }
        }
        Status::Submitted | Status::InReview | Status::OnHold | Status::Expired | Status::Withdrawn => {}
    }
    plan.writes.push(Write::Replace(Record::Application(plan.application.clone())));
    Ok(plan)
}

async fn approve(
    store: &dyn Store,
    context: &Context,
    plan: &mut Plan,
    existing: Option<Subscription>,
) -> Result<(), DecisionError> {
    let tenant = Tenant::of(&plan.application, context.now);
    plan.facts.push(Fact::new("tenant.created", tenant.id.as_str()));
    plan.writes.push(Write::New(Record::Tenant(tenant)));
    let (subscription, write) = match existing {
        // Cancelled before anybody decided: there is nothing to approve.
        Some(existing) if existing.status != SubscriptionStatus::PendingActivation => {
            return Err(DecisionError::SubscriptionEnded);
        }
        Some(existing) => {
            let due = existing.approved(context.now);
            (due.clone(), Write::Replace(Record::Subscription(due)))
        }
        None => {
            let fresh = from_application(store, context, &plan.application).await?;
            plan.facts.push(created(&fresh));
            let due = fresh.approved(context.now);
            (due.clone(), Write::New(Record::Subscription(due)))
        }
    };
    plan.application.subscription_id = Some(subscription.id.clone());
    plan.subscription = Some(subscription);
    plan.writes.push(write);
    Ok(())
}

async fn from_application(
    store: &dyn Store,
    context: &Context,
    application: &Application,
) -> Result<Subscription, DecisionError> {
    let missing = DecisionError::Refused(DecideError::PaymentMethodMissing);
    let Some(method_id) = &application.method_id else { return Err(missing) };
    let method = typed::method(store, &application.tenant_id(), method_id).await?;
    let method = method.filter(PaymentMethod::chargeable).ok_or(missing)?;
    let sold = typed::latest_plan(store, &application.plan_code)
        .await?
        .filter(|p| p.on_sale)
        .ok_or(DecisionError::PlanGone)?;
    draft(application, &sold, &application.addon_codes, &method, context.now).map_err(|e| match e {
        CreateError::Store(e) => DecisionError::Store(e),
        CreateError::UnknownMethod => DecisionError::Refused(DecideError::PaymentMethodMissing),
        _ => DecisionError::PlanGone,
    })
}
