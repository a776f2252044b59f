//! `GET /ops/runs`: billing runs, newest first.
//!
//! May touch: reads `run` (index `by_start`).
use std::sync::Arc;

use domain::run::Run;
use functions::{SystemRandom, wall};
use shared::api::{ItemsBody, run_body};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::{Query, Store, typed};
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
    request.caller(Route::ListRuns)?;
    let page = request.page()?;
    let (runs, next_cursor) =
        typed::list::<Run>(app.store.as_ref(), &Query::Runs, page.limit, page.cursor.as_deref()).await?;
    Reply::json(200, &ItemsBody { items: runs.iter().map(run_body).collect(), next_cursor })
}
