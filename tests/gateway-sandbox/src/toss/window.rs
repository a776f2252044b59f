//! Stands in for Toss's browser window: a script with the SDK's surface and a page that offers test cards.
use std::sync::Arc;

use axum::{
    extract::{Form, Query, State},
    response::{Html, IntoResponse, Redirect, Response},
};
use http::{StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::core::Core;

const SHIM: &str = include_str!("window.js");
const PAGE: &str = include_str!("window.html");
/// The page's way to say "closed without a card".
const CLOSED: &str = "closed";

pub async fn shim() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SHIM).into_response()
}

/// What `requestBillingAuth` opens the window with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    customer_key: String,
    success_url: String,
    fail_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    customer_key: String,
    success_url: String,
    fail_url: String,
    card: String,
}

pub async fn page(Query(opening): Query<Opening>) -> Html<String> {
    let page = PAGE
        .replace("{{customerKey}}", &escape(&opening.customer_key))
        .replace("{{successUrl}}", &escape(&opening.success_url))
        .replace("{{failUrl}}", &escape(&opening.fail_url));
    Html(page)
}

pub async fn choose(State(core): State<Arc<Core>>, Form(choice): Form<Choice>) -> Response {
    let web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    if !web(&choice.success_url) || !web(&choice.fail_url) {
        return (StatusCode::BAD_REQUEST, "successUrl and failUrl must be absolute").into_response();
    }
    if choice.card == CLOSED {
        let answer = [("code", "PAY_PROCESS_CANCELED"), ("message", "사용자가 결제를 취소하였습니다.")];
        return Redirect::to(&with_query(&choice.fail_url, &answer)).into_response();
    }
    match super::grant(&core, &choice.customer_key, &choice.card) {
        Some(auth_key) => {
            let answer = [("customerKey", choice.customer_key.as_str()), ("authKey", auth_key.as_str())];
            Redirect::to(&with_query(&choice.success_url, &answer)).into_response()
        }
        None => (StatusCode::BAD_REQUEST, "no such test card").into_response(),
    }
}

fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let mut whole = url.to_owned();
    for (name, value) in pairs {
        let joint = match whole.chars().last() {
            Some('?' | '&') => "",
            _ if whole.contains('?') => "&",
            _ => "?",
        };
        whole = format!("{whole}{joint}{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    whole
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_appended_to_what_is_there() {
        assert_eq!(with_query("http://a/b", &[("c", "d e"), ("f", "=")]), "http://a/b?c=d%20e&f=%3D");
        assert_eq!(with_query("http://a/b?x=1&", &[("c", "d")]), "http://a/b?x=1&c=d");
        assert_eq!(with_query("http://a/b?x=1", &[("c", "d")]), "http://a/b?x=1&c=d");
    }
}
