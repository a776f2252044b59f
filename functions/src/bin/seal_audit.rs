//! The nightly seal (EventBridge, 02:30 UTC): sends again events nobody was sent, and seals the days that are over.
//!
//! May touch: reads `ops_audit_log`, `control`; writes `seal`, `forwarded`, `ops_audit_log`; sends to `documents` and
//! `unreadable-events`.
use std::sync::Arc;

use domain::event::Actor;
use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_schedule};
use shared::ports::{Clock, Context, Outbox, Random};
use shared::store::Store;
use shared::usecase::seal_audit::{Sealer, seal_settled};
use tokio::time::Instant;

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    outbox: Arc<dyn Outbox>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (outbox, random) = (env.outbox()?, Arc::clone(&env.random));
    serve_schedule(App { store: env.store(), clock: env.clock(), random, outbox }, handle).await
}

async fn handle(app: &App, invocation: Invocation) -> Result<(), JobError> {
    let deadline = Instant::now() + invocation.remaining(wall());
    let context = Context { now: app.clock.now().await, actor: Actor::System("seal_audit".to_owned()) };
    let sealer = Sealer { store: app.store.as_ref(), outbox: app.outbox.as_ref(), random: app.random.as_ref() };
    let sealing = seal_settled(&sealer, &context, deadline).await?;
    tracing::info!(sealed = sealing.sealed.len(), resent = sealing.resent, "the audit log is sealed");
    Ok(())
}
