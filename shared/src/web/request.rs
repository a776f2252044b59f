//! A request as handlers see it: plain values, whichever gateway brought it, and the readers that parse them once.

use domain::Date;
use domain::ids::MalformedId;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{ApiError, card_guard};
use crate::auth::Caller;
use crate::auth::permissions::Route;
use crate::auth::session::Session;

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
const IDEMPOTENCY_KEY_MAX: usize = 255;
const CURSOR_MAX: usize = 2_048;

/// One HTTP request. No `Debug`: it carries personal data and credentials.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    /// Without the stage, percent-encoded as received.
    pub path: String,
    /// Decoded path parameters by name.
    pub path_params: Vec<(String, String)>,
    /// Decoded query parameters in order.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Who the authorizer says calls; `None` on public routes.
    pub caller: Option<Caller>,
    /// The session the caller came with.
    pub session: Option<Session>,
    pub request_id: String,
    /// Wall-clock instant at which the platform cuts this invocation off.
    pub deadline: Timestamp,
    pub source_ip: String,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            method: Method::GET,
            path: String::new(),
            path_params: Vec::new(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            caller: None,
            session: None,
            request_id: String::new(),
            deadline: Timestamp::MAX,
            source_ip: String::new(),
        }
    }
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// 1 to 100.
    pub limit: u32,
    pub cursor: Option<String>,
}

impl Request {
    /// The caller, if the route's permissions let this role in.
    ///
    /// # Errors
    /// 401 without a caller, 403 for a role the route does not list.
    pub fn caller(&self, route: Route) -> Result<&Caller, ApiError> {
        let caller = self.caller.as_ref().ok_or_else(ApiError::unauthorized)?;
        if route.permits(caller.role) { Ok(caller) } else { Err(ApiError::forbidden()) }
    }

    /// The path parameter `id`, parsed: `request.path_id(SubscriptionId::parse)?`.
    ///
    /// # Errors
    /// 404 when it is malformed, exactly as if nothing had that id.
    pub fn path_id<T>(&self, parse: impl Fn(&str) -> Result<T, MalformedId>) -> Result<T, ApiError> {
        self.path_param("id").and_then(|text| parse(text).ok()).ok_or_else(ApiError::not_found)
    }

    #[must_use]
    pub fn path_param(&self, name: &str) -> Option<&str> {
        first(&self.path_params, name)
    }

    /// A query parameter. An empty one is there: a list somebody meant to narrow is not shown whole.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// A query parameter read by `parse`, `None` when absent.
    ///
    /// # Errors
    /// 422 naming the parameter when it does not parse.
    pub fn query_parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ApiError> {
        let Some(text) = self.query_param(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| ApiError::invalid_field(name, "invalid_value", "is not a known value"))
    }

    /// A civil date as we write it, `2027-01-31`, `None` when absent.
    ///
    /// # Errors
    /// 422 naming the parameter.
    pub fn query_date(&self, name: &str) -> Result<Option<Date>, ApiError> {
        self.query_parsed(name, |text| text.parse::<Date>().ok().filter(|date| date.to_string() == text))
    }

