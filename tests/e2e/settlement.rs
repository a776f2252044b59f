//! Settlement on the deployed stack: what was sold, refunded in a console and disputed yesterday is reconciled by the
//! function the schedule calls, and operators read it as JSON and as a sheet.

use domain::Timestamp;
use domain::calendar::{seoul_date, seoul_midnight};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::aws::invoke;
use crate::harness::Stack;
use crate::tokens::operator_token;

/// Calls the daily function as `make reconcile` does.
async fn reconcile(stack: &Stack, day: &str) -> Value {
    let done = invoke(stack, "ReconcileFunction", json!({ "day": day })).await;
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

/// The answer was lost and every question since: the gateway's list is the first to tell.
#[tokio::test]
async fn a_capture_nobody_heard_of_comes_into_the_books_from_the_list() {
    let stack = Stack::new();
    stack.ops().await;
    let applicant = stack.apply("starter").await;
    stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    for (operation, fault, times) in [("charge", "drop_after", 1), ("find", "error_before", 1_000)] {
        let armed = json!({ "gateway": "toss", "operation": operation, "fault": fault, "times": times });
        stack.own(Method::POST, "/faults", armed).await;
    }
    let approved = stack.approve(&applicant).await.expect(202);
    let id = approved["subscriptionId"].as_str().unwrap().to_owned();
    let day = seoul_date(stack.now().await).to_string();
    // The run asks in vain, and will ask again in a while.
    let run = stack.start_run(tomorrow(&stack).await).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(stack.subscription(&id).await["status"], "PENDING_ACTIVATION", "nobody was told");
    let healed = stack.http.delete(format!("{}/__sandbox/faults", stack.sandbox));
    assert!(stack.send(healed).await.status < 300);
    reconcile(&stack, &day).await;
    assert_eq!(stack.subscription(&id).await["status"], "ACTIVE");
    let own = rows(&stack, "toss", &day, &id).await;
    assert_eq!((own.len(), &own[0]["bucket"]), (1, &json!("matched")), "{own:#?}");
    stack.drained(&run).await;
    assert_eq!(stack.captures(&id).await.len(), 1);
}

/// Somebody took money and gave it back under an order id that looks like ours: people are shown it.
#[tokio::test]
async fn a_payment_that_only_looks_like_ours_is_left_to_people() {
    let stack = Stack::new();
    stack.ops().await;
    let order = format!("{}-0-0-1", domain::ids::ulid_of(rand::random::<u128>()));
    let customer_key = "5e0d6f3c-4bb7-4a57-9d4e-0d3f6a6f1c11";
    let auth_key = stack.auth_key(customer_key, "approved").await;
    let toss = async |path: String, body: Value| {
        let request = stack.http.post(format!("{}/v1/{path}", stack.sandbox)).basic_auth("test_sk_other", Some(""));
        stack.send(request.json(&body)).await.expect(200)
    };
    let card =
        toss("billing/authorizations/issue".to_owned(), json!({ "authKey": auth_key, "customerKey": customer_key }));
    let path = format!("billing/{}", card.await["billingKey"].as_str().unwrap());
    let body = json!({ "customerKey": customer_key, "amount": 5_000, "orderId": order, "orderName": "x" });
    let paid = toss(path, body).await;
    let day = seoul_date(stack.now().await).to_string();
    stack.own(Method::POST, "/refunds", json!({ "paymentId": paid["paymentKey"], "amount": 5_000 })).await;
    stack.run(tomorrow(&stack).await).await;
    reconcile(&stack, &day).await;
    let path = format!("/ops/settlements?gateway=toss&day={day}&limit=100");
    let listed = stack.get(&path, Some(stack.ops().await)).await.expect(200);
    let strange = listed["rows"].as_array().unwrap().iter().filter(|row| row["paymentId"] == paid["paymentKey"]);
    let strange: Vec<_> = strange.map(|row| (row["amount"].as_i64(), row["bucket"] != "matched")).collect();
    assert!([5_000, -5_000].iter().all(|amount| strange.contains(&(Some(*amount), true))), "{listed:#}");
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
