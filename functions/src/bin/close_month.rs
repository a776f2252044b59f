//! `POST /ops/months/{month}/close`: writes a month's sums down for good. What comes later is dated to the next open month.
//!
//! May touch: reads `posting`, `invoice`, `settlement`, `control`; writes `book`, `ops_audit_log`, `idempotency`.
use std::sync::Arc;
use std::time::Duration;

use domain::ledger::parse_month;
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::documents::close_body;
use shared::api::requests::NoFields;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::close_month::{Closing, OpenQuestions, SettlementRows, close_month};
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};
use tokio::time::Instant;

/// Left for the answer.
const RESERVE: Duration = Duration::from_secs(5);

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    questions: Arc<dyn OpenQuestions>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (random, questions) = (Arc::clone(&env.random), Arc::new(SettlementRows));
    serve(App { store: env.store(), clock: env.clock(), random, questions }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::CloseMonth)?;
    let month = request.path_param("month").and_then(parse_month).ok_or_else(ApiError::not_found)?;
    let NoFields {} = request.json_or_default()?;
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    let also = match begin(store, &request, &caller.label(), "close_month", now).await? {
        Started::New(claim) => claim.write(json!({})).into_iter().collect(),
        Started::Replay(_) => Vec::new(),
    };
    let context = Context { now, actor: caller.actor.clone() };
    let left = Duration::try_from(request.deadline.duration_since(wall())).unwrap_or_default();
    let deadline = Instant::now() + left.saturating_sub(RESERVE);
    let closing = Closing { store, random: app.random.as_ref(), questions: app.questions.as_ref(), deadline };
    Reply::json(200, &close_body(&close_month(&closing, &context, &month, also).await?))
}
