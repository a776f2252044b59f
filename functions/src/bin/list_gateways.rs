//! `GET /ops/gateways`: each payment gateway and whether charges flow to it.
//!
//! May touch: reads `control`.
use std::sync::Arc;

use domain::charge::GatewayName;
use functions::{SystemRandom, wall};
use shared::api::ItemsBody;
use shared::api::operations::gateway_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::Store;
use shared::usecase::switch;
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
    request.caller(Route::ListGateways)?;
    let mut items = Vec::new();
    for gateway in GatewayName::ALL {
        items.push(gateway_body(gateway, &switch::read(app.store.as_ref(), gateway).await?));
    }
    Reply::json(200, &ItemsBody { items, next_cursor: None })
}
