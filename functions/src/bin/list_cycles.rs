//! `GET /billing/subscriptions/{id}/cycles`: what was owed, tried and paid, in period order.
//!
//! May touch: reads `subscription`, `subscription_cycle`.
use std::sync::Arc;

use domain::cycle::Cycle;
use domain::ids::SubscriptionId;
use functions::{SystemRandom, wall};
use shared::api::{ItemsBody, cycle_bodies};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::{Query, Store, typed};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::ListCycles)?;
    let id = request.path_id(SubscriptionId::parse)?;
    let page = request.page()?;
    let store = app.store.as_ref();
    let subscription = typed::subscription(store, &id).await?.filter(|s| caller.sees_tenant(&s.tenant_id));
    let subscription = subscription.ok_or_else(ApiError::not_found)?;
    let query = Query::CyclesOf { subscription: id };
    let (cycles, next_cursor) = typed::list::<Cycle>(store, &query, page.limit, page.cursor.as_deref()).await?;
    let items = cycle_bodies(&subscription, cycles, next_cursor.is_none());
    Reply::json(200, &ItemsBody { items, next_cursor })
}
