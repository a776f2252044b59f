//! `POST /auth/logout`: ends the session the caller came with, at once and for good.
//!
//! May touch: writes `operator`, `ops_audit_log`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::api::requests::NoFields;
use shared::auth::log_in::no_cookie;
use shared::auth::log_out::log_out;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Context, Random};
use shared::store::Store;
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let random = Arc::clone(&env.random);
    serve(App { store: env.store(), random }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::LogOut)?;
    let NoFields {} = request.json_or_default()?;
    let session = request.session.as_ref().ok_or_else(ApiError::unauthorized)?;
    let context = Context { now: wall(), actor: caller.actor.clone() };
    log_out(app.store.as_ref(), app.random.as_ref(), &context, caller, session).await?;
    Ok(Reply::empty(204).with_cookie(&no_cookie()))
}
