//! Canaries: card numbers in every text input there is, and secrets in every place where somebody may type one by mistake.
//! Afterwards none is in the functions' logs, in any row, queue, mail or chat message; nor is any secret of the stack
//! itself, nor a token that any test of the suite came with. The name of this file makes its test the last of a whole
//! run, so that it looks at what all of them left behind.

use std::collections::BTreeSet;
use std::fs;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::aws::{logs, secret};
use crate::harness::{Stack, came_with, var};
use crate::tables::{client, dump};
use crate::tokens::{operator_token, tenant_token};

/// Prefixes and lengths card networks issue.
const ISSUED: [(&str, usize); 7] =
    [("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("3528", 16), ("9410", 16)];

/// A card number nobody has, made anew each time.
fn card(prefix: &str, length: usize) -> String {
    let mut digits: Vec<u32> = prefix.chars().map(|c| c.to_digit(10).unwrap()).collect();
    while digits.len() < length - 1 {
        digits.push(rand::random::<u32>() % 10);
    }
    let doubled =
        |(at, digit): (usize, &u32)| if at % 2 == 0 { digit * 2 - if *digit > 4 { 9 } else { 0 } } else { *digit };
    let sum: u32 = digits.iter().rev().enumerate().map(doubled).sum();
    digits.push((10 - sum % 10) % 10);
    digits.iter().map(ToString::to_string).collect()
}

/// As people write it.
fn spelled(number: &str) -> [String; 3] {
    let groups = |by: &str| {
        let digits: Vec<char> = number.chars().collect();
        digits.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(by)
    };
    [number.to_owned(), groups(" "), groups("-")]
}

/// What is looked for afterwards.
#[derive(Default)]
struct Planted {
    cards: Vec<String>,
    secrets: Vec<String>,
    next: usize,
}

impl Planted {
    /// Another card number in another spelling.
    fn card(&mut self) -> String {
        let (prefix, length) = ISSUED[self.next % ISSUED.len()];
        let number = card(prefix, length);
        let text = spelled(&number)[self.next / ISSUED.len() % 3].clone();
        self.next += 1;
        self.cards.push(number);
        text
    }

    fn secret(&mut self) -> String {
        let secret = format!("canary{:032x}", rand::random::<u128>());
        self.secrets.push(secret.clone());
        secret
    }

    /// The first piece of `text` that should not be there.
    fn found_in(&self, text: &str) -> Option<&String> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let card = self.cards.iter().find(|card| digits.contains(card.as_str()));
        card.or_else(|| self.secrets.iter().find(|secret| text.contains(secret.as_str())))
    }

    /// The same for what is kept at `place`. Mails are where a token may be: that of a lost link.
    fn kept_at(&self, place: &str, text: &str, tokens: &[String]) -> Option<String> {
        let token = tokens.iter().find(|token| place != "mail" && text.contains(token.as_str()));
        self.found_in(text).or(token).cloned()
    }
}

/// Pointers to every text in a schema.
fn texts(document: &Value, schema: &Value, at: &str, into: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        return texts(document, document.pointer(name.trim_start_matches('#')).unwrap(), at, into);
    }
    for part in ["oneOf", "anyOf", "allOf"].iter().filter_map(|word| schema[*word].as_array()).flatten() {
        texts(document, part, at, into);
    }
    let kind = &schema["type"];
    if kind == "string" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("string"))) {
        into.push(at.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        texts(document, property, &format!("{at}/{name}"), into);
    }
    if schema["items"].is_object() {
        texts(document, &schema["items"], &format!("{at}/0"), into);
    }
}

/// Puts a text where a pointer says, making what is missing on the way.
fn put(body: &mut Value, pointer: &str, text: &str) {
    let mut place = body;
    for name in pointer.split('/').skip(1) {
        if name == "0" {
            if !place.is_array() {
                *place = json!([]);
            }
            let items = place.as_array_mut().unwrap();
            items.truncate(0);
            items.push(Value::Null);
            place = &mut items[0];
        } else {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[name];
        }
    }
    *place = json!(text);
}

struct Probe<'a> {
    stack: &'a Stack,
    planted: Planted,
    operator: String,
    tenant: String,
    sent: usize,
}

