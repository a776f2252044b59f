//! What every Stripe request goes through, in Stripe's order: key, version, address, rate limit, idempotency,
//! parameters, effect. Faults strike where the real ones would.
//!
//! Invariants: the work runs as its own task, so a caller that hangs up does not undo it; effect, ledger, deliveries
//! and the kept answer are written under one lock.

use super::{
    call::{Call, Outgoing, VERSION},
    expand,
    failure::Failure,
    form::Form,
    idempotency::{self, Claim, Kept},
    keys, refunds,
    routes::{self, Route},
    state::StripeState,
};
use crate::{
    core::{Core, Delivery, Fault, FaultKind, Gateway, LedgerEntry, Signing, lock},
    line,
};
use axum::{
    body::to_bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request::Parts};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const LARGEST_BODY: usize = 256 * 1024;
/// From this version on `payment_method_types` is gone as a parameter.
const NO_METHOD_TYPES: &str = "2026-09-30";

/// What identifies a request in its answer.
struct Head {
    request_id: String,
    version: String,
    key: Option<String>,
}

/// An answer before its headers.
struct Reply {
    status: u16,
    body: String,
    /// The request that first ran under the key.
    original: Option<String>,
    replayed: bool,
    limited: Option<&'static str>,
}

/// A request that passed everything before idempotency.
struct Ready {
    route: &'static Route,
    path: String,
    id: String,
    form: Form,
}

