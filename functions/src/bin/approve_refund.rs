//! `POST /billing/subscriptions/{id}/cycles/{index}/refunds/{refundId}/approve`: the second person's word about a large
//! refund. `{"approve": false}` takes the request back.
//!
//! May touch: writes `subscription_cycle`, `ops_audit_log`, `idempotency`; reads `control`; both gateways' secrets.
use shared::api::requests::ApproveRefund;
use std::sync::Arc;

use domain::ids::RefundId;
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::refund_payment::decide;
use shared::web::idempotency::{Started, begin};
use shared::web::refunds::{place, reason, reply, send};
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
    let caller = request.caller(Route::ApproveRefund)?;
    let input: ApproveRefund = request.json_or_default()?;
    let place = place(&request, input.seq)?;
    let id = request.path_param("refundId").and_then(|text| RefundId::parse(text).ok());
    let id = id.ok_or_else(ApiError::not_found)?;
    let why = input.reason.as_deref().map(reason).transpose()?;
    let charging = &app.charging;
    let now = charging.clock.now().await;
    let claim = match begin(charging.store.as_ref(), &request, &caller.label(), "approve_refund", now).await? {
        Started::New(claim) => claim,
        Started::Replay(_) => return reply(&place.load(charging).await?, &id, 200),
    };
    let context = Context { now, actor: caller.actor.clone() };
    let also: Vec<_> = claim.write(json!({})).into_iter().collect();
    let word = (caller.label(), input.approve.unwrap_or(true), why);
    let decided = decide(charging, &context, &place, &id, (&word.0, word.1, word.2), &also).await?;
    reply(&send(charging, &context, &place, &id, decided).await, &id, 200)
}
