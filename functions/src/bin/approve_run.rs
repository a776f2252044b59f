//! `POST /ops/runs/{id}/approve`: lets a run that was held because its forecast jumps go on.
//!
//! May touch: writes `run`, `ops_audit_log`, `idempotency`; sends to `billing-shards`.
use shared::api::requests::NoFields;
use std::sync::Arc;

use domain::ids::RunId;
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::run_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, Random, Shards};
use shared::store::{Commit, Store, typed};
use shared::usecase::approve_run::approve_run;
use shared::usecase::stamp;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    shards: Arc<dyn Shards>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let random = Arc::clone(&env.random);
    serve(App { store: env.store(), clock: env.clock(), random, shards: env.shards() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::ApproveRun)?;
    let NoFields {} = request.json_or_default()?;
    let id = request.path_id(RunId::parse)?;
    let (store, random, now) = (app.store.as_ref(), app.random.as_ref(), app.clock.now().await);
    let claim = match begin(store, &request, &caller.label(), "approve_run", now).await? {
        Started::New(claim) => claim,
        Started::Replay(_) => {
            return Reply::json(200, &run_body(&typed::run(store, &id).await?.ok_or_else(ApiError::not_found)?));
        }
    };
    let context = Context { now, actor: caller.actor.clone() };
    let run = approve_run(store, app.shards.as_ref(), random, &context, &id).await?;
    if let Some(write) = claim.write(json!({})) {
        store.commit(&Commit { id: stamp::token(random), writes: vec![write], events: Vec::new() }).await?;
    }
    Reply::json(200, &run_body(&run))
}
