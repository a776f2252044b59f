//! Around the wire: the browser's script, what its `confirmSetup` would do, and knobs that only a sandbox has.
//!
//! Invariant: these go through the same state machines as the wire; nothing here sets a status by hand.

use super::{
    attempt,
    call::Call,
    cards::Terms,
    failure::Failure,
    form::Form,
    intents,
    serve::{publish, settle_ripe},
    setups,
    state::{Settings, StripeState},
};
use crate::core::{Core, lock};
use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const SCRIPT: &str = include_str!("stripe.js");

type Shared = State<Arc<Core>>;

/// The routes. Pages of any origin may call them: the script runs on our pages, not on the sandbox's.
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/endive/stripe.js", get(script))
        .route("/__sandbox/stripe/confirm-setup", post(confirm_setup).options(preflight))
        .route("/__sandbox/stripe/confirm-payment", post(confirm_payment).options(preflight))
        .route("/__sandbox/stripe/settings", get(settings).post(set_settings))
        .route("/__sandbox/stripe/settle", post(settle))
        .route("/__sandbox/stripe/disputes", post(open_dispute))
        .route("/__sandbox/stripe/disputes/close", post(close_dispute))
        .route("/__sandbox/stripe/card-updates", post(update_card))
        .layer(from_fn(any_origin))
        .with_state(core)
}

