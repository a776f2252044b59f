//! Who owns a payment method. The application is the one record of the owner's names at the gateways, before and
//! after it became a tenant (both ids share one ULID).

use domain::ids::{RequestId, TenantId};
use domain::onboarding::Application;

use crate::store::{Store, StoreError, typed};

/// Whoever may register a card: an applicant whose application is alive, or a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Applicant(RequestId),
    Tenant(TenantId),
}

#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error("no such owner")]
    NotFound,
    /// The application has ended, or its first payment was made: the applicant's token opens nothing any more.
    #[error("the application token has ended")]
    Ended,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Owner {
    #[must_use]
    pub fn request(&self) -> RequestId {
        match self {
            Owner::Applicant(id) => id.clone(),
            Owner::Tenant(id) => id.request(),
        }
    }
}

/// The owner's application, if the owner may still act.
///
/// # Errors
/// When there is none, it has ended, or the store fails.
pub async fn application(store: &dyn Store, owner: &Owner) -> Result<Application, OwnerError> {
    let application = typed::application(store, &owner.request()).await?.ok_or(OwnerError::NotFound)?;
    match owner {
        Owner::Tenant(id) => {
            typed::tenant(store, id).await?.ok_or(OwnerError::NotFound)?;
        }
        Owner::Applicant(_) => {
            let subscription = match &application.subscription_id {
                Some(id) => typed::subscription(store, id).await?.map(|s| s.status),
                None => None,
            };
            if !application.token_lives(subscription) {
                return Err(OwnerError::Ended);
            }
        }
    }
    Ok(application)
}
