//! A billing runner (SQS `billing-shards`): charges its share of what is due until nothing can move.
//!
//! May touch: the charge set; `subscription` (index `due`); writes `run` and `control`; sends to `billing-shards`; counts `failed-charges`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Delivery, JobError, serve_sqs};
use shared::ports::{ShardMessage, Shards};
use shared::usecase::Charging;
use shared::usecase::runner::{Runner, Settings};

struct App {
    charging: Charging,
    shards: Arc<dyn Shards>,
    settings: Settings,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let config = &env.settings;
    let settings = Settings {
        window: config.charge_window,
        hold_factor: config.hold_factor,
        ..Settings::of_accounts(config.toss_rate, config.stripe_rate, config.runners)
    };
    serve_sqs(App { charging: env.charging()?, shards: env.shards(), settings }, handle).await
}

async fn handle(app: &App, message: ShardMessage, delivery: Delivery) -> Result<(), JobError> {
    let left = delivery.invocation.remaining(wall());
    let deadline = tokio::time::Instant::now() + left;
    let runner = Runner { charging: &app.charging, shards: app.shards.as_ref(), settings: app.settings, deadline };
    Ok(runner.run(&message).await?)
}
