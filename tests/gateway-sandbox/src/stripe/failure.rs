//! Stripe's error answers: `{"error":{type, code, …}}` with a status, and whether idempotency keeps the answer.
//!
//! Invariants: `type` is one of Stripe's four wire values; an answer is kept under its key only when the endpoint began to
//! execute (402, state conflicts, 500), never for a parameter or concurrency refusal or a rate limit.

use serde_json::{Map, Value, json};

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// HTTP status.
    pub status: u16,
    /// Whether a replay of the same idempotency key gets this answer again.
    pub kept: bool,
    /// Value of `Stripe-Rate-Limited-Reason`.
    pub limited: Option<&'static str>,
    error: Map<String, Value>,
}

impl Failure {
    fn new(status: u16, kind: &str, message: &str) -> Self {
        let mut error = Map::new();
        error.insert("type".into(), json!(kind));
        error.insert("message".into(), json!(message));
        Self { status, kept: false, limited: None, error }
    }

    /// Adds or replaces a field of the error object.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.error.insert(name.to_owned(), value.into());
        self
    }

    /// The endpoint had begun to execute, so the answer is kept under the idempotency key.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Refused before execution began, so nothing is kept under the idempotency key.
    #[must_use]
    pub fn unkept(mut self) -> Self {
        self.kept = false;
        self
    }

    fn code(self, code: &str) -> Self {
        let page = code.replace('_', "-");
        self.with("code", code).with("doc_url", format!("https://stripe.com/docs/error-codes/{page}"))
    }

    /// A 400 without a code.
    pub fn request(message: &str) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// A 400 about one parameter.
    pub fn invalid(param: &str, message: &str) -> Self {
        Self::request(message).with("param", param)
    }

    /// A 400 with a code, about one parameter.
    pub fn coded(code: &str, param: &str, message: &str) -> Self {
        Self::invalid(param, message).code(code)
    }

    /// A 400 for an object in the wrong state: execution had begun, so it is kept.
    pub fn state(code: &str, message: &str) -> Self {
        Self::request(message).code(code).keep()
    }

    /// `parameter_unknown`.
    pub fn unknown_parameter(path: &str) -> Self {
        Self::coded("parameter_unknown", path, &format!("Received unknown parameter: {path}"))
    }

    /// `parameter_missing`.
    pub fn missing_parameter(name: &str) -> Self {
        Self::coded("parameter_missing", name, &format!("Missing required param: {name}."))
    }

    /// `parameter_invalid_integer`.
    pub fn invalid_integer(name: &str, text: &str) -> Self {
        Self::coded("parameter_invalid_integer", name, &format!("Invalid integer: {text}"))
    }

    /// The object named in the path is not there: 404.
    pub fn not_found(kind: &str, id: &str) -> Self {
        Self { status: 404, ..Self::missing(kind, id, "id") }
    }

    /// The object named in a parameter is not there: 400.
    pub fn missing(kind: &str, id: &str, param: &str) -> Self {
        Self::coded("resource_missing", param, &format!("No such {kind}: '{id}'"))
    }

    /// An address that is no endpoint.
    pub fn no_route(method: &str, path: &str) -> Self {
        let message = format!("Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs.");
        Self { status: 404, ..Self::request(&message) }
    }

    /// 401.
    pub fn unauthorised(message: &str) -> Self {
        Self::new(401, "invalid_request_error", message)
    }

    /// 401 for a key that was valid once.
    pub fn expired_key(masked: &str) -> Self {
        Self::unauthorised(&format!("Expired API Key provided: {masked}")).code("api_key_expired")
    }

    /// 402: the card was refused; always kept.
    pub fn card(code: &str, message: &str) -> Self {
        Self::new(402, "card_error", message).code(code).keep()
    }

    /// 409 while the first call under the key still runs.
    pub fn key_in_use(key: &str) -> Self {
        let message = format!(
            "There is currently another in-progress request using this Idempotent Key (that probably means you submitted \
             twice, and the other request is still going through): {key}. Please try again later."
        );
        Self { status: 409, ..Self::request(&message) }.code("idempotency_key_in_use")
    }

    /// 400 for a key used before with other parameters or another endpoint.
    pub fn key_mismatch(key: &str) -> Self {
        Self::new(
            400,
            "idempotency_error",
            &format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try \
                 using a key other than '{key}' if you meant to execute a different request."
            ),
        )
    }

    /// 429; the limiter runs before idempotency, so it is never kept.
    pub fn rate_limited() -> Self {
        let message = "Request rate limit exceeded. Learn more about rate limits: https://stripe.com/docs/rate-limits.";
        let failure = Self { status: 429, limited: Some("endpoint-rate"), ..Self::request(message) };
        failure.code("rate_limit")
    }

    /// 500: indeterminate for the caller, and what every replay of its key will see.
    pub fn server() -> Self {
        let message = "An unknown error occurred. The sandbox was told to answer with an error.";
        Self::new(500, "api_error", message).keep()
    }

    /// A text field of the error object.
    #[cfg(test)]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.error.get(name).and_then(Value::as_str)
    }

    /// The error object's fields, as `last_payment_error` shows them.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.error
    }

    /// The body to answer with.
    pub fn body(&self, request_id: &str) -> Value {
        let mut error = self.error.clone();
        let log = format!("https://dashboard.stripe.com/acct_sandbox/test/workbench/logs?object={request_id}");
        error.insert("request_log_url".into(), json!(log));
        json!({ "error": error })
    }
}
