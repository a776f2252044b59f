//! `GET /billing/invoices`: a tenant's invoices, newest first; operators name the tenant.
//!
//! May touch: reads `invoice` (index `by_tenant`).
use std::sync::Arc;

use domain::document::Document;
use domain::ids::TenantId;
use functions::{SystemRandom, wall};
use shared::api::ItemsBody;
use shared::api::documents::{InvoiceSummaryBody, summary_body};
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
    let caller = request.caller(Route::ListInvoices)?;
    let named = request.query_parsed("tenantId", |t| TenantId::parse(t).ok())?;
    let page = request.page()?;
    let tenant = match &caller.tenant {
        // A tenant sees itself; naming another looks like naming nobody.
        Some(own) if named.as_ref().is_some_and(|t| t != own) => return items(Vec::new(), None),
        Some(own) => own.clone(),
        None => named.ok_or_else(|| ApiError::invalid_field("tenantId", "required", "names whose invoices"))?,
    };
    let query = Query::InvoicesOfTenant { tenant };
    let (found, next) = typed::list::<Document>(app.store.as_ref(), &query, page.limit, page.cursor.as_deref()).await?;
    let invoices = found.iter().filter_map(|d| if let Document::Invoice(i) = d { Some(summary_body(i)) } else { None });
    items(invoices.collect(), next)
}

fn items(items: Vec<InvoiceSummaryBody>, next_cursor: Option<String>) -> Result<Reply, ApiError> {
    Reply::json(200, &ItemsBody { items, next_cursor })
}
