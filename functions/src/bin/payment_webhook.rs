//! `POST /billing/payments/webhook[/{gateway}]` (function URL): what a gateway says by itself.
//!
//! May touch: the charge set; writes `webhook_inbox`; `ops_payment_method` (index `by_token`); secret
//! `webhook/stripe`. No store call before a signature is verified.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::web::webhook::Door;
use shared::web::{ApiError, Reply, Request, serve_webhook};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let door = Door::new(env.charging()?, env.secrets(), &env.settings, env.ticks());
    serve_webhook(door, handle).await
}

async fn handle(door: &Door, request: Request) -> Result<Reply, ApiError> {
    door.receive(&request).await
}
