//! `POST /billing/payment-methods`: registers a card, and charges it at once if something is owed.
//!
//! May touch: the charge set; writes `onboarding_request`.
use shared::api::requests::RegisterPaymentMethod;
use std::sync::Arc;

use domain::charge::GatewayName;
use domain::ids::MethodId;
use functions::{SystemRandom, wall};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::api::{Charged, MethodBody};
use shared::auth::Caller;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::store::{Commit, typed};
use shared::usecase::charge_subscription::HTTP_PATIENCE;
use shared::usecase::register_method::{Input as Registering, OwnedResult, register};
use shared::usecase::{Charging, stamp};
use shared::web::charged::word;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    charging: Charging,
    per_address: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { charging: env.charging()?, per_address: env.settings.registrations_per_address }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::RegisterPaymentMethod)?;
    let input: RegisterPaymentMethod = request.json()?;
    let owner = caller.owner().ok_or_else(ApiError::forbidden)?;
    let (gateway, holder_name) = (input.gateway, input.holder_name.clone().filter(|n| !n.trim().is_empty()));
    if holder_name.as_ref().is_some_and(|n| n.chars().count() > 100) {
        return Err(ApiError::invalid_field("holderName", "invalid_length", "at most 100 characters"));
    }
    let result = window_result(input)?;
    let store = app.charging.store.as_ref();
    let now = app.charging.clock.now().await;
    let claim = match begin(store, &request, &caller.label(), "register_payment_method", now).await? {
        Started::New(claim) => claim,
        Started::Replay(result) => return replay(app, caller, &result).await,
    };
    let context = Context { now, actor: caller.actor.clone() };
    let registering =
        Registering { gateway, result, holder_name, address: request.source_ip.clone(), per_address: app.per_address };
    let done = register(&app.charging, &context, &owner, registering, HTTP_PATIENCE).await?;
    let subscription = done.subscription.map(|s| s.id.to_string());
    let charge = done.charge.as_ref().map(word);
    let result = json!({ "id": done.method.id.as_str(), "subscriptionId": subscription, "charge": charge });
    if let Some(write) = claim.write(result) {
        let id = stamp::token(app.charging.random.as_ref());
        store.commit(&Commit { id, writes: vec![write], events: Vec::new() }).await?;
    }
    Reply::json(201, &MethodBody::new(done.method).registered(done.holder_name, subscription, charge))
}

/// The answer given before, from what was stored with the key.
async fn replay(app: &App, caller: &Caller, result: &Value) -> Result<Reply, ApiError> {
    let text = |field: &str| result.get(field).and_then(Value::as_str);
    let id = text("id").and_then(|id| MethodId::parse(id).ok()).ok_or_else(ApiError::not_found)?;
    let tenant = caller.tenant.as_ref().ok_or_else(ApiError::forbidden)?;
    let method = typed::method(app.charging.store.as_ref(), tenant, &id).await?.ok_or_else(ApiError::not_found)?;
    let charge = result.get("charge").and_then(|word| Charged::deserialize(word).ok());
    let subscription = text("subscriptionId").map(str::to_owned);
    Reply::json(201, &MethodBody::new(method).registered(None, subscription, charge))
}

fn window_result(input: RegisterPaymentMethod) -> Result<OwnedResult, ApiError> {
    let needed = |field: &'static str, value: Option<String>| {
        let value = value
            .filter(|v| !v.is_empty())
            .ok_or_else(|| ApiError::invalid_field(field, "missing_field", "is required"))?;
        let sound = value.len() <= 300 && value.bytes().all(|b| b.is_ascii_graphic());
        sound.then_some(value).ok_or_else(|| ApiError::invalid_field(field, "invalid", "is not valid"))
    };
    match input.gateway {
        GatewayName::Toss => {
            let auth_key = needed("authKey", input.auth_key)?;
            Ok(OwnedResult::Toss { auth_key, customer_key: needed("customerKey", input.customer_key)? })
        }
        GatewayName::Stripe => match input.payment_method_id {
            Some(id) if input.setup_intent_id.is_none() => {
                Ok(OwnedResult::PaymentMethod(needed("paymentMethodId", Some(id))?))
            }
            _ => Ok(OwnedResult::SetupIntent(needed("setupIntentId", input.setup_intent_id)?)),
        },
    }
}
