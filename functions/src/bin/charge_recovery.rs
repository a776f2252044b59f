//! Recovery (SQS `failed-charges`): looks an attempt up whose outcome is open. A message is a hint: what is true is
//! read from the tables, and what is settled already is left alone.
//!
//! May touch: the charge set.
use std::sync::Arc;

use domain::event::Actor;
use domain::ids::SubscriptionId;
use functions::{SystemRandom, wall};
use serde::Deserialize;
use shared::config::Env;
use shared::jobs::{Delivery, JobError, serve_sqs};
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::recover_charge::recover;

struct App {
    charging: Charging,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    subscription_id: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_sqs(App { charging: env.charging()? }, handle).await
}

async fn handle(app: &App, message: Message, _: Delivery) -> Result<(), JobError> {
    let id = SubscriptionId::parse(&message.subscription_id)?;
    let context = Context { now: app.charging.clock.now().await, actor: Actor::System("charge_recovery".to_owned()) };
    Ok(recover(&app.charging, &context, &id).await?)
}
