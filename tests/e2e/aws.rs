//! Calls to the emulated cloud that the SDKs of this workspace are not here for: secrets, functions, logs. The emulator
//! finds a service by the scope of the signature and checks no more of it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Stack, var};

fn scoped(request: RequestBuilder, service: &str) -> RequestBuilder {
    let scope = format!("test/20261122/ap-northeast-2/{service}/aws4_request");
    request.header("Authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"))
}

/// A call of a service that speaks JSON. Asked again after a 5xx, as the SDKs do: the emulator lists log groups while
/// functions add to them and may stumble. Every call here may be repeated; a secret's version carries its token.
async fn call(stack: &Stack, service: &str, target: &str, body: Value) -> Value {
    for _ in 0..5 {
        let request = scoped(stack.http.post(var("AWS_ENDPOINT_URL")), service).header("X-Amz-Target", target);
        let request = request.header("Content-Type", "application/x-amz-json-1.1").body(body.to_string());
        let answer = stack.send(request).await;
        if answer.status < 500 {
            return answer.expect(200);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("{target}: five server errors");
}

/// The current value of a secret of this stage.
pub async fn secret(stack: &Stack, name: &str) -> Value {
    let id = format!("{}/{name}", var("STAGE"));
    let found = call(stack, "secretsmanager", "secretsmanager.GetSecretValue", json!({ "SecretId": id })).await;
    serde_json::from_str(found["SecretString"].as_str().unwrap()).unwrap()
}

/// A new version of a secret; what was current is the previous one from now on.
pub async fn put_secret(stack: &Stack, name: &str, value: &Value) {
    let token = format!("e2e-{:032x}", rand::random::<u128>());
    let body = json!({ "SecretId": format!("{}/{name}", var("STAGE")), "ClientRequestToken": token,
        "SecretString": value.to_string() });
    call(stack, "secretsmanager", "secretsmanager.PutSecretValue", body).await;
}

fn lambda(stack: &Stack, method: Method, path: &str) -> RequestBuilder {
    scoped(stack.http.request(method, format!("{}/2015-03-31/functions/{path}", var("AWS_ENDPOINT_URL"))), "lambda")
}

/// A function by its logical id, as it is deployed.
async fn deployed(stack: &Stack, logical_id: &str) -> Value {
    let listed = stack.send(lambda(stack, Method::GET, "?MaxItems=200")).await.expect(200);
    let mut all = listed["Functions"].as_array().unwrap().iter();
    let found = all.find(|f| f["FunctionName"].as_str().unwrap().contains(logical_id));
    found.unwrap_or_else(|| panic!("{listed:#}")).clone()
}

/// Gives a function another value of a variable; answers with the one it had.
pub async fn configure(stack: &Stack, logical_id: &str, variable: &str, value: &str) -> String {
    let function = deployed(stack, logical_id).await;
    let mut environment = function["Environment"].clone();
    let before = environment["Variables"][variable].as_str().expect("a variable it has").to_owned();
    environment["Variables"][variable] = json!(value);
    let path = format!("{}/configuration", function["FunctionName"].as_str().unwrap());
    stack.send(lambda(stack, Method::PUT, &path).json(&json!({ "Environment": environment }))).await.expect(200);
    before
}

/// What a function answers to an event, found by its logical id.
pub async fn invoke(stack: &Stack, logical_id: &str, input: Value) -> Value {
    let function = deployed(stack, logical_id).await;
    let name = function["FunctionName"].as_str().unwrap();
    let answer = lambda(stack, Method::POST, &format!("{name}/invocations")).json(&input).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let failed = answer.headers().contains_key("x-amz-function-error");
    let text = answer.text().await.unwrap();
    assert!(!failed, "{logical_id}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The names of all log groups; the service names fifty at a time.
async fn log_groups(stack: &Stack) -> Vec<String> {
    let (mut names, mut body) = (Vec::new(), json!({}));
    loop {
        let page = call(stack, "logs", "Logs_20140328.DescribeLogGroups", body).await;
        let groups = page["logGroups"].as_array().unwrap();
        names.extend(groups.iter().map(|group| group["logGroupName"].as_str().unwrap().to_owned()));
        if !page["nextToken"].is_string() {
            return names;
        }
        body = json!({ "nextToken": page["nextToken"] });
    }
}

/// Log lines at most of one answer. The emulator gives no token for the next, so the next begins at the last moment seen.
const LINES: usize = 10_000;

/// Every log line the functions wrote since this moment (Unix milliseconds), of all groups.
pub async fn logs(stack: &Stack, since: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for group in log_groups(stack).await {
        let mut since = since;
        loop {
            let body = json!({ "logGroupName": group, "limit": LINES, "startTime": since });
            let page = call(stack, "logs", "Logs_20140328.FilterLogEvents", body).await;
            let events = page["events"].as_array().unwrap();
            let last = events.last().and_then(|event| event["timestamp"].as_i64()).filter(|_| events.len() == LINES);
            assert_ne!(last, Some(since), "more lines in a millisecond than an answer holds");
            let before = |event: &&Value| last.is_none_or(|last| event["timestamp"].as_i64() < Some(last));
            lines.extend(events.iter().filter(before).map(|e| e["message"].as_str().unwrap_or_default().to_owned()));
            match last {
                Some(last) => since = last,
                None => break,
            }
        }
    }
    lines
}
