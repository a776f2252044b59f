//! The REST API's authorizer: token in, policy for exactly this method out.
//!
//! May touch: secret `auth/jwt`; reads `operator`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use serde_json::Value;
use shared::auth::authorizer::{Authorizer, Event, Unauthorized};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_event};

struct App {
    authorizer: Authorizer,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_event(App { authorizer: env.authorizer()? }, handle).await
}

async fn handle(app: &App, event: Value, _: Invocation) -> Result<Value, JobError> {
    // An event that does not read is nobody's: the same 401.
    let event: Event = serde_json::from_value(event).map_err(|_| Unauthorized)?;
    Ok(app.authorizer.authorize(&event, wall()).await??)
}
