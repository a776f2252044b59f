//! `POST /ops/gateways/{gateway}/guides`: tells the owners of what is due at a paused gateway how to pay meanwhile, a
//! batch at a time, each once per pause.
//!
//! May touch: reads `subscription` (index `due`), `control`; writes `ops_audit_log`, `idempotency`; secret `auth/jwt`.
use shared::api::requests::SendPaymentGuides;
use std::sync::Arc;

use domain::ids::SubscriptionId;
use functions::{SystemRandom, wall};
use secrecy::ExposeSecret;
use serde::Deserialize;
use shared::api::operations::{GuidesBody, guides_body};
use shared::auth::Tokens;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::{Commit, Store};
use shared::usecase::payment_guide::{BATCH_MAX, tell};
use shared::usecase::stamp;
use shared::web::gateways::named_gateway;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    tokens: Tokens,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (store, clock, random) = (env.store(), env.clock(), Arc::clone(&env.random));
    serve(App { store, clock, random, tokens: env.tokens() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::SendPaymentGuides)?;
    let gateway = named_gateway(&request)?;
    let SendPaymentGuides { limit, cursor } = request.json_or_default()?;
    let limit = limit.unwrap_or(BATCH_MAX);
    if !(1..=BATCH_MAX).contains(&limit) {
        return Err(ApiError::invalid_field("limit", "invalid_value", format!("must be 1 to {BATCH_MAX}")));
    }
    let (store, random, now) = (app.store.as_ref(), app.random.as_ref(), app.clock.now().await);
    let claim = match begin(store, &request, &caller.label(), "send_payment_guides", now).await? {
        Started::New(claim) => claim,
        Started::Replay(body) => return linked(app, GuidesBody::deserialize(body).map_err(ApiError::internal)?).await,
    };
    let context = Context { now, actor: caller.actor.clone() };
    let body = guides_body(gateway, &tell(store, random, &context, gateway, limit, cursor.as_deref()).await?);
    if let Some(write) = claim.write(serde_json::to_value(&body).map_err(ApiError::internal)?) {
        store.commit(&Commit { id: stamp::token(random), writes: vec![write], events: Vec::new() }).await?;
    }
    linked(app, body).await
}

/// The answer with each item's link, which is minted for every answer and stored with none.
async fn linked(app: &App, mut body: GuidesBody) -> Result<Reply, ApiError> {
    for item in &mut body.items {
        let id = SubscriptionId::parse(&item.subscription_id).map_err(ApiError::internal)?;
        let token = app.tokens.mint_guide(&id, wall()).await?;
        item.path = Some(format!("/api/v1/billing/guides/{}", token.expose_secret()));
    }
    Reply::json(200, &body)
}
