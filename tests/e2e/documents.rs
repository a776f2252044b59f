//! Documents on the deployed stack: a paid cycle becomes an invoice through the stream and a queue; it is listed, shown,
//! printed, explained and given its tax document; the ledger ties; and one bad row does not stop the next.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::event::{Actor, Event, Fact};
use domain::ids::{EventId, ulid};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::{Commit, DynamoStore, Store};

use crate::harness::{Answer, Stack, morning_after, var};
use crate::queues::{queue_url, sqs};
use crate::tables::client;
use crate::tokens::tenant_token;

async fn list(stack: &Stack, token: &str, query: &str) -> Value {
    stack.get(&format!("/billing/invoices{query}"), Some(token)).await.expect(200)
}

/// The tenant's invoices once there are so many, newest first.
pub async fn invoices(stack: &Stack, token: &str, count: usize) -> Vec<Value> {
    stack
        .until("the invoices are written", || async {
            let items = list(stack, token, "?limit=100").await["items"].as_array().unwrap().clone();
            assert!(items.len() <= count, "one invoice for each paid cycle: {items:#?}");
            (items.len() == count).then_some(items)
        })
        .await
}

async fn page(stack: &Stack, path: &str, token: &str) -> Answer {
    stack.send(stack.request(Method::GET, path, Some(token)).header("Accept", "text/html,*/*;q=0.8")).await
}

/// Writes an event as a function would, with nothing else: the stream takes it from there.
async fn tell(subject: &str, fact: Fact) -> Event {
    tell_of(Stack::new().now().await, subject, fact).await
}

/// The same of an earlier time.
pub async fn tell_of(at: Timestamp, subject: &str, fact: Fact) -> Event {
    let event = Event {
        id: EventId::new(ulid(at, rand::random())),
        at,
        kind: fact.kind.to_owned(),
        subject: subject.to_owned(),
        actor: Actor::System("e2e".to_owned()),
        reason: None,
        changes: fact.changes,
    };
    let commit = Commit { id: event.id.to_string(), writes: Vec::new(), events: vec![event.clone()] };
    DynamoStore::new(client(), var("STAGE")).commit(&commit).await.unwrap();
    event
}

pub fn refund(subscription: &str, invoice: &Value, id: &str, amount: i64, vat: i64, refunded: i64) -> Fact {
    let payment = invoice["payment"]["paymentId"].as_str().unwrap();
    Fact::new("refund.succeeded", subscription)
        .with("index", 0)
        .with("seq", 0)
        .with("refundId", id)
        .with("amount", amount)
        .with("vat", vat)
        .with("refunded", refunded)
        .with("currency", "KRW")
        .with("gateway", invoice["payment"]["gateway"].as_str().unwrap())
        .with("paymentId", payment)
        .with("origin", "operator")
}

#[tokio::test]
async fn documents_of_a_paid_cycle_are_listed_shown_printed_and_explained() {
    let stack = Stack::new();
    for gateway in ["toss", "stripe"] {
        let (applicant, id) = stack.onboard(gateway, "standard").await;
        let token = tenant_token(&stack, &applicant.tenant).await;
        let first = invoices(&stack, &token, 1).await.remove(0);
        let path = format!("/billing/invoices/{}", first["id"].as_str().unwrap());
        let shown = stack.get(&path, Some(&token)).await.expect(200);
        let capture = stack.captures(&id).await.remove(0);
        assert_eq!((&shown["total"], &shown["payment"]["paymentId"]), (&capture["amount"], &capture["paymentId"]));
        assert_eq!((&shown["subscriptionId"], &shown["index"]), (&json!(id), &json!(0)));
        let sum = shown["supply"].as_i64().unwrap() + shown["vat"].as_i64().unwrap();
        assert_eq!(shown["total"], sum);
        assert_eq!(shown["buyer"], json!({ "name": "봄날 심리상담센터", "registrationNumber": "1208147521" }));
        assert_eq!(shown["supplier"]["registrationNumber"], "0000000000");
        assert_eq!(shown["payment"]["gateway"], gateway);
        assert!(shown["number"].as_str().unwrap().starts_with("MG-20"), "{shown:#}");
        assert!(shown["payment"]["last4"].is_string() && shown["refunds"] == json!([]), "{shown:#}");

        let html = page(&stack, &path, &token).await.expect(200);
        let html = html.as_str().expect("a page");
        assert!(html.starts_with("<!doctype html>") && html.contains(shown["number"].as_str().unwrap()), "{html}");
        assert!(html.contains("봄날 심리상담센터") && html.contains("세금계산서가 아닙니다"), "{html}");

        let explained = stack.get(&format!("{path}/explain"), Some(&token)).await.expect(200);
        assert_eq!(explained["matches"], true, "{explained:#}");
        assert!(explained["steps"].as_array().unwrap().iter().any(|s| s["name"] == "price"), "{explained:#}");

        stack.run(morning_after(&stack.subscription(&id).await)).await;
        let both = invoices(&stack, &token, 2).await;
        assert_eq!(both[1], first, "newest first, and the first as it was");
        let one = list(&stack, &token, "?limit=1").await;
        assert_eq!(one["items"], json!([both[0]]));
        let cursor = one["nextCursor"].as_str().unwrap();
        let rest = list(&stack, &token, &format!("?limit=1&cursor={cursor}")).await;
        assert_eq!((&rest["items"], rest["nextCursor"].is_null()), (&json!([first]), true));
        assert_eq!(
            list(&stack, stack.ops().await, &format!("?tenantId={}", applicant.tenant)).await["items"],
            json!(both)
        );
    }
}

