//! Each class of fault leaves exactly its metric lines and its alert in the logs of the deployed functions, and an alarm
//! of the template is on them. The emulator evaluates no metric that comes from a log, so both ends are held here.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use crate::aws::logs;
use crate::events::signed;
use crate::harness::{Stack, var};

/// How often each line was said: a metric with its dimensions (`Declines Class=SOFT Gateway=toss`), or an alert.
type Said = BTreeMap<String, i64>;

/// A gauge that every run states; it counts nothing.
const GAUGE: &str = "DueOldestAge";

fn line(log: &str) -> Option<(String, i64)> {
    let log: Value = serde_json::from_str(log).ok()?;
    if let Some(alert) = log["alert"].as_str() {
        return Some((format!("alert {alert}"), 1));
    }
    let metric = &log["_aws"]["CloudWatchMetrics"][0];
    let name = metric["Metrics"][0]["Name"].as_str().filter(|name| *name != GAUGE)?;
    // The widest set has every dimension the line has.
    let sets = metric["Dimensions"].as_array()?.iter().filter_map(Value::as_array);
    let mut dimensions: Vec<&str> = sets.max_by_key(|set| set.len())?.iter().filter_map(Value::as_str).collect();
    dimensions.sort_unstable();
    let shown: String = dimensions.iter().map(|d| format!(" {d}={}", log[*d].as_str().unwrap_or("?"))).collect();
    Some((format!("{name}{shown}"), log[name].as_i64()?))
}

/// What was said since a moment, Unix milliseconds.
async fn said(stack: &Stack, since: i64) -> Said {
    let mut said = Said::new();
    for (line, times) in logs(stack, since).await.iter().filter_map(|log| line(log)) {
        // Two events of a gateway may race about one fact: an alert is said before its commit, by the loser too.
        let once = line.starts_with("alert ") && said.contains_key(&line);
        *said.entry(line).or_default() += if once { 0 } else { times };
    }
    said
}

#[expect(clippy::disallowed_methods, reason = "log lines carry the wall clock's time")]
fn wall() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Makes a fault happen, and holds what was said of it against `expected`: all of it, and nothing beside it.
async fn leaves(stack: &Stack, what: &str, expected: &[&str], fault: impl AsyncFnOnce()) {
    let begun = wall();
    fault().await;
    let expected: Said = expected.iter().map(|line| ((*line).to_owned(), 1)).collect();
    let waited = async || {
        let more = said(stack, begun).await;
        expected.iter().all(|(line, times)| more.get(line) >= Some(times)).then_some(())
    };
    stack.until(what, waited).await;
    // What is said too often is said by what runs behind: queues and streams.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(said(stack, begun).await, expected, "{what}");
    for line in expected.keys() {
        assert!(alarmed(line), "{what}: no alarm is on `{line}`");
    }
}

