//! What a merchant or a payer does to a payment outside any API call of ours: a refund made in the gateway's own console,
//! and a dispute. The webhooks go out as the real gateway would send them.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::{core::Core, stripe, toss};

pub fn router(core: Arc<Core>) -> Router {
    Router::new().route("/__sandbox/refunds", post(refund)).route("/__sandbox/disputes", post(dispute)).with_state(core)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GiveBack {
    order_id: Option<String>,
    payment_id: Option<String>,
    /// All that is left when absent.
    amount: Option<i64>,
}

async fn refund(State(core): State<Arc<Core>>, Json(wanted): Json<GiveBack>) -> Response {
    let named = wanted.payment_id.as_deref().or(wanted.order_id.as_deref()).unwrap_or_default();
    if let Some(answer) = toss::refund_by_hand(&core, named, wanted.amount) {
        return match answer {
            Ok(payment) => Json(payment).into_response(),
            Err(code) => (StatusCode::BAD_REQUEST, Json(json!({ "error": code }))).into_response(),
        };
    }
    stripe::refund_by_hand(&core, named, wanted.amount)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Complain {
    order_id: Option<String>,
    payment_id: Option<String>,
    /// `needs_response` or `warning_needs_response` opens one; `won` or `lost` ends the one that is open.
    status: String,
}

/// Stripe only: Toss shows none.
async fn dispute(State(core): State<Arc<Core>>, Json(wanted): Json<Complain>) -> Response {
    let named = wanted.payment_id.as_deref().or(wanted.order_id.as_deref()).unwrap_or_default();
    stripe::dispute_by_hand(&core, named, &wanted.status)
}
