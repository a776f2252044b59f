//! `POST /billing/subscriptions`: the subscription of an application, waiting for approval.
//!
//! May touch: writes `onboarding_request`, `subscription`, `ops_audit_log`, `idempotency`; reads `plan`,
//! `ops_payment_method`, `tenant`, `control` (time travel).
use shared::api::requests::CreateSubscription;
use std::sync::Arc;

use domain::ids::{MethodId, RequestId};
use functions::{SystemRandom, wall};
use serde_json::Value;
use shared::api::SubscriptionBody;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::{Store, typed};
use shared::usecase::create_subscription::{Order, create};
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
    let random = Arc::clone(&env.random);
    serve(App { store: env.store(), clock: env.clock(), random }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::CreateSubscription)?;
    let input: CreateSubscription = request.json()?;
    let owner = caller.owner().ok_or_else(ApiError::forbidden)?;
    let foreign =
        || ApiError::invalid_field("onboardingRequestId", "unknown_application", "is not an application of yours");
    let application = RequestId::parse(&input.onboarding_request_id).map_err(|_| foreign())?;
    if application != owner.request() {
        return Err(foreign());
    }
    let unknown =
        |_| ApiError::invalid_field("paymentMethodId", "unknown_payment_method", "no such usable payment method");
    let method_id = MethodId::parse(&input.payment_method_id).map_err(unknown)?;
    let (store, now) = (app.store.as_ref(), app.clock.now().await);
    let claim = match begin(store, &request, &caller.label(), "create_subscription", now).await? {
        Started::New(claim) => claim,
        Started::Replay(_) => {
            let stored =
                typed::subscription(store, &application.subscription()).await?.ok_or_else(ApiError::not_found)?;
            return Reply::json(201, &SubscriptionBody::from(&stored));
        }
    };
    let context = Context { now, actor: caller.actor.clone() };
    let order =
        Order { owner: &owner, plan_code: &input.plan_code, addon_codes: &input.addon_codes, method_id: &method_id };
    let also = claim.write(Value::Null).into_iter().collect();
    let subscription = create(store, app.random.as_ref(), &context, order, also).await?;
    Reply::json(201, &SubscriptionBody::from(&subscription))
}
