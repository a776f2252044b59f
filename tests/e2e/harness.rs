//! Talks to the deployed stack as a client would, and to the sandbox as a test may.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// How long a condition may take to come true: the message of a killed runner shows again after two minutes.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn var(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a test program reads where its stack is")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test` or export .local/stack.env"))
}

/// Every token any test came with, for the one that looks for them afterwards.
static TOKENS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What tests came with so far, as far as it is long enough to be a token.
pub fn came_with() -> Vec<String> {
    TOKENS.lock().unwrap().iter().filter(|token| token.len() > 100).cloned().collect()
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The body of an answer with this status; anything else fails the test and shows it.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// The stable code of a problem with this status.
    #[track_caller]
    pub fn problem(self, status: u16) -> String {
        let body = self.expect(status);
        body["code"].as_str().unwrap_or_else(|| panic!("no code in {body:#}")).to_owned()
    }
}

pub struct Stack {
    pub http: Client,
    pub api: String,
    pub webhook: String,
    pub sandbox: String,
    ops: tokio::sync::OnceCell<String>,
}

/// An applicant as far as they have come.
pub struct Applicant {
    pub id: String,
    pub tenant: String,
    pub token: String,
    pub customer_key: String,
}

impl Stack {
    pub fn new() -> Self {
        let http = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        let (api, webhook, sandbox) = (var("API_URL"), var("WEBHOOK_URL"), var("SANDBOX_URL"));
        Stack { http, api, webhook, sandbox, ops: tokio::sync::OnceCell::new() }
    }

