//! `GET /billing/payment-methods`: a tenant's cards, masked.
//!
//! May touch: reads `ops_payment_method`.
use std::sync::Arc;

use domain::method::{PaymentMethod, Status};
use functions::{SystemRandom, wall};
use shared::api::{ItemsBody, MethodBody};
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
    let caller = request.caller(Route::ListPaymentMethods)?;
    let tenant = caller.tenant.clone().ok_or_else(ApiError::forbidden)?;
    let page = request.page()?;
    let query = Query::MethodsOfTenant { tenant };
    let (methods, next_cursor) =
        typed::list::<PaymentMethod>(app.store.as_ref(), &query, page.limit, page.cursor.as_deref()).await?;
    let items = methods.into_iter().filter(|m| m.status != Status::Deleted).map(MethodBody::new).collect();
    Reply::json(200, &ItemsBody { items, next_cursor })
}
