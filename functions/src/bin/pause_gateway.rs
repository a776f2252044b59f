//! `POST /ops/gateways/{gateway}/pause`: no new charge is sent to it until it is resumed; what is owed stays due.
//!
//! May touch: writes `control`, `ops_audit_log`, `idempotency`.
use shared::api::requests::SwitchGateway;
use std::sync::Arc;

use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::operations::gateway_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::switch;
use shared::web::gateways::named_gateway;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store(), clock: env.clock(), random: Arc::clone(&env.random) }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::PauseGateway)?;
    let gateway = named_gateway(&request)?;
    let reason = request.json::<SwitchGateway>()?.reason()?;
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    let claim = match begin(store, &request, &caller.label(), "pause_gateway", now).await? {
        Started::New(claim) => claim,
        Started::Replay(_) => return Reply::json(200, &gateway_body(gateway, &switch::read(store, gateway).await?)),
    };
    let context = Context { now, actor: caller.actor.clone() };
    let also = claim.write(json!({})).into_iter().collect();
    let after = switch::pause(store, app.random.as_ref(), &context, gateway, &reason, also).await?;
    Reply::json(200, &gateway_body(gateway, &after))
}
