//! `POST /billing/payment-methods/setup`: what the browser needs to open the gateway's card window.
//!
//! May touch: writes `onboarding_request` and `idempotency`; reads `tenant`, `subscription`, `control` (time travel);
//! secrets `gateway/toss` and `gateway/stripe`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use serde_json::Value;
use shared::api::SetupBody;
use shared::api::requests::SetUpPaymentMethod;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::crypto::digest;
use shared::gateway::Gateways;
use shared::ports::{Clock, Random};
use shared::store::{Commit, Store};
use shared::usecase::set_up_method::set_up;
use shared::usecase::stamp;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    gateways: Gateways,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let random = Arc::clone(&env.random);
    serve(App { store: env.store(), gateways: env.gateways()?, clock: env.clock(), random }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::SetupPaymentMethod)?;
    let SetUpPaymentMethod { gateway } = request.json()?;
    let owner = caller.owner().ok_or_else(ApiError::forbidden)?;
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    let started = begin(store, &request, &caller.label(), "setup_payment_method", now).await?;
    // Under a key, the gateway is called with that key again and gives the same window back: the secret is not stored.
    let once = match request.idempotency_key()? {
        Some(key) => digest(&format!("{}#{key}", caller.label())),
        None => stamp::token(app.random.as_ref()),
    };
    let answer = set_up(store, &app.gateways, app.random.as_ref(), &owner, gateway, &once).await?;
    if let Started::New(claim) = started
        && let Some(write) = claim.write(Value::Null)
    {
        let commit = Commit { id: stamp::token(app.random.as_ref()), writes: vec![write], events: Vec::new() };
        store.commit(&commit).await?;
    }
    let (client_key, customer_key, client_secret) = (answer.client_key, answer.customer_key, answer.client_secret);
    Reply::json(201, &SetupBody { gateway, client_key, customer_key, client_secret })
}
