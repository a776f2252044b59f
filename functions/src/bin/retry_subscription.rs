//! `POST /billing/subscriptions/{id}/retry`: charges what is owed now, or puts a parked subscription back.
//!
//! May touch: the charge set.
use shared::api::requests::NoFields;
use std::sync::Arc;

use domain::ids::SubscriptionId;
use functions::{SystemRandom, wall};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::usecase::activate_subscription::retry;
use shared::usecase::charge_subscription::{HTTP_PATIENCE, load_subscription};
use shared::usecase::{Charging, owner, stamp};
use shared::web::charged::{Go, claim, finish, owes, refused_outright, reply, reply_from_state};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    charging: Charging,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { charging: env.charging()? }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::RetrySubscription)?;
    let NoFields {} = request.json_or_default()?;
    let id = request.path_id(SubscriptionId::parse)?;
    let charging = &app.charging;
    let subscription = load_subscription(charging, &id).await?;
    if !caller.sees_tenant(&subscription.tenant_id) {
        return Err(ApiError::not_found());
    }
    if let Some(applicant) = caller.owner() {
        owner::application(charging.store.as_ref(), &applicant).await?;
    }
    let now = charging.clock.now().await;
    refused_outright(&subscription, now)?;
    let token = || stamp::token(charging.random.as_ref());
    let claimed =
        claim(charging.store.as_ref(), &request, &caller.label(), "retry_subscription", &token(), now).await?;
    let Go::Charge(key) = claimed else { return reply_from_state(&subscription, owes(&subscription, now)) };
    let context = Context { now, actor: caller.actor.clone() };
    let charged = retry(charging, &context, &id, HTTP_PATIENCE).await;
    finish(charging.store.as_ref(), &key, &token(), &charged).await;
    reply(&charged?)
}
