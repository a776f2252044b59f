//! People who log in elsewhere: a real OpenID provider (infra/local/oidc) signs, the deployed authorizer believes it or not.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, redirect};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Stack, var};
use crate::tokens::{operator_token, sign};

/// A browser, as far as a log-in needs one.
struct Browser {
    http: Client,
    cookies: BTreeMap<String, String>,
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut form = reqwest::Url::parse("http://form").unwrap();
    form.query_pairs_mut().extend_pairs(fields);
    form.query().unwrap().to_owned()
}

impl Browser {
    fn new() -> Browser {
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Browser { http, cookies: BTreeMap::new() }
    }

    /// The address an answer sends to, if it does, and its text.
    async fn ask(&mut self, method: Method, url: &str, body: Option<String>) -> (Option<String>, String) {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = self.http.request(method, url);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let next = answer.headers().get(LOCATION).map(|l| l.to_str().unwrap().to_owned());
        (next, answer.text().await.unwrap())
    }
}

/// What the provider's address makes of one of its answers.
fn absolute(location: &str) -> String {
    if location.starts_with('/') { format!("{}{location}", var("OIDC_URL")) } else { location.to_owned() }
}

/// The ID token of `person` for `program`: authorization code with PKCE, log-in form and consent included.
async fn id_token(program: &str, person: &str) -> String {
    let mut browser = Browser::new();
    let callback = format!("https://{program}.example/callback");
    let verifier = format!("{:064x}", rand::random::<u128>());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let query = form(&[
        ("client_id", program),
        ("response_type", "code"),
        ("scope", "openid"),
        ("redirect_uri", &callback),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let mut at = format!("{}/auth?{query}", var("OIDC_URL"));
    for _ in 0..12 {
        let (next, page) = browser.ask(Method::GET, &at, None).await;
        at = match next {
            Some(next) => absolute(&next),
            None => {
                let prompt =
                    page.split("name=\"prompt\" value=\"").nth(1).unwrap_or_else(|| panic!("no form in {page}"));
                let prompt = prompt.split('"').next().unwrap();
                let answer = form(&[("prompt", prompt), ("login", person), ("password", "any")]);
                absolute(&browser.ask(Method::POST, &at, Some(answer)).await.0.expect("the form leads on"))
            }
        };
        if at.starts_with(&callback) {
            break;
        }
    }
    let code = reqwest::Url::parse(&at)
        .unwrap()
        .query_pairs()
        .find(|(name, _)| name == "code")
        .expect("a code")
        .1
        .into_owned();
    let exchange = form(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &callback),
        ("client_id", program),
        ("code_verifier", &verifier),
    ]);
    let (_, answer) = browser.ask(Method::POST, &format!("{}/token", var("OIDC_URL")), Some(exchange)).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["id_token"].as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned()
}

fn header_of(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn staff_of_the_provider_work_with_the_role_of_their_group() {
    let stack = Stack::new();
    let (admin, books, viewer) = (
        id_token("staff-portal", "admin").await,
        id_token("staff-portal", "books").await,
        id_token("staff-portal", "viewer").await,
    );
    assert_eq!(header_of(&admin)["alg"], "RS256");
    for token in [&admin, &books, &viewer] {
        stack.get("/ops/runs", Some(token)).await.expect(200);
    }
    let pause = |reason: &str| json!({ "reason": reason });
    for token in [&books, &viewer] {
        assert_eq!(stack.post("/ops/gateways/toss/pause", Some(token), pause("no")).await.status, 403);
    }
    let path = "/ops/months/2027-13/close";
    assert_eq!(stack.post(path, Some(&books), json!({})).await.problem(404), "not_found");
    assert_eq!(stack.post(path, Some(&viewer), json!({})).await.status, 403);
    // Who did it is in the audit log, and cannot be mistaken for an account of ours.
    stack.post("/ops/gateways/stripe/pause", Some(&admin), pause("drill")).await.expect(200);
    stack.post("/ops/gateways/stripe/resume", Some(&admin), pause("over")).await.expect(200);
    let told =
        stack.get("/ops/audit?subject=gateway%23stripe&type=gateway.paused&limit=1", Some(&admin)).await.expect(200);
    assert_eq!(told["items"][0]["actor"], json!({ "kind": "OPERATOR", "id": "oidc:admin" }), "{told:#}");
    // They have no password here, and can leave before their token ends.
    let change = json!({ "currentPassword": "any", "newPassword": "a password of my own" });
    assert_eq!(stack.post("/auth/password", Some(&viewer), change).await.problem(401), "invalid_credentials");
    assert_eq!(stack.post("/auth/logout", Some(&viewer), json!({})).await.status, 204);
    assert_eq!(stack.get("/ops/runs", Some(&viewer)).await.status, 401);
    stack.get("/ops/runs", Some(&admin)).await.expect(200);
}

#[tokio::test]
async fn a_tenants_person_sees_that_tenant() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("toss", "starter").await;
    let (_, foreign) = stack.onboard("stripe", "starter").await;
    let token = id_token("tenant-portal", &format!("tenant-{}", applicant.tenant)).await;
    assert_eq!(header_of(&token)["alg"], "ES256");
    let own = stack.get("/billing/subscriptions", Some(&token)).await.expect(200);
    assert_eq!((own["items"].as_array().unwrap().len(), &own["items"][0]["id"]), (1, &json!(id)));
    assert_eq!(stack.get(&format!("/billing/subscriptions/{foreign}"), Some(&token)).await.problem(404), "not_found");
    assert_eq!(stack.get("/ops/runs", Some(&token)).await.status, 403);
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let stack = Stack::new();
    let tenant = "tenant-ten_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for (program, person) in [
        ("staff-portal", "nobody"),
        ("staff-portal", "both"),
        ("tenant-portal", "both"),
        ("staff-portal", tenant),
        ("tenant-portal", "admin"),
        ("tenant-portal", "tenant-ten_1"),
        ("wiki", "admin"),
        ("wiki", tenant),
    ] {
        let token = id_token(program, person).await;
        for path in ["/ops/runs", "/billing/subscriptions"] {
            assert_eq!(stack.get(path, Some(&token)).await.status, 401, "{person} of {program}");
        }
    }
    // The provider's signature under other words, and our own key under its name.
    let good = id_token("staff-portal", "viewer").await;
    stack.get("/ops/runs", Some(&good)).await.expect(200);
    let parts: Vec<&str> = good.split('.').collect();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let raised = json!({ "groups": ["billing-admins"] });
    let mut bent = claims.clone();
    bent["groups"] = raised["groups"].clone();
    let bent = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(bent.to_string()), parts[2]);
    let mut header = header_of(&good);
    header["kid"] = "made-up".into();
    let unknown = format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1], parts[2]);
    let mut header = header_of(&good);
    header["alg"] = "HS256".into();
    let confused = format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1], parts[2]);
    let ours = sign(&stack, claims).await;
    for token in [bent, unknown, confused, ours] {
        assert_eq!(stack.get("/ops/runs", Some(&token)).await.status, 401);
    }
    let own = operator_token(&stack, "vera", "OPS_VIEWER").await;
    stack.get("/ops/runs", Some(&own)).await.expect(200);
}
