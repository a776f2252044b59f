//! Figures (SQS `statistics`): events counted into the figures of their day and into the levels. A message is an event, and
//! may come twice or out of order.
//!
//! May touch: writes `statistic`, `webhook_inbox`; reads `control`.
use std::sync::Arc;

use domain::event::Event;
use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{JobError, serve_sqs_together};
use shared::ports::{Clock, Random};
use shared::store::Store;
use shared::usecase::count_events::{BATCH, count};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_sqs_together(App { store: env.store(), clock: env.clock(), random: Arc::clone(&env.random) }, handle).await
}

async fn handle(app: &App, events: Vec<Event>) -> Result<(), JobError> {
    let now = app.clock.now().await;
    let mut counted = 0;
    for batch in events.chunks(BATCH) {
        counted += count(app.store.as_ref(), app.random.as_ref(), now, batch).await?;
    }
    tracing::info!(heard = events.len(), counted, "figures");
    Ok(())
}
