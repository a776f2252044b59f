//! The AWS side in a process of its own: the embedded DynamoDB emulator over HTTP, and in front of it one address that
//! also answers for Secrets Manager and SQS, as `AWS_ENDPOINT_URL` wants it.
//!
//! The front counts at the wire: every request by operation, and the capacity units that DynamoDB's own answer reports,
//! because it adds `ReturnConsumedCapacity: INDEXES` to what passes. The emulator charges a transaction twice for the
//! table and once for its indexes, and an index move as a delete and a put.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::say;

/// What passed the front since it was last asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests by operation, every service.
    pub requests: BTreeMap<String, u32>,
    /// Write units by table, or `table#index`.
    pub writes: BTreeMap<String, f64>,
    /// Read units likewise.
    pub reads: BTreeMap<String, f64>,
    /// Bytes of DynamoDB requests and answers.
    pub bytes: u64,
}

impl Counts {
    /// Requests to DynamoDB.
    pub fn to_store(&self) -> u32 {
        self.to("DynamoDB_")
    }

    /// Requests to another service.
    pub fn to(&self, service: &str) -> u32 {
        self.requests.iter().filter(|(name, _)| name.starts_with(service)).map(|(_, n)| n).sum()
    }

    pub fn written(&self) -> f64 {
        self.writes.values().sum()
    }

    pub fn read(&self) -> f64 {
        self.reads.values().sum()
    }
}

#[derive(Clone)]
struct Front {
    store: String,
    http: reqwest::Client,
    counts: Arc<Mutex<Counts>>,
}

/// Serves until it is killed.
pub async fn run() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let store = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().expect("a database")));
    let front = Front { store: store.clone(), http: reqwest::Client::new(), counts: Arc::default() };
    let router = Router::new().route("/counts", get(take)).route("/", post(pass)).with_state(front);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    say(&json!({ "store": store, "aws": format!("http://{}", listener.local_addr().expect("an address")) }));
    axum::serve(listener, router).await.expect("it serves");
}

/// The counts so far, and from zero again.
async fn take(State(front): State<Front>) -> Response {
    let counts = std::mem::take(&mut *front.counts.lock().expect("whole"));
    axum::Json(counts).into_response()
}

async fn pass(State(front): State<Front>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|t| t.to_str().ok()).unwrap_or("none").to_owned();
    *front.counts.lock().expect("whole").requests.entry(target.clone()).or_default() += 1;
    let operation = target.rsplit('.').next().unwrap_or_default();
    match target.split('.').next().unwrap_or_default() {
        "DynamoDB_20120810" => forward(&front, operation, &headers, body).await,
        "secretsmanager" => secret(&body),
        _ => queue(operation),
    }
}

async fn forward(front: &Front, operation: &str, headers: &HeaderMap, body: Bytes) -> Response {
    let mut asked: Value = serde_json::from_slice(&body).expect("a request is JSON");
    let counted = !matches!(operation, "CreateTable" | "BatchWriteItem");
    if counted {
        asked["ReturnConsumedCapacity"] = json!("INDEXES");
    }
    let mut request = front.http.post(&front.store).body(asked.to_string());
    for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.expect("the emulator answers");
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let said = answer.bytes().await.expect("a whole answer");
    if counted {
        let mut counts = front.counts.lock().expect("whole");
        counts.bytes += u64::try_from(body.len() + said.len()).unwrap_or(0);
        tally(&mut counts, operation, &said);
    }
    (status, [("content-type", "application/x-amz-json-1.0")], said).into_response()
}

/// Adds the consumed capacity of one answer.
fn tally(counts: &mut Counts, operation: &str, answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or(Value::Null);
    let writes = matches!(operation, "PutItem" | "TransactWriteItems");
    let into = if writes { &mut counts.writes } else { &mut counts.reads };
    let tables = match &answer["ConsumedCapacity"] {
        Value::Array(tables) => tables.clone(),
        Value::Object(_) => vec![answer["ConsumedCapacity"].clone()],
        _ => Vec::new(),
    };
    for table in tables {
        let name = table["TableName"].as_str().and_then(|n| n.split_once('-')).map_or("", |(_, name)| name).to_owned();
        let units = |value: &Value| value["CapacityUnits"].as_f64().unwrap_or(0.0);
        if units(&table["Table"]) > 0.0 {
            *into.entry(name.clone()).or_default() += units(&table["Table"]);
        }
        for (index, used) in table["GlobalSecondaryIndexes"].as_object().into_iter().flatten() {
            *into.entry(format!("{name}#{index}")).or_default() += units(used);
        }
    }
}

/// Key text of every key secret here; nothing real.
pub const KEY_TEXT: &str = "bench-bench-bench-bench-bench-bench-bench";

/// What the secrets say. No previous version.
pub fn secret_text(path: &str) -> String {
    match path {
        "gateway/toss" | "gateway/stripe" => json!({"clientKey": "test_ck_bench", "secretKey": "test_sk_bench"}),
        "webhook/stripe" => json!({"secret": KEY_TEXT}),
        _ => json!({"kid": "bench-1", "key": KEY_TEXT}),
    }
    .to_string()
}

fn secret(body: &Bytes) -> Response {
    let asked: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if asked["VersionStage"] == "AWSPREVIOUS" {
        let none = json!({"__type": "ResourceNotFoundException", "Message": "no such version"});
        return (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.1")], none.to_string())
            .into_response();
    }
    let id = asked["SecretId"].as_str().unwrap_or_default();
    let text = secret_text(id.split_once('/').map_or("", |(_, path)| path));
    // As long as the real ones: it is stored with every attempt.
    let version = "5b6d9f8e-0c1a-4d2b-9e3f-7a8b9c0d1e2f";
    let found = json!({"Name": id, "SecretString": text, "VersionId": version, "VersionStages": ["AWSCURRENT"]});
    ([("content-type", "application/x-amz-json-1.1")], found.to_string()).into_response()
}

/// Every queue is empty, and takes whatever is sent.
fn queue(operation: &str) -> Response {
    let attributes =
        ["", "Delayed", "NotVisible"].map(|kind| (format!("ApproximateNumberOfMessages{kind}"), json!("0")));
    let answer = match operation {
        "GetQueueAttributes" => json!({ "Attributes": serde_json::Map::from_iter(attributes) }),
        _ => json!({"MessageId": "00000000-0000-0000-0000-000000000000"}),
    };
    ([("content-type", "application/x-amz-json-1.0")], answer.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_table_and_index() {
        let mut counts = Counts::default();
        let put = json!({"ConsumedCapacity": {"TableName": "b-subscription", "CapacityUnits": 3.0, "Table": {"CapacityUnits": 1.0},
            "GlobalSecondaryIndexes": {"due": {"CapacityUnits": 2.0}}}});
        tally(&mut counts, "PutItem", put.to_string().as_bytes());
        let batch = json!({"ConsumedCapacity": [{"TableName": "b-subscription", "CapacityUnits": 4.0, "Table": {"CapacityUnits": 4.0}}]});
        tally(&mut counts, "BatchGetItem", batch.to_string().as_bytes());
        assert_eq!((counts.written(), counts.read()), (3.0, 4.0));
        assert_eq!(counts.writes.keys().collect::<Vec<_>>(), ["subscription", "subscription#due"]);
    }
}
