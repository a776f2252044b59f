//! `POST /onboarding/requests/{id}/token`: an applicant lost the link. Public: the answer is 202 without a body, whatever
//! was asked.
//!
//! May touch: reads `onboarding_request`, `subscription`, `control`; writes `idempotency`, `ops_audit_log`.
use std::sync::Arc;

use domain::event::Actor;
use domain::ids::RequestId;
use functions::{SystemRandom, wall};
use shared::api::requests::ReissueToken;
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::daily_limit::From;
use shared::usecase::reissue_token::reissue_token;
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    per_address: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (random, per_address) = (Arc::clone(&env.random), env.settings.registrations_per_address);
    serve(App { store: env.store(), clock: env.clock(), random, per_address }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let ReissueToken { email } = request.json()?;
    // A malformed id is nobody's, and is not told so.
    let Ok(id) = request.path_id(RequestId::parse) else { return Ok(Reply::empty(202)) };
    let context = Context { now: app.clock.now().await, actor: Actor::Applicant("unverified".to_owned()) };
    let from = From { address: &request.source_ip, limit: app.per_address };
    reissue_token(app.store.as_ref(), app.random.as_ref(), &context, &id, &email, from).await?;
    Ok(Reply::empty(202))
}
