//! Registers a card: exchange what the window returned, seal the token, and charge at once if something is owed.
//!
//! Crash points: the gateway is called under a key derived from what the window returned, and the method's id comes
//! from the same hash, so a retry after a crash finds the same card and the same row.

use std::time::Duration;

use domain::charge::GatewayName;
use domain::event::Fact;
use domain::ids::MethodId;
use domain::method::{PaymentMethod, Status};
use domain::onboarding::Application;
use domain::subscription::Subscription;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::change_method::{put_to_use, tried};
use super::charge_subscription::ChargeResult;
use super::owner::{Owner, OwnerError, application};
use super::{Charging, RACES, daily_limit, stamp};
use crate::gateway::{GatewayError, Register, Registered, WindowResult};
use crate::ports::{Context, VaultError};
use crate::store::{Record, StoreError, Write, typed};

/// Registrations per application in a day (design.md §8): card testing is somebody else's money.
pub const PER_APPLICATION: u64 = 5;

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The customerKey is not this applicant's.
    #[error("the customer key belongs to somebody else")]
    ForeignCustomerKey,
    #[error("too many registrations today")]
    TooMany,
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the page sent.
pub struct Input {
    pub gateway: GatewayName,
    pub result: OwnedResult,
    pub holder_name: Option<String>,
    /// The caller's address, for the daily limit.
    pub address: String,
    /// Registrations one address may make in a day.
    pub per_address: u64,
}

pub enum OwnedResult {
    Toss { auth_key: String, customer_key: String },
    SetupIntent(String),
    PaymentMethod(String),
}

impl OwnedResult {
    /// The single-use thing that names this registration.
    fn once(&self) -> &str {
        match self {
            OwnedResult::Toss { auth_key, .. } => auth_key,
            OwnedResult::SetupIntent(id) | OwnedResult::PaymentMethod(id) => id,
        }
    }

    fn borrowed(&self) -> WindowResult<'_> {
        match self {
            OwnedResult::Toss { auth_key, customer_key } => WindowResult::Toss { auth_key, customer_key },
            OwnedResult::SetupIntent(id) => WindowResult::StripeSetupIntent { id },
            OwnedResult::PaymentMethod(id) => WindowResult::StripePaymentMethod { id },
        }
    }
}

/// The stored method, the subscription it now serves, and what an immediate charge brought.
pub struct Registration {
    pub method: PaymentMethod,
    pub holder_name: Option<String>,
    pub subscription: Option<Subscription>,
    pub charge: Option<ChargeResult>,
}

/// Registers a card for an owner; `patience` bounds an immediate charge.
///
/// # Errors
/// When the owner may not act, the limits are reached, or the gateway refuses. A declined charge is not an error.
pub async fn register(
    charging: &Charging,
    context: &Context,
    owner: &Owner,
    input: Input,
    patience: Duration,
) -> Result<Registration, RegisterError> {
    let store = charging.store.as_ref();
    let application = application(store, owner).await?;
    if let OwnedResult::Toss { customer_key, .. } = &input.result
        && *customer_key != application.customer_key
    {
        return Err(RegisterError::ForeignCustomerKey);
    }
    let tenant = application.tenant_id();
    let (key, id) = names(input.gateway, tenant.as_str(), input.result.once());
    let method = match typed::method(store, &tenant, &id).await? {
        Some(method) => return again(charging, context, application, method, input.holder_name, patience).await,
        None => {
            let registered = exchange(charging, context, &application, &input, &key).await?;
            let method =
                sealed(charging, context, &application, input.gateway, id, registered, input.holder_name.clone())
                    .await?;
            store_method(charging, context, &application, &method).await?
        }
    };
    let (subscription, charge) =
        put_to_use(charging, context, &application.id.subscription(), &method, patience).await?;
    Ok(Registration { method, holder_name: input.holder_name, subscription, charge })
}

/// The same registration once more: a reloaded page, or a retry after a crash. What was left undone is done; a card that
/// is not the newest, is dead or has been tried on what is owed is left alone.
async fn again(
    charging: &Charging,
    context: &Context,
    application: Application,
    method: PaymentMethod,
    holder_name: Option<String>,
    patience: Duration,
) -> Result<Registration, RegisterError> {
    let store = charging.store.as_ref();
    let newest = application.method_id.as_ref() == Some(&method.id);
    let subscription = typed::subscription(store, &application.id.subscription()).await?;
    let charge = match &subscription {
        Some(owing) => tried(store, owing, &method).await?,
        None => None,
    };
    if charge.is_some() || !newest || !method.chargeable() {
        return Ok(Registration { method, holder_name, subscription, charge });
    }
    let (subscription, charge) =
        put_to_use(charging, context, &application.id.subscription(), &method, patience).await?;
    Ok(Registration { method, holder_name, subscription, charge })
}

