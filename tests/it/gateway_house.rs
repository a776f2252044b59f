//! What the adapter suites share: both adapters against one sandbox, attempts, cards, faults and the ledger.
#![allow(clippy::unwrap_used, reason = "helpers of a test may panic like the test")]

use std::sync::Arc;
use std::time::Duration;

use domain::charge::{Answer, Billable, Capture, GatewayName, Lookup};
use domain::ids::{RequestId, ulid};
use domain::money::Money;
use gateway_sandbox::{Options, Sandbox, serve};
use jiff::Timestamp;
use reqwest::Client;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::gateway::stripe::Stripe;
use shared::gateway::toss::Toss;
use shared::gateway::{
    ApiKey, Charge, Find, Gateway, GatewayError, REQUEST_VERSION, Register, Registered, WindowResult, transport,
};

pub const AMOUNT: i64 = 33_000;
pub const VERSION: &str = "v1";
pub const CUSTOMER_KEY: &str = "0b9a6a2e-6f1e-4a58-9a63-2f6f3f0f9d11";

/// A running sandbox and a client for everything.
pub struct House {
    pub sandbox: Sandbox,
    pub client: Client,
}

/// A saved card.
pub struct Card {
    pub token: SecretString,
    pub customer: SecretString,
}

/// How a card behaves when it is charged.
#[derive(Clone, Copy, Debug)]
pub enum Plays {
    Approved,
    Soft,
    Hard,
    Auth,
}

/// One attempt of a cycle, owning what a [`Charge`] borrows.
pub struct Attempt {
    pub billable: Billable,
    pub n: u32,
    pub gateway: GatewayName,
    pub intent: Option<String>,
    pub known: Vec<String>,
    pub since: Timestamp,
    order_id: String,
    key: String,
}

pub fn key(gateway: GatewayName) -> ApiKey {
    let (secret, client) = match gateway {
        GatewayName::Toss => ("test_sk_sandbox", "test_ck_sandbox"),
        GatewayName::Stripe => ("sk_test_sandbox", "pk_test_sandbox"),
    };
    ApiKey { version: VERSION.into(), secret: secret.to_owned().into(), client: client.into() }
}

/// An adapter for any base URL and keys.
pub fn adapter(client: &Client, gateway: GatewayName, url: &str, keys: Vec<ApiKey>) -> Box<dyn Gateway> {
    match gateway {
        GatewayName::Toss => Box::new(Toss::new(client.clone(), url, Arc::new(keys))),
        GatewayName::Stripe => Box::new(Stripe::new(client.clone(), url, Arc::new(keys))),
    }
}

impl House {
    pub async fn open() -> House {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sandbox = serve(listener, Options::default()).await.unwrap();
        House { sandbox, client: transport::client().unwrap() }
    }

    pub fn gateway(&self, name: GatewayName) -> Box<dyn Gateway> {
        adapter(&self.client, name, &self.sandbox.url, vec![key(name)])
    }

