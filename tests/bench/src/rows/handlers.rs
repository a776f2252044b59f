//! Warm functions against a hello world that makes the same requests: the real binaries behind a model of Lambda's
//! Runtime API, their processor time read from the kernel.

use serde_json::{Value, json};
use shared::store::Record;
use shared::store::rows::encode;
use tokio::process::Command;

use super::{Scale, webhooks};
use crate::aws::Stand;
use crate::bent::spoiled;
use crate::lambda::Function;
use crate::process::sibling;
use crate::report::{Row, Spread};
use crate::seed::{self, physical, plant_one};
use crate::stripe::{delivery, settled};
use domain::charge::GatewayName;
use domain::money::Money;
use domain::plan::Plan;
use shared::store::schema::{RowKey, Table};

const STAGE: &str = "warm";
/// Invocations before anything is measured.
const WARM: u32 = 200;

/// One function, the requests it makes, and the events it gets.
struct Case {
    function: &'static str,
    steps: Value,
    event: Box<dyn Fn(u32) -> String>,
}

pub async fn rows(scale: Scale) -> Vec<Row> {
    let stand = Stand::start(Value::Null).await;
    webhooks::plant(&stand, STAGE).await;
    for code in ["starter", "standard", "premium"] {
        plant_one(&stand.client, STAGE, &Record::Plan(plan(code))).await;
    }
    let mut rows = Vec::new();
    for case in [get_subscription(), list_plans(), payment_webhook()] {
        match measure(&stand, scale, &case).await {
            Some(row) => rows.push(row),
            None => {
                eprintln!("{}: not built beside this program; build functions and bench-floor first", case.function)
            }
        }
    }
    rows
}

async fn measure(stand: &Stand, scale: Scale, case: &Case) -> Option<Row> {
    let environment = stand.environment(STAGE);
    let start = |program: &str| {
        let mut command = Command::new(sibling(program)?);
        command.envs(environment.iter().map(|(n, v)| (*n, v))).env("FLOOR", case.steps.to_string());
        Some(Function::start(command))
    };
    let (mut subject, mut floor, mut hello) =
        (start(case.function)?.await, start("bench_floor")?.await, start("bench_hello")?.await);
    let (mut serial, calls) = (0, scale.of(1_000, 200));
    let (mut subjects, mut floors, mut hellos) = (Vec::new(), Vec::new(), Vec::new());
    for repeat in 0..=scale.repeats() {
        // The first round warms up.
        let calls = if repeat == 0 { WARM } else { calls };
        for (function, spent, extra) in [
            (&mut subject, &mut subjects, spoiled()),
            (&mut floor, &mut floors, false),
            (&mut hello, &mut hellos, false),
        ] {
            let before = function.cpu();
            for _ in 0..if extra { 2 * calls } else { calls } {
                serial += 1;
                let answer = function.invoke((case.event)(serial)).await;
                assert_eq!(answer["statusCode"], 200, "{}: {answer}", case.function);
            }
            if repeat > 0 {
                spent.push((function.cpu() - before).as_secs_f64() * 1e6 / f64::from(calls));
            }
        }
    }
    let ratios: Vec<f64> = subjects.iter().zip(&floors).map(|(subject, floor)| subject / floor).collect();
    let requests = case.steps.as_array().map_or(0, Vec::len);
    Some(
        Row::new(
            format!("warm-{}", case.function),
            format!("warm {} ÷ hello world with its {requests} raw calls", case.function),
            Spread::of(&ratios),
            "",
        )
        .at_most(1.5)
        .sides(Spread::of(&subjects).shown(" µs"), Spread::of(&floors).shown(" µs"))
        .note(format!(
            "{calls} invocations, {} times, interleaved; the hello world alone {}",
            scale.repeats(),
            Spread::of(&hellos).shown(" µs")
        )),
    )
}

fn plan(code: &str) -> Plan {
    Plan {
        code: code.to_owned(),
        version: 1,
        name: code.to_owned(),
        description: "Everything a studio needs to take bookings and be paid.".to_owned(),
        price: Money::krw(77_000),
        interval: domain::calendar::Interval::Month,
        addons: Vec::new(),
        on_sale: true,
        retry_days: vec![1, 3, 7],
    }
}