/// Calls the gateway within the daily limits. Whatever may have touched a card counts; an object that is not this
/// owner's, or a request refused outright, touched none and changes nothing here.
async fn exchange(
    charging: &Charging,
    context: &Context,
    application: &Application,
    input: &Input,
    key: &str,
) -> Result<Registered, RegisterError> {
    let tenant = application.tenant_id();
    let from = daily_limit::From { address: &input.address, limit: input.per_address };
    let limits = [(format!("register#{}", application.id), PER_APPLICATION), (from.what("register"), from.limit)];
    for (what, limit) in &limits {
        if daily_limit::reached(charging.store.as_ref(), what, *limit, context.now).await? {
            return Err(RegisterError::TooMany);
        }
    }
    let request = Register {
        result: input.result.borrowed(),
        customer: application.stripe_customer.as_deref(),
        owner: tenant.as_str(),
        idempotency_key: key,
    };
    let answer = charging.gateways.get(input.gateway).register(&request).await;
    if !matches!(answer, Err(GatewayError::NotFound | GatewayError::Rejected { .. } | GatewayError::Config { .. })) {
        for (what, _) in &limits {
            daily_limit::count(charging.store.as_ref(), charging.random.as_ref(), what, context.now).await?;
        }
    }
    Ok(answer?)
}

/// The idempotency key of a registration and the id of its method: `H(gateway, owner, authKey or setupIntent)`.
fn names(gateway: GatewayName, owner: &str, once: &str) -> (String, MethodId) {
    let digest = Sha256::digest(format!("register\n{}\n{owner}\n{once}", gateway.as_str()));
    let mut bits = [0u8; 16];
    bits.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
    // The top bits of a ULID are its time; keeping them small keeps the spelling canonical.
    (format!("register:{}", hex::encode(digest)), MethodId::of_hash(u128::from_be_bytes(bits)))
}

async fn sealed(
    charging: &Charging,
    context: &Context,
    application: &Application,
    gateway: GatewayName,
    id: MethodId,
    registered: Registered,
    holder_name: Option<String>,
) -> Result<PaymentMethod, RegisterError> {
    let tenant_id = application.tenant_id();
    let aad = format!("{tenant_id}#{id}");
    let vault = charging.vault.as_ref();
    let holder = registered.holder_name.or(holder_name);
    Ok(PaymentMethod {
        gateway,
        status: Status::Active,
        card: registered.card,
        token: vault.seal(registered.token.expose_secret(), &aad).await?,
        customer: vault.seal(registered.customer.expose_secret(), &aad).await?,
        holder_name: match holder {
            Some(name) => Some(vault.seal(&name, &aad).await?),
            None => None,
        },
        token_hash: crate::crypto::token_hash(gateway, registered.token.expose_secret()),
        created_at: context.now,
        declined_at: Vec::new(),
        version: 0,
        id,
        tenant_id,
    })
}

/// Writes the method and points the application at it.
async fn store_method(
    charging: &Charging,
    context: &Context,
    application: &Application,
    method: &PaymentMethod,
) -> Result<PaymentMethod, RegisterError> {
    let store = charging.store.as_ref();
    for _ in 0..RACES {
        let Some(current) = typed::application(store, &application.id).await? else { break };
        let fact = Fact::new("payment_method.registered", method.tenant_id.as_str())
            .with("methodId", method.id.as_str())
            .with("gateway", method.gateway.as_str());
        let writes = vec![
            Write::New(Record::Method(method.clone())),
            Write::Replace(Record::Application(current.with_method(method.id.clone()))),
        ];
        match store.commit(&stamp::commit(charging.random.as_ref(), context, writes, vec![fact])).await {
            Ok(()) => return Ok(PaymentMethod { version: 1, ..method.clone() }),
            Err(StoreError::Conflict { .. }) => {
                if let Some(stored) = typed::method(store, &method.tenant_id, &method.id).await? {
                    return Ok(stored);
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}