    /// `limit` (1 to 100, 20 when absent) and `cursor`.
    ///
    /// # Errors
    /// 422 naming the parameter.
    pub fn page(&self) -> Result<Page, ApiError> {
        let limit = match self.query_param("limit") {
            None => LIMIT_DEFAULT,
            Some(text) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| {
                ApiError::invalid_field("limit", "invalid_value", format!("must be 1 to {LIMIT_MAX}"))
            })?,
        };
        let cursor = self.query_param("cursor").map(str::to_owned);
        if cursor.as_ref().is_some_and(|c| c.len() > CURSOR_MAX) {
            return Err(ApiError::invalid_field("cursor", "invalid_value", "is not of this list"));
        }
        Ok(Page { limit, cursor })
    }

    /// A header as text, `None` when absent, repeated or not visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        only.to_str().ok()
    }

    /// The `Idempotency-Key` header: 1 to 255 visible ASCII characters.
    ///
    /// # Errors
    /// 422 when it is there and anything else.
    pub fn idempotency_key(&self) -> Result<Option<&str>, ApiError> {
        let name = "idempotency-key";
        if !self.headers.contains_key(name) {
            return Ok(None);
        }
        let fits =
            |key: &&str| (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        let key = self.header(name).filter(fits).ok_or_else(|| {
            let message = format!("must be one value of 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
            ApiError::invalid_field("Idempotency-Key", "invalid_value", message)
        })?;
        // It is stored as it is.
        if card_guard::contains_card(key) {
            return Err(ApiError::card_number_refused("Idempotency-Key"));
        }
        Ok(Some(key))
    }

    /// What makes two requests under one Idempotency-Key the same: path and body. Bodies are compared as JSON values,
    /// so white space and the order of fields do not matter.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let canonical = serde_json::from_slice::<serde_json::Value>(&self.body).map(|v| v.to_string().into_bytes());
        let body = canonical.unwrap_or_else(|_| self.body.clone());
        hex::encode(Sha256::new().chain_update(&self.path).chain_update([0]).chain_update(body).finalize())
    }

    /// Refuses card numbers in path and query. The server calls it before every handler.
    pub(crate) fn guard_uri(&self) -> Result<(), ApiError> {
        let decoded = percent_encoding::percent_decode_str(&self.path).decode_utf8_lossy();
        if card_guard::contains_card(&decoded) || self.path_params.iter().any(|(_, v)| card_guard::contains_card(v)) {
            return Err(ApiError::card_number_refused("path"));
        }
        for (name, value) in &self.query {
            if card_guard::contains_card(name) {
                return Err(ApiError::card_number_refused("query"));
            }
            if card_guard::contains_card(value) {
                return Err(ApiError::card_number_refused(name.as_str()));
            }
        }
        Ok(())
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::SubscriptionId;

    fn with_query(pairs: &[(&str, &str)]) -> Request {
        let query = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Request { query, ..Request::default() }
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!(with_query(&[]).page().unwrap(), Page { limit: 20, cursor: None });
        let page = with_query(&[("limit", "100"), ("cursor", "abc")]).page().unwrap();
        assert_eq!(page, Page { limit: 100, cursor: Some("abc".to_owned()) });
        for bad in ["0", "101", "-1", "x", "1e2"] {
            let error = with_query(&[("limit", bad)]).page().unwrap_err();
            assert_eq!((error.status(), error.fields()[0].field.as_str()), (422, "limit"), "{bad}");
        }
        assert_eq!(with_query(&[("cursor", &"x".repeat(3_000))]).page().unwrap_err().status(), 422);
    }

    #[test]
    fn a_malformed_id_reads_like_an_absent_one() {
        let id = |text: &str| Request { path_params: vec![("id".to_owned(), text.to_owned())], ..Request::default() };
        assert!(id("sub_01ARZ3NDEKTSV4RRFFQ69G5FAV").path_id(SubscriptionId::parse).is_ok());
        for bad in ["", "sub_", "ten_01ARZ3NDEKTSV4RRFFQ69G5FAV", "sub_01ARZ3NDEKTSV4RRFFQ69G5FAV/x"] {
            assert_eq!(id(bad).path_id(SubscriptionId::parse).unwrap_err().status(), 404, "{bad}");
        }
    }

    #[test]
    fn idempotency_keys_are_visible_ascii() {
        let with = |values: &[&str]| {
            let mut request = Request::default();
            for value in values {
                request.headers.append("idempotency-key", value.parse().unwrap());
            }
            request
        };
        assert_eq!(with(&[]).idempotency_key().unwrap(), None);
        assert_eq!(with(&["a#b"]).idempotency_key().unwrap(), Some("a#b"));
        assert!(with(&[&"k".repeat(255)]).idempotency_key().is_ok());
        for bad in [&["" as &str][..], &["a b"], &["열쇠"], &["a", "b"], &["a, b"]] {
            assert_eq!(with(bad).idempotency_key().unwrap_err().status(), 422, "{bad:?}");
        }
        let card = with(&["order-4242424242424242"]).idempotency_key().unwrap_err();
        assert_eq!((card.status(), card.code()), (422, "card_number_refused"));
        assert_eq!(with(&[&"k".repeat(256)]).idempotency_key().unwrap_err().status(), 422);
    }

    #[test]
    fn fingerprints_see_meaning_and_path() {
        let of = |path: &str, body: &str| {
            Request { path: path.to_owned(), body: body.into(), ..Request::default() }.fingerprint()
        };
        assert_eq!(of("/a", r#"{"a":1,"b":2}"#), of("/a", r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(of("/a", r#"{"a":1}"#), of("/a", r#"{"a":2}"#));
        assert_ne!(of("/a", "{}"), of("/b", "{}"));
    }

    #[test]
    fn card_numbers_in_the_address_are_refused() {
        let path = Request { path: "/x/4242%204242%204242%204242".to_owned(), ..Request::default() };
        assert_eq!(path.guard_uri().unwrap_err().code(), "card_number_refused");
        let query = with_query(&[("q", "4242424242424242")]).guard_uri().unwrap_err();
        assert_eq!((query.code(), query.fields()[0].field.as_str()), ("card_number_refused", "q"));
        assert!(with_query(&[("limit", "20")]).guard_uri().is_ok());
    }

    #[test]
    fn roles_are_checked_again_behind_the_authorizer() {
        let mut request = Request::default();
        assert_eq!(request.caller(Route::ListRuns).err().map(|e| e.status()), Some(401));
        request.caller = Some(Caller::operator("ops", crate::auth::Role::OpsViewer));
        assert!(request.caller(Route::ListRuns).is_ok());
        assert_eq!(request.caller(Route::StartRun).err().map(|e| e.status()), Some(403));
    }
}
