//! The daily reminder (EventBridge, every morning): a charge is coming in a week, a card is about to expire. Each is said
//! once; a pass that runs out of time fails, is run again and goes on where it stopped.
//!
//! May touch: reads `subscription` (index `due`), `ops_payment_method`, `control`; writes `idempotency`, `ops_audit_log`.
use std::sync::Arc;
use std::time::Duration;

use domain::event::Actor;
use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_schedule};
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::remind::remind;
use tokio::time::Instant;

/// Kept back for the page in hand.
const RESERVE: Duration = Duration::from_secs(20);

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let random = Arc::clone(&env.random);
    serve_schedule(App { store: env.store(), clock: env.clock(), random }, handle).await
}

async fn handle(app: &App, invocation: Invocation) -> Result<(), JobError> {
    let deadline = Instant::now() + invocation.remaining(wall()).saturating_sub(RESERVE);
    let context = Context { now: app.clock.now().await, actor: Actor::System("renewal_notice".to_owned()) };
    let done = remind(app.store.as_ref(), app.random.as_ref(), &context, deadline).await?;
    tracing::info!(seen = done.seen, said = done.said, finished = done.finished, "reminders");
    if done.finished { Ok(()) } else { Err("time ran out; the next pass goes on".into()) }
}
