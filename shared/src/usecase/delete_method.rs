//! Deletes a payment method: first our row, then the key at the gateway. Refused while a live subscription charges it
//! or an attempt on it is open.

use domain::event::Fact;
use domain::ids::{MethodId, TenantId};
use domain::method::{PaymentMethod, Status};
use domain::subscription::{Status as SubscriptionStatus, Subscription};

use super::{Charging, RACES, charge_subscription::aad, stamp};
use crate::gateway::DeleteMethod;
use crate::ports::Context;
use crate::store::{Record, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("no such payment method")]
    NotFound,
    #[error("the method is in use")]
    InUse,
    #[error(transparent)]
    Store(#[from] StoreError),
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
    let store = charging.store.as_ref();
    for _ in 0..RACES {
        let method = typed::method(store, tenant, id).await?.ok_or(DeleteError::NotFound)?;
        if method.status == Status::Deleted {
            forget(charging, &method).await;
            return Ok(());
        }
        let subscription = typed::subscription(store, &tenant.request().subscription()).await?;
        if subscription.is_some_and(|s| uses(&s, id)) {
            return Err(DeleteError::InUse);
        }
        let deleted = PaymentMethod { status: Status::Deleted, ..method.clone() };
        let fact = Fact::new("payment_method.deleted", tenant.as_str()).with("methodId", id.as_str());
        let writes = vec![Write::Replace(Record::Method(deleted))];
        match store.commit(&stamp::commit(charging.random.as_ref(), context, writes, vec![fact])).await {
            Ok(()) => {
                forget(charging, &method).await;
                return Ok(());
            }
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

/// The row is already deleted and will never be charged, so a gateway that fails here costs nothing but tidiness.
async fn forget(charging: &Charging, method: &PaymentMethod) {
    let aad = aad(method);
    let opened = (charging.vault.open(&method.token, &aad).await, charging.vault.open(&method.customer, &aad).await);
    if let (Ok(token), Ok(customer)) = opened {
        let request = DeleteMethod { token: &token, customer: &customer };
        if let Err(e) = charging.gateways.get(method.gateway).delete_method(&request).await {
            tracing::warn!(method = %method.id, error = %e, "gateway did not delete the method");
        }
    }
}
