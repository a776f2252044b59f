//! Giving money back on the deployed stack, at both gateways: in parts and in full, with a lost answer, by two people,
//! in the gateway's own console, and a dispute. The sandbox's ledger is the judge.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::aws::invoke;
use crate::harness::{Answer, Stack};
use crate::tokens::{operator_token, tenant_token};

const GATEWAYS: [&str; 2] = ["toss", "stripe"];

async fn refund(stack: &Stack, id: &str, token: &str, key: &str, body: Value) -> Answer {
    let path = format!("/billing/subscriptions/{id}/cycles/0/refunds");
    // Keys are the caller's, and one operator asks for all of these.
    let key = format!("{id}-{key}");
    let request = stack.request(Method::POST, &path, Some(token)).header("Idempotency-Key", key);
    stack.send(request.json(&body)).await
}

/// What the gateways gave back for a subscription.
async fn given(stack: &Stack, id: &str) -> Vec<i64> {
    let ulid = id.trim_start_matches("sub_").to_owned();
    let ours = |e: &&Value| e["kind"] == "refund" && e["orderId"].as_str().is_some_and(|o| o.starts_with(&ulid));
    stack.ledger().await.iter().filter(ours).map(|e| e["amount"].as_i64().unwrap()).collect()
}

async fn payment(stack: &Stack, id: &str) -> String {
    stack.captures(id).await[0]["paymentId"].as_str().unwrap().to_owned()
}

async fn first_cycle(stack: &Stack, id: &str) -> Value {
    stack.cycles(id).await[0].clone()
}

/// The tick of refunds, now: what the schedule does every ten minutes.
async fn sweep(stack: &Stack) {
    assert!(invoke(stack, "RefundSweepFunction", json!({})).await.is_null(), "it succeeded");
}

#[tokio::test]
async fn parts_then_the_rest_then_no_more() {
    let stack = Stack::new();
    let ops = stack.ops().await.to_owned();
    for gateway in GATEWAYS {
        let (applicant, id) = stack.onboard(gateway, "starter").await;
        let tenant = tenant_token(&stack, &applicant.tenant).await;
        let viewer = operator_token(&stack, "vera", "OPS_VIEWER").await;
        for token in [&tenant, &viewer] {
            assert_eq!(refund(&stack, &id, token, "k", json!({ "reason": "mine" })).await.status, 403);
        }
        let part = json!({ "amount": 10_000, "reason": "half a month" });
        let first = refund(&stack, &id, &ops, "part", part.clone()).await.expect(201);
        assert_eq!(
            (&first["status"], &first["amount"], &first["vat"]),
            (&json!("SUCCEEDED"), &json!(10_000), &json!(909))
        );
        assert_eq!((&first["supply"], &first["currency"]), (&json!(9_091), &json!("KRW")));
        let again = refund(&stack, &id, &ops, "part", part).await.expect(201);
        assert_eq!(again, first, "the same key is the same refund");
        let over = refund(&stack, &id, &ops, "over", json!({ "amount": 23_001, "reason": "x" })).await.expect(409);
        assert_eq!((&over["code"], &over["left"]), (&json!("more_than_left"), &json!(23_000)));
        for (key, body) in [("zero", json!({ "amount": 0, "reason": "x" })), ("blank", json!({ "reason": " " }))] {
            let refused = refund(&stack, &id, &ops, key, body).await;
            assert_eq!(refused.status, 422, "{:#}", refused.body);
        }
        let finance = operator_token(&stack, "fin", "OPS_FINANCE").await;
        let rest = refund(&stack, &id, &finance, "rest", json!({ "reason": "left early" })).await.expect(201);
        assert_eq!((&rest["amount"], &rest["vat"]), (&json!(23_000), &json!(2_091)), "VAT sums to that of the whole");
        let none = refund(&stack, &id, &ops, "none", json!({ "reason": "x" })).await;
        assert_eq!(none.problem(409), "more_than_left");
        assert_eq!(given(&stack, &id).await, [10_000, 23_000], "{gateway}");
        let cycle = first_cycle(&stack, &id).await;
        assert_eq!((&cycle["refunded"], cycle["refunds"].as_array().unwrap().len()), (&json!(33_000), 2));
        let unpaid = format!("/billing/subscriptions/{id}/cycles/5/refunds");
        assert_eq!(stack.post(&unpaid, Some(&ops), json!({ "reason": "x" })).await.status, 404);
        let unknown = "/billing/subscriptions/sub_01ARZ3NDEKTSV4RRFFQ69G5FAV/cycles/0/refunds";
        assert_eq!(stack.post(unknown, Some(&ops), json!({ "reason": "x" })).await.status, 404);
    }
}

