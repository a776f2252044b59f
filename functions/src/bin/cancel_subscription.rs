//! `POST /billing/subscriptions/{id}/cancel`: ends a subscription with its paid period, or now.
//!
//! May touch: writes `subscription`, `subscription_cycle`, `ops_audit_log`, `idempotency`; reads `control` (time travel);
//! Stripe's secret (an open PaymentIntent is cancelled first).
use shared::api::requests::CancelSubscription;
use std::sync::Arc;

use domain::ids::SubscriptionId;
use functions::{SystemRandom, wall};
use serde_json::Value;
use shared::api::SubscriptionBody;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::cancel_subscription::cancel;
use shared::usecase::charge_subscription::load_subscription;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

/// Longest reason kept, in characters.
const REASON: usize = 200;

struct App {
    charging: Charging,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { charging: env.charging()? }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::CancelSubscription)?;
    let input: CancelSubscription = request.json()?;
    let id = request.path_id(SubscriptionId::parse)?;
    let reason = input.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    if reason.is_some_and(|reason| reason.chars().count() > REASON) {
        let message = format!("at most {REASON} characters");
        return Err(ApiError::invalid_field("reason", "invalid_length", message));
    }
    let charging = &app.charging;
    let subscription = load_subscription(charging, &id).await?;
    if !caller.sees_tenant(&subscription.tenant_id) {
        return Err(ApiError::not_found());
    }
    let now = charging.clock.now().await;
    let claim = match begin(charging.store.as_ref(), &request, &caller.label(), "cancel_subscription", now).await? {
        Started::New(claim) => claim,
        Started::Replay(_) => return Reply::json(200, &SubscriptionBody::from(&subscription)),
    };
    let context = Context { now, actor: caller.actor.clone() };
    let also: Vec<_> = claim.write(Value::Null).into_iter().collect();
    let cancelled = cancel(charging, &context, &id, input.at, reason, &also).await?;
    Reply::json(200, &SubscriptionBody::from(&cancelled))
}
