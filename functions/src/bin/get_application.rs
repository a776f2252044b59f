//! `GET /onboarding/requests/{id}`: an application, for its applicant and the operators.
//!
//! May touch: reads `onboarding_request` and `subscription`.
use std::sync::Arc;

use domain::ids::RequestId;
use functions::{SystemRandom, wall};
use shared::api::ApplicationBody;
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
    let caller = request.caller(Route::GetApplication)?;
    let id = request.path_id(RequestId::parse)?;
    if !caller.sees_application(&id) {
        return Err(ApiError::not_found());
    }
    let application = typed::application(app.store.as_ref(), &id).await?.ok_or_else(ApiError::not_found)?;
    let subscription = match &application.subscription_id {
        Some(id) => typed::subscription(app.store.as_ref(), id).await?,
        None => None,
    };
    if !caller.role.is_operator() && !application.token_lives(subscription.as_ref().map(|s| s.status)) {
        return Err(ApiError::unauthorized());
    }
    Reply::json(200, &ApplicationBody::new(application, subscription.as_ref()))
}
