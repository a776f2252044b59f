//! `POST /demo-requests`: somebody would like to be shown the product. Public.
//!
//! May touch: reads `control` (time travel); writes `demo_request`, `idempotency`, `ops_audit_log`.
use std::sync::Arc;

use domain::demo::Form;
use domain::event::Actor;
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::requests::RequestDemo;
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::daily_limit::From;
use shared::usecase::request_demo::request_demo;
use shared::web::idempotency::{Started, begin};
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
    let RequestDemo { name, email, phone, message } = request.json()?;
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    if let Started::New(claim) = begin(store, &request, "public", "request_demo", now).await? {
        let context = Context { now, actor: Actor::Applicant("unverified".to_owned()) };
        let form = Form { name, email, phone, message };
        let from = From { address: &request.source_ip, limit: app.per_address };
        request_demo(store, app.random.as_ref(), &context, form, from, claim.write(json!({}))).await?;
    }
    Ok(Reply::empty(202))
}
