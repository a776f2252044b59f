//! `DELETE /billing/payment-methods/{id}`: forgets a card that nothing uses.
//!
//! May touch: writes `ops_payment_method` and `ops_audit_log`; reads `subscription` and `control` (time travel); secrets of
//! both gateways and `data-key`.
use std::sync::Arc;

use domain::ids::MethodId;
use functions::{SystemRandom, wall};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::delete_method::delete;
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
    let caller = request.caller(Route::DeletePaymentMethod)?;
    let tenant = caller.tenant.clone().ok_or_else(ApiError::forbidden)?;
    let id = request.path_id(MethodId::parse)?;
    let context = Context { now: app.charging.clock.now().await, actor: caller.actor.clone() };
    delete(&app.charging, &context, &tenant, &id).await?;
    Ok(Reply::empty(204))
}
