//! `GET /plans`: what is on sale, by code.
//!
//! May touch: reads `plan` (index `on_sale`).
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::api::PlansBody;
use shared::config::Env;
use shared::store::{Query, Store, typed};
use shared::web::{ApiError, Reply, Request, serve};

/// More plans than anybody sells; the page size of the store.
const PLANS_MAX: u32 = 100;

struct App {
    store: Arc<dyn Store>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store() }, handle).await
}

async fn handle(app: &App, _: Request) -> Result<Reply, ApiError> {
    let (plans, _) = typed::list(app.store.as_ref(), &Query::PlansOnSale, PLANS_MAX, None).await?;
    let plans = plans.into_iter().map(|plan: domain::plan::Plan| plan.into()).collect();
    Reply::json(200, &PlansBody { plans })
}
