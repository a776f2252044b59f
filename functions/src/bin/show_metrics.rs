//! `GET /ops/metrics?from=&to=`: charges, declines, recoveries and revenue of some days, and what is open now. Days are Seoul's,
//! both inclusive; the last thirty without them.
//!
//! May touch: reads `statistic`, `subscription` (index `due`), `control`.
use std::sync::Arc;

use domain::calendar::seoul_date;
use functions::{SystemRandom, wall};
use shared::api::metrics::metrics_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Clock;
use shared::store::Store;
use shared::usecase::metrics::{DAYS_MAX, metrics};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store(), clock: env.clock() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    request.caller(Route::ShowMetrics)?;
    let now = app.clock.now().await;
    let to = request.query_date("to")?.unwrap_or_else(|| seoul_date(now));
    let from = match request.query_date("from")? {
        Some(from) => from,
        None => to.checked_sub(jiff::Span::new().days(29)).unwrap_or(to),
    };
    let days = (to - from).get_days();
    if !(0..DAYS_MAX).contains(&days) {
        return Err(ApiError::invalid_field(
            "from",
            "out_of_range",
            "must be at most a year before to, and not after it",
        ));
    }
    Reply::json(200, &metrics_body(&metrics(app.store.as_ref(), from, to, now).await?))
}