fn template() -> Yaml {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether an alarm watches this line, or the line is what a healthy charge says or details one that has an alarm.
fn alarmed(line: &str) -> bool {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    if ["captured", "declined"].iter().any(|outcome| rest.contains(&format!("Outcome={outcome}"))) || name == "Declines"
    {
        return true;
    }
    let (metric, wanted) = if name == "alert" { ("Alerts", rest.to_owned()) } else { (name, String::new()) };
    let resources = template()["Resources"].as_mapping().unwrap().clone();
    let alarms = resources.into_iter().filter(|(_, v)| v["Type"].as_str() == Some("AWS::CloudWatch::Alarm"));
    alarms.map(|(_, v)| v["Properties"].clone()).any(|alarm| {
        let dimensions = alarm["Dimensions"].as_sequence().cloned().unwrap_or_default();
        let has = |d: &Yaml| {
            let (dimension, value) = (d["Name"].as_str().unwrap_or_default(), d["Value"].as_str().unwrap_or_default());
            value == wanted || rest.contains(&format!("{dimension}={value}"))
        };
        alarm["MetricName"].as_str() == Some(metric) && dimensions.iter().all(has)
    })
}

async fn declined(stack: &Stack) {
    let applicant = stack.apply("starter").await;
    stack.register_toss(&applicant, &applicant.token, "insufficient_funds").await.expect(201);
    assert_eq!(stack.approve(&applicant).await.expect(200)["nextAction"], "SUPPLY_CARD");
}

/// A charge whose answer is lost, found when an operator asks.
async fn unheard(stack: &Stack) {
    let applicant = stack.apply("starter").await;
    stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    let fault = json!({ "gateway": "toss", "operation": "charge", "fault": "drop_after", "times": 1 });
    stack.own(Method::POST, "/faults", fault).await;
    let approved = stack.approve(&applicant).await.expect(202);
    let id = approved["subscriptionId"].as_str().unwrap().to_owned();
    let order = stack.cycles(&id).await[0]["attempts"][0]["orderId"].as_str().unwrap().to_owned();
    stack.post(&format!("/ops/attempts/{order}/resolve"), Some(stack.ops().await), json!({})).await.expect(200);
}

async fn paused(stack: &Stack) {
    let reason = json!({ "reason": "a drill" });
    for step in ["pause", "resume"] {
        let path = format!("/ops/gateways/stripe/{step}");
        stack.post(&path, Some(stack.ops().await), reason.clone()).await.expect(200);
    }
}

/// Signed money under an order that is nobody's.
async fn stray(stack: &Stack) {
    let id = format!("{:016x}", rand::random::<u64>());
    let intent = json!({ "id": format!("pi_{id}"), "object": "payment_intent", "status": "succeeded",
        "amount_received": 5_000, "currency": "krw", "latest_charge": format!("ch_{id}"),
        "metadata": { "order_id": "somebody-elses" } });
    signed(stack, &format!("evt_{id}"), "payment_intent.succeeded", &intent).await.expect(200);
}

async fn forged(stack: &Stack) {
    let url = format!("{}/api/v1/billing/payments/webhook/stripe", stack.webhook);
    let request =
        stack.http.post(url).header("Stripe-Signature", "t=1,v1=00").header("Content-Type", "application/json");
    assert_eq!(stack.send(request.body("{}")).await.problem(400), "bad_signature");
}

async fn guessed(stack: &Stack) {
    let body = json!({ "username": var("OPS_USERNAME"), "password": "not this one" });
    assert_eq!(stack.post("/auth/login", None, body).await.problem(401), "invalid_credentials");
}

#[tokio::test]
async fn each_class_of_fault_leaves_exactly_its_lines_and_an_alarm_is_on_them() {
    let stack = Stack::new();
    // Log in before anything is counted.
    stack.ops().await;
    let s = &stack;
    leaves(s, "a guessed password", &["LogInsRefused"], async || guessed(s).await).await;
    leaves(s, "a forged event", &["WebhooksRefused Reason=bad_signature"], async || forged(s).await).await;
    let lines = ["Charges Gateway=toss Outcome=declined", "Declines Class=SOFT Gateway=toss"];
    leaves(s, "a declined card", &lines, async || declined(s).await).await;
    let lines = ["Charges Gateway=toss Outcome=unknown", "Charges Gateway=toss Outcome=captured"];
    leaves(s, "an answer that is lost", &lines, async || unheard(s).await).await;
    leaves(s, "a paused gateway", &["alert gateway.paused"], async || paused(s).await).await;
    leaves(s, "signed money of nobody's", &["alert webhook.unmatched"], async || stray(s).await).await;
    let (_, id) = stack.onboard("stripe", "starter").await;
    let order = stack.captures(&id).await[0]["orderId"].clone();
    let dispute = async || {
        stack.own(Method::POST, "/disputes", json!({ "orderId": order, "status": "needs_response" })).await;
    };
    leaves(s, "a dispute", &["alert dispute.opened"], dispute).await;
}