impl Probe<'_> {
    /// Sends a request that has to be refused. The document's statuses are not asked for: the emulator answers some itself.
    async fn refused(&mut self, what: &str, request: RequestBuilder) {
        self.sent += 1;
        let response = request.send().await.expect("the stack answers");
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        assert!((400..500).contains(&status), "{what}: {status} {text}");
        assert_eq!(self.planted.found_in(&text), None, "{what} is told back: {text}");
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let tenants = ["/billing/payment-methods", "/billing/subscriptions"].iter().any(|p| path.starts_with(p));
        let token = if tenants { &self.tenant } else { &self.operator };
        self.stack.request(method.to_uppercase().parse().unwrap(), path, Some(token))
    }

    /// Card numbers in every text of the body, every parameter and the idempotency key of one operation.
    async fn operation(&mut self, document: &Value, method: &str, path: &str, operation: &Value) {
        let full = |name: Option<(&str, &str)>| {
            let mut filled = path.trim_start_matches("/api/v1").to_owned();
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path") {
                let hole = parameter["name"].as_str().unwrap();
                let value = name.filter(|(wanted, _)| *wanted == hole).map_or("toss", |(_, value)| value);
                filled = filled.replace(&format!("{{{hole}}}"), value);
            }
            filled
        };
        let body = &operation["requestBody"]["content"]["application/json"];
        let mut pointers = Vec::new();
        texts(document, &body["schema"], "", &mut pointers);
        pointers.push("/somethingElse".to_owned());
        for pointer in pointers.iter().filter(|pointer| body.is_object() && !pointer.is_empty()) {
            let mut hit = body["example"].clone();
            put(&mut hit, pointer, &self.planted.card());
            self.refused(&format!("{method} {path} {pointer}"), self.request(method, &full(None)).json(&hit)).await;
        }
        if body.is_object() {
            let broken = format!("{{\"reason\": \"{}", self.planted.card());
            let request = self.request(method, &full(None)).header("Content-Type", "application/json").body(broken);
            self.refused(&format!("{method} {path} broken"), request).await;
            let (key, example) = (self.planted.card().replace(' ', "-"), body["example"].clone());
            if operation["parameters"].to_string().contains("Idempotency-Key") {
                let request = self.request(method, &full(None)).header("Idempotency-Key", key).json(&example);
                self.refused(&format!("{method} {path} Idempotency-Key"), request).await;
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, text) = (parameter["name"].as_str().unwrap().to_owned(), self.planted.card());
            let what = format!("{method} {path} {name}");
            match parameter["in"].as_str() {
                Some("query") => {
                    let request = self.request(method, &full(None)).query(&[(&name, &text)]);
                    self.refused(&what, request).await;
                }
                Some("path") => {
                    let path = full(Some((&name, &text.replace(' ', "-"))));
                    self.refused(&what, self.request(method, &path)).await;
                }
                _ => {}
            }
        }
    }

    /// Secrets where they are not expected, or are expected and wrong.
    async fn misplaced_secrets(&mut self) {
        let stack = self.stack;
        let get = || stack.http.get(format!("{}/api/v1/ops/runs", stack.api));
        let token = self.planted.secret();
        self.refused("bearer", get().bearer_auth(&token)).await;
        let forged = format!("e30.{}.e30", self.planted.secret());
        self.refused("token", get().bearer_auth(&forged)).await;
        let cookie = format!("__Host-session={}", self.planted.secret());
        self.refused("cookie", get().header("Cookie", cookie)).await;
        for field in ["password", "username"] {
            let mut body = json!({ "username": "ops", "password": "not this one at all" });
            body[field] = json!(self.planted.secret());
            self.refused(field, stack.request(Method::POST, "/auth/login", None).json(&body)).await;
        }
        let guide = format!("/billing/guides/{}", self.planted.secret());
        self.refused("guide", stack.request(Method::GET, &guide, None)).await;
        let applicant = stack.apply("starter").await;
        let (auth_key, customer) = (self.planted.secret(), self.planted.secret());
        for (key, owner) in [(&auth_key, applicant.customer_key.as_str()), (&auth_key, customer.as_str())] {
            let body = json!({ "gateway": "toss", "authKey": key, "customerKey": owner });
            let request = stack.request(Method::POST, "/billing/payment-methods", Some(&applicant.token)).json(&body);
            self.refused("authKey", request).await;
        }
        let intent = format!("seti_{}", self.planted.secret());
        let body = json!({ "gateway": "stripe", "setupIntentId": intent });
        let request = stack.request(Method::POST, "/billing/payment-methods", Some(&applicant.token)).json(&body);
        self.refused("setupIntentId", request).await;
        self.planted.secrets.push(applicant.token);
    }

    /// Events nobody signed, events that do not read, and one that is taken: bodies of events stay out of everything.
    async fn events(&mut self) {
        let stack = self.stack;
        let url = |tail: &str| format!("{}/api/v1/billing/payments/webhook{tail}", stack.webhook);
        for tail in ["/stripe", "/toss", "/nobody", ""] {
            let body = format!("{{\"eventType\": \"{} {}", self.planted.card(), self.planted.secret());
            let signature = format!("t=1,v1={}", self.planted.secret());
            let request = stack.http.post(url(tail)).header("Stripe-Signature", signature).body(body);
            self.refused("an event", request.header("Content-Type", "application/json")).await;
        }
        let hint = json!({ "eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-23T09:00:00.65327",
            "data": { "orderId": "01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0-1", "status": "DONE", "secret": self.planted.secret(),
                "paymentKey": self.planted.secret(), "card": { "number": self.planted.card() } } });
        let taken = stack.http.post(url("/toss")).json(&hint).send().await.unwrap();
        assert_eq!(taken.status().as_u16(), 200);
    }
}

