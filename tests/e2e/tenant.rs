//! What a tenant sees and does: its subscription, its cards, and nobody else's.

use reqwest::Method;
use serde_json::json;

use crate::harness::Stack;
use crate::tokens::tenant_token;

#[tokio::test]
async fn a_tenant_manages_its_own_cards_only() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("toss", "starter").await;
    let (stranger, foreign) = stack.onboard("stripe", "starter").await;
    let token = tenant_token(&stack, &applicant.tenant).await;

    let own = stack.get("/billing/subscriptions", Some(&token)).await.expect(200);
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    assert_eq!(own["items"][0]["id"], id.as_str());
    assert_eq!(stack.get(&format!("/billing/subscriptions/{foreign}"), Some(&token)).await.problem(404), "not_found");
    let asked =
        stack.get(&format!("/billing/subscriptions?tenantId={}", stranger.tenant), Some(&token)).await.expect(200);
    assert!(asked["items"].as_array().unwrap().is_empty());
    assert_eq!(stack.get("/ops/runs", Some(&token)).await.status, 403);

    let methods = stack.get("/billing/payment-methods", Some(&token)).await.expect(200);
    let first = methods["items"][0]["id"].as_str().unwrap().to_owned();
    assert!(methods.to_string().find("token").is_none(), "no token in any answer: {methods:#}");
    let delete = |id: &str| stack.request(Method::DELETE, &format!("/billing/payment-methods/{id}"), Some(&token));
    assert_eq!(stack.send(delete(&first)).await.problem(409), "payment_method_in_use");

    let second = stack.register_toss(&applicant, &token, "approved").await.expect(201);
    assert!(second["charge"].is_null(), "nothing is owed, so nothing is charged: {second:#}");
    assert_eq!(stack.subscription(&id).await["paymentMethodId"], first.as_str());
    let second = second["id"].as_str().unwrap();
    assert_eq!(stack.send(delete(second)).await.status, 204);
    assert_eq!(stack.send(delete(second)).await.status, 204, "deleting again is done already");
    let third = stack.register_stripe(&token).await.expect(201);
    assert_eq!(stack.send(delete(third["id"].as_str().unwrap())).await.status, 204);
    let window = json!({ "gateway": "toss" });
    let window = stack.post("/billing/payment-methods/setup", Some(&token), window).await.expect(201);
    assert_eq!(window["customerKey"], applicant.customer_key.as_str());
    // What was ordered is answered again as it is.
    let order = json!({ "onboardingRequestId": applicant.id, "planCode": "starter", "paymentMethodId": first });
    assert_eq!(stack.post("/billing/subscriptions", Some(&token), order).await.expect(201)["id"], id.as_str());
    let left = stack.get("/billing/payment-methods", Some(&token)).await.expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(stack.captures(&id).await.len(), 1);

    let foreign_method = stack.subscription(&foreign).await["paymentMethodId"].as_str().unwrap().to_owned();
    assert_eq!(stack.send(delete(&foreign_method)).await.problem(404), "not_found");
    let order = json!({
        "onboardingRequestId": stranger.id, "planCode": "starter", "paymentMethodId": first,
    });
    let refused = stack.post("/billing/subscriptions", Some(&token), order).await;
    assert_eq!(refused.problem(422), "unknown_application");
}
