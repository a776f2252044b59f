//! `POST /billing/invoices/{id}/issue`: decides and records the tax document of an invoice, and issues it where one is due.
//! Asking again gives the same answer.
//!
//! May touch: writes `invoice`, `ops_audit_log`, `idempotency`; reads `control`; the issuing service.
use shared::api::requests::NoFields;
use std::sync::Arc;

use domain::invoice::InvoiceId;
use functions::{SystemRandom, wall};
use serde_json::json;
use shared::api::documents::tax_body;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::ports::{Clock, Context, Random, TaxIssuer};
use shared::store::{Commit, Store};
use shared::usecase::issue_tax_document::issue;
use shared::usecase::stamp;
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    issuer: Option<Arc<dyn TaxIssuer>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (random, issuer) = (Arc::clone(&env.random), env.tax_issuer());
    serve(App { store: env.store(), clock: env.clock(), random, issuer }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::IssueTaxDocument)?;
    let NoFields {} = request.json_or_default()?;
    let id = request.path_id(InvoiceId::parse)?;
    let (store, random, now) = (app.store.as_ref(), app.random.as_ref(), app.clock.now().await);
    let started = begin(store, &request, &caller.label(), "issue_tax_document", now).await?;
    let context = Context { now, actor: caller.actor.clone() };
    // What is done is found done: a replay takes the same road.
    let file = issue(store, random, &context, app.issuer.as_deref(), &id).await?;
    if let Started::New(claim) = started
        && let Some(write) = claim.write(json!({}))
    {
        store.commit(&Commit { id: stamp::token(random), writes: vec![write], events: Vec::new() }).await?;
    }
    Reply::json(200, &tax_body(&file.tax.ok_or_else(|| ApiError::internal("an issued document is missing"))?))
}
