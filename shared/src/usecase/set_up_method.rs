//! Prepares the card window: what the browser SDK needs, tied to this owner.

use domain::charge::GatewayName;
use domain::onboarding::Application;

use super::owner::{Owner, OwnerError, application};
use super::stamp;
use crate::gateway::{GatewayError, Gateways, SetUp, SetUpAnswer};
use crate::ports::Random;
use crate::store::{Commit, Record, Store, StoreError, Write};

#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens a registration at a gateway. The gateway's customer, once made, is remembered with the application, so that
/// only its own objects are accepted later. `once` names this request: the same one opens the same registration.
///
/// # Errors
/// When the owner may not act, the gateway refuses, or the store fails.
pub async fn set_up(
    store: &dyn Store,
    gateways: &Gateways,
    random: &dyn Random,
    owner: &Owner,
    gateway: GatewayName,
    once: &str,
) -> Result<SetUpAnswer, SetUpError> {
    let application = application(store, owner).await?;
    let tenant = application.tenant_id();
    let answer = gateways
        .get(gateway)
        .set_up(&SetUp {
            customer_key: &application.customer_key,
            customer: application.stripe_customer.as_deref(),
            owner: tenant.as_str(),
            idempotency_key: &format!("setup:{tenant}:{once}"),
        })
        .await?;
    if let Some(customer) = answer.customer.clone().filter(|c| application.stripe_customer.as_ref() != Some(c)) {
        remember(store, random, application, customer).await?;
    }
    Ok(answer)
}

async fn remember(
    store: &dyn Store,
    random: &dyn Random,
    application: Application,
    customer: String,
) -> Result<(), StoreError> {
    let updated = Application { stripe_customer: Some(customer), ..application };
    let writes = vec![Write::Replace(Record::Application(updated))];
    store.commit(&Commit { id: stamp::token(random), writes, events: Vec::new() }).await
}
