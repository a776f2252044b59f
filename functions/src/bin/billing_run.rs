//! The tick of the billing run (EventBridge, every 10 minutes): makes sure the day's run exists and calls the runners.
//!
//! May touch: writes `run`; reads `control` (time travel), `subscription` (index `due`); sends to `billing-shards`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_schedule};
use shared::ports::{Clock, Random, Shards};
use shared::store::Store;
use shared::telemetry::metrics;
use shared::usecase::metrics::oldest_age;
use shared::usecase::run_billing::tick;

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    shards: Arc<dyn Shards>,
    runners: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let random = Arc::clone(&env.random);
    let runners = env.settings.runners;
    serve_schedule(App { store: env.store(), clock: env.clock(), random, shards: env.shards(), runners }, handle).await
}

async fn handle(app: &App, _: Invocation) -> Result<(), JobError> {
    let now = app.clock.now().await;
    let run = tick(app.store.as_ref(), app.shards.as_ref(), app.random.as_ref(), now, app.runners).await?;
    tracing::info!(run = %run.id, "runners called");
    // Said by the tick and not by a runner: a runner that never comes says nothing.
    metrics::due_oldest_age(oldest_age(app.store.as_ref(), now).await?);
    Ok(())
}
