//! The tick of refunds (EventBridge, every 10 minutes): sends those that wait and looks up those nobody answered for.
//!
//! May touch: writes `subscription_cycle` (index `refund_due`), `ops_audit_log`; reads `control`; both gateways' secrets.
use std::sync::Arc;

use domain::event::Actor;
use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_schedule};
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::sweep_refunds::sweep;
use tokio::time::Instant;

struct App {
    charging: Charging,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_schedule(App { charging: env.charging()? }, handle).await
}

async fn handle(app: &App, invocation: Invocation) -> Result<(), JobError> {
    let deadline = Instant::now() + invocation.remaining(wall());
    let context = Context { now: app.charging.clock.now().await, actor: Actor::System("refund_sweep".to_owned()) };
    let swept = sweep(&app.charging, &context, deadline).await?;
    tracing::info!(seen = swept.seen, failed = swept.failed, "refunds swept");
    Ok(())
}
