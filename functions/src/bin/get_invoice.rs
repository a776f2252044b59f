//! `GET /billing/invoices/{id}`: an invoice with its credit notes, as JSON or, with `Accept: text/html`, to print.
//!
//! May touch: reads `invoice`.
use std::sync::Arc;

use domain::invoice::InvoiceId;
use functions::{SystemRandom, wall};
use shared::api::documents::invoice_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::{Store, typed};
use shared::web::invoice_page::{invoice_page, wants_page};
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
    let caller = request.caller(Route::GetInvoice)?;
    let id = request.path_id(InvoiceId::parse)?;
    let file = typed::file(app.store.as_ref(), &id).await?;
    let file = file.filter(|f| caller.sees_tenant(&f.invoice.tenant_id)).ok_or_else(ApiError::not_found)?;
    if wants_page(&request) { Ok(invoice_page(&file)) } else { Reply::json(200, &invoice_body(&file)) }
}