#[tokio::test]
async fn no_card_number_secret_or_token_is_kept_anywhere() {
    let stack = Stack::new();
    let (applicant, _) = stack.onboard("toss", "starter").await;
    let operator = operator_token(&stack, "carla", "OPS_ADMIN").await;
    let tenant = tenant_token(&stack, &applicant.tenant).await;
    let mut probe = Probe { stack: &stack, planted: Planted::default(), operator, tenant, sent: 0 };
    let document = ::contract::document();
    for (path, operations) in document["paths"].as_object().unwrap() {
        // Events come from gateways, whose words are not ours to choose: they are below.
        for (method, operation) in operations.as_object().unwrap().iter().filter(|_| !path.contains("webhook")) {
            if ["get", "post", "patch", "put", "delete"].contains(&method.as_str()) {
                probe.operation(&document, method, path, operation).await;
            }
        }
    }
    probe.misplaced_secrets().await;
    probe.events().await;
    let Probe { mut planted, operator, tenant, sent, .. } = probe;
    planted.secrets.extend([operator, tenant, applicant.token, stack.ops().await.to_owned()]);
    own_secrets(&stack, &mut planted).await;
    // So that it is known that this finds what is there.
    let marker = format!("{:016x}", rand::random::<u64>());
    let mut form = Stack::form("starter");
    form["note"] = json!(marker);
    stack.post("/onboarding/requests", None, form).await.expect(201);

    let (places, tokens) = (everywhere(&stack).await, came_with());
    assert!(!tokens.is_empty(), "tokens are remembered");
    assert!(places.iter().any(|(place, text)| place == "row" && text.contains(&marker)), "rows are looked at");
    for place in ["log", "row", "mail", "chat", "file"] {
        assert!(places.iter().any(|(seen, _)| seen == place), "no {place} was looked at");
    }
    let kept: BTreeSet<(&String, String)> = places
        .iter()
        .filter_map(|(place, text)| planted.kept_at(place, text, &tokens).map(|found| (place, found)))
        .collect();
    assert!(kept.is_empty(), "kept: {kept:#?}");
    eprintln!(
        "{sent} requests, {} cards, {} secrets, {} tokens; {} texts looked at",
        planted.cards.len(),
        planted.secrets.len(),
        tokens.len(),
        places.len()
    );
}

/// The stack's own secrets belong nowhere either.
async fn own_secrets(stack: &Stack, planted: &mut Planted) {
    for name in ["auth/jwt", "data-key", "gateway/toss", "gateway/stripe", "webhook/stripe", "auth/ops-admin"] {
        let value = secret(stack, name).await;
        for field in ["key", "secretKey", "secret", "passwordHash"] {
            planted.secrets.extend(value[field].as_str().map(str::to_owned));
        }
    }
    planted.secrets.push(var("OPS_PASSWORD"));
}

/// All that is kept: (place, text).
async fn everywhere(stack: &Stack) -> Vec<(String, String)> {
    let mut places = Vec::new();
    let mut add =
        |place: &str, texts: Vec<String>| places.extend(texts.into_iter().map(|text| (place.to_owned(), text)));
    add("log", logs(stack, 0).await);
    for name in ["EMULATOR_LOG", "SANDBOX_LOG"] {
        add("file", fs::read_to_string(var(name)).unwrap().lines().map(str::to_owned).collect());
    }
    add("row", dump().await);
    add("row", forwarded().await);
    let read = async |url: String| stack.send(stack.http.get(url)).await.expect(200);
    let mails = read(format!("{}/_ministack/ses/messages", var("AWS_ENDPOINT_URL"))).await;
    add("mail", mails["messages"].as_object().unwrap().values().map(ToString::to_string).collect());
    let queues = read(format!("{}/_ministack/sqs/messages", var("AWS_ENDPOINT_URL"))).await;
    add("queue", vec![queues.to_string()]);
    let chat = read(format!("{}/__sandbox/slack", stack.sandbox)).await;
    add("chat", vec![chat.to_string()]);
    places
}

/// The one table that is not in a dump.
async fn forwarded() -> Vec<String> {
    let scan = client().scan().table_name(format!("{}-forwarded", var("STAGE"))).send().await.unwrap();
    scan.items().iter().map(|item| format!("{:?}", AttributeValue::M(item.clone()))).collect()
}
