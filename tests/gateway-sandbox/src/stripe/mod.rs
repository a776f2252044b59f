//! The Stripe wire: what our adapter, our pages and scripts need of it, at API version 2026-10-28.endive.
//!
//! Invariants: a PaymentIntent has at most one paid charge; every capture, refund and decline is in the core's ledger
//! under the metadata `order_id`; one idempotency key runs once; only test keys are let in. A lock on the Stripe state
//! is taken before the core's own, never the other way round.
mod attempt;
mod call;
mod cards;
mod charges;
mod customers;
mod declines;
mod events;
mod expand;
mod failure;
mod form;
mod idempotency;
mod intents;
mod keys;
mod lists;
mod methods;
mod refunds;
mod render;
mod routes;
mod search;
mod serve;
mod setups;
mod side;
mod state;
mod table;

use crate::core::Core;
use axum::{Router, routing::any};
use std::sync::Arc;

pub use side::{dispute_by_hand, refund_by_hand};
pub use state::StripeState;

/// Whether a behaviour override may name this: a test id, its bare name, a decline code, or `approved`.
pub fn knows_card(name: &str) -> bool {
    cards::by_behaviour(name).is_some()
}

/// Stripe's routes, the browser's script, and `/__sandbox/stripe/*`.
pub fn router(core: Arc<Core>) -> Router {
    let wire = routes::ROOMS.iter().fold(Router::new(), |router, room| {
        router
            .route(&format!("/v1/{room}"), any(serve::serve))
            .route(&format!("/v1/{room}/{{*rest}}"), any(serve::serve))
    });
    wire.with_state(Arc::clone(&core)).merge(side::router(core))
}
