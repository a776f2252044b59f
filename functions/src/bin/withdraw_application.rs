//! `POST /onboarding/requests/{id}/withdraw`: the applicant takes the application back.
//!
//! May touch: writes `onboarding_request`, `subscription`, `ops_audit_log`, `idempotency`; reads `control`.
use std::sync::Arc;

use domain::ids::RequestId;
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::ApplicationBody;
use shared::api::requests::NoFields;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::{Store, typed};
use shared::usecase::end_application::withdraw;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store(), clock: env.clock(), random: Arc::clone(&env.random) }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::WithdrawApplication)?;
    let id = request.path_id(RequestId::parse)?;
    if !caller.sees_application(&id) {
        return Err(ApiError::not_found());
    }
    let NoFields {} = request.json_or_default()?;
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    let also: Vec<_> = match begin(store, &request, &caller.label(), "withdraw_application", now).await? {
        Started::New(claim) => claim.write(json!({ "id": id.as_str() })).into_iter().collect(),
        Started::Replay(_) => Vec::new(),
    };
    let context = Context { now, actor: caller.actor.clone() };
    let ended = withdraw(store, app.random.as_ref(), &context, &id, caller.actor_id(), &also).await?;
    let subscription = typed::subscription(store, &id.subscription()).await?;
    Reply::json(200, &ApplicationBody::new(ended, subscription.as_ref()))
}
