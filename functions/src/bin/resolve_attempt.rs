//! `POST /ops/attempts/{orderId}/resolve`: looks an open attempt up at its gateway now and says how it stands.
//!
//! May touch: the charge set.
use shared::api::requests::NoFields;
use std::sync::Arc;

use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::operations::PlacedBody;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::store::Commit;
use shared::usecase::charge_subscription::HTTP_PATIENCE;
use shared::usecase::resolve_order::{Placed, find, resolve_order};
use shared::usecase::{Charging, stamp};
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    charging: Charging,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { charging: env.charging()? }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::ResolveAttempt)?;
    let NoFields {} = request.json_or_default()?;
    let order_id = request.path_param("orderId").ok_or_else(ApiError::not_found)?;
    let (charging, store) = (&app.charging, app.charging.store.as_ref());
    let now = charging.clock.now().await;
    let claim = match begin(store, &request, &caller.label(), "resolve_attempt", now).await? {
        Started::New(claim) => claim,
        Started::Replay(_) => return reply(&find(charging, order_id).await?),
    };
    let context = Context { now, actor: caller.actor.clone() };
    let placed = resolve_order(charging, &context, order_id, HTTP_PATIENCE).await?;
    // Asking twice is harmless: the key is written last.
    if let Some(write) = claim.write(json!({})) {
        let id = stamp::token(charging.random.as_ref());
        store.commit(&Commit { id, writes: vec![write], events: Vec::new() }).await?;
    }
    reply(&placed)
}

/// 200 when it is settled, 202 while its outcome is still open.
fn reply(placed: &Placed) -> Result<Reply, ApiError> {
    let body = PlacedBody::new(placed).ok_or_else(ApiError::not_found)?;
    Reply::json(if placed.open() { 202 } else { 200 }, &body)
}