/// Answers one request.
pub async fn serve(State(core): State<Arc<Core>>, request: Request) -> Response {
    match tokio::spawn(async move { answer(&core, request).await }).await {
        Ok(answer) => answer,
        Err(broken) => {
            tracing::error!(%broken, "a Stripe handler panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn answer(core: &Arc<Core>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let head = Head {
        request_id: format!("req_{}", core.token(14)),
        version: text("stripe-version").unwrap_or_else(|| VERSION.to_owned()),
        key: text("idempotency-key").filter(|key| parts.method == Method::POST && !key.is_empty()),
    };
    let body = match to_bytes(body, LARGEST_BODY).await {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(_) => return respond(&head, refused(&head, &Failure::request("Invalid request: body too large."))),
    };
    match ready(core, &head, &parts, &body) {
        Err(failure) => respond(&head, refused(&head, &failure)),
        Ok(ready) => match run(core, &head, ready).await {
            Some(reply) => respond(&head, reply),
            None => line::cut(),
        },
    }
}

/// Key, version, address, encoding.
fn ready(core: &Arc<Core>, head: &Head, parts: &Parts, body: &str) -> Result<Ready, Failure> {
    keys::authorise(&parts.headers, &lock(&core.stripe).settings.accepted_keys)?;
    if !well_formed(&head.version) {
        return Err(Failure::request(&format!("Invalid Stripe API version: {}", head.version)));
    }
    if head.key.as_ref().is_some_and(|key| key.chars().count() > idempotency::LONGEST) {
        return Err(Failure::request("Idempotency keys can be at most 255 characters long."));
    }
    let path = parts.uri.path().to_owned();
    let (route, id) = routes::find(parts.method.as_str(), &path)?;
    let id = id.to_owned();
    if !body.is_empty() && !is_form(&parts.headers) {
        return Err(Failure::request(
            "Invalid request (check that your POST content type is application/x-www-form-urlencoded).",
        ));
    }
    let query = parts.uri.query().unwrap_or_default();
    let form = Form::parse(&format!("{query}&{body}"))?;
    Ok(Ready { route, path, id, form })
}

/// `2026-10-28.endive`, or an older bare date.
fn well_formed(version: &str) -> bool {
    let (date, name) = version.split_once('.').unwrap_or((version, "none"));
    let digits = date.split('-').map(|part| part.chars().filter(char::is_ascii_digit).count());
    digits.eq([4, 2, 2]) && date.len() == 10 && !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase())
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

/// Rate limit, idempotency, effect, with the armed fault. `None`: the connection is cut.
async fn run(core: &Arc<Core>, head: &Head, ready: Ready) -> Option<Reply> {
    let fault = core.take_fault(Gateway::Stripe, ready.route.operation);
    let (before, after) = fault.map_or((Duration::ZERO, Duration::ZERO), Fault::waits);
    match fault.map(|fault| fault.kind) {
        Some(FaultKind::DropBefore) => {
            tokio::time::sleep(before).await;
            return None;
        }
        Some(FaultKind::RateLimited) => {
            tokio::time::sleep(before).await;
            return Some(refused(head, &Failure::rate_limited()));
        }
        _ => {}
    }
    if let Some(reply) = already(core, head, &ready) {
        return answered(fault, reply);
    }
    tokio::time::sleep(before).await;
    let reply = execute(core, head, &ready, fault);
    tokio::time::sleep(after).await;
    answered(fault, reply)
}

fn answered(fault: Option<Fault>, reply: Reply) -> Option<Reply> {
    let dropped = fault.is_some_and(|fault| fault.kind == FaultKind::DropAfter);
    (!dropped).then_some(reply)
}

/// What the key says; `None` if this request is to run.
fn already(core: &Arc<Core>, head: &Head, ready: &Ready) -> Option<Reply> {
    let key = head.key.as_deref()?;
    let print = idempotency::fingerprint(&ready.path, ready.form.flat());
    let now = core.now().as_second();
    match lock(&core.stripe).keys.claim(key, &print, &head.request_id, now) {
        Claim::Fresh => None,
        Claim::InUse => Some(refused(head, &Failure::key_in_use(key))),
        Claim::Mismatch => Some(refused(head, &Failure::key_mismatch(key))),
        Claim::Replay(Kept { status, body }, original) => {
            Some(Reply { status, body, original: Some(original), replayed: true, limited: None })
        }
    }
}

/// Runs the endpoint (unless the fault forbids), writes down what came of it, and keeps the answer under the key.
fn execute(core: &Arc<Core>, head: &Head, ready: &Ready, fault: Option<Fault>) -> Reply {
    let mut state = lock(&core.stripe);
    let kind = fault.map(|fault| fault.kind);
    let result = if kind == Some(FaultKind::ErrorBefore) {
        Err(Failure::server())
    } else {
        settle_ripe(core, &mut state, false);
        endpoint(core, &mut state, head, ready)
    };
    let result = if kind == Some(FaultKind::ErrorAfter) { Err(Failure::server()) } else { result };
    let kept = result.as_ref().map_or_else(|failure| failure.kept, |_| true);
    let mut reply = match result {
        Ok(value) => Reply { status: 200, body: value.to_string(), original: None, replayed: false, limited: None },
        Err(failure) => refused(head, &failure),
    };
    if let Some(key) = &head.key {
        if kept {
            state.keys.finish(key, Kept { status: reply.status, body: reply.body.clone() });
        } else {
            state.keys.release(key);
        }
        reply.original = Some(head.request_id.clone());
    }
    reply
}

fn endpoint(core: &Arc<Core>, state: &mut StripeState, head: &Head, ready: &Ready) -> Result<Value, Failure> {
    let Ready { route, path, id, form } = ready;
    if form.has("payment_method_types") && head.version.as_str() >= NO_METHOD_TYPES {
        let message = "The `payment_method_types` parameter is no longer supported. Use `automatic_payment_methods`, \
                       `allowed_payment_method_types` or `excluded_payment_method_types`.";
        return Err(Failure::coded("payment_method_types_no_longer_supported", "payment_method_types", message));
    }
    form.only(&route.known.concat())?;
    let paths = form.list("expand");
    expand::check(route.answers, &paths)?;
    let (request_id, key) = (Some(head.request_id.as_str()), head.key.as_deref());
    let (ledger, outbox) = (Vec::new(), Vec::new());
    let mut call = Call { state, core, form, path, at: core.now(), request_id, key, ledger, outbox };
    let result = (route.endpoint)(&mut call, id).map(|mut value| {
        expand::apply(call.state, call.now(), &mut value, &paths);
        value
    });
    let Call { ledger, outbox, .. } = call;
    publish(core, ledger, outbox);
    result
}

/// Lets refunds turn whose time has come (or all).
pub fn settle_ripe(core: &Arc<Core>, state: &mut StripeState, everything: bool) {
    let form = Form::default();
    let mut call = Call::automatic(state, core, &form, core.now());
    refunds::turn(&mut call, everything);
    let Call { ledger, outbox, .. } = call;
    publish(core, ledger, outbox);
}

/// Applies what a call left behind.
pub fn publish(core: &Arc<Core>, ledger: Vec<LedgerEntry>, outbox: Vec<Outgoing>) {
    for entry in ledger {
        core.record(entry);
    }
    for Outgoing { order_id, kind, body } in outbox {
        core.deliver(Delivery {
            gateway: Gateway::Stripe,
            order_id,
            event_type: kind,
            body: body.into_bytes(),
            sign: Signing::Stripe,
        });
    }
}

fn refused(head: &Head, failure: &Failure) -> Reply {
    let body = failure.body(&head.request_id).to_string();
    Reply { status: failure.status, body, original: None, replayed: false, limited: failure.limited }
}

fn respond(head: &Head, reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, reply.body).into_response();
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        // A value that cannot be a header is not echoed.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", "application/json");
    set("request-id", &head.request_id);
    set("stripe-version", &head.version);
    if let Some(key) = &head.key {
        set("idempotency-key", key);
    }
    if let Some(original) = &reply.original {
        set("original-request", original);
    }
    if reply.replayed {
        set("idempotent-replayed", "true");
    }
    if matches!(reply.status, 402 | 500) {
        set("stripe-should-retry", "false");
    }
    if let Some(reason) = reply.limited {
        set("stripe-rate-limited-reason", reason);
    }
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_a_date_and_perhaps_a_name() {
        assert!(["2026-10-28.endive", "2020-08-27"].iter().all(|version| super::well_formed(version)));
        assert!(
            ["", "latest", "2026-10-28.", "2026-1-28.endive", "26-10-2801.x"]
                .iter()
                .all(|bad| !super::well_formed(bad))
        );
    }
}
