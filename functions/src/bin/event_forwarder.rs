//! The stream of `ops_audit_log`: sends each event to the queues of those who want its kind. No business rule.
//!
//! May touch: reads the stream; sends to `documents` and, the keys of what does not read, to `unreadable-events`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::serve_stream;
use shared::ports::Outbox;
use shared::usecase::forward_events::{Streamed, forward};

struct App {
    outbox: Arc<dyn Outbox>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_stream(App { outbox: env.outbox()? }, handle).await
}

async fn handle(app: &App, rows: Vec<Streamed>) -> Option<String> {
    forward(app.outbox.as_ref(), &rows).await
}
