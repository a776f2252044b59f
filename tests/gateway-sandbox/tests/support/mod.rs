//! A sandbox on a free port, a client for its wires and its own side, and a little webhook receiver.
#![allow(dead_code, reason = "each suite uses its part")]
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use gateway_sandbox::{Options, Sandbox, serve};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

/// Long enough for a busy machine, short enough for a hung test.
pub const DEADLINE: Duration = Duration::from_secs(20);
pub const CUSTOMER: &str = "0b9a6a2e-6f1e-4a58-9a63-2f6f3f0f9d11";

pub async fn start(options: Options) -> House {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sandbox = serve(listener, options).await.unwrap();
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    House { sandbox, client }
}

pub struct House {
    pub sandbox: Sandbox,
    pub client: Client,
}

/// Status, `idempotency-key`, trace id, body.
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Seen {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    pub fn trace(&self) -> &str {
        self.headers["x-tosspayments-trace-id"].to_str().unwrap()
    }

    /// `(status, code)` of a refusal.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert!(!self.json()["message"].as_str().unwrap().is_empty());
    }
}

impl House {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.sandbox.url))
    }

    pub fn toss(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("authorization", format!("Basic {}", STANDARD.encode("test_sk_sandbox:")))
    }

    pub async fn get(&self, path: &str) -> Seen {
        Seen::of(self.toss(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, key: Option<&str>, body: Value) -> Seen {
        Seen::of(self.try_post(path, key, body).await.unwrap()).await
    }

    pub async fn try_post(&self, path: &str, key: Option<&str>, body: Value) -> reqwest::Result<Response> {
        let mut request = self.toss(Method::POST, path).json(&body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.send().await
    }

    /// A call to the sandbox's own side that must work.
    pub async fn turn(&self, path: &str, body: Value) -> Value {
        let seen = Seen::of(self.request(Method::POST, path).json(&body).send().await.unwrap()).await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.text);
        seen.json()
    }

    pub async fn read(&self, path: &str) -> Value {
        Seen::of(self.request(Method::GET, path).send().await.unwrap()).await.json()
    }

    pub async fn fault(&self, operation: &str, fault: &str, times: u32, delay_ms: u64) {
        let body =
            json!({"gateway": "toss", "operation": operation, "fault": fault, "times": times, "delayMs": delay_ms});
        self.turn("/__sandbox/faults", body).await;
    }

    /// A billing key for a test card of [`CUSTOMER`].
    pub async fn billing_key(&self, card: &str) -> String {
        let auth = self.turn("/__sandbox/toss/auth-keys", json!({"customerKey": CUSTOMER, "card": card})).await;
        let body = json!({"authKey": auth["authKey"], "customerKey": CUSTOMER});
        let seen = self.post("/v1/billing/authorizations/issue", None, body).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
        seen.json()["billingKey"].as_str().unwrap().to_owned()
    }

    pub async fn charge(&self, billing_key: &str, order_id: &str, key: &str) -> Seen {
        self.post(&format!("/v1/billing/{billing_key}"), Some(key), order(order_id, 33_000)).await
    }

    /// `[kind, orderId, amount]` of every effect.
    pub async fn effects(&self) -> Vec<(String, String, i64)> {
        let ledger = self.read("/__sandbox/ledger").await;
        let entries = ledger["entries"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        entries.map(|e| (text(&e["kind"]), text(&e["orderId"]), e["amount"].as_i64().unwrap())).collect()
    }
}

pub fn order(order_id: &str, amount: i64) -> Value {
    json!({"customerKey": CUSTOMER, "amount": amount, "orderId": order_id, "orderName": "스탠다드 요금제"})
}

/// One webhook as it came in.
pub struct Post {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Post {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// Answers with the given statuses in turn, then 200.
pub struct Receiver {
    pub url: String,
    posts: UnboundedReceiver<Post>,
}

#[derive(Clone)]
struct Desk {
    answers: Arc<Mutex<VecDeque<u16>>>,
    posts: UnboundedSender<Post>,
}

impl Receiver {
    pub async fn start(answers: &[u16]) -> Self {
        let (sender, posts) = unbounded_channel();
        let desk = Desk { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), posts: sender };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().route("/hook", post(receive)).with_state(desk);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, posts }
    }

    pub async fn next(&mut self) -> Post {
        timeout(DEADLINE, self.posts.recv()).await.expect("a webhook").unwrap()
    }

    pub fn nothing_more(&mut self) -> bool {
        self.posts.try_recv().is_err()
    }
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = desk.answers.lock().unwrap().pop_front().unwrap_or(200);
    desk.posts.send(Post { headers, body }).unwrap();
    StatusCode::from_u16(status).unwrap()
}
