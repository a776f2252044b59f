//! The stream of `ops_audit_log`: sends each event to the queues of those who want its kind. No business rule.
//!
//! May touch: reads the stream; sends to `documents` and, the keys of what does not read, to `unreadable-events`; writes
//! `forwarded`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::serve_stream;
use shared::ports::{Outbox, Random};
use shared::store::Store;
use shared::usecase::forward_events::{Streamed, forward};
use shared::usecase::forwarded_marks::keep;

struct App {
    outbox: Arc<dyn Outbox>,
    store: Arc<dyn Store>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (outbox, store, random) = (env.outbox()?, env.store(), Arc::clone(&env.random));
    serve_stream(App { outbox, store, random }, handle).await
}

async fn handle(app: &App, rows: Vec<Streamed>) -> Option<String> {
    let forwarded = forward(app.outbox.as_ref(), &rows).await;
    keep(app.store.as_ref(), app.random.as_ref(), &forwarded.taken).await;
    forwarded.again
}
