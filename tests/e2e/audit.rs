//! The audit log and the close of a month on the deployed stack: searched over HTTP, sealed and verified by the functions
//! themselves, and a row that came after the seal is found.

use domain::calendar::seoul_date;
use domain::event::{Actor, Event};
use domain::ids::{EventId, ulid};
use domain::money::Money;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::store::{Commit, DynamoStore, Store};

use crate::aws::invoke;
use crate::documents::{invoices, refund, tell_of};
use crate::harness::{Stack, seoul_morning, var};
use crate::tables::client;
use crate::tokens::{operator_token, tenant_token};

async fn search(stack: &Stack, query: &str) -> Value {
    stack.get(&format!("/ops/audit?{query}"), Some(stack.ops().await)).await.expect(200)
}

/// Every event of a search, page by page.
async fn all(stack: &Stack, query: &str) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = search(stack, &format!("{query}&limit=100{cursor}")).await;
        events.extend(page["items"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_and_nothing_personal() {
    let stack = Stack::new();
    let today = stack.now().await.to_zoned(TimeZone::UTC).date();
    let (applicant, id) = stack.onboard("toss", "starter").await;
    let about = all(&stack, &format!("subject={id}")).await;
    let captured = about.iter().find(|e| e["type"] == "payment.captured").unwrap_or_else(|| panic!("{about:#?}"));
    assert!(captured["actor"]["kind"].is_string() && captured["changes"]["amount"].is_i64(), "{captured:#}");
    assert!(about.iter().map(|e| e["id"].as_str().unwrap()).rev().is_sorted(), "newest first");
    let only = all(&stack, &format!("subject={id}&type=payment.captured")).await;
    assert_eq!(only, std::slice::from_ref(captured));
    let mut of_days = all(&stack, &format!("day={today}")).await;
    of_days.extend(all(&stack, &format!("day={}", today.tomorrow().unwrap())).await);
    assert!(about.iter().all(|event| of_days.contains(event)), "a day has the events of its subjects");
    let text = Value::from(of_days).to_string();
    for personal in ["봄날", "김하나", "owner@example.kr", "010-1234-5678", "1208147521", "120-81-47521"] {
        assert!(!text.contains(personal), "{personal}");
    }
    let first = search(&stack, &format!("day={today}&limit=1")).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let foreign = stack.get(&format!("/ops/audit?subject={id}&cursor={cursor}"), Some(stack.ops().await)).await;
    assert_eq!(foreign.status, 422, "a cursor serves its own search");
    for bad in ["", "?type=x.y", "?day=2027-13-01", "?subject=a&day=2027-01-01", "?subject=a&limit=0"] {
        let answer = stack.get(&format!("/ops/audit{bad}"), Some(stack.ops().await)).await;
        assert!(answer.expect(422)["errors"].is_array(), "{bad}");
    }
    let viewer = operator_token(&stack, "vera", "OPS_VIEWER").await;
    assert_eq!(stack.get(&format!("/ops/audit?subject={id}"), Some(&viewer)).await.status, 200);
    let tenant = tenant_token(&stack, &applicant.tenant).await;
    assert_eq!(stack.get(&format!("/ops/audit?subject={id}"), Some(&tenant)).await.status, 403);
    assert_eq!(stack.get(&format!("/ops/audit?subject={id}"), None).await.status, 401);
}

/// Deletes every mark of an event that was forwarded; says how many there were.
async fn forget_marks() -> usize {
    let (client, table) = (client(), format!("{}-forwarded", var("STAGE")));
    let marks = client.scan().table_name(&table).send().await.unwrap().items.unwrap_or_default();
    for mark in &marks {
        let key = ["pk", "sk"].into_iter().filter_map(|name| Some((name.to_owned(), mark.get(name)?.clone())));
        client.delete_item().table_name(&table).set_key(Some(key.collect())).send().await.unwrap();
    }
    marks.len()
}

#[tokio::test]
async fn the_log_is_sealed_verified_and_a_late_row_is_found() {
    let stack = Stack::new();
    stack.onboard("stripe", "starter").await;
    // The day in which something happened is over and settled.
    let now = stack.now().await;
    stack.run(now + SignedDuration::from_hours(51)).await;
    // The forwarder's marks are gone, as if it had never sent anything: what it sends is sent again, and heard once.
    let marks = forget_marks().await;
    assert!(marks > 0);
    invoke(&stack, "SealAuditFunction", json!({})).await;
    assert!(forget_marks().await > 0, "they were sent again");
    let verified = invoke(&stack, "VerifyAuditFunction", json!({})).await;
    assert!(verified["broken"].is_null() && verified["next"].is_null(), "{verified:#}");
    let days = verified["days"].as_array().unwrap();
    assert!(days.iter().any(|day| day["events"].as_u64().unwrap() > 0), "{verified:#}");
    let sealed: Date = days.last().unwrap()["day"].as_str().unwrap().parse().unwrap();
    let told = all(&stack, &format!("subject=audit%23{sealed}")).await;
    assert_eq!(told[0]["type"], "audit.sealed");
    invoke(&stack, "SealAuditFunction", json!({})).await;
    assert_eq!(invoke(&stack, "VerifyAuditFunction", json!({})).await, verified, "sealed once");

    let at = sealed.to_zoned(TimeZone::UTC).unwrap().timestamp() + SignedDuration::from_hours(1);
    let late = Event {
        id: EventId::new(ulid(at, rand::random())),
        at,
        kind: "run.started".to_owned(),
        subject: "late".to_owned(),
        actor: Actor::System("e2e".to_owned()),
        reason: None,
        changes: Map::new(),
    };
    let commit = Commit { id: late.id.to_string(), writes: Vec::new(), events: vec![late] };
    DynamoStore::new(client(), var("STAGE")).commit(&commit).await.unwrap();
    let found = invoke(&stack, "VerifyAuditFunction", json!({ "from": sealed })).await;
    assert_eq!(found["broken"]["day"], json!(sealed), "{found:#}");
    assert!(found["broken"]["shard"].is_u64(), "{found:#}");
    let told = all(&stack, &format!("subject=audit%23{sealed}&type=audit.broken")).await;
    assert_eq!(told.len(), 1, "an operator hears of it");
    let before = sealed.yesterday().unwrap();
    assert!(invoke(&stack, "VerifyAuditFunction", json!({ "to": before })).await["broken"].is_null());
}

#[tokio::test]
async fn a_month_is_closed_by_finance_when_it_is_over() {
    let stack = Stack::new();
    let finance = operator_token(&stack, "finn", "OPS_FINANCE").await;
    let viewer = operator_token(&stack, "vera", "OPS_VIEWER").await;
    let (applicant, id) = stack.onboard("toss", "starter").await;
    let token = tenant_token(&stack, &applicant.tenant).await;
    let invoice = invoices(&stack, &token, 1).await.remove(0);
    let sold = stack.now().await;
    let next = seoul_date(sold).last_of_month().tomorrow().unwrap();
    stack.run(seoul_morning(next)).await;
    let now = seoul_date(stack.now().await);
    let this = format!("{:04}-{:02}", now.year(), now.month());
    let last = now.first_of_month().yesterday().unwrap();
    let last = format!("{:04}-{:02}", last.year(), last.month());
    let path = |month: &str| format!("/ops/months/{month}/close");
    assert_eq!(stack.post(&path(&this), Some(&finance), json!({})).await.problem(409), "month_not_over");
    assert_eq!(stack.post(&path("2027-13"), Some(&finance), json!({})).await.problem(404), "not_found");
    assert_eq!(stack.post(&path(&last), Some(&viewer), json!({})).await.status, 403);
    let request = || stack.request(Method::POST, &path(&last), Some(&finance)).header("Idempotency-Key", "close-drill");
    let closed = stack.send(request()).await.expect(200);
    assert_eq!((&closed["month"], closed["closedAt"].is_string()), (&json!(last), true), "{closed:#}");
    assert_eq!(stack.send(request()).await.expect(200), closed);
    assert_eq!(stack.post(&path(&last), Some(stack.ops().await), json!({})).await.expect(200), closed, "by anybody");
    let told = all(&stack, &format!("subject=month%23{last}")).await;
    assert_eq!((told.len(), &told[0]["type"]), (1, &json!("month.closed")));

    // What is heard of it later is booked in the open month, and the closed one stays as it was.
    let ledger = async || stack.get(&format!("/ops/ledger?month={last}"), Some(&finance)).await.expect(200);
    let before = ledger().await;
    let path = format!("/billing/invoices/{}", invoice["id"].as_str().unwrap());
    let shown = stack.get(&path, Some(&token)).await.expect(200);
    let vat = Money::krw(1_100).vat_split().vat.amount;
    let refund_id = format!("rfd_{}", ulid(sold, rand::random()));
    tell_of(sold, &id, refund(&id, &shown, &refund_id, 1_100, vat, 1_100)).await;
    stack
        .until("the credit note is written", || async {
            let shown = stack.get(&path, Some(&token)).await.expect(200);
            (shown["refunded"] == 1_100).then_some(())
        })
        .await;
    let day = seoul_date(sold).to_string();
    assert_eq!(invoke(&stack, "ReconcileFunction", json!({ "day": day })).await["complete"], true);
    assert_eq!(ledger().await, before);
}
