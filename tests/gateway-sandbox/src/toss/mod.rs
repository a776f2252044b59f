//! The Toss Payments wire: billing keys, charges, lookups, cancels, reports and a stand-in for its browser window.
//!
//! Invariants: a charge moves money at most once per idempotency key and per approved order id; answers under a key are
//! replayed byte for byte; billing keys and customer keys are in no payment body.
mod billing;
mod errors;
mod objects;
mod payments;
mod reports;
mod window;
mod wire;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use axum::{
    Router,
    routing::{get, post},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::{Core, lock};
use objects::{Payment, TestCard};

/// Toss's objects.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TossState {
    switches: Switches,
    /// By auth key.
    grants: BTreeMap<String, Grant>,
    /// By billing key.
    billings: BTreeMap<String, Billing>,
    /// By payment key.
    payments: BTreeMap<String, Stored>,
    /// Order id → payment key of its latest payment.
    orders: BTreeMap<String, String>,
    /// Every approval and cancel, oldest first.
    transactions: Vec<Transaction>,
    idempotency: BTreeMap<String, wire::Kept>,
    /// Idempotency keys whose first request is still running.
    #[serde(skip)]
    running: HashSet<String>,
}

/// Behaviour that Toss does not document, to be tested both ways.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Switches {
    /// A declined charge can be looked up as `ABORTED` (otherwise 404).
    keep_declined: bool,
    /// The order id of a declined charge cannot be charged again.
    declined_order_id_taken: bool,
    /// Payments carry a field nobody knows, settlements fees as strings and rows without `fees`.
    oddities: bool,
}

/// A single-use auth key, as the window's redirect gives it.
#[derive(Serialize, Deserialize)]
struct Grant {
    customer_key: String,
    card: TestCard,
    used: bool,
}

#[derive(Serialize, Deserialize)]
struct Billing {
    customer_key: String,
    card: TestCard,
    deleted: bool,
}

/// A payment and what its wire form does not show.
#[derive(Serialize, Deserialize)]
struct Stored {
    payment: Payment,
    customer_key: String,
}

/// One movement of money.
#[derive(Clone, Serialize, Deserialize)]
struct Transaction {
    key: String,
    payment_key: String,
    at: Timestamp,
    /// KRW; negative for a cancel.
    amount: i64,
    /// The payment's status right after it.
    status: objects::Status,
}

/// Toss's routes and `/__sandbox/toss`, `/__sandbox/window`.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/v1/billing/authorizations/issue", post(billing::issue))
        .route("/v1/billing/{billing_key}", post(billing::charge).delete(billing::delete))
        .route("/v1/payments/{payment_key}", get(payments::by_key))
        .route("/v1/payments/orders/{order_id}", get(payments::by_order))
        .route("/v1/payments/{payment_key}/cancel", post(payments::cancel))
        .route("/v1/transactions", get(reports::transactions))
        .route("/v1/settlements", get(reports::settlements))
        .route("/v2/standard", get(window::shim))
        .route("/__sandbox/window", get(window::page).post(window::choose))
        .with_state(core)
}

/// Whether a test card of this name exists.
pub fn knows_card(name: &str) -> bool {
    TestCard::named(name).is_some()
}

/// A new auth key for `customer_key`, as if its owner had entered the test card in the window. `None`: no such card.
pub fn grant(core: &Core, customer_key: &str, card: &str) -> Option<String> {
    let card = TestCard::named(card)?;
    let auth_key = format!("e_{}", core.token(30));
    let grant = Grant { customer_key: customer_key.to_owned(), card, used: false };
    lock(&core.toss).grants.insert(auth_key.clone(), grant);
    Some(auth_key)
}

/// A refund in the merchant's console. `named` is a payment key or an order id; `None` when it is no payment of Toss's.
pub fn refund_by_hand(core: &Arc<Core>, named: &str, amount: Option<i64>) -> Option<Result<Value, &'static str>> {
    let payment_key = {
        let toss = lock(&core.toss);
        let known = toss.payments.contains_key(named).then(|| named.to_owned());
        known.or_else(|| toss.orders.get(named).cloned())?
    };
    let body = json!({ "cancelReason": "고객 요청", "cancelAmount": amount });
    let cancelled = payments::cancel_payment(core, &payment_key, &body);
    Some(cancelled.map(Option::unwrap_or_default).map_err(|refusal| refusal.code))
}

/// Sets the switches.
pub fn switch(core: &Core, switches: Switches) {
    lock(&core.toss).switches = switches;
}
