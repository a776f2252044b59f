//! A billing runner (SQS `billing-shards`): charges its share of what is due until nothing can move.
//!
//! May touch: the charge set; `subscription` (index `due`); writes `run` and `control`; sends to `billing-shards`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Delivery, JobError, serve_sqs};
use shared::ports::{ShardMessage, Shards};
use shared::usecase::Charging;
use shared::usecase::runner::{Runner, Settings};

/// Charges in flight at once: 25 a second at three seconds each, with room.
const CONCURRENCY: usize = 96;

struct App {
    charging: Charging,
    shards: Arc<dyn Shards>,
    settings: Settings,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    // Four fifths of the account's rate; HTTP charges, lookups and re-reads share the rest (design.md §6).
    let share = |rate: u32| (rate.saturating_mul(4) / 5 / env.settings.runners.max(1)).max(1);
    let settings = Settings {
        window: env.settings.charge_window,
        toss_rate: share(env.settings.toss_rate),
        stripe_rate: share(env.settings.stripe_rate),
        concurrency: CONCURRENCY,
    };
    serve_sqs(App { charging: env.charging()?, shards: env.shards(), settings }, handle).await
}

async fn handle(app: &App, message: ShardMessage, delivery: Delivery) -> Result<(), JobError> {
    let left = delivery.invocation.remaining(wall());
    let deadline = tokio::time::Instant::now() + left;
    let runner = Runner { charging: &app.charging, shards: app.shards.as_ref(), settings: app.settings, deadline };
    Ok(runner.run(&message).await?)
}
