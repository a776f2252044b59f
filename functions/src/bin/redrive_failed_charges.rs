//! `POST /ops/failed-charges/redrive`: sends dead letters back to the queue they came from.
//!
//! May touch: receives and deletes from both dead-letter queues, sends to `failed-charges` and `billing-shards`; writes
//! `ops_audit_log`, `idempotency`.
use shared::api::requests::RedriveFailedCharges;
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::api::operations::redriven_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, DeadLetters, DeadQueue, Random};
use shared::store::{Commit, Store};
use shared::usecase::dead_letters::{REDRIVE_MAX, redrive};
use shared::usecase::stamp;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    dead_letters: Arc<dyn DeadLetters>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (store, clock, random) = (env.store(), env.clock(), Arc::clone(&env.random));
    serve(App { store, clock, random, dead_letters: env.dead_letters() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::RedriveFailedCharges)?;
    let RedriveFailedCharges { queue, max } = request.json_or_default()?;
    let queue = queue.unwrap_or(DeadQueue::FailedCharges);
    let max = max.unwrap_or(REDRIVE_MAX);
    if !(1..=REDRIVE_MAX).contains(&max) {
        return Err(ApiError::invalid_field("max", "invalid_value", format!("must be 1 to {REDRIVE_MAX}")));
    }
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    let claim = match begin(store, &request, &caller.label(), "redrive_failed_charges", now).await? {
        Started::New(claim) => claim,
        Started::Replay(answer) => return Reply::json(200, &answer),
    };
    let context = Context { now, actor: caller.actor.clone() };
    let (queues, random) = (app.dead_letters.as_ref(), app.random.as_ref());
    let done = redrive(queues, store, random, &context, queue, max).await?;
    let answer = serde_json::to_value(redriven_body(queue, &done)).map_err(ApiError::internal)?;
    if let Some(write) = claim.write(answer.clone()) {
        store.commit(&Commit { id: stamp::token(random), writes: vec![write], events: Vec::new() }).await?;
    }
    Reply::json(200, &answer)
}
