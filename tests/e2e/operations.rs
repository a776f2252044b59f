//! What operators do on the deployed stack: stop a gateway and tell its tenants, ask about one attempt, find dead letters
//! and send them back, let a held run go on.

use domain::calendar::seoul_date;
use domain::run::{Forecast, Progress, Run};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::{Commit, DynamoStore, Key, Record, Store, Write};
use shared::usecase::run_billing::day_run;

use crate::aws::{configure, invoke};
use crate::harness::{Stack, seoul_morning, var};
use crate::queues::{queue_url, sqs};
use crate::tables;
use crate::tokens::tenant_token;

async fn post(stack: &Stack, path: &str, body: Value) -> crate::harness::Answer {
    stack.post(path, Some(stack.ops().await), body).await
}

async fn get(stack: &Stack, path: &str) -> Value {
    stack.get(path, Some(stack.ops().await)).await.expect(200)
}

async fn toss(stack: &Stack) -> Value {
    let gateways = get(stack, "/ops/gateways").await;
    gateways["items"].as_array().unwrap().iter().find(|g| g["gateway"] == "toss").unwrap().clone()
}

#[tokio::test]
async fn a_paused_gateway_takes_nothing_and_its_tenants_are_told() {
    let stack = Stack::new();
    // Another test's outage may have left the breaker open.
    post(&stack, "/ops/gateways/toss/resume", json!({ "reason": "drill" })).await.expect(200);
    assert_eq!(toss(&stack).await["status"], "FLOWS");
    for (path, code) in [("/ops/gateways/paypal/pause", 404), ("/ops/gateways/toss/pause", 422)] {
        post(&stack, path, json!({ "reason": " " })).await.problem(code);
    }
    post(&stack, "/ops/gateways/toss/guides", json!({})).await.problem(409);

    // The same request twice is one pause.
    let pause = |key: &'static str| {
        let request = stack.request(Method::POST, "/ops/gateways/toss/pause", None).header("Idempotency-Key", key);
        request.json(&json!({ "reason": "드릴" }))
    };
    let ops = stack.ops().await;
    let key = "pause-drill";
    let first = stack.send(pause(key).bearer_auth(ops)).await.expect(200);
    assert_eq!((&first["status"], &first["pause"]["reason"]), (&json!("PAUSED"), &json!("드릴")));
    assert_eq!(stack.send(pause(key).bearer_auth(ops)).await.expect(200), first);
    assert_eq!(toss(&stack).await, first);

    // Approval stands; the payment waits.
    let applicant = stack.apply("starter").await;
    stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    let approved = stack.approve(&applicant).await.expect(202);
    assert_eq!(approved["nextAction"], "FIRST_PAYMENT_PENDING");
    let id = approved["subscriptionId"].as_str().unwrap().to_owned();
    let retry = stack.request(Method::POST, &format!("/billing/subscriptions/{id}/retry"), Some(ops));
    let answer = retry.json(&json!({})).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "300"));
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "gateway_paused");
    assert!(stack.captures(&id).await.is_empty());

    let item = guides(&stack).await.into_iter().find(|item| item["subscriptionId"] == id).expect("told once");
    assert!(guides(&stack).await.is_empty(), "nobody is told twice");
    let path = item["path"].as_str().unwrap();
    let (status, page) = open(&stack, path).await;
    assert_eq!(status, 200);
    assert!(page.contains("KRW") && page.contains("SandboxBank") && !page.contains("김하나"), "{page}");
    assert_eq!(open(&stack, &format!("{path}x")).await.0, 404);
    let login = stack.get("/ops/gateways", path.rsplit('/').next()).await;
    assert_eq!(login.status, 401, "a guide's token is no log-in");

    post(&stack, "/ops/gateways/toss/resume", json!({ "reason": "끝" })).await.expect(200);
    assert_eq!(toss(&stack).await["status"], "FLOWS");
    assert!(!open(&stack, path).await.1.contains("SandboxBank"), "an old link asks for nothing");
    stack.run(stack.now().await + SignedDuration::from_mins(1)).await;
    assert_eq!(stack.subscription(&id).await["status"], "ACTIVE");
    assert_eq!(stack.captures(&id).await.len(), 1);
}

/// All batches: who was told now.
async fn guides(stack: &Stack) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut body = json!({ "limit": 50 });
        if cursor.is_string() {
            body["cursor"] = cursor;
        }
        let batch = post(stack, "/ops/gateways/toss/guides", body).await.expect(200);
        items.extend(batch["items"].as_array().unwrap().clone());
        cursor = batch["nextCursor"].clone();
        if cursor.is_null() {
            return items;
        }
    }
}