    /// The sandbox's own side.
    pub async fn turn(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.sandbox.url)).json(&body);
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub async fn fault(&self, gateway: GatewayName, operation: &str, fault: &str) {
        let armed = json!({"gateway": gateway.as_str(), "operation": operation, "fault": fault, "times": 1});
        self.turn("/__sandbox/faults", armed).await;
    }

    /// Saves a good card through the adapter.
    pub async fn card(&self, name: GatewayName) -> Card {
        let Registered { token, customer, .. } = self.register(name, "reg:1").await.ok().unwrap();
        Card { token, customer }
    }

    pub async fn register(&self, name: GatewayName, idempotency_key: &str) -> Result<Registered, GatewayError> {
        let auth_key = match name {
            GatewayName::Toss => self.auth_key(CUSTOMER_KEY, "approved").await,
            GatewayName::Stripe => String::new(),
        };
        let result = match name {
            GatewayName::Toss => WindowResult::Toss { auth_key: &auth_key, customer_key: CUSTOMER_KEY },
            GatewayName::Stripe => WindowResult::StripePaymentMethod { id: "pm_card_visa" },
        };
        let request = Register { result, customer: None, owner: "ten_1", idempotency_key };
        self.gateway(name).register(&request).await
    }

    /// What Toss's window would have returned.
    pub async fn auth_key(&self, customer_key: &str, card: &str) -> String {
        let answer = self.turn("/__sandbox/toss/auth-keys", json!({"customerKey": customer_key, "card": card})).await;
        answer["authKey"].as_str().unwrap().to_owned()
    }

    /// Changes how a saved card answers from now on.
    pub async fn plays(&self, name: GatewayName, card: &Card, plays: Plays) {
        use secrecy::ExposeSecret;
        let body = match (name, plays) {
            (GatewayName::Toss, plays) => {
                let card = match plays {
                    Plays::Approved => "approved",
                    Plays::Soft => "insufficient_funds",
                    Plays::Hard | Plays::Auth => "stopped",
                };
                json!({"customerKey": CUSTOMER_KEY, "card": card})
            }
            (GatewayName::Stripe, plays) => {
                let behaviour = match plays {
                    Plays::Approved => "approved",
                    Plays::Soft => "insufficient_funds",
                    Plays::Hard => "stolen_card",
                    Plays::Auth => "authentication_required",
                };
                json!({"paymentMethod": card.token.expose_secret(), "card": behaviour})
            }
        };
        self.turn("/__sandbox/behaviour", body).await;
    }

    /// Effects of one kind on one order, by the sandbox's ledger.
    pub async fn effects(&self, kind: &str, attempt: &Attempt) -> usize {
        let url = format!("{}/__sandbox/ledger", self.sandbox.url);
        let ledger: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        let own = |entry: &&Value| entry["kind"] == kind && entry["orderId"] == attempt.order_id;
        ledger["entries"].as_array().unwrap().iter().filter(own).count()
    }

    pub async fn captures(&self, attempt: &Attempt) -> usize {
        self.effects("capture", attempt).await
    }

    /// The sandbox's time, which stamps what lookups filter by.
    pub async fn now(&self) -> Timestamp {
        let url = format!("{}/__sandbox/clock", self.sandbox.url);
        let clock: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        clock["now"].as_str().unwrap().parse().unwrap()
    }

    /// The first attempt of a fresh cycle.
    pub async fn attempt(&self, gateway: GatewayName) -> Attempt {
        let now = self.now().await;
        let subscription = RequestId::new(ulid(now, rand::random())).subscription();
        Attempt::new(Billable { subscription, index: 0, seq: 0 }, 1, gateway, now)
    }
}

impl Attempt {
    fn new(billable: Billable, n: u32, gateway: GatewayName, since: Timestamp) -> Attempt {
        let (order_id, key) = (billable.order_id(gateway, n), billable.key("charge", n));
        Attempt { billable, n, gateway, intent: None, known: Vec::new(), since, order_id, key }
    }

    /// The attempt an order id names, first sent at a fixed instant.
    pub fn of_order(gateway: GatewayName, order_id: &str) -> Attempt {
        let (billable, n) = Billable::parse_order_id(order_id).unwrap();
        Attempt::new(billable, n.unwrap_or(1), gateway, "2026-11-22T00:00:00Z".parse().unwrap())
    }

    /// The attempt after this one was declined, knowing what the decline taught.
    pub fn next(&self, intent: Option<String>, charge: Option<String>) -> Attempt {
        let mut next = Attempt::new(self.billable.clone(), self.n + 1, self.gateway, self.since);
        next.intent = intent.or_else(|| self.intent.clone());
        next.known = self.known.iter().cloned().chain(charge).collect();
        next
    }

    pub fn order_id(&self) -> &str {
        &self.order_id
    }

    pub fn charge<'a>(&'a self, card: &'a Card) -> Charge<'a> {
        Charge {
            order_id: &self.order_id,
            idempotency_key: &self.key,
            amount: Money::krw(AMOUNT),
            order_name: "스탠다드 2026-11",
            token: &card.token,
            customer: &card.customer,
            key_version: VERSION,
            request_version: REQUEST_VERSION,
            intent: self.intent.as_deref(),
            known_charges: &self.known,
        }
    }

    pub fn find<'a>(&'a self, card: &'a Card) -> Find<'a> {
        Find {
            order_id: &self.order_id,
            amount: Money::krw(AMOUNT),
            customer: &card.customer,
            intent: self.intent.as_deref(),
            known_charges: &self.known,
            since: self.since,
        }
    }
}

#[track_caller]
pub fn captured(answer: Answer) -> Capture {
    match answer {
        Answer::Captured(capture) => capture,
        other => panic!("captured, not {other:?}"),
    }
}

#[track_caller]
pub fn found(lookup: Lookup) -> Answer {
    match lookup {
        Lookup::Found(answer) => answer,
        other => panic!("found, not {other:?}"),
    }
}

/// Looks until the gateway has it, or a deadline passes.
pub async fn found_in_time(gateway: &dyn Gateway, find: &Find<'_>) -> Answer {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Lookup::Found(answer) = gateway.find(find).await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "never found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
