//! `POST /ops/runs`: starts a billing run, now or (where the stage allows it) as of an instant.
//!
//! May touch: writes `run`, `control`, `ops_audit_log`, `idempotency`; sends to `billing-shards`.
use shared::api::requests::StartRun;
use std::sync::Arc;

use domain::ids::RunId;
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::run_body;
use shared::auth::permissions::Route;
use shared::config::{Env, Sandbox};
use shared::ports::{Clock, Context, Random, Shards};
use shared::store::{Commit, Store, typed};
use shared::usecase::stamp;
use shared::usecase::start_run::{Starter, start_run};
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    shards: Arc<dyn Shards>,
    sandbox: Option<Sandbox>,
    runners: u32,
    time_travel: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let app = App {
        store: env.store(),
        clock: env.clock(),
        random: Arc::clone(&env.random),
        shards: env.shards(),
        sandbox: env.sandbox()?,
        runners: env.settings.runners,
        time_travel: env.settings.time_travel,
    };
    serve(app, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::StartRun)?;
    let StartRun { as_of } = request.json_or_default()?;
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    let claim = match begin(store, &request, &caller.label(), "start_run", now).await? {
        Started::New(claim) => claim,
        Started::Replay(result) => {
            let id = result.get("id").and_then(|id| RunId::parse(id.as_str()?).ok()).ok_or_else(ApiError::not_found)?;
            let run = typed::run(store, &id).await?.ok_or_else(ApiError::not_found)?;
            return Reply::json(202, &run_body(&run));
        }
    };
    let (shards, random) = (app.shards.as_ref(), app.random.as_ref());
    let starter = Starter { shards, random, runners: app.runners, time_travel: app.time_travel, wall: wall() };
    // The gateways' time moves first: a charge must never reach a sandbox that lives in our past.
    if let (Some(sandbox), Some(at), true) = (&app.sandbox, as_of, app.time_travel) {
        sandbox.set_clock(at).await.map_err(ApiError::unavailable)?;
    }
    let context = Context { now, actor: caller.actor.clone() };
    let run = start_run(store, &starter, &context, as_of).await?;
    if let Some(write) = claim.write(json!({ "id": run.id.as_str() })) {
        store.commit(&Commit { id: stamp::token(random), writes: vec![write], events: Vec::new() }).await?;
    }
    Reply::json(202, &run_body(&run))
}
