//! Endings (SQS `endings`): cards of owners that came to an end are deleted, here and at the gateway. A message is an
//! event, and may come twice.
//!
//! May touch: writes `ops_payment_method`, `ops_audit_log`; reads `subscription`, `control`; secrets of both gateways and
//! `data-key`.
use std::sync::Arc;

use domain::event::{Actor, Event};
use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Delivery, JobError, serve_sqs};
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::delete_method::{ended, forget_all};

struct App {
    charging: Charging,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_sqs(App { charging: env.charging()? }, handle).await
}

async fn handle(app: &App, event: Event, _: Delivery) -> Result<(), JobError> {
    let Some(tenant) = ended(&event) else { return Ok(()) };
    let now = app.charging.clock.now().await;
    let context = Context { now, actor: Actor::System("forget_cards".to_owned()) };
    let forgotten = forget_all(&app.charging, &context, &tenant).await?;
    tracing::info!(event = event.id.as_str(), forgotten, "cards");
    Ok(())
}
