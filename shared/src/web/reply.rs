//! What a handler answers: a [`Reply`], or an [`ApiError`] that becomes an RFC 9457 problem document.
//!
//! Two audiences: `message` and `fields` are for the caller and hold nothing a caller may not read; the source chain is
//! for the log line alone. Every answer says that it is not to be kept (unless it is the same for everybody), guessed at,
//! framed, run, or reached without TLS; an address is told to nobody.

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::store::StoreError;

/// Correlates an answer with the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What an answer of ours may load when a browser shows it: nothing. A page adds its own style.
const NOTHING: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Two years.
const TLS_ONLY: &str = "max-age=63072000; includeSubDomains";

/// A finished answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON answer. `status` must be a valid HTTP status.
    ///
    /// # Errors
    /// When the body does not serialize, which is a bug.
    pub fn json(status: u16, body: &impl Serialize) -> Result<Reply, ApiError> {
        let body = serde_json::to_vec(body).map_err(ApiError::internal)?;
        Ok(Reply::raw(status, "application/json", body))
    }

    /// A page that runs nothing and loads nothing: its one style sheet is `css`, and its address, which may hold a token,
    /// is told to nobody. The body must hold `css` as it is in its one `<style>`.
    #[must_use]
    pub fn page(status: u16, body: String, css: &str) -> Reply {
        let mut reply = Reply::raw(status, "text/html; charset=utf-8", body.into_bytes());
        let style = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(css));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            reply.headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        reply.headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
        reply
    }

    /// A sheet to be saved under `name`; `next` is where the following one starts. Both are visible ASCII, or are left out.
    #[must_use]
    pub fn sheet(name: &str, csv: String, next: Option<&str>) -> Reply {
        let mut reply = Reply::raw(200, "text/csv; charset=utf-8", csv.into_bytes());
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            reply.headers.insert(http::header::CONTENT_DISPOSITION, value);
        }
        if let Some(Ok(value)) = next.map(HeaderValue::from_str) {
            reply.headers.insert("x-next-cursor", value);
        }
        reply
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Reply {
        let mut reply = Reply::raw(status, "", Vec::new());
        reply.headers.remove(CONTENT_TYPE);
        reply
    }

    /// Adds a cookie. Values we set are visible ASCII; anything else is dropped rather than sent broken.
    #[must_use]
    pub fn with_cookie(mut self, cookie: &str) -> Reply {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            self.headers.append(http::header::SET_COOKIE, value);
        }
        self
    }

    pub(crate) fn with_request_id(mut self, id: &str) -> Reply {
        if let Ok(value) = HeaderValue::from_str(id) {
            self.headers.insert(REQUEST_ID, value);
        }
        self
    }

    fn raw(status: u16, content_type: &'static str, body: Vec<u8>) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(NOTHING));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ONLY));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Reply { status, headers, body }
    }
}

/// One field the caller got wrong. `field` is a JSON path (`contact.email`, `items[0].item`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: String,
    pub code: &'static str,
    pub message: String,
}

impl FieldError {
    #[must_use]
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), code, message: message.into() }
    }
}

type Source = Box<dyn Error + Send + Sync>;

/// A refusal or a failure. Boxed so that a `Result` stays small.
pub struct ApiError(Box<Inner>);

struct Inner {
    status: u16,
    code: &'static str,
    message: String,
    fields: Vec<FieldError>,
    extra: Map<String, Value>,
    retry_after: Option<u32>,
    source: Option<Source>,
}

impl ApiError {
    /// Any status and stable code; the message is for the caller.
    #[must_use]
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> ApiError {
        let (fields, extra) = (Vec::new(), Map::new());
        ApiError(Box::new(Inner {
            status,
            code,
            message: message.into(),
            fields,
            extra,
            retry_after: None,
            source: None,
        }))
    }

    /// 422 with the fields named; the first one's code is the problem's. An empty list still refuses.
    #[must_use]
    pub fn invalid_fields(fields: Vec<FieldError>) -> ApiError {
        let code = fields.first().map_or("invalid_request", |field| field.code);
        let mut error = ApiError::new(422, code, "The request has fields that are missing or not valid.");
        error.0.fields = fields;
        error
    }

    /// 422 for one field.
    #[must_use]
    pub fn invalid_field(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::invalid_fields(vec![FieldError::new(field, code, message)])
    }

    #[must_use]
    pub fn card_number_refused(field: impl Into<String>) -> ApiError {
        let message = "holds a payment card number; those are entered in the gateway's window only";
        ApiError::invalid_field(field, "card_number_refused", message)
    }

    #[must_use]
    pub fn unauthorized() -> ApiError {
        ApiError::new(401, "unauthorized", "A valid token is required.")
    }

    #[must_use]
    pub fn forbidden() -> ApiError {
        ApiError::new(403, "forbidden", "This caller may not do this.")
    }

    /// 404 for what does not exist *and* for what belongs to somebody else: the two look alike on purpose.
    #[must_use]
    pub fn not_found() -> ApiError {
        ApiError::new(404, "not_found", "There is nothing here.")
    }