/// A REST event as API Gateway sends it.
fn rest(method: &str, path: &str, id: Option<&str>) -> String {
    json!({
        "resource": path, "path": path, "httpMethod": method,
        "headers": { "accept": "application/json", "Host": "api.example.com", "User-Agent": "bench", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https" },
        "multiValueHeaders": { "accept": ["application/json"], "Host": ["api.example.com"], "User-Agent": ["bench"], "X-Forwarded-For": ["127.0.0.1"], "X-Forwarded-Proto": ["https"] },
        "queryStringParameters": null, "multiValueQueryStringParameters": null, "stageVariables": null, "version": "1.0",
        "pathParameters": id.map(|id| json!({ "id": id })),
        "requestContext": { "accountId": "000000000000", "apiId": "bench", "stage": "bench", "protocol": "HTTP/1.1", "httpMethod": method,
            "resourceId": "bench", "resourcePath": path, "path": path, "requestId": "00000000-0000-0000-0000-000000000000",
            "requestTime": "01/Dec/2026:00:00:00 +0000", "requestTimeEpoch": 1_796_083_200_000_i64,
            "identity": { "sourceIp": "127.0.0.1", "userAgent": "bench" },
            "authorizer": { "principalId": "ops", "actorKind": "OPERATOR", "actor": "ops", "role": "OPS_ADMIN", "integrationLatency": 3 } },
        "body": null, "isBase64Encoded": false,
    })
    .to_string()
}

fn get_subscription() -> Case {
    let row = seed::subscription(7, GatewayName::Stripe, functions::wall());
    let id = row.id.to_string();
    let steps = json!([{ "get": { "table": physical(STAGE, Table::Subscription), "key": { "pk": id } } }]);
    let path = format!("/api/v1/billing/subscriptions/{id}");
    Case { function: "get_subscription", steps, event: Box::new(move |_| rest("GET", &path, Some(&id))) }
}

fn list_plans() -> Case {
    let table = physical(STAGE, Table::Plan);
    let key = |code: &str| json!({ "table": table, "key": { "pk": code, "sk": "000001" } });
    let steps = json!([
        { "query": { "table": table, "index": "on_sale", "name": "on_sale_pk", "value": "ON_SALE" } },
        { "batch": [key("starter"), key("standard"), key("premium")] },
    ]);
    Case { function: "list_plans", steps, event: Box::new(|_| rest("GET", "/api/v1/plans", None)) }
}

fn payment_webhook() -> Case {
    let (subscription, cycle) = settled(7, functions::wall());
    let key = |record: &Record| {
        let row = RowKey::of(&record.key());
        let sk = row.sk.map(|sk| json!({ "pk": row.pk, "sk": sk })).unwrap_or_else(|| json!({ "pk": row.pk }));
        json!({ "table": physical(STAGE, row.table), "key": sk })
    };
    let inbox = shared::store::InboxRow {
        key: "stripe#evt".to_owned(),
        kind: "payment_intent.succeeded".to_owned(),
        outcome: "SETTLED".to_owned(),
        expires_at: functions::wall(),
        version: 0,
    };
    let mut item = encode(&Record::Inbox(inbox), 1, "01KBAVXJ7MZQ8R5T2W4Y6A9C1E").expect("storable");
    item.iter_mut()
        .for_each(|(_, value)| *value = json!(value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    let inbox = physical(STAGE, Table::Inbox);
    let steps = json!([
        { "get": { "table": inbox, "key": { "pk": "stripe#evt_unknown" } } },
        { "batch": [key(&Record::Subscription(subscription)), key(&Record::Cycle(cycle))] },
        { "put": { "table": inbox, "item": item } },
    ]);
    Case { function: "payment_webhook", steps, event: Box::new(hook) }
}

/// A function URL's event.
fn hook(serial: u32) -> String {
    let now = functions::wall();
    let (body, signature) = delivery(7, &format!("evt_warm_{serial:08}"), now);
    let path = "/api/v1/billing/payments/webhook/stripe";
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": { "content-type": "application/json; charset=utf-8", "stripe-signature": signature, "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "host": "bench.lambda-url.ap-northeast-2.on.aws", "x-forwarded-for": "3.18.12.63", "x-forwarded-proto": "https" },
        "requestContext": { "accountId": "anonymous", "apiId": "bench", "domainName": "bench", "domainPrefix": "bench",
            "requestId": "00000000-0000-0000-0000-000000000000", "routeKey": "$default", "stage": "$default",
            "time": "01/Dec/2026:00:00:00 +0000", "timeEpoch": now.as_millisecond(),
            "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "3.18.12.63", "userAgent": "Stripe/1.0" } },
        "body": body, "isBase64Encoded": false,
    })
    .to_string()
}
