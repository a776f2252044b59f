//! `POST /billing/subscriptions/{id}/cycles/{index}/refunds`: gives a payment back, in full or in part.
//!
//! May touch: writes `subscription_cycle`, `ops_audit_log`, `idempotency`; reads `control`; both gateways' secrets.
use shared::api::requests::RefundPayment;
use std::sync::Arc;

use domain::ids::{RefundId, ulid};
use domain::refund::Wish;
use functions::{SystemRandom, wall};
use serde_json::{Value, json};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::refund_payment::request as reserve;
use shared::web::idempotency::{Started, begin};
use shared::web::refunds::{place, reason, reply, send};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    charging: Charging,
    limit: Option<i64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let limit = env.settings.refund_approval_above;
    serve(App { charging: env.charging()?, limit }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::RefundPayment)?;
    let input: RefundPayment = request.json()?;
    let place = place(&request, input.seq)?;
    let reason = reason(&input.reason)?.to_owned();
    let charging = &app.charging;
    let now = charging.clock.now().await;
    let claim = match begin(charging.store.as_ref(), &request, &caller.label(), "refund_payment", now).await? {
        Started::New(claim) => claim,
        Started::Replay(result) => {
            let id = result.get("refundId").and_then(Value::as_str).and_then(|id| RefundId::parse(id).ok());
            let id = id.ok_or_else(ApiError::not_found)?;
            return reply(&place.load(charging).await?, &id, 201);
        }
    };
    let context = Context { now, actor: caller.actor.clone() };
    let id = RefundId::new(ulid(now, charging.random.bits()));
    let wish = Wish { id: id.clone(), amount: input.amount, reason, by: caller.label(), limit: app.limit };
    let also: Vec<_> = claim.write(json!({ "refundId": id.as_str() })).into_iter().collect();
    let reserved = reserve(charging, &context, &place, &wish, &also).await?;
    reply(&send(charging, &context, &place, &id, reserved).await, &id, 201)
}