async fn open(stack: &Stack, path: &str) -> (u16, String) {
    let answer = stack.http.get(format!("{}{path}", stack.api)).send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn an_attempt_nobody_heard_of_is_resolved_by_asking() {
    let stack = Stack::new();
    let applicant = stack.apply("starter").await;
    stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    let fault = json!({ "gateway": "toss", "operation": "charge", "fault": "drop_after", "times": 1 });
    stack.own(Method::POST, "/faults", fault).await;
    let approved = stack.approve(&applicant).await.expect(202);
    let id = approved["subscriptionId"].as_str().unwrap().to_owned();
    let attempt = stack.cycles(&id).await[0]["attempts"][0].clone();
    let order = attempt["orderId"].as_str().unwrap().to_owned();
    let path = format!("/ops/attempts/{order}/resolve");
    let tenant = tenant_token(&stack, &applicant.tenant).await;
    assert_eq!(stack.post(&path, Some(&tenant), json!({})).await.status, 403);
    let resolved = post(&stack, &path, json!({})).await.expect(200);
    assert_eq!(
        (&resolved["outcome"], &resolved["status"], &resolved["n"]),
        (&json!("SUCCEEDED"), &json!("PAID"), &json!(1))
    );
    assert_eq!((&resolved["orderId"], &resolved["subscriptionId"]), (&json!(order), &json!(id)));
    assert_eq!(stack.captures(&id).await.len(), 1);
    for unknown in ["nonsense", "01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0-1", &order.replace("-1", "-7")] {
        post(&stack, &format!("/ops/attempts/{unknown}/resolve"), json!({})).await.problem(404);
    }
}

#[tokio::test]
async fn poison_ends_as_a_dead_letter_and_a_redrive_sends_it_back() {
    let stack = Stack::new();
    let sqs = sqs();
    let url = queue_url(&sqs, "failed-charges").await;
    // One that can never be worked on, and one whose cause is gone by now.
    sqs.send_message().queue_url(&url).message_body("poison").send().await.unwrap();
    let cured = json!({ "subscriptionId": "sub_01ARZ3NDEKTSV4RRFFQ69G5FAV", "orderId": "o-1", "reason": "UNKNOWN" });
    let dead = queue_url(&sqs, "failed-charges-dlq").await;
    sqs.send_message().queue_url(&dead).message_body(cured.to_string()).send().await.unwrap();

    let both = stack
        .until("five failures make a dead letter", || async {
            let listed = get(&stack, "/ops/failed-charges").await;
            (listed["items"].as_array().unwrap().len() == 2).then_some(listed)
        })
        .await;
    let items = both["items"].as_array().unwrap();
    assert!(items.iter().any(|i| i["unreadableBytes"] == 6), "{both:#}");
    assert!(items.iter().any(|i| i["message"] == cured), "{both:#}");
    assert_eq!(get(&stack, "/ops/failed-charges").await["items"].as_array().unwrap().len(), 2, "looking takes nothing");
    let none = get(&stack, "/ops/failed-charges?queue=billing-shards").await;
    assert_eq!((&none["queue"], &none["items"]), (&json!("billing-shards"), &json!([])));

    post(&stack, "/ops/failed-charges/redrive", json!({ "queue": "x" })).await.problem(422);
    let request = || {
        let request = stack.request(Method::POST, "/ops/failed-charges/redrive", None);
        request.header("Idempotency-Key", "redrive-drill").json(&json!({ "max": 10 }))
    };
    let done = stack.send(request().bearer_auth(stack.ops().await)).await.expect(200);
    assert_eq!((&done["sent"], &done["undeleted"]), (&json!(2), &json!(0)), "{done:#}");
    assert_eq!(stack.send(request().bearer_auth(stack.ops().await)).await.expect(200), done);
    // The hint about nobody is done; the poison comes back.
    stack
        .until("only the poison comes back", || async {
            let listed = get(&stack, "/ops/failed-charges").await;
            let items = listed["items"].as_array().unwrap();
            (items.len() == 1 && items[0]["unreadableBytes"] == 6).then_some(())
        })
        .await;
    sqs.purge_queue().queue_url(&dead).send().await.unwrap();
}

/// A day run of the past, as the hold's history has it: small, and with payments enough to judge by.
async fn small_run(of: Timestamp) {
    let store = DynamoStore::new(tables::client(), var("STAGE"));
    let id = day_run(of);
    if store.get(&Key::Run(id.clone())).await.unwrap().is_some() {
        return;
    }
    let forecast = Some(Forecast { count: 1, amount: 33_000 });
    let progress = Progress { forecast, charged: 20, drained: true, ..Progress::default() };
    let run = Run::new(id.clone(), None, 1, of).progressed(0, &progress, of);
    let writes = vec![Write::New(Record::Run(run))];
    store.commit(&Commit { id: format!("past-{id}"), writes, events: Vec::new() }).await.unwrap();
}

/// A day run that foresees far more than the days before is held by its runner; operators are told, and let it go on.
#[tokio::test]
async fn a_run_that_jumps_is_held_until_it_is_approved() {
    let stack = Stack::new();
    // A day on which nothing ran yet.
    let tomorrow = seoul_morning(seoul_date(stack.now().await).tomorrow().unwrap());
    stack.run(tomorrow).await;
    for back in 1..=14 {
        small_run(tomorrow - SignedDuration::from_hours(24 * back)).await;
    }
    let before = configure(&stack, "BillingShardFunction", "HOLD_FACTOR", "2").await;
    post(&stack, "/ops/gateways/toss/pause", json!({ "reason": "drill" })).await.expect(200);
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let applicant = stack.apply("starter").await;
        stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
        waiting.push(stack.approve(&applicant).await.expect(202)["subscriptionId"].as_str().unwrap().to_owned());
    }
    post(&stack, "/ops/gateways/toss/resume", json!({ "reason": "drill" })).await.expect(200);
    // How long the oldest has waited is known to operators.
    let today = seoul_date(stack.now().await);
    let figures = get(&stack, &format!("/ops/metrics?from={today}&to={today}")).await;
    assert!(figures["oldestDue"].is_string(), "{figures:#}");
    invoke(&stack, "BillingRunFunction", json!({})).await;
    let id = day_run(stack.now().await).to_string();
    let run = async || {
        let runs = get(&stack, "/ops/runs?limit=100").await;
        runs["items"].as_array().unwrap().iter().find(|run| run["id"] == id).cloned()
    };
    let held = stack.until("it is held", || async { run().await.filter(|run| run["status"] == "HELD") }).await;
    assert!(held["forecast"]["count"].as_u64() >= Some(4), "{held:#}");
    stack
        .until("operators are told", || async {
            let all = stack.send(stack.http.get(format!("{}/__sandbox/slack", stack.sandbox))).await.expect(200);
            all["messages"].to_string().contains(&id).then_some(())
        })
        .await;
    for id in &waiting {
        assert!(stack.captures(id).await.is_empty(), "a held run charges nobody");
    }
    let approved = post(&stack, &format!("/ops/runs/{id}/approve"), json!({})).await.expect(200);
    assert_eq!(
        (&approved["status"], approved["approvedBy"].as_str()),
        (&json!("RUNNING"), Some(var("OPS_USERNAME").as_str()))
    );
    stack.drained(&id).await;
    for id in &waiting {
        assert_eq!(stack.captures(id).await.len(), 1, "{id}");
    }
    post(&stack, &format!("/ops/runs/{id}/approve"), json!({})).await.expect(200);
    configure(&stack, "BillingShardFunction", "HOLD_FACTOR", &before).await;

    let other = stack.start_run(stack.now().await + SignedDuration::from_mins(1)).await;
    let other = stack.drained(&other).await;
    let refused = post(&stack, &format!("/ops/runs/{}/approve", other["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(refused.problem(409), "run_not_held");
    post(&stack, "/ops/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/approve", json!({})).await.problem(404);
}

#[tokio::test]
async fn figures_follow_what_happens_and_are_operators_alone() {
    let stack = Stack::new();
    let ops = Some(stack.ops().await.to_owned());
    let today = stack.now().await.to_zoned(jiff::tz::TimeZone::get("Asia/Seoul").unwrap()).date();
    let path = format!("/ops/metrics?from={today}&to={}", today.tomorrow().unwrap());
    let figures = || async { stack.get(&path, ops.as_deref()).await.expect(200) };
    let before = figures().await;
    let (applicant, _) = stack.onboard("toss", "starter").await;
    let declined = stack.apply("starter").await;
    stack.register_toss(&declined, &declined.token, "insufficient_funds").await.expect(201);
    assert_eq!(stack.approve(&declined).await.expect(200)["nextAction"], "SUPPLY_CARD");
    let more = |after: &Value, field: &str| after[field].as_i64().unwrap() - before[field].as_i64().unwrap();
    let after = stack
        .until("both charges are counted", || async {
            Some(figures().await).filter(|after| more(after, "captured") >= 1 && more(after, "declined") >= 1)
        })
        .await;
    assert_eq!(more(&after, "charges"), more(&after, "captured") + more(&after, "declined"));
    let rate = after["successRate"].as_f64().unwrap();
    assert!(rate > 0.0 && rate < 1.0, "{after:#}");
    let codes = after["declines"].as_array().unwrap();
    assert!(codes.iter().any(|d| d["class"] == "SOFT" && d["code"] == "REJECT_CARD_PAYMENT"), "{after:#}");
    assert!(
        after["mrr"].as_array().unwrap().iter().any(|m| m["currency"] == "KRW" && m["amount"].as_i64() >= Some(33_000))
    );
    assert!(after["active"].as_i64() >= Some(1) && after["unknownsComplete"] == true, "{after:#}");
    let token = crate::tokens::tenant_token(&stack, &applicant.tenant).await;
    assert_eq!(stack.get(&path, Some(&token)).await.status, 403);
    let long = stack.get("/ops/metrics?from=2020-01-01&to=2027-01-01", ops.as_deref()).await;
    assert_eq!(long.problem(422), "out_of_range");
}
