//! `GET /billing/subscriptions/{id}`: a subscription, for its owner and the operators.
//!
//! May touch: reads `subscription`, `onboarding_request`.
use std::sync::Arc;

use domain::ids::SubscriptionId;
use functions::{SystemRandom, wall};
use shared::api::SubscriptionBody;
use shared::auth::Role;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::{Store, typed};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::GetSubscription)?;
    let id = request.path_id(SubscriptionId::parse)?;
    let store = app.store.as_ref();
    let subscription = typed::subscription(store, &id).await?.filter(|s| caller.sees_tenant(&s.tenant_id));
    let subscription = subscription.ok_or_else(ApiError::not_found)?;
    if caller.role == Role::Applicant {
        let application = typed::application(store, &id.request()).await?.ok_or_else(ApiError::not_found)?;
        if !application.token_lives(Some(subscription.status)) {
            return Err(ApiError::unauthorized());
        }
    }
    Reply::json(200, &SubscriptionBody::from(&subscription))
}
