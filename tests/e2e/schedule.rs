//! The schedule, switched on: the tick by itself makes the day's run, calls the runner through the queue, and the run
//! drains. Locally it is deployed switched off; this test is the one that enables it.

use domain::calendar::seoul_date;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Stack, seoul_morning, var};

/// The emulator checks no signature, but finds the service by its scope.
fn scoped(stack: &Stack, method: Method) -> reqwest::RequestBuilder {
    let url = format!("{}/schedules/{}-billing-run", var("AWS_ENDPOINT_URL"), var("STAGE"));
    let scope = "AWS4-HMAC-SHA256 Credential=test/20261122/ap-northeast-2/scheduler/aws4_request, SignedHeaders=host, Signature=0";
    stack.http.request(method, url).header("Authorization", scope)
}

async fn set(stack: &Stack, schedule: &Value, state: &str, expression: &str) {
    let body = json!({
        "ScheduleExpression": expression,
        "State": state,
        "FlexibleTimeWindow": schedule["FlexibleTimeWindow"],
        "Target": schedule["Target"],
    });
    stack.send(scoped(stack, Method::PUT).json(&body)).await.expect(200);
}

#[tokio::test]
async fn the_tick_drains_the_days_run_by_itself() {
    let stack = Stack::new();
    stack.ops().await;
    let schedule = stack.send(scoped(&stack, Method::GET)).await.expect(200);
    assert_eq!(schedule["State"], "DISABLED", "deployed, but off");
    let expression = schedule["ScheduleExpression"].as_str().unwrap().to_owned();
    assert_eq!(expression, "rate(10 minutes)");
    // A day whose run nobody has made yet.
    let tomorrow = seoul_morning(seoul_date(stack.now().await).tomorrow().unwrap());
    stack.run(tomorrow).await;
    let known = runs(&stack).await;
    // An instant in the past fires at the emulator's next look, instead of ten minutes from now.
    set(&stack, &schedule, "ENABLED", "at(2020-01-01T00:00:00)").await;
    let run = stack
        .until("the tick's run is drained", || async {
            let runs = runs(&stack).await;
            runs.into_iter().find(|r| r["asOf"].is_null() && r["status"] == "DRAINED" && !known.contains(r))
        })
        .await;
    set(&stack, &schedule, "DISABLED", &expression).await;
    assert!(run["endedAt"].is_string(), "{run:#}");
}

async fn runs(stack: &Stack) -> Vec<Value> {
    let body = stack.get("/ops/runs?limit=100", Some(stack.ops().await)).await.expect(200);
    body["items"].as_array().unwrap().clone()
}
