//! Reading JSON bodies: size, media type, syntax, card numbers, then types, each with its own answer.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ApiError, Request, card_guard};

/// Largest body of our own API, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// Longest field name repeated to a caller.
const NAME_MAX: usize = 64;

impl Request {
    /// The JSON body as `T`, which should deny unknown fields.
    ///
    /// # Errors
    /// 413 too large, 415 not JSON, 400 unparsable, 422 card number or a field that is unknown, missing or of the
    /// wrong type, with the field named.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let value = self.json_value()?;
        serde_path_to_error::deserialize(value)
            .map_err(|error| field_error(&error.path().to_string(), &error.inner().to_string()))
    }

    /// Like [`Request::json`]; an empty body is `T::default()`.
    ///
    /// # Errors
    /// As [`Request::json`].
    pub fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }

    fn json_value(&self) -> Result<Value, ApiError> {
        if self.body.len() > BODY_MAX {
            return Err(ApiError::new(413, "body_too_large", format!("The body may have {BODY_MAX} bytes.")));
        }
        if !self.header("content-type").is_some_and(is_json) {
            return Err(ApiError::new(415, "unsupported_media_type", "The body must be application/json."));
        }
        let value: Value = serde_json::from_slice(&self.body)
            .map_err(|_| ApiError::new(400, "invalid_json", "The body is not valid JSON."))?;
        if let Some(field) = card_guard::find(&value) {
            return Err(ApiError::card_number_refused(field));
        }
        // A deserializer would take an array for a struct, by position.
        if value.is_object() {
            Ok(value)
        } else {
            Err(ApiError::invalid_field("body", "invalid_type", "must be an object"))
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    json && parts
        .all(|parameter| parameter.is_empty() || parameter.to_ascii_lowercase().replace('"', "") == "charset=utf-8")
}

/// Turns a deserializer's complaint into a named field. The complaint may quote the caller's value, so only the parts
/// our own types contribute (field names, what was expected) are passed on.
fn field_error(path: &str, complaint: &str) -> ApiError {
    let expected = complaint.rsplit_once(", expected ").map(|(_, expected)| expected);
    let (field, code, message) = if let Some(name) = quoted(complaint, "missing field `") {
        (join(path, name), "missing_field", "is required".to_owned())
    } else if let Some(name) = quoted(complaint, "unknown field `") {
        (ending_in(path, name), "unknown_field", "is not a field of this request".to_owned())
    } else if complaint.starts_with("invalid type") {
        (whole(path), "invalid_type", expected.map_or("has the wrong type".to_owned(), |e| format!("must be {e}")))
    } else if complaint.starts_with("unknown variant") {
        (whole(path), "invalid_value", expected.map_or("is not a known value".to_owned(), |e| format!("must be {e}")))
    } else {
        (whole(path), "invalid_value", "is not valid".to_owned())
    };
    let field = field.chars().take(NAME_MAX).collect::<String>();
    ApiError::invalid_field(field, code, message)
}

fn quoted<'a>(complaint: &'a str, opening: &str) -> Option<&'a str> {
    complaint.strip_prefix(opening)?.split_once('`').map(|(name, _)| name)
}

fn whole(path: &str) -> String {
    if path == "." { "body".to_owned() } else { path.to_owned() }
}

fn join(path: &str, name: &str) -> String {
    if path == "." { name.to_owned() } else { format!("{path}.{name}") }
}

/// The path of an unknown field; the deserializer may or may not have stepped into it already.
fn ending_in(path: &str, name: &str) -> String {
    if path == name || path.ends_with(&format!(".{name}")) { path.to_owned() } else { join(path, name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Contact {
        email: String,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    enum Decision {
        Approved,
        OnHold,
    }

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Input {
        plan_code: String,
        contact: Contact,
        #[serde(default)]
        addon_codes: Vec<String>,
        decision: Option<Decision>,
        id: Option<domain::ids::TenantId>,
    }

    fn post(content_type: &str, body: &str) -> Request {
        let mut request = Request { body: body.as_bytes().to_vec(), ..Request::default() };
        request.headers.insert("content-type", content_type.parse().unwrap());
        request
    }

    fn refused(body: &str) -> (u16, String, &'static str) {
        let error = post("application/json", body).json::<Input>().unwrap_err();
        let field = &error.fields()[0];
        (error.status(), field.field.clone(), field.code)
    }

    #[test]
    fn fields_are_named() {
        let ok = r#""planCode":"starter","contact":{"email":"a@b.kr"}"#;
        assert!(post("application/json; charset=UTF-8", &format!("{{{ok}}}")).json::<Input>().is_ok());
        let cases = [
            (format!("{{{ok},\"zip\":1}}"), "zip", "unknown_field"),
            (r#"{"planCode":"s","contact":{"email":"a","fax":1}}"#.to_owned(), "contact.fax", "unknown_field"),
            (r#"{"contact":{"email":"a"}}"#.to_owned(), "planCode", "missing_field"),
            (r#"{"planCode":"s","contact":{}}"#.to_owned(), "contact.email", "missing_field"),
            (r#"{"planCode":7,"contact":{"email":"a"}}"#.to_owned(), "planCode", "invalid_type"),
            (format!("{{{ok},\"addonCodes\":[\"a\",1]}}"), "addonCodes[1]", "invalid_type"),
            (format!("{{{ok},\"decision\":\"NO\"}}"), "decision", "invalid_value"),
            (format!("{{{ok},\"id\":\"ten_1\"}}"), "id", "invalid_value"),
            ("[]".to_owned(), "body", "invalid_type"),
            ("\"x\"".to_owned(), "body", "invalid_type"),
        ];
        for (body, field, code) in cases {
            assert_eq!(refused(&body), (422, field.to_owned(), code), "{body}");
        }
    }

    #[test]
    fn a_value_is_never_echoed() {
        let request = post("application/json", r#"{"planCode":"s","contact":"secret-value, expected nothing"}"#);
        let error = request.json::<Input>().unwrap_err();
        let shown = String::from_utf8(error.into_reply("r").body).unwrap();
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn card_numbers_are_refused_wherever_they_are() {
        for body in [
            r#"{"planCode":"s","contact":{"email":"4242 4242 4242 4242"}}"#,
            r#"{"planCode":"s","contact":{"email":"a","4242424242424242":1}}"#,
            r#"{"planCode":4242424242424242}"#,
        ] {
            let error = post("application/json", body).json::<Input>().unwrap_err();
            assert_eq!((error.status(), error.code()), (422, "card_number_refused"));
            assert!(!String::from_utf8(error.into_reply("r").body).unwrap().contains("4242"));
        }
    }

    #[test]
    fn shape_is_checked_before_meaning() {
        let status = |request: Request| request.json::<Input>().unwrap_err().status();
        assert_eq!(status(post("text/plain", "{}")), 415);
        assert_eq!(status(post("application/json; charset=euc-kr", "{}")), 415);
        assert_eq!(status(Request { body: b"{}".to_vec(), ..Request::default() }), 415);
        assert_eq!(status(post("application/json", "{")), 400);
        assert_eq!(status(post("application/json", "")), 400);
        assert_eq!(status(post("application/json", &format!("\"{}\"", "x".repeat(70_000)))), 413);
        assert_eq!(status(post("application/json", &"[".repeat(60_000))), 400, "depth is bounded");
        assert_eq!(Request::default().json_or_default::<Input>().unwrap(), Input::default());
        let blank = post("application/json", " ").json_or_default::<Input>();
        assert_eq!(blank.unwrap_err().status(), 400, "blank is not absent");
    }
}