async fn any_origin(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let allowed = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-headers", "content-type"),
        ("access-control-allow-methods", "GET, POST"),
    ];
    for (name, value) in allowed.into_iter().take(if preflight { 3 } else { 1 }) {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn script() -> impl IntoResponse {
    ([("content-type", "text/javascript; charset=utf-8"), ("cache-control", "no-store")], SCRIPT)
}

/// Runs `work` outside any API request and publishes what it did.
fn act(core: &Arc<Core>, work: impl FnOnce(&mut Call<'_>) -> Result<Value, Failure>) -> Response {
    act_with(core, &Form::default(), work)
}

/// The same with parameters.
fn act_with(core: &Arc<Core>, form: &Form, work: impl FnOnce(&mut Call<'_>) -> Result<Value, Failure>) -> Response {
    let mut state = lock(&core.stripe);
    let mut call = Call::automatic(&mut state, core, form, core.now());
    let result = work(&mut call);
    let Call { ledger, outbox, .. } = call;
    publish(core, ledger, outbox);
    match result {
        Ok(value) => Json(value).into_response(),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Json(failure.body("req_sandbox"))).into_response()
        }
    }
}

/// The object an id or a client secret names; a secret must be the right one.
fn named<'i>(given: &'i str, secret_of: impl FnOnce(&str) -> Option<String>, kind: &str) -> Result<&'i str, Failure> {
    let id = given.split_once("_secret_").map_or(given, |(id, _)| id);
    match secret_of(id) {
        Some(secret) if given == id || given == secret => Ok(id),
        Some(_) => Err(Failure::invalid("client_secret", "The client_secret provided does not match the Intent.")),
        None => Err(Failure::not_found(kind, id)),
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfirmSetup {
    /// Id or client secret.
    setup_intent: String,
    payment_method: String,
    /// What the holder does when authentication is asked for: pass (default) or fail.
    #[serde(default = "yes")]
    authenticate: bool,
}

/// What `stripe.confirmSetup` does in a browser: the holder is there and answers the authentication.
async fn confirm_setup(State(core): Shared, Json(it): Json<ConfirmSetup>) -> Response {
    act(&core, |call| {
        let secret_of = |id: &str| call.state.setups.get(id).map(|setup| setup.secret.clone());
        let id = named(&it.setup_intent, secret_of, "setup_intent")?;
        if it.authenticate {
            return setups::confirm_with(call, id, Some(&it.payment_method), true);
        }
        let shown = setups::confirm_with(call, id, Some(&it.payment_method), false)?;
        match shown["payment_method"].as_str() {
            Some(method) if shown["status"] == "requires_action" => setups::fail_authentication(call, id, method),
            _ => Ok(shown),
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfirmPayment {
    /// Id or client secret.
    payment_intent: String,
    payment_method: Option<String>,
}

/// What `stripe.confirmPayment` does in a browser, authentication passed.
async fn confirm_payment(State(core): Shared, Json(it): Json<ConfirmPayment>) -> Response {
    act(&core, |call| {
        let secret_of = |id: &str| call.state.intents.get(id).map(|intent| intent.secret.clone());
        let id = named(&it.payment_intent, secret_of, "payment_intent")?;
        let terms = Terms { authenticated: true, ..Terms::default() };
        intents::confirm_with(call, id, it.payment_method.as_deref(), terms)
    })
}

async fn settings(State(core): Shared) -> Json<Value> {
    Json(json!(lock(&core.stripe).settings))
}

async fn set_settings(State(core): Shared, Json(wanted): Json<Settings>) -> Json<Value> {
    lock(&core.stripe).settings = wanted;
    settings(State(core)).await
}

/// Refunds that wait for their card's fate get it now.
async fn settle(State(core): Shared) -> Json<Value> {
    settle_ripe(&core, &mut lock(&core.stripe), true);
    Json(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OpenDispute {
    payment_intent: String,
    reason: Option<String>,
    #[serde(default)]
    inquiry: bool,
}

async fn open_dispute(State(core): Shared, Json(it): Json<OpenDispute>) -> Response {
    act(&core, |call| {
        let intent = call.state.intents.get(&it.payment_intent);
        let intent = intent.ok_or_else(|| Failure::not_found("payment_intent", &it.payment_intent))?;
        let paid = intent.latest_charge.clone().filter(|_| intent.status == "succeeded");
        let charge = paid.ok_or_else(|| Failure::request("This PaymentIntent has not been paid."))?;
        attempt::dispute(call, &charge, it.reason.as_deref().unwrap_or("fraudulent"), it.inquiry);
        let newest = call.state.disputes.newest().next().map(|dispute| dispute.id.clone()).unwrap_or_default();
        Ok(attempt::shown_dispute(call, &newest))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CloseDispute {
    dispute: String,
    won: bool,
}

async fn close_dispute(State(core): Shared, Json(it): Json<CloseDispute>) -> Response {
    act(&core, |call| attempt::close_dispute(call, &it.dispute, it.won))
}

/// The intent an id or a metadata order id names.
fn intent_named(state: &StripeState, named: &str) -> Option<String> {
    let ours = |it: &&super::state::Intent| {
        it.id == named || (it.status == "succeeded" && it.metadata.get("order_id").is_some_and(|id| id == named))
    };
    state.intents.newest().find(ours).map(|it| it.id.clone())
}

/// A refund in the Dashboard: no metadata of ours. `named` is a PaymentIntent or a metadata order id.
pub fn refund_by_hand(core: &Arc<Core>, named: &str, amount: Option<i64>) -> Response {
    let intent = intent_named(&lock(&core.stripe), named).unwrap_or_else(|| named.to_owned());
    let amount = amount.map_or(String::new(), |amount| format!("&amount={amount}"));
    match Form::parse(&format!("payment_intent={intent}{amount}")) {
        Ok(form) => act_with(core, &form, |call| super::refunds::create(call, "")),
        Err(failure) => act(core, |_| Err(failure)),
    }
}

/// Opens a dispute (`needs_response`, `warning_needs_response`) or ends the open one (`won`, `lost`).
pub fn dispute_by_hand(core: &Arc<Core>, named: &str, status: &str) -> Response {
    act(core, |call| {
        let intent = intent_named(call.state, named).ok_or_else(|| Failure::not_found("payment_intent", named))?;
        let open = call.state.disputes.newest().find(|it| it.intent == intent).map(|it| it.id.clone());
        match (status, open) {
            ("won" | "lost", Some(dispute)) => attempt::close_dispute(call, &dispute, status == "won"),
            ("needs_response" | "warning_needs_response", _) => {
                let charge = call.state.intents.get(&intent).and_then(|it| it.latest_charge.clone());
                let charge = charge.ok_or_else(|| Failure::request("This PaymentIntent has not been paid."))?;
                attempt::dispute(call, &charge, "fraudulent", status.starts_with("warning"));
                let newest = call.state.disputes.newest().next().map(|dispute| dispute.id.clone()).unwrap_or_default();
                Ok(attempt::shown_dispute(call, &newest))
            }
            _ => Err(Failure::request("No such status, or no dispute to end.")),
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateCard {
    payment_method: String,
    exp_month: i64,
    exp_year: i64,
    last4: Option<String>,
}

/// The network replaced the card: same id, new expiry and perhaps number.
async fn update_card(State(core): Shared, Json(it): Json<UpdateCard>) -> Response {
    act(&core, |call| {
        let method = call.state.methods.get_mut(&it.payment_method);
        let method = method.ok_or_else(|| Failure::not_found("PaymentMethod", &it.payment_method))?;
        let before = json!({ "card": {
            "exp_month": method.exp_month, "exp_year": method.exp_year, "last4": method.last4,
            "fingerprint": method.fingerprint } });
        method.exp_month = it.exp_month;
        method.exp_year = it.exp_year;
        if let Some(last4) = it.last4 {
            method.fingerprint = method.fingerprint.chars().rev().collect();
            method.last4 = last4;
        }
        let shown = super::render::method(method);
        call.emit_method("payment_method.automatically_updated", &it.payment_method, Some(before));
        Ok(shown)
    })
}
