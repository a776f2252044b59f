//! Documents (SQS `documents`): the invoice of a captured payment, the credit note of a refund, the debit note of one
//! that came back, their ledger entries, and those of money in quarantine.
//! A message is an event, and may come twice or out of order.
//!
//! May touch: writes `invoice`, `posting`, `book`, `ops_audit_log`; reads `subscription`, `subscription_cycle`, `tenant`,
//! `onboarding_request`, `ops_payment_method`, `plan`, `control`.
use std::sync::Arc;

use domain::event::{Actor, Event};
use domain::invoice::Supplier;
use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::jobs::{Delivery, JobError, serve_sqs};
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::write_documents::{Desk, write};
use tokio::sync::Mutex;

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    supplier: Supplier,
    /// One document at a time here: all of a year want the same counter, and waiting is cheaper than losing races.
    turn: Mutex<()>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (random, supplier) = (Arc::clone(&env.random), env.supplier()?);
    serve_sqs(App { store: env.store(), clock: env.clock(), random, supplier, turn: Mutex::new(()) }, handle).await
}

async fn handle(app: &App, event: Event, _: Delivery) -> Result<(), JobError> {
    let _turn = app.turn.lock().await;
    let context = Context { now: app.clock.now().await, actor: Actor::System("write_documents".to_owned()) };
    let desk = Desk { store: app.store.as_ref(), random: app.random.as_ref(), supplier: &app.supplier };
    let written = write(&desk, &context, &event).await?;
    tracing::info!(event = event.id.as_str(), kind = event.kind, ?written, "document");
    Ok(())
}