#[tokio::test]
async fn documents_are_the_tenants_own_and_tax_is_finances() {
    let stack = Stack::new();
    let (applicant, _) = stack.onboard("toss", "starter").await;
    let (stranger, _) = stack.onboard("toss", "starter").await;
    let token = tenant_token(&stack, &applicant.tenant).await;
    let foreign = tenant_token(&stack, &stranger.tenant).await;
    let invoice = invoices(&stack, &token, 1).await.remove(0);
    let path = format!("/billing/invoices/{}", invoice["id"].as_str().unwrap());
    for path in [path.clone(), format!("{path}/explain"), "/billing/invoices/inv_nothing".to_owned()] {
        assert_eq!(stack.get(&path, Some(&foreign)).await.problem(404), "not_found", "{path}");
    }
    assert_eq!(page(&stack, &path, &foreign).await.status, 404);
    let asked = list(&stack, &foreign, &format!("?tenantId={}", applicant.tenant)).await;
    assert_eq!(asked["items"], json!([]));
    assert_eq!(stack.get("/billing/invoices", Some(stack.ops().await)).await.status, 422, "operators name a tenant");
    assert_eq!(stack.get(&path, Some(&applicant.token)).await.status, 403);

    let issue = format!("{path}/issue");
    assert_eq!(stack.post(&issue, Some(&token), json!({})).await.status, 403);
    let issued = stack.post(&issue, Some(stack.ops().await), json!({})).await.expect(200);
    assert_eq!((&issued["kind"], &issued["status"]), (&json!("CARD_SLIP"), &json!("NOT_REQUIRED")), "{issued:#}");
    assert!(issued["law"].as_str().unwrap().contains("제33조"), "{issued:#}");
    assert_eq!(stack.post(&issue, Some(stack.ops().await), json!({})).await.expect(200), issued, "the same answer");
    let shown = stack.get(&path, Some(&token)).await.expect(200);
    assert_eq!(shown["taxDocument"]["kind"], "CARD_SLIP", "{shown:#}");
    let nothing = "/billing/invoices/inv_01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0/issue";
    assert_eq!(stack.post(nothing, Some(stack.ops().await), json!({})).await.problem(404), "not_found");
}

