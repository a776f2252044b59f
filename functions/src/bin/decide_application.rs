//! `POST /onboarding/requests/{id}/decision`: an operator decides; approval takes the first payment.
//!
//! May touch: the charge set; writes `tenant`; reads `plan`.
use shared::api::requests::DecideApplication;
use std::sync::Arc;

use domain::ids::RequestId;
use domain::subscription::{Status, Subscription};
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::ApplicationBody;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::Context;
use shared::store::typed;
use shared::usecase::Charging;
use shared::usecase::charge_subscription::{ChargeResult, HTTP_PATIENCE};
use shared::usecase::decide_application::{Ruling, decide};
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    charging: Charging,
}

/// Longest note, in characters.
const NOTE_MAX: usize = 2_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { charging: env.charging()? }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::DecideApplication)?;
    let id = request.path_id(RequestId::parse)?;
    let DecideApplication { status: verdict, note } = request.json()?;
    if note.as_ref().is_some_and(|n| n.chars().count() > NOTE_MAX) {
        return Err(ApiError::invalid_field("note", "invalid_length", "at most 2,000 characters"));
    }
    let store = app.charging.store.as_ref();
    let now = app.charging.clock.now().await;
    let claim = match begin(store, &request, &caller.label(), "decide_application", now).await? {
        Started::New(claim) => claim,
        Started::Replay(_) => return from_state(app, &id).await,
    };
    let context = Context { now, actor: caller.actor.clone() };
    let by = caller.actor_id().to_owned();
    let also = claim.write(json!({ "id": id.as_str() })).into_iter().collect();
    let ruling = Ruling { id, verdict, note, by };
    let decided = decide(&app.charging, &context, ruling, HTTP_PATIENCE, also).await?;
    let pending = matches!(decided.payment, Some(ChargeResult::Pending | ChargeResult::Misconfigured));
    let body = ApplicationBody::new(decided.application, decided.subscription.as_ref());
    Reply::json(if pending { 202 } else { 200 }, &body)
}

async fn from_state(app: &App, id: &RequestId) -> Result<Reply, ApiError> {
    let store = app.charging.store.as_ref();
    let application = typed::application(store, id).await?.ok_or_else(ApiError::not_found)?;
    let subscription = typed::subscription(store, &id.subscription()).await?;
    // As the first answer said: the first payment is under way, or is left to the next run.
    let unpaid = |s: &Subscription| s.status == Status::PendingActivation && s.first_decline.is_none();
    let pending = subscription.as_ref().is_some_and(|s| s.approved_at.is_some() && unpaid(s));
    Reply::json(if pending { 202 } else { 200 }, &ApplicationBody::new(application, subscription.as_ref()))
}
