//! An application that ends before anybody decides, and what becomes of its card.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::aws::invoke;
use crate::harness::{Applicant, Stack};
use crate::tables::dump;

/// Orders a subscription before anybody decided.
async fn order(stack: &Stack, applicant: &Applicant, card: &Value) -> String {
    let order = json!({ "onboardingRequestId": applicant.id, "planCode": "starter", "paymentMethodId": card["id"] });
    let ordered = stack.post("/billing/subscriptions", Some(&applicant.token), order).await.expect(201);
    ordered["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_withdrawn_application_is_over_and_its_card_is_deleted() {
    let stack = Stack::new();
    for gateway in ["toss", "stripe"] {
        let (applicant, stranger) = (stack.apply("starter").await, stack.apply("starter").await);
        let token = Some(applicant.token.as_str());
        let card = match gateway {
            "toss" => stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201),
            _ => stack.register_stripe(&applicant.token).await.expect(201),
        };
        let subscription = order(&stack, &applicant, &card).await;
        // The window opens for whoever ordered already, too.
        stack.post("/billing/payment-methods/setup", token, json!({ "gateway": gateway })).await.expect(201);
        let path = format!("/onboarding/requests/{}/withdraw", applicant.id);
        assert_eq!(stack.post(&path, Some(&stranger.token), json!({})).await.problem(404), "not_found");
        assert_eq!(stack.post(&path, Some(stack.ops().await), json!({})).await.status, 403);
        for _ in 0..2 {
            let body = stack.post(&path, token, json!({})).await.expect(200);
            assert_eq!((&body["status"], &body["nextAction"]), (&json!("WITHDRAWN"), &json!("NONE")), "{body:#}");
        }
        assert_eq!(stack.get(&format!("/onboarding/requests/{}", applicant.id), token).await.status, 401);
        assert_eq!(stack.approve(&applicant).await.problem(409), "already_decided");
        assert_eq!(stack.subscription(&subscription).await["status"], "CANCELLED");
        let id = card["id"].as_str().unwrap();
        stack
            .until("the card is deleted", || async {
                let rows = dump().await;
                let mine = |row: &&String| row.starts_with("ops_payment_method") && row.contains(id);
                rows.iter().find(mine).filter(|row| row.contains("DELETED")).map(|_| ())
            })
            .await;
    }
    // Nobody has been idle for a month here: the job runs and ends nobody.
    let waiting = stack.apply("starter").await;
    invoke(&stack, "ExpireApplicationsFunction", json!({})).await;
    let body = stack.get(&format!("/onboarding/requests/{}", waiting.id), Some(&waiting.token)).await.expect(200);
    assert_eq!(body["status"], "SUBMITTED");
}

#[tokio::test]
async fn an_application_left_for_a_month_expires_with_what_it_ordered() {
    let stack = Stack::new();
    let applicant = stack.apply("starter").await;
    let card = stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    let subscription = order(&stack, &applicant, &card).await;
    stack.run(stack.now().await + SignedDuration::from_hours(24 * 32)).await;
    invoke(&stack, "ExpireApplicationsFunction", json!({})).await;
    assert_eq!(stack.subscription(&subscription).await["status"], "CANCELLED");
    assert!(stack.captures(&subscription).await.is_empty());
    let listed = stack.get("/onboarding/requests?status=EXPIRED&limit=100", Some(stack.ops().await)).await.expect(200);
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert!(ids.contains(&&json!(applicant.id)), "{listed:#}");
}
