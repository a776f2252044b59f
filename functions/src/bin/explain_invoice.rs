//! `GET /billing/invoices/{id}/explain`: its amounts recomputed from stored inputs, step by step, beside what is stored.
//!
//! May touch: reads `invoice`, `plan`.
use std::sync::Arc;

use domain::invoice::InvoiceId;
use functions::{SystemRandom, wall};
use shared::api::documents::explanation_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::{Store, typed};
use shared::usecase::explain_invoice::explain_invoice;
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
    let caller = request.caller(Route::ExplainInvoice)?;
    let id = request.path_id(InvoiceId::parse)?;
    let store = app.store.as_ref();
    let file = typed::file(store, &id).await?;
    let file = file.filter(|f| caller.sees_tenant(&f.invoice.tenant_id)).ok_or_else(ApiError::not_found)?;
    Reply::json(200, &explanation_body(&file, &explain_invoice(store, &file).await?))
}
