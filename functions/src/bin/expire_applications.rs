//! Daily (EventBridge, 04:00 Seoul): applications nobody went on with for 30 days expire.
//!
//! May touch: writes `onboarding_request` (index `by_status`), `subscription`, `ops_audit_log`; reads `control`.
use std::sync::Arc;

use domain::event::Actor;
use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_schedule};
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::end_application::expire;
use tokio::time::Instant;

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_schedule(App { store: env.store(), clock: env.clock(), random: Arc::clone(&env.random) }, handle).await
}

async fn handle(app: &App, invocation: Invocation) -> Result<(), JobError> {
    let deadline = Instant::now() + invocation.remaining(wall());
    let context = Context { now: app.clock.now().await, actor: Actor::System("expire_applications".to_owned()) };
    let expired = expire(app.store.as_ref(), app.random.as_ref(), &context, deadline).await?;
    tracing::info!(expired, "applications");
    Ok(())
}
