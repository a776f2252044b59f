//! `GET /ops/ledger?month=YYYY-MM`: what each account took in and gave in a month, and whether that ties to its documents.
//!
//! May touch: reads `posting`, `invoice`.
use std::sync::Arc;

use domain::ledger::parse_month;
use functions::{SystemRandom, wall};
use shared::api::documents::ledger_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::Store;
use shared::usecase::month_summary::summarise;
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
    request.caller(Route::ShowLedger)?;
    let month = request.query_parsed("month", parse_month)?;
    let month = month.ok_or_else(|| ApiError::invalid_field("month", "required", "must be like 2027-01"))?;
    Reply::json(200, &ledger_body(&month, &summarise(app.store.as_ref(), &month).await?))
}
