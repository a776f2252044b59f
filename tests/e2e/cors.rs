//! What pages of other origins are told, and that every kind of answer is safe in a browser.

use reqwest::header::{HeaderMap, HeaderName, ORIGIN};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::{Stack, hardened};

/// `infra/local/settings.py` allows it.
const PORTAL: &str = "https://portal.mindgarden.example";
const STRANGERS: [&str; 7] = [
    "https://evil.example",
    "null",
    "http://portal.mindgarden.example",
    "https://portal.mindgarden.example:8443",
    "https://portal.mindgarden.example.evil.example",
    "https://PORTAL.mindgarden.example",
    "http://localhost:5174",
];

fn says(headers: &HeaderMap, name: &str) -> String {
    headers.get(HeaderName::try_from(name).unwrap()).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Nothing of what gives leave is said, in any spelling.
#[track_caller]
fn silent(what: &str, headers: &HeaderMap) {
    let said: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("access-control-")).collect();
    assert!(said.is_empty(), "{what}: {said:?}");
}

/// Paths of the document with something in the braces.
fn paths() -> Vec<String> {
    let document = ::contract::document();
    let paths = document["paths"].as_object().unwrap().keys().filter(|path| !path.contains("/payments/webhook"));
    let filled = |path: &String| {
        let segments = path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment });
        segments.collect::<Vec<_>>().join("/")
    };
    paths.map(filled).collect()
}

#[tokio::test]
async fn a_preflight_of_every_path_gives_leave_to_listed_origins_only() {
    let stack = Stack::new();
    let ask = |path: &str, origin: &'static str| {
        let request = stack.http.request(Method::OPTIONS, format!("{}{path}", stack.api)).header(ORIGIN, origin);
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
    };
    let paths = paths();
    assert!(paths.len() > 30, "{paths:?}");
    for path in &paths {
        let answer = ask(path, PORTAL).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{path}");
        let headers = answer.headers();
        assert_eq!(says(headers, "access-control-allow-origin"), PORTAL, "{path}");
        assert_eq!(says(headers, "access-control-allow-credentials"), "true", "{path}");
        assert_eq!(says(headers, "access-control-allow-methods"), "GET, POST, PATCH, DELETE", "{path}");
        let taken = says(headers, "access-control-allow-headers").to_ascii_lowercase();
        for name in ["authorization", "content-type", "idempotency-key", "x-csrf-protection"] {
            assert!(taken.split(", ").any(|n| n == name), "{path}: {name} of {taken}");
        }
        assert_eq!(says(headers, "vary"), "Origin", "{path}");
        hardened(path, headers);
    }
    for stranger in STRANGERS {
        let answer = ask("/api/v1/plans", stranger).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{stranger}");
        silent(stranger, answer.headers());
    }
    let without = stack.http.request(Method::OPTIONS, format!("{}/api/v1/plans", stack.api)).send().await.unwrap();
    silent("no origin", without.headers());
}

#[tokio::test]
async fn answers_and_refusals_are_readable_for_listed_origins_only() {
    let stack = Stack::new();
    let ops = stack.ops().await;
    let (_, subscription) = stack.onboard("toss", "starter").await;
    let get = |path: &str| stack.request(Method::GET, path, Some(ops));
    let requests: Vec<(u16, RequestBuilder)> = vec![
        (200, stack.request(Method::GET, "/plans", None)),
        (200, stack.request(Method::GET, "/openapi.json", None)),
        (200, get("/ops/gateways")),
        (200, get(&format!("/billing/subscriptions/{subscription}"))),
        (404, get("/billing/subscriptions/7")),
        (404, stack.request(Method::GET, "/billing/guides/x", None)),
        (422, get("/ops/runs?limit=0")),
        (422, stack.request(Method::POST, "/onboarding/requests", None).json(&json!({}))),
        (401, stack.request(Method::POST, "/auth/login", None).json(&json!({ "username": "x", "password": "x" }))),
    ];
    for (status, request) in requests {
        let from = |origin: &'static str| request.try_clone().unwrap().header(ORIGIN, origin).send();
        let answer = from(PORTAL).await.unwrap();
        let path = answer.url().path().to_owned();
        assert_eq!(answer.status(), status, "{path}");
        let headers = answer.headers();
        hardened(&path, headers);
        assert_eq!(says(headers, "access-control-allow-origin"), PORTAL, "{path}");
        assert!(says(headers, "access-control-expose-headers").contains("X-Request-Id"), "{path}");
        assert!(headers.get_all("vary").iter().any(|v| v == "Origin"), "{path}");
        silent(&path, from("https://evil.example").await.unwrap().headers());
    }
}

#[tokio::test]
async fn gateways_and_pages_are_told_nothing_of_other_origins() {
    let stack = Stack::new();
    let webhook = format!("{}/api/v1/billing/payments/webhook/stripe", stack.webhook);
    let answer = stack.http.post(webhook).header(ORIGIN, PORTAL).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    hardened("the webhook", answer.headers());
    silent("the webhook", answer.headers());
}
