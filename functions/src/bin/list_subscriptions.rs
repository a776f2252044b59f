//! `GET /billing/subscriptions`: a tenant's own; for operators those of a tenant or in a status (`ACTIVE` unless said).
//!
//! May touch: reads `subscription` (indexes `by_tenant`, `by_status`).
use std::sync::Arc;

use domain::ids::TenantId;
use domain::subscription::{Status, Subscription};
use functions::{SystemRandom, wall};
use shared::api::{ItemsBody, SubscriptionBody};
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
    let caller = request.caller(Route::ListSubscriptions)?;
    let status = request.query_parsed("status", |t| Status::ALL.into_iter().find(|s| s.as_str() == t))?;
    let named = request.query_parsed("tenantId", |t| TenantId::parse(t).ok())?;
    let page = request.page()?;
    let tenant = match &caller.tenant {
        // A tenant sees itself; naming another looks like naming nobody.
        Some(own) if named.as_ref().is_some_and(|t| t != own) => return nothing(),
        Some(own) => Some(own.clone()),
        None => named,
    };
    let query = match &tenant {
        Some(tenant) => Query::SubscriptionsOfTenant { tenant: tenant.clone() },
        None => Query::SubscriptionsByStatus { status: status.unwrap_or(Status::Active) },
    };
    let (found, next_cursor) =
        typed::list::<Subscription>(app.store.as_ref(), &query, page.limit, page.cursor.as_deref()).await?;
    let wanted = |s: &&Subscription| tenant.is_none() || status.is_none_or(|status| s.status == status);
    let items = found.iter().filter(wanted).map(SubscriptionBody::from).collect();
    Reply::json(200, &ItemsBody { items, next_cursor })
}

fn nothing() -> Result<Reply, ApiError> {
    Reply::json(200, &ItemsBody::<SubscriptionBody> { items: Vec::new(), next_cursor: None })
}
