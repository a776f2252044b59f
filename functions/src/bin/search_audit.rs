//! `GET /ops/audit?subject=&day=&type=&cursor=&limit=`: events of the audit log, newest first, about a subject or of a
//! UTC day; `type` leaves only those of one kind.
//!
//! May touch: reads `ops_audit_log` (index `by_subject`).
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::Store;
use shared::usecase::search_audit::search;
use shared::web::audit::{asked, reply};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    request.caller(Route::SearchAudit)?;
    let asked = asked(&request)?;
    let found = search(app.store.as_ref(), &asked.search, asked.limit, asked.after.as_ref()).await?;
    reply(&asked, &found)
}
