//! `GET /onboarding/requests`: applications in one status, oldest first; without a status, those to be decided.
//!
//! May touch: reads `onboarding_request` (index `by_status`) and `subscription`.
use std::sync::Arc;

use domain::onboarding::{Application, Status};
use domain::subscription::Subscription;
use functions::{SystemRandom, wall};
use shared::api::{ApplicationBody, ItemsBody};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::{Key, Query, Store, typed};
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
    request.caller(Route::ListApplications)?;
    let parse = |text: &str| Status::ALL.into_iter().find(|s| s.as_str() == text);
    let status = request.query_parsed("status", parse)?.unwrap_or(Status::Submitted);
    let page = request.page()?;
    let query = Query::ApplicationsByStatus { status };
    let (applications, next_cursor) =
        typed::list::<Application>(app.store.as_ref(), &query, page.limit, page.cursor.as_deref()).await?;
    let keys: Vec<Key> = applications.iter().filter_map(|a| a.subscription_id.clone().map(Key::Subscription)).collect();
    let subscriptions: Vec<Subscription> = typed::get_many(app.store.as_ref(), &keys).await?;
    let of = |a: &Application| subscriptions.iter().find(|s| Some(&s.id) == a.subscription_id.as_ref());
    let items = applications.iter().map(|a| ApplicationBody::new(a.clone(), of(a))).collect();
    Reply::json(200, &ItemsBody { items, next_cursor })
}
