//! Creates the one subscription of an application, before or at its approval.

use domain::event::Fact;
use domain::ids::MethodId;
use domain::method::PaymentMethod;
use domain::onboarding::Application;
use domain::plan::Plan;
use domain::subscription::{Status, Subscription};

use super::owner::{Owner, OwnerError, application};
use super::stamp;
use crate::ports::{Context, Random};
use crate::store::{Record, Store, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error("no such plan is on sale")]
    UnknownPlan,
    #[error("no such add-on")]
    UnknownAddon,
    #[error("no such payment method")]
    UnknownMethod,
    #[error("the application was decided against or has ended")]
    ApplicationEnded,
    /// One exists with other content.
    #[error("a different subscription exists")]
    Different,
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub struct Order<'a> {
    pub owner: &'a Owner,
    pub plan_code: &'a str,
    pub addon_codes: &'a [String],
    pub method_id: &'a MethodId,
}

/// A subscription as it begins. Not approved, so nothing is due.
///
/// # Errors
/// When the add-ons do not belong to the plan, or the method's gateway does not take its currency.
pub fn draft(
    application: &Application,
    plan: &Plan,
    addons: &[String],
    method: &PaymentMethod,
    now: jiff::Timestamp,
) -> Result<Subscription, CreateError> {
    let (snapshot, amount) = plan.snapshot(addons).map_err(|_| CreateError::UnknownAddon)?;
    if !method.gateway.takes(amount.currency) {
        return Err(CreateError::UnknownMethod);
    }
    Ok(Subscription {
        id: application.id.subscription(),
        tenant_id: application.tenant_id(),
        plan: snapshot,
        amount,
        gateway: method.gateway,
        method_id: method.id.clone(),
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
        created_at: now,
        version: 0,
    })
}

/// Creates it, or finds the same one again. `also` joins the transaction.
///
/// # Errors
/// When something named does not exist, it was created otherwise before, or the store fails.
pub async fn create(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    order: Order<'_>,
    also: Vec<Write>,
) -> Result<Subscription, CreateError> {
    let application = application(store, order.owner).await?;
    if let Some(existing) = typed::subscription(store, &application.id.subscription()).await? {
        return same(existing, &order);
    }
    if !application.status.undecided() {
        return Err(CreateError::ApplicationEnded);
    }
    let plan =
        typed::latest_plan(store, order.plan_code).await?.filter(|p| p.on_sale).ok_or(CreateError::UnknownPlan)?;
    let method = typed::method(store, &application.tenant_id(), order.method_id).await?;
    let method = method.filter(PaymentMethod::chargeable).ok_or(CreateError::UnknownMethod)?;
    let subscription = draft(&application, &plan, order.addon_codes, &method, context.now)?;
    let updated = Application {
        subscription_id: Some(subscription.id.clone()),
        plan_code: order.plan_code.to_owned(),
        addon_codes: order.addon_codes.to_vec(),
        ..application.with_method(method.id.clone())
    };
    let fact = created(&subscription);
    let mut writes =
        vec![Write::New(Record::Subscription(subscription.clone())), Write::Replace(Record::Application(updated))];
    writes.extend(also);
    store.commit(&stamp::commit(random, context, writes, vec![fact])).await?;
    Ok(subscription)
}

/// The fact of a new subscription.
#[must_use]
pub fn created(subscription: &Subscription) -> Fact {
    Fact::new("subscription.created", subscription.id.as_str())
        .with("planCode", subscription.plan.code.as_str())
        .with("planVersion", subscription.plan.version)
        .with("amount", subscription.amount.amount)
        .with("currency", subscription.amount.currency.code())
}

fn same(existing: Subscription, order: &Order<'_>) -> Result<Subscription, CreateError> {
    let addons = existing.plan.lines.iter().skip(1).map(|l| l.code.as_str());
    let equal = existing.plan.code == order.plan_code
        && existing.method_id == *order.method_id
        && addons.eq(order.addon_codes.iter().map(String::as_str));
    if equal { Ok(existing) } else { Err(CreateError::Different) }
}
