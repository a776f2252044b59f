//! The sandbox's own side, `/__sandbox/*`: what a test or an operator of the local stack turns and reads.
use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    core::{Armed, Core, Endpoint, Replay},
    toss,
};

/// Most times one replay call goes through its events.
const REPLAY_TIMES: usize = 100;

pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/__sandbox/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/__sandbox/clock", get(clock).post(set_clock))
        .route("/__sandbox/ledger", get(ledger))
        .route("/__sandbox/faults", get(faults).post(arm).delete(disarm))
        .route("/__sandbox/behaviour", post(behave))
        .route("/__sandbox/webhook-endpoints", post(set_endpoint))
        .route("/__sandbox/webhooks", get(webhooks))
        .route("/__sandbox/webhooks/replay", post(replay))
        .route("/__sandbox/slack", get(chat).post(post_chat))
        .route("/__sandbox/toss/auth-keys", post(auth_key))
        .route("/__sandbox/toss/switches", post(switches))
        .route("/__sandbox/reset", post(reset))
        .with_state(core)
}

type Shared = State<Arc<Core>>;

fn wrong(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response()
}

async fn clock(State(core): Shared) -> Json<Value> {
    Json(json!({ "now": core.now() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetClock {
    now: Timestamp,
}

async fn set_clock(State(core): Shared, Json(wanted): Json<SetClock>) -> Json<Value> {
    Json(json!({ "now": core.set_clock(wanted.now) }))
}

#[derive(Deserialize)]
struct Since {
    since: Option<Timestamp>,
}

async fn ledger(State(core): Shared, Query(query): Query<Since>) -> Json<Value> {
    Json(json!({ "entries": core.ledger(query.since) }))
}

async fn faults(State(core): Shared) -> Json<Value> {
    Json(json!({ "faults": core.armed() }))
}

async fn arm(State(core): Shared, Json(fault): Json<Armed>) -> Json<Value> {
    core.arm(fault);
    faults(State(core)).await
}

async fn disarm(State(core): Shared) -> Json<Value> {
    core.clear_faults();
    faults(State(core)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Behave {
    customer_key: Option<String>,
    payment_method: Option<String>,
    card: String,
    times: Option<u32>,
}

async fn behave(State(core): Shared, Json(wanted): Json<Behave>) -> Response {
    let subject = match (wanted.customer_key, wanted.payment_method) {
        (Some(_), None) if !toss::knows_card(&wanted.card) => return wrong("no such test card"),
        (Some(customer_key), None) => customer_key,
        (None, Some(payment_method)) => payment_method,
        _ => return wrong("customerKey or paymentMethod, one of them"),
    };
    core.behave(subject, wanted.card, wanted.times);
    Json(json!({})).into_response()
}

async fn set_endpoint(State(core): Shared, Json(endpoint): Json<Endpoint>) -> Json<Value> {
    core.set_endpoint(endpoint);
    Json(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfOrder {
    order_id: Option<String>,
}

async fn webhooks(State(core): Shared, Query(query): Query<OfOrder>) -> Json<Value> {
    let mut deliveries = core.deliveries();
    deliveries.retain(|record| query.order_id.is_none() || record.order_id == query.order_id);
    Json(json!({ "deliveries": deliveries }))
}

async fn replay(State(core): Shared, Json(wanted): Json<Replay>) -> Response {
    if wanted.times > REPLAY_TIMES {
        return wrong("times is too large");
    }
    let answers = core.replay(&wanted).await;
    let posts: Vec<Value> = answers.iter().map(|(id, status)| json!({ "id": id, "status": status })).collect();
    Json(json!({ "posts": posts })).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthKey {
    customer_key: String,
    card: String,
}

async fn auth_key(State(core): Shared, Json(wanted): Json<AuthKey>) -> Response {
    match toss::grant(&core, &wanted.customer_key, &wanted.card) {
        Some(auth_key) => Json(json!({ "authKey": auth_key })).into_response(),
        None => wrong("no such test card"),
    }
}

async fn switches(State(core): Shared, Json(wanted): Json<toss::Switches>) -> Json<Value> {
    toss::switch(&core, wanted);
    Json(json!({}))
}

/// What an incoming webhook of Slack takes: JSON with a text or blocks.
async fn post_chat(State(core): Shared, Json(message): Json<Value>) -> Response {
    if !message["text"].is_string() && !message["blocks"].is_array() {
        return (StatusCode::BAD_REQUEST, "no_text").into_response();
    }
    core.chatted(message);
    "ok".into_response()
}

async fn chat(State(core): Shared) -> Json<Value> {
    Json(json!({ "messages": core.chat() }))
}

async fn reset(State(core): Shared) -> Json<Value> {
    core.reset();
    Json(json!({}))
}
