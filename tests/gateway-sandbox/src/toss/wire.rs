//! What every Toss request goes through: authorization, test codes, faults, idempotency, trace ids.
use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::errors::{self, Refusal};
use crate::core::{Core, Gateway, Operation, Outage, lock, under_fault};

const TRACE: &str = "x-tosspayments-trace-id";
/// Hours an answer stays under its idempotency key.
const KEPT: SignedDuration = SignedDuration::from_hours(15 * 24);
const LONGEST_KEY: usize = 300;
const LARGEST_BODY: usize = 64 * 1024;

/// What a route does: an object, or nothing, or a refusal.
pub type Answer = Result<Option<Value>, Refusal>;

/// An answer kept under an idempotency key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Kept {
    first_used: Timestamp,
    status: u16,
    body: String,
    trace: String,
}

/// A request that may act.
pub struct Call {
    /// Decoded path.
    pub path: String,
    pub query: String,
    /// Parsed body; `Null` if there is none or it is not JSON.
    pub body: Value,
    /// Where its answer is kept: secret key, method, URL and `Idempotency-Key`. Only for POST.
    claim: Option<String>,
    echo: Option<HeaderValue>,
}

impl Call {
    /// The path's last segment but `skip`.
    pub fn segment(&self, skip: usize) -> &str {
        self.path.rsplit('/').nth(skip).unwrap_or_default()
    }
}

/// Takes a request through all checks and `effect`, which runs at most once per idempotency key.
pub async fn run(
    core: Arc<Core>,
    operation: Operation,
    request: Request,
    effect: fn(&Arc<Core>, &Call) -> Answer,
) -> Response {
    let call = match accept(request).await {
        Ok(call) => call,
        Err(refusal) => return refused(refusal),
    };
    let worker = Arc::clone(&core);
    let work = move |delay| async move { once(&worker, call, delay, effect).await };
    under_fault(&core, Gateway::Toss, operation, outage, work).await
}

/// Everything that is decided before the idempotency key is looked at.
async fn accept(request: Request) -> Result<Call, Refusal> {
    let (parts, body) = request.into_parts();
    let secret_key = authorize(&parts.headers)?;
    let key = parts.headers.get("idempotency-key").cloned();
    if key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY) {
        return Err(errors::INVALID_IDEMPOTENCY_KEY);
    }
    if let Some(code) = parts.headers.get("tosspayments-test-code") {
        return Err(code.to_str().ok().and_then(errors::find).unwrap_or(errors::INVALID_TEST_CODE));
    }
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
    let echo = key.filter(|_| parts.method == Method::POST);
    let claim = echo.as_ref().map(|key| {
        let key = String::from_utf8_lossy(key.as_bytes());
        format!("{secret_key} {} {path} {key}", parts.method)
    });
    let bytes = axum::body::to_bytes(body, LARGEST_BODY).await.map_err(|_| errors::INVALID_REQUEST)?;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Ok(Call { path, query: parts.uri.query().unwrap_or_default().to_owned(), body, claim, echo })
}

/// `Basic base64("{secretKey}:")` with a test key of the API-individual kind.
fn authorize(headers: &HeaderMap) -> Result<String, Refusal> {
    let encoded = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .ok_or(errors::UNAUTHORIZED_KEY)?;
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| errors::UNAUTHORIZED_KEY)?;
    let text = String::from_utf8(decoded).map_err(|_| errors::UNAUTHORIZED_KEY)?;
    let (key, _password) = text.split_once(':').ok_or(errors::INCORRECT_BASIC_AUTH_FORMAT)?;
    let usable = key.strip_prefix("test_sk_").is_some_and(|rest| !rest.is_empty());
    if usable { Ok(key.to_owned()) } else { Err(errors::UNAUTHORIZED_KEY) }
}

enum Claimed {
    Fresh,
    Running,
    Answered(Kept),
}

/// The effect, or the answer it had the first time.
async fn once(core: &Arc<Core>, call: Call, delay: Duration, effect: fn(&Arc<Core>, &Call) -> Answer) -> Response {
    let trace = trace_id();
    if let Some(claim) = &call.claim {
        match take(core, claim) {
            Claimed::Fresh => {}
            Claimed::Running => {
                let refusal = errors::IDEMPOTENT_REQUEST_PROCESSING;
                return respond(refusal.status, refusal.body(), &trace, call.echo);
            }
            Claimed::Answered(kept) => {
                let both = format!("{trace}, {}", kept.trace);
                return respond(kept.status, kept.body, &both, call.echo);
            }
        }
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let (status, body) = match effect(core, &call) {
        Ok(Some(object)) => (200, object.to_string()),
        Ok(None) => (200, String::new()),
        Err(refusal) => (refusal.status, refusal.body()),
    };
    if let Some(claim) = call.claim {
        let first_used = core.now();
        let mut toss = lock(&core.toss);
        toss.running.remove(&claim);
        // Whether Toss keeps a 5xx is not known; letting a repeat act again is the harder case for a client.
        if status < 500 {
            toss.idempotency.insert(claim, Kept { first_used, status, body: body.clone(), trace: trace.clone() });
        }
    }
    respond(status, body, &trace, call.echo)
}

fn take(core: &Core, claim: &str) -> Claimed {
    let now = core.now();
    let mut toss = lock(&core.toss);
    if let Some(kept) = toss.idempotency.get(claim) {
        if now.duration_since(kept.first_used) < KEPT {
            return Claimed::Answered(kept.clone());
        }
        toss.idempotency.remove(claim);
    }
    if toss.running.insert(claim.to_owned()) { Claimed::Fresh } else { Claimed::Running }
}

fn refused(refusal: Refusal) -> Response {
    respond(refusal.status, refusal.body(), &trace_id(), None)
}

fn outage(outage: Outage) -> Response {
    refused(match outage {
        Outage::ServerError => errors::COMMON_ERROR,
        Outage::RateLimited => errors::TOO_MANY_REQUESTS,
    })
}

fn respond(status: u16, body: String, trace: &str, echo: Option<HeaderValue>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let empty = body.is_empty();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if !empty {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Ok(trace) = HeaderValue::from_str(trace) {
        headers.insert(TRACE, trace);
    }
    if let Some(echo) = echo {
        headers.insert("idempotency-key", echo);
    }
    response
}

/// 32 hexadecimal characters.
fn trace_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