    /// 409: the state does not allow it.
    #[must_use]
    pub fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(409, code, message)
    }

    /// 429 with the seconds to wait.
    #[must_use]
    pub fn too_many_requests(retry_after_s: u32) -> ApiError {
        let mut error = ApiError::new(429, "rate_limited", "Too many requests; try again later.");
        error.0.retry_after = Some(retry_after_s);
        error
    }

    /// 500: a bug or a broken row. The source goes to the log only.
    #[must_use]
    pub fn internal(source: impl Into<Source>) -> ApiError {
        let mut error = ApiError::new(500, "internal_error", "Something went wrong on our side.");
        error.0.source = Some(source.into());
        error
    }

    /// 503: something we depend on is away; the same request is worth repeating.
    #[must_use]
    pub fn unavailable(source: impl Into<Source>) -> ApiError {
        let mut error = ApiError::new(503, "unavailable", "Temporarily unavailable; try again.");
        error.0.retry_after = Some(1);
        error.0.source = Some(source.into());
        error
    }

    /// Says after how many seconds the same request is worth repeating.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> ApiError {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Adds a member to the problem document, for example `declineClass`. Standard members are not replaced.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> ApiError {
        self.0.extra.insert(member.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    #[must_use]
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// The causes, outermost first, for the log.
    #[must_use]
    pub fn causes(&self) -> String {
        let mut text = String::new();
        let mut next: Option<&(dyn Error + 'static)> = self.0.source.as_ref().map(|s| s.as_ref() as _);
        while let Some(cause) = next {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    /// The problem document (RFC 9457). `code` is the stable name; the type is `about:blank`, so the title is the
    /// status phrase.
    pub(crate) fn into_reply(self, request_id: &str) -> Reply {
        let Inner { status, code, message, fields, extra, retry_after, source: _ } = *self.0;
        let title = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        let mut problem = extra;
        problem.insert("type".to_owned(), "about:blank".into());
        problem.insert("title".to_owned(), title.into());
        problem.insert("status".to_owned(), status.into());
        problem.insert("code".to_owned(), code.into());
        problem.insert("detail".to_owned(), message.into());
        problem.insert("requestId".to_owned(), request_id.into());
        if !fields.is_empty() {
            problem.insert("errors".to_owned(), json!(fields));
        }
        let body = Value::Object(problem).to_string().into_bytes();
        let mut reply = Reply::raw(status, "application/problem+json", body);
        if let Some(seconds) = retry_after {
            reply.headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == 401 {
            reply.headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        reply
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiError({} {} {:?})", self.0.status, self.0.code, self.0.fields)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::Conflict { .. } => {
                ApiError::conflict("conflict", "Somebody else changed this at the same time; load it and try again.")
            }
            StoreError::BadCursor => ApiError::invalid_field("cursor", "invalid_value", "is not of this list"),
            StoreError::Unavailable(_) => ApiError::unavailable(error),
            StoreError::TooLarge | StoreError::Corrupt(_) => ApiError::internal(error),
        }
    }
}

impl From<crate::gateway::KeysUnavailable> for ApiError {
    fn from(error: crate::gateway::KeysUnavailable) -> ApiError {
        ApiError::unavailable(error)
    }
}

impl From<crate::ports::VaultError> for ApiError {
    fn from(error: crate::ports::VaultError) -> ApiError {
        match error {
            crate::ports::VaultError::Unavailable => ApiError::unavailable(error),
            crate::ports::VaultError::Refused => ApiError::internal(error),
        }
    }
}

impl From<crate::secrets::SecretsError> for ApiError {
    fn from(error: crate::secrets::SecretsError) -> ApiError {
        ApiError::unavailable(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_code_fields_and_request() {
        let error = ApiError::invalid_field("contact.email", "invalid_email", "is not an address").with("hint", 1);
        let reply = error.into_reply("r-1");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            json!({"type": "about:blank", "title": "Unprocessable Entity", "status": 422, "code": "invalid_email",
                "detail": "The request has fields that are missing or not valid.", "requestId": "r-1", "hint": 1,
                "errors": [{"field": "contact.email", "code": "invalid_email", "message": "is not an address"}]})
        );
        assert_eq!(reply.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(reply.headers[CACHE_CONTROL], "no-store");
        assert_eq!(reply.headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(reply.headers[REFERRER_POLICY], "no-referrer");
        assert!(reply.headers[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none';"));
        assert!(reply.headers.contains_key(STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn causes_reach_the_log_and_never_the_caller() {
        let error = ApiError::from(StoreError::Corrupt("row x".to_owned()));
        assert_eq!(error.causes(), "corrupt row: row x");
        assert_eq!(error.status(), 500);
        let reply = error.into_reply("r");
        assert!(!String::from_utf8(reply.body).unwrap().contains("row x"));
        let away = ApiError::from(StoreError::Unavailable("t".to_owned())).into_reply("r");
        assert_eq!((away.status.as_u16(), away.headers["retry-after"].to_str().unwrap()), (503, "1"));
    }

    #[test]
    fn standard_members_are_not_replaced() {
        let reply = ApiError::new(402, "payment_declined", "no").with("status", 1).with("declineClass", "SOFT");
        let body: Value = serde_json::from_slice(&reply.into_reply("r").body).unwrap();
        assert_eq!((&body["status"], &body["declineClass"]), (&json!(402), &json!("SOFT")));
    }
}
