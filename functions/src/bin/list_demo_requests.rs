//! `GET /ops/demo-requests`: those who would like to be shown the product, newest first.
//!
//! May touch: reads `demo_request`.
use std::sync::Arc;

use domain::demo::DemoRequest;
use functions::{SystemRandom, wall};
use shared::api::ItemsBody;
use shared::api::operations::DemoBody;
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
    request.caller(Route::ListDemoRequests)?;
    let page = request.page()?;
    let (found, next_cursor) =
        typed::list::<DemoRequest>(app.store.as_ref(), &Query::DemoRequests, page.limit, page.cursor.as_deref())
            .await?;
    Reply::json(200, &ItemsBody { items: found.into_iter().map(DemoBody::from).collect(), next_cursor })
}
