//! `GET /ops/failed-charges`: messages nobody could work on; `?queue=billing-shards` for the runners' instead of the
//! charges'.
//!
//! May touch: receives from both dead-letter queues and puts back what it saw.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::api::operations::letters_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{DeadLetters, DeadQueue};
use shared::usecase::dead_letters::list;
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    dead_letters: Arc<dyn DeadLetters>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { dead_letters: env.dead_letters() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    request.caller(Route::ListFailedCharges)?;
    let queue = request.query_parsed("queue", DeadQueue::parse)?.unwrap_or(DeadQueue::FailedCharges);
    let listed = list(app.dead_letters.as_ref(), queue).await?;
    Reply::json(200, &letters_body(queue, listed))
}
