//! Settlement on the deployed stack: what was sold, refunded in a console and disputed yesterday is reconciled by the
//! function the schedule calls, and operators read it as JSON and as a sheet.

use domain::Timestamp;
use domain::calendar::{seoul_date, seoul_midnight};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Stack, var};
use crate::tokens::operator_token;

/// Calls the daily function as `make reconcile` does.
async fn reconcile(stack: &Stack, day: &str) -> Value {
    let url = format!("{}/2015-03-31/functions", var("AWS_ENDPOINT_URL"));
    let scope =
        "AWS4-HMAC-SHA256 Credential=test/20261122/ap-northeast-2/lambda/aws4_request, SignedHeaders=host, Signature=0";
    let signed = |request: reqwest::RequestBuilder| request.header("Authorization", scope);
    let all = stack.send(signed(stack.http.get(format!("{url}?MaxItems=1000")))).await.expect(200);
    let names = all["Functions"].as_array().unwrap().iter().map(|f| f["FunctionName"].as_str().unwrap());
    let own: Vec<_> = names.filter(|name| name.contains("Reconcile")).collect();
    let [name] = own[..] else { panic!("one reconciliation, not {own:?}") };
    let input = json!({ "day": day });
    let done = stack.send(signed(stack.http.post(format!("{url}/{name}/invocations"))).json(&input)).await.expect(200);
    assert_eq!(done["complete"], true, "{done:#}");
    done
}

/// The rows of a subscription on a gateway's day. Other tests sell at the same time.
async fn rows(stack: &Stack, gateway: &str, day: &str, id: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/ops/settlements?gateway={gateway}&day={day}&limit=100{cursor}");
        let page = stack.get(&path, Some(stack.ops().await)).await.expect(200);
        assert_eq!((&page["gateway"], &page["day"], &page["complete"]), (&json!(gateway), &json!(day), &json!(true)));
        let own = page["rows"].as_array().unwrap().iter().filter(|row| row["subscriptionId"] == id).cloned();
        found.extend(own);
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// An instant of the next Seoul day: the stack's clock goes there with a run.
async fn tomorrow(stack: &Stack) -> Timestamp {
    let day = seoul_date(stack.now().await).tomorrow().unwrap();
    seoul_midnight(day).unwrap() + SignedDuration::from_hours(5)
}

#[tokio::test]
async fn a_day_is_reconciled_and_read_as_json_and_as_a_sheet() {
    let stack = Stack::new();
    stack.ops().await;
    let mut sold = Vec::new();
    for gateway in ["toss", "stripe"] {
        let (_, id) = stack.onboard(gateway, "starter").await;
        let capture = stack.captures(&id).await.remove(0);
        stack.own(Method::POST, "/refunds", json!({ "paymentId": capture["paymentId"], "amount": 3_000 })).await;
        let at: Timestamp = capture["at"].as_str().unwrap().parse().unwrap();
        sold.push((gateway, id, capture, seoul_date(at).to_string()));
    }
    stack.run(tomorrow(&stack).await).await;
    for (gateway, id, capture, day) in &sold {
        reconcile(&stack, day).await;
        let own = rows(&stack, gateway, day, id).await;
        let said: Vec<_> = own.iter().map(|row| (row["bucket"].as_str(), row["amount"].as_i64())).collect();
        assert_eq!(own.len(), 2, "{own:#?}");
        for amount in [33_000, -3_000] {
            assert!(said.contains(&(Some("matched"), Some(amount))), "{own:#?}");
        }
        let row = own.iter().find(|row| row["amount"] == 33_000).unwrap();
        assert_eq!((&row["paymentId"], &row["unexplained"]), (&capture["paymentId"], &json!(0)));
        assert!(row["fee"].as_i64().unwrap() > 0 && row["net"].is_i64(), "{row:#}");
        let again = reconcile(&stack, day).await;
        assert!(again["passes"].as_array().unwrap().iter().all(|pass| pass["outcome"] == "DONE"), "{again:#}");
        assert_eq!(rows(&stack, gateway, day, id).await, own, "a second time changes nothing");
        sheet(&stack, gateway, day, row["id"].as_str().unwrap()).await;
    }
}

async fn sheet(stack: &Stack, gateway: &str, day: &str, row: &str) {
    let viewer = operator_token(stack, "vera", "OPS_VIEWER").await;
    let path = format!("/ops/settlements?gateway={gateway}&day={day}");
    let request = stack.request(Method::GET, &path, Some(&viewer)).header("Accept", "text/csv");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.starts_with(&[0xEF, 0xBB, 0xBF]), "Excel needs the byte order mark");
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains("\"구분(bucket)\"") && text.ends_with("\"\r\n"), "{text}");
    let line = text.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("{row} in {text}"));
    assert!(line.contains("\"matched\"") && line.contains("\"33000\""), "{line}");
}

#[tokio::test]
async fn settlements_are_for_operators_and_ask_for_a_gateway_and_a_day() {
    let stack = Stack::new();
    let ops = stack.ops().await.to_owned();
    for (query, field) in
        [("?day=2027-01-31", "gateway"), ("?gateway=toss", "day"), ("?gateway=toss&day=2027-1-3", "day")]
    {
        let refused = stack.get(&format!("/ops/settlements{query}"), Some(&ops)).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], field, "{refused:#}");
    }
    let (applicant, _) = stack.onboard("toss", "starter").await;
    let path = "/ops/settlements?gateway=toss&day=2027-01-31";
    assert_eq!(stack.get(path, Some(&applicant.token)).await.status, 403);
    let empty = stack.get("/ops/settlements?gateway=stripe&day=2020-01-01", Some(&ops)).await.expect(200);
    assert_eq!((&empty["rows"], &empty["unexplained"]), (&json!([]), &json!({ "count": 0, "amount": 0 })));
    assert_eq!(empty["totals"].as_object().unwrap().len(), 5, "{empty:#}");
}