/// The gateway gave the money back, or did not, and nobody heard: the sweep finds out.
#[tokio::test]
async fn a_lost_answer_gives_the_money_back_once() {
    let stack = Stack::new();
    let ops = stack.ops().await.to_owned();
    for gateway in GATEWAYS {
        for fault in ["drop_after", "drop_before"] {
            let (_, id) = stack.onboard(gateway, "starter").await;
            let lost = json!({ "gateway": gateway, "operation": "refund", "fault": fault, "times": 1 });
            stack.own(Method::POST, "/faults", lost).await;
            let open = refund(&stack, &id, &ops, "lost", json!({ "reason": "x" })).await.expect(202);
            assert_eq!(open["status"], "UNKNOWN", "{gateway} {fault}");
            // Where the money went back, the gateway's event may have told the books by now.
            if fault == "drop_before" {
                let busy = refund(&stack, &id, &ops, "busy", json!({ "reason": "x" })).await;
                assert_eq!(busy.problem(409), "refund_in_progress");
            }
            // Looked at again in half a minute; the run takes the stack's clock there.
            stack.run(stack.now().await + SignedDuration::from_mins(5)).await;
            sweep(&stack).await;
            let cycle = first_cycle(&stack, &id).await;
            assert_eq!(cycle["refunds"][0]["status"], "SUCCEEDED", "{gateway} {fault}: {cycle:#}");
            assert_eq!(given(&stack, &id).await, [33_000], "{gateway} {fault}");
            let answer = refund(&stack, &id, &ops, "lost", json!({ "reason": "x" })).await.expect(201);
            assert_eq!((&answer["id"], &answer["status"]), (&open["id"], &json!("SUCCEEDED")));
        }
    }
}

#[tokio::test]
async fn a_large_refund_takes_two_people() {
    let stack = Stack::new();
    let ops = stack.ops().await.to_owned();
    for gateway in GATEWAYS {
        let (_, id) = stack.onboard(gateway, "premium").await;
        let asked = refund(&stack, &id, &ops, "all", json!({ "reason": "never used" })).await.expect(202);
        assert_eq!((&asked["status"], &asked["amount"]), (&json!("PENDING_APPROVAL"), &json!(165_000)));
        let refund_id = asked["id"].as_str().unwrap();
        let path = format!("/billing/subscriptions/{id}/cycles/0/refunds/{refund_id}/approve");
        assert_eq!(stack.post(&path, Some(&ops), json!({})).await.problem(403), "second_person_required");
        assert!(given(&stack, &id).await.is_empty());
        let other = operator_token(&stack, "lee", "OPS_FINANCE").await;
        let done = stack.post(&path, Some(&other), json!({})).await.expect(200);
        assert_eq!((&done["id"], &done["status"]), (&json!(refund_id), &json!("SUCCEEDED")), "{gateway}");
        assert_eq!(stack.post(&path, Some(&other), json!({})).await.expect(200), done, "asking again changes nothing");
        assert_eq!(given(&stack, &id).await, [165_000], "{gateway}");
    }
}

#[tokio::test]
async fn refunds_in_the_gateways_console_and_disputes_reach_the_books() {
    let stack = Stack::new();
    let ops = stack.ops().await.to_owned();
    for gateway in GATEWAYS {
        let (_, id) = stack.onboard(gateway, "starter").await;
        let by_hand = json!({ "paymentId": payment(&stack, &id).await, "amount": 3_000 });
        stack.own(Method::POST, "/refunds", by_hand).await;
        let cycle = stack
            .until("the console's refund is in the books", || async {
                Some(first_cycle(&stack, &id).await).filter(|cycle| cycle["refunded"] == 3_000)
            })
            .await;
        assert_eq!((&cycle["refunds"][0]["origin"], &cycle["refunds"][0]["vat"]), (&json!("CONSOLE"), &json!(273)));
        let rest = refund(&stack, &id, &ops, "rest", json!({ "reason": "x" })).await.expect(201);
        assert_eq!((&rest["amount"], &rest["vat"]), (&json!(30_000), &json!(2_727)), "{gateway}");
    }
    let (_, id) = stack.onboard("stripe", "starter").await;
    let order = stack.captures(&id).await[0]["orderId"].clone();
    for (status, closed) in [("needs_response", false), ("lost", true)] {
        stack.own(Method::POST, "/disputes", json!({ "orderId": order, "status": status })).await;
        let dispute = stack
            .until("the dispute is in the books", || async {
                let dispute = first_cycle(&stack, &id).await["dispute"].clone();
                Some(dispute).filter(|dispute| dispute["status"] == status)
            })
            .await;
        assert_eq!((dispute["closedAt"].is_string(), &dispute["amount"]), (closed, &json!(33_000)));
        let refused = refund(&stack, &id, &ops, status, json!({ "reason": "x" })).await;
        assert_eq!(refused.problem(409), if closed { "more_than_left" } else { "payment_disputed" });
    }
    assert!(given(&stack, &id).await.is_empty());
}
