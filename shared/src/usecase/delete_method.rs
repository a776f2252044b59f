//! Deletes a payment method: first our row, then the key at the gateway. Refused while a live subscription charges it
//! or an attempt on it is open. Once an owner has come to an end, so do all of their cards.

use domain::event::{Event, Fact};
use domain::ids::{MethodId, RequestId, SubscriptionId, TenantId};
use domain::method::{PaymentMethod, Status};
use domain::onboarding::Status as Decision;
use domain::subscription::{Status as SubscriptionStatus, Subscription};

use super::{Charging, RACES, charge_subscription::aad, stamp};
use crate::gateway::DeleteMethod;
use crate::ports::Context;
use crate::store::{PAGE_MAX, Query, Record, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("no such payment method")]
    NotFound,
    #[error("the method is in use")]
    InUse,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error(transparent)]
    Method(#[from] DeleteError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a gateway did not delete a key")]
    Gateway,
}

/// Deletes a tenant's method. Deleting it again succeeds.
///
/// The subscription is read by its key, never through an index, which may not show it yet. Whoever puts a card on a
/// subscription writes the card's row too ([`super::change_method`]), so that one of the two loses the race.
///
/// # Errors
/// When it is unknown or in use, or the store fails. A gateway that does not answer is tried again by the next call.
pub async fn delete(
    charging: &Charging,
    context: &Context,
    tenant: &TenantId,
    id: &MethodId,
) -> Result<(), DeleteError> {
    let method = mark(charging, context, tenant, id).await?;
    // It will never be charged, so a gateway that fails here costs nothing but tidiness.
    let _tidied = forget(charging, &method).await;
    Ok(())
}

/// Deletes every card of an owner that has come to an end: a terminated subscription, an application that was refused,
/// withdrawn or expired (product.md, "Subscription"). Says how many keys are gone; doing it again deletes them again.
///
/// # Errors
/// When one is still in use, the store fails, or the gateway keeps a key: it has to be tried again.
pub async fn forget_all(charging: &Charging, context: &Context, tenant: &TenantId) -> Result<u32, ForgetError> {
    let query = Query::MethodsOfTenant { tenant: tenant.clone() };
    let (mut gone, mut kept, mut cursor) = (0_u32, false, None::<String>);
    loop {
        let store = charging.store.as_ref();
        let (methods, next) = typed::list::<PaymentMethod>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
        for method in methods {
            let method = mark(charging, context, tenant, &method.id).await?;
            if forget(charging, &method).await {
                gone = gone.saturating_add(1);
            } else {
                kept = true;
            }
        }
        cursor = next;
        if cursor.is_none() {
            return if kept { Err(ForgetError::Gateway) } else { Ok(gone) };
        }
    }
}

/// Events that may say that an owner came to an end.
pub const ENDING: [&str; 2] = ["application.decided", "subscription.terminated"];

/// Whether an event says that its owner came to an end, and who that is.
#[must_use]
pub fn ended(event: &Event) -> Option<TenantId> {
    match event.kind.as_str() {
        "subscription.terminated" => Some(SubscriptionId::parse(&event.subject).ok()?.request().tenant()),
        "application.decided" => {
            let status = event.changes.get("status")?.as_str()?;
            let over = [Decision::Rejected, Decision::Expired, Decision::Withdrawn];
            let over = over.iter().any(|ended| ended.as_str() == status);
            over.then(|| RequestId::parse(&event.subject).ok().map(|id| id.tenant())).flatten()
        }
        _ => None,
    }
}

/// Marks our row as deleted.
async fn mark(
    charging: &Charging,
    context: &Context,
    tenant: &TenantId,
    id: &MethodId,
) -> Result<PaymentMethod, DeleteError> {
    let store = charging.store.as_ref();
    for _ in 0..RACES {
        let method = typed::method(store, tenant, id).await?.ok_or(DeleteError::NotFound)?;
        if method.status == Status::Deleted {
            return Ok(method);
        }
        let subscription = typed::subscription(store, &tenant.request().subscription()).await?;
        if subscription.is_some_and(|s| uses(&s, id)) {
            return Err(DeleteError::InUse);
        }
        let deleted = PaymentMethod { status: Status::Deleted, ..method.clone() };
        let fact = Fact::new("payment_method.deleted", tenant.as_str()).with("methodId", id.as_str());
        let writes = vec![Write::Replace(Record::Method(deleted))];
        match store.commit(&stamp::commit(charging.random.as_ref(), context, writes, vec![fact])).await {
            Ok(()) => return Ok(method),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

fn uses(subscription: &Subscription, id: &MethodId) -> bool {
    let live = match subscription.status {
        SubscriptionStatus::Draft
        | SubscriptionStatus::PendingActivation
        | SubscriptionStatus::Active
        | SubscriptionStatus::Suspended => true,
        SubscriptionStatus::Cancelled | SubscriptionStatus::Terminated => false,
    };
    (live && subscription.method_id == *id) || subscription.live.as_ref().is_some_and(|l| l.method_id == *id)
}

/// Whether the gateway has forgotten the key, or never has to be asked again.
async fn forget(charging: &Charging, method: &PaymentMethod) -> bool {
    let aad = aad(method);
    let opened = (charging.vault.open(&method.token, &aad).await, charging.vault.open(&method.customer, &aad).await);
    let (Ok(token), Ok(customer)) = opened else { return false };
    let request = DeleteMethod { token: &token, customer: &customer };
    match charging.gateways.get(method.gateway).delete_method(&request).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(method = %method.id, %error, "gateway did not delete the method");
            false
        }
    }
}