    /// Sends a request. Whatever our own API answers has to be in its document.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let (client, request) = request.build_split();
        let request = request.expect("a request");
        let (method, url) = (request.method().to_string(), request.url().clone());
        let response = client.execute(request).await.expect("the stack answers");
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let ours = [&self.api, &self.webhook].into_iter().find_map(|base| url.as_str().strip_prefix(base.as_str()));
        if let Some(address) = ours {
            let path = address.split('?').next().unwrap_or_default();
            // The emulator words its own refusals, which it makes before a function is asked: AWS uses the template's.
            if !matches!(status, 401 | 403) || text.contains("\"code\"") {
                documented(&method, path, status, &kind, &text);
                hardened(path, &headers);
            }
        }
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub fn request(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.api));
        match token {
            Some(token) => {
                TOKENS.lock().unwrap().insert(token.to_owned());
                request.bearer_auth(token)
            }
            None => request,
        }
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(self.request(Method::GET, path, token)).await
    }

    /// As a client library would: with an idempotency key of its own.
    pub async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Answer {
        let key = format!("e2e-{:032x}", rand::random::<u128>());
        self.send(self.request(Method::POST, path, token).header("Idempotency-Key", key).json(&body)).await
    }

    /// An operator's token, by login.
    pub async fn ops(&self) -> &str {
        let login = || async {
            let body = json!({ "username": var("OPS_USERNAME"), "password": var("OPS_PASSWORD") });
            let body = self.post("/auth/login", None, body).await.expect(200);
            body["token"].as_str().unwrap().to_owned()
        };
        self.ops.get_or_init(login).await
    }

    pub async fn own(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}/__sandbox{path}", self.sandbox)).json(&body);
        self.send(request).await.expect(200)
    }

    /// Every effect the gateways ever had.
    pub async fn ledger(&self) -> Vec<Value> {
        let answer = self.send(self.http.get(format!("{}/__sandbox/ledger", self.sandbox))).await;
        answer.expect(200)["entries"].as_array().unwrap().clone()
    }

    /// Captures whose order id belongs to this subscription.
    pub async fn captures(&self, subscription: &str) -> Vec<Value> {
        let ulid = subscription.trim_start_matches("sub_").to_owned();
        let ours = |e: &Value| e["kind"] == "capture" && e["orderId"].as_str().is_some_and(|o| o.starts_with(&ulid));
        self.ledger().await.into_iter().filter(ours).collect()
    }

    /// The sandbox's clock, which follows the stack's.
    pub async fn now(&self) -> Timestamp {
        let answer = self.send(self.http.get(format!("{}/__sandbox/clock", self.sandbox))).await;
        answer.expect(200)["now"].as_str().unwrap().parse().unwrap()
    }

    pub fn form(plan: &str) -> Value {
        json!({
            "businessName": "봄날 심리상담센터",
            "businessNumber": "120-81-47521",
            "category": "counselling",
            "contact": { "name": "김하나", "email": "owner@example.kr", "phone": "010-1234-5678" },
            "planCode": plan,
            "addonCodes": [],
            "consents": { "terms": true, "privacy": true, "recurring": true },
        })
    }

    pub async fn apply(&self, plan: &str) -> Applicant {
        let body = self.post("/onboarding/requests", None, Self::form(plan)).await.expect(201);
        let text = |field: &str| body[field].as_str().unwrap_or_else(|| panic!("{field} in {body:#}")).to_owned();
        Applicant {
            id: text("id"),
            tenant: text("tenantId"),
            token: text("applicationToken"),
            customer_key: text("customerKey"),
        }
    }

    /// What the Toss window's redirect would carry.
    pub async fn auth_key(&self, customer_key: &str, card: &str) -> String {
        let body = json!({ "customerKey": customer_key, "card": card });
        self.own(Method::POST, "/toss/auth-keys", body).await["authKey"].as_str().unwrap().to_owned()
    }

    pub async fn register_toss(&self, applicant: &Applicant, token: &str, card: &str) -> Answer {
        let auth_key = self.auth_key(&applicant.customer_key, card).await;
        let body = json!({ "gateway": "toss", "authKey": auth_key, "customerKey": applicant.customer_key });
        self.post("/billing/payment-methods", Some(token), body).await
    }

    /// Opens the Stripe window and confirms it with a test card, as the browser would.
    pub async fn setup_intent(&self, token: &str, payment_method: &str) -> String {
        let setup =
            self.post("/billing/payment-methods/setup", Some(token), json!({ "gateway": "stripe" })).await.expect(201);
        let secret = setup["clientSecret"].as_str().expect("a client secret");
        let id = secret.split("_secret_").next().unwrap().to_owned();
        self.own(Method::POST, "/stripe/confirm-setup", json!({ "setupIntent": id, "paymentMethod": payment_method }))
            .await;
        id
    }

    pub async fn register_stripe(&self, token: &str) -> Answer {
        let id = self.setup_intent(token, "pm_card_visa").await;
        self.post("/billing/payment-methods", Some(token), json!({ "gateway": "stripe", "setupIntentId": id })).await
    }

    pub async fn approve(&self, applicant: &Applicant) -> Answer {
        let path = format!("/onboarding/requests/{}/decision", applicant.id);
        self.post(&path, Some(self.ops().await), json!({ "status": "APPROVED" })).await
    }

    /// Applies, registers a good card and is approved; returns the applicant and the subscription's id.
    pub async fn onboard(&self, gateway: &str, plan: &str) -> (Applicant, String) {
        let applicant = self.apply(plan).await;
        match gateway {
            "toss" => self.register_toss(&applicant, &applicant.token, "approved").await.expect(201),
            _ => self.register_stripe(&applicant.token).await.expect(201),
        };
        let approved = self.approve(&applicant).await.expect(200);
        (applicant, approved["subscriptionId"].as_str().expect("a subscription").to_owned())
    }

    pub async fn subscription(&self, id: &str) -> Value {
        self.get(&format!("/billing/subscriptions/{id}"), Some(self.ops().await)).await.expect(200)
    }

    pub async fn cycles(&self, id: &str) -> Vec<Value> {
        let body = self.get(&format!("/billing/subscriptions/{id}/cycles"), Some(self.ops().await)).await.expect(200);
        body["items"].as_array().unwrap().clone()
    }

    /// Starts a run as of an instant and waits until it is drained.
    pub async fn run(&self, as_of: Timestamp) -> Value {
        let id = self.start_run(as_of).await;
        self.drained(&id).await
    }

    pub async fn start_run(&self, as_of: Timestamp) -> String {
        let body = self.post("/ops/runs", Some(self.ops().await), json!({ "asOf": as_of.to_string() })).await;
        let body = body.expect(202);
        body["id"].as_str().unwrap().to_owned()
    }

    pub async fn drained(&self, id: &str) -> Value {
        self.until("the run is drained", || async {
            let runs = self.get("/ops/runs?limit=100", Some(self.ops().await)).await.expect(200);
            let run = runs["items"].as_array().unwrap().iter().find(|r| r["id"] == id).cloned();
            run.filter(|r| r["status"] == "DRAINED")
        })
        .await
    }

    /// Polls until `condition` yields a value; fails when it never does.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, condition: impl Fn() -> F) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            assert!(tokio::time::Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Fails when an answer lets a browser keep it, guess what it is, frame it, run it or reach it without TLS.
#[track_caller]
pub fn hardened(path: &str, headers: &HeaderMap) {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
    assert!(header("strict-transport-security").starts_with("max-age="), "{path}");
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    let same_for_everybody = path.ends_with("/openapi.json");
    assert!(same_for_everybody || header("cache-control") == "no-store", "{path}");
}

/// Fails when an answer is not what the document says.
#[track_caller]
fn documented(method: &str, path: &str, status: u16, content_type: &str, body: &str) {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let answer = ::contract::check::Answer { method, path, status, content_type, body: body.as_bytes() };
    let complaints = ::contract::check::complaints(DOCUMENT.get_or_init(::contract::document), &answer);
    assert!(complaints.is_empty(), "not in openapi.json: {complaints:#?}\n{body}");
}

/// An instant given as a civil date in Seoul, at ten in the morning.
pub fn seoul_morning(date: jiff::civil::Date) -> Timestamp {
    let midnight = date.to_zoned(jiff::tz::TimeZone::get("Asia/Seoul").unwrap()).unwrap().timestamp();
    midnight + SignedDuration::from_hours(10)
}

/// The first morning on which the period after a subscription's current one has begun.
pub fn morning_after(subscription: &Value) -> Timestamp {
    let end = subscription["currentPeriod"]["end"].as_str().unwrap_or_else(|| panic!("no period in {subscription:#}"));
    seoul_morning(end.parse().unwrap())
}