#[tokio::test]
async fn documents_follow_refunds_and_the_ledger_ties() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("toss", "starter").await;
    let token = tenant_token(&stack, &applicant.tenant).await;
    let invoice = invoices(&stack, &token, 1).await.remove(0);
    let path = format!("/billing/invoices/{}", invoice["id"].as_str().unwrap());
    let shown = stack.get(&path, Some(&token)).await.expect(200);
    let (total, vat) = (shown["total"].as_i64().unwrap(), shown["vat"].as_i64().unwrap());

    // A row that does not read stands in the stream before the refund: it is set aside, and what follows goes on.
    let mark = EventId::new(ulid(stack.now().await, rand::random())).to_string();
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let poison = client().put_item().table_name(format!("{}-ops_audit_log", var("STAGE")));
    poison
        .item("pk", text("2020-01-01#0"))
        .item("sk", text(&mark))
        .item("kind", AttributeValue::Bool(true))
        .send()
        .await
        .unwrap();

    let part = domain::money::Money::krw(5_000);
    let part_vat = part.vat_split().vat.amount;
    let ids = [format!("rfd_{mark}_1"), format!("rfd_{mark}_2")];
    tell(&id, refund(&id, &shown, &ids[0], 5_000, part_vat, 5_000)).await;
    tell(&id, refund(&id, &shown, &ids[1], total - 5_000, vat - part_vat, total)).await;
    tell(&id, refund(&id, &shown, &ids[0], 5_000, part_vat, 5_000)).await;
    let refunded = stack
        .until("both credit notes are written", || async {
            let shown = stack.get(&path, Some(&token)).await.expect(200);
            (shown["refunds"].as_array().unwrap().len() == 2).then_some(shown)
        })
        .await;
    assert_eq!(refunded["refunded"], total);
    let given: i64 = refunded["refunds"].as_array().unwrap().iter().map(|r| r["vat"].as_i64().unwrap()).sum();
    assert_eq!(given, vat, "all VAT given back: {refunded:#}");
    let explained = stack.get(&format!("{path}/explain"), Some(&token)).await.expect(200);
    assert_eq!(explained["matches"], true, "{explained:#}");
    let html = page(&stack, &path, &token).await.expect(200);
    assert!(html.as_str().unwrap().contains("환불 내역"));

    let month = &invoice["paidOn"].as_str().unwrap()[..7];
    let ledger = stack.get(&format!("/ops/ledger?month={month}"), Some(stack.ops().await)).await.expect(200);
    assert_eq!((&ledger["balanced"], &ledger["tied"], &ledger["complete"]), (&json!(true), &json!(true), &json!(true)));
    assert_eq!(stack.get("/ops/ledger?month=2026-13", Some(stack.ops().await)).await.status, 422);
    assert_eq!(stack.get(&format!("/ops/ledger?month={month}"), Some(&token)).await.status, 403);
    set_aside(&stack, &mark).await;
}

/// A refund that comes back leaves what was given since with another share of the VAT: the next note makes it whole.
#[tokio::test]
async fn documents_follow_a_refund_that_came_back() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("stripe", "starter").await;
    let token = tenant_token(&stack, &applicant.tenant).await;
    let invoice = invoices(&stack, &token, 1).await.remove(0);
    let path = format!("/billing/invoices/{}", invoice["id"].as_str().unwrap());
    let shown = stack.get(&path, Some(&token)).await.expect(200);
    let vat = |amount| domain::money::Money::krw(amount).vat_split().vat.amount;
    let share = vat(12) - vat(6);
    assert_ne!(share, vat(6), "the order of two refunds of 6 matters");
    let mark = ulid(stack.now().await, rand::random());
    let refund_id = |n: u32| format!("rfd_{mark}_{n}");
    let notes = async |count: usize| {
        stack
            .until("its note is written", || async {
                let shown = stack.get(&path, Some(&token)).await.expect(200);
                (shown["refunds"].as_array().unwrap().len() == count).then_some(shown)
            })
            .await
    };
    tell(&id, refund(&id, &shown, &refund_id(1), 6, vat(6), 6)).await;
    notes(1).await;
    tell(&id, refund(&id, &shown, &refund_id(2), 6, share, 12)).await;
    notes(2).await;
    let mut back = refund(&id, &shown, &refund_id(1), 6, vat(6), 6);
    back.kind = "refund.failed";
    tell(&id, back.with("from", "SUCCEEDED").with("code", "e2e")).await;
    let path_of = path.clone();
    stack
        .until("the refund that came back is written", || async {
            let shown = stack.get(&path_of, Some(&token)).await.expect(200);
            (shown["refunded"] == 6).then_some(())
        })
        .await;
    tell(&id, refund(&id, &shown, &refund_id(3), 12, vat(18) - share, 18)).await;
    let whole = notes(3).await;
    assert_eq!(whole["refunded"], 18, "{whole:#}");
    let explained = stack.get(&format!("{path}/explain"), Some(&token)).await.expect(200);
    assert_eq!(explained["matches"], true, "{explained:#}");
}

/// Waits until the keys of the row that does not read are where an operator finds them.
async fn set_aside(stack: &Stack, mark: &str) {
    let sqs = sqs();
    let url = queue_url(&sqs, "unreadable-events").await;
    stack
        .until("the unreadable row is set aside", || async {
            let got =
                sqs.receive_message().queue_url(&url).max_number_of_messages(10).visibility_timeout(1).send().await;
            let found = got.unwrap().messages.unwrap_or_default();
            found.iter().any(|m| m.body().is_some_and(|b| b.contains(mark))).then_some(())
        })
        .await;
}
