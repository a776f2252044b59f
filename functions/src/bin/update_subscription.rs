//! `PATCH /billing/subscriptions/{id}`: changes the card it is charged on, and charges what is owed with it at once.
//!
//! May touch: the charge set.
use shared::api::requests::UpdateSubscription;
use std::sync::Arc;

use domain::ids::{MethodId, SubscriptionId};
use functions::{SystemRandom, wall};
use shared::api::SubscriptionBody;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::change_method::change;
use shared::usecase::charge_subscription::{HTTP_PATIENCE, load_subscription};
use shared::web::charged::word;
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
    let caller = request.caller(Route::UpdateSubscription)?;
    let input: UpdateSubscription = request.json()?;
    let id = request.path_id(SubscriptionId::parse)?;
    let method = MethodId::parse(&input.payment_method_id).map_err(|_| ApiError::not_found())?;
    let charging = &app.charging;
    let subscription = load_subscription(charging, &id).await?;
    if !caller.sees_tenant(&subscription.tenant_id) {
        return Err(ApiError::not_found());
    }
    let context = Context { now: charging.clock.now().await, actor: caller.actor.clone() };
    let changed = change(charging, &context, &id, &method, HTTP_PATIENCE).await?;
    let charge = changed.charge.as_ref().map(word);
    Reply::json(200, &SubscriptionBody::from(&changed.subscription).charged(charge))
}
