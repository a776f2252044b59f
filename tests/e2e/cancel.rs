//! Leaving and changing cards, on the deployed stack: cancel for the period's end and now, change the card, and who may.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Applicant, Stack, morning_after};
use crate::tokens::tenant_token;

async fn cancel(stack: &Stack, id: &str, token: &str, body: Value) -> Answer {
    stack.post(&format!("/billing/subscriptions/{id}/cancel"), Some(token), body).await
}

async fn change(stack: &Stack, id: &str, token: &str, body: Value) -> Answer {
    stack.send(stack.request(Method::PATCH, &format!("/billing/subscriptions/{id}"), Some(token)).json(&body)).await
}

/// Makes every card of a Toss customer answer so from now on.
async fn behave(stack: &Stack, customer_key: &str, card: &str) {
    stack.own(Method::POST, "/behaviour", json!({ "customerKey": customer_key, "card": card })).await;
}

#[tokio::test]
async fn a_tenant_leaves_at_the_periods_end_and_is_not_charged_again() {
    let stack = Stack::new();
    for gateway in ["toss", "stripe"] {
        let (applicant, id) = stack.onboard(gateway, "starter").await;
        let token = tenant_token(&stack, &applicant.tenant).await;
        let before = stack.subscription(&id).await;
        let wish = json!({ "at": "PERIOD_END", "reason": "closing the practice" });
        let scheduled = cancel(&stack, &id, &token, wish.clone()).await.expect(200);
        assert_eq!((&scheduled["status"], &scheduled["cancelAt"]), (&json!("ACTIVE"), &before["nextBillingAt"]));
        assert!(scheduled["nextBillingAt"].is_null(), "nothing is billed next: {scheduled:#}");
        assert_eq!(cancel(&stack, &id, &token, wish).await.expect(200), scheduled, "asking again is the same answer");
        let end = morning_after(&before);
        stack.run(end).await;
        let ended = stack.subscription(&id).await;
        assert_eq!(ended["status"], "CANCELLED", "{ended:#}");
        assert!(ended["cancelAt"].is_null());
        stack.run(end + SignedDuration::from_hours(24 * 31)).await;
        assert_eq!(stack.subscription(&id).await["status"], "TERMINATED", "thirty days later access ends");
        assert_eq!(stack.captures(&id).await.len(), 1, "{gateway}: the first payment and no other");
        assert_eq!(stack.cycles(&id).await.len(), 1);
    }
}

/// In dunning a new card pays at once; without it, cancelling closes the case and the cycle.
#[tokio::test]
async fn in_dunning_another_card_pays_or_leaving_voids_what_was_owed() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("toss", "standard").await;
    let token = tenant_token(&stack, &applicant.tenant).await;
    // A card at the other gateway, registered and not in use.
    let spare = stack.register_stripe(&token).await.expect(201);
    let (spare, old) = (spare["id"].clone(), stack.subscription(&id).await["paymentMethodId"].clone());
    assert_ne!(spare, old);
    behave(&stack, &applicant.customer_key, "insufficient_funds").await;
    stack.run(morning_after(&stack.subscription(&id).await)).await;
    assert_eq!(stack.subscription(&id).await["dunning"]["step"], 0);

    let paid = change(&stack, &id, &token, json!({ "paymentMethodId": spare })).await.expect(200);
    assert_eq!((&paid["charge"], &paid["paymentMethodId"]), (&json!("SUCCEEDED"), &spare), "{paid:#}");
    assert!(paid["dunning"].is_null());
    assert_eq!(stack.captures(&id).await.len(), 2);
    let again = change(&stack, &id, &token, json!({ "paymentMethodId": spare })).await.expect(200);
    assert!(again["charge"].is_null(), "nothing is owed: {again:#}");

    let back = change(&stack, &id, &token, json!({ "paymentMethodId": old })).await.expect(200);
    assert_eq!(back["paymentMethodId"], old);
    stack.run(morning_after(&stack.subscription(&id).await)).await;
    assert_eq!(stack.subscription(&id).await["dunning"]["step"], 0, "the old card is declined again");
    let left = cancel(&stack, &id, &token, json!({ "at": "PERIOD_END" })).await.expect(200);
    assert_eq!(left["status"], "CANCELLED", "the paid period is over: {left:#}");
    assert!(left["dunning"].is_null());
    let cycles = stack.cycles(&id).await;
    assert_eq!(cycles.iter().map(|c| c["status"].as_str().unwrap()).collect::<Vec<_>>(), ["PAID", "PAID", "VOID"]);
    behave(&stack, &applicant.customer_key, "approved").await;
    stack.run(stack.now().await + SignedDuration::from_hours(24 * 8)).await;
    assert_eq!(stack.captures(&id).await.len(), 2, "nobody is charged after leaving");
    let retry = stack.post(&format!("/billing/subscriptions/{id}/retry"), Some(&token), json!({})).await;
    assert_eq!(retry.problem(409), "subscription_ended");
}

/// A subscription whose renewal Stripe declined: its id, its tenant's token, its applicant and its customer there.
async fn declined_on_stripe(stack: &Stack) -> (Applicant, String, String, String) {
    let (applicant, id) = stack.onboard("stripe", "starter").await;
    let token = tenant_token(stack, &applicant.tenant).await;
    let payment = stack.captures(&id).await[0]["paymentId"].as_str().unwrap().to_owned();
    let first = at_stripe(stack, &format!("/v1/payment_intents/{payment}")).await;
    let bad = "pm_card_chargeDeclinedInsufficientFunds";
    stack.own(Method::POST, "/behaviour", json!({ "paymentMethod": first["payment_method"], "card": bad })).await;
    stack.run(morning_after(&stack.subscription(&id).await)).await;
    let customer = first["customer"].as_str().unwrap().to_owned();
    assert_eq!(intents(stack, &customer).await, ["requires_payment_method", "succeeded"], "newest first");
    (applicant, id, token, customer)
}

async fn at_stripe(stack: &Stack, path: &str) -> Value {
    let request = stack.http.get(format!("{}{path}", stack.sandbox)).bearer_auth("sk_test_reader");
    stack.send(request).await.expect(200)
}

/// What became of a customer's PaymentIntents, the newest first.
async fn intents(stack: &Stack, customer: &str) -> Vec<String> {
    let list = at_stripe(stack, &format!("/v1/payment_intents?customer={customer}&limit=100")).await;
    list["data"].as_array().unwrap().iter().map(|intent| intent["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_open_payment_intent_is_cancelled_before_the_other_gateway_charges() {
    let stack = Stack::new();
    let (applicant, id, token, customer) = declined_on_stripe(&stack).await;
    let spare = stack.register_toss(&applicant, &token, "insufficient_funds").await.expect(201);
    assert_eq!(spare["charge"], "DECLINED", "it is charged at once: {spare:#}");
    assert_eq!(intents(&stack, &customer).await, ["canceled", "succeeded"]);
    behave(&stack, &applicant.customer_key, "approved").await;
    let paid = stack.post(&format!("/billing/subscriptions/{id}/retry"), Some(&token), json!({})).await.expect(200);
    assert_eq!(paid["status"], "ACTIVE");
    let captures = stack.captures(&id).await;
    let gateways: Vec<_> = captures.iter().map(|c| c["gateway"].as_str().unwrap()).collect();
    assert_eq!(gateways, ["stripe", "toss"], "each period once");
}

#[tokio::test]
async fn an_open_payment_intent_is_cancelled_with_its_subscription() {
    let stack = Stack::new();
    let (_, id, token, customer) = declined_on_stripe(&stack).await;
    let left = cancel(&stack, &id, &token, json!({ "at": "NOW" })).await.expect(200);
    assert_eq!(left["status"], "CANCELLED", "{left:#}");
    assert_eq!(intents(&stack, &customer).await, ["canceled", "succeeded"]);
    assert_eq!(stack.cycles(&id).await[1]["status"], "VOID");
}

#[tokio::test]
async fn leaving_and_changing_are_checked_like_everything_else() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("toss", "starter").await;
    let (stranger, foreign) = stack.onboard("toss", "starter").await;
    let token = tenant_token(&stack, &applicant.tenant).await;
    let now = json!({ "at": "NOW" });
    assert_eq!(cancel(&stack, &foreign, &token, now.clone()).await.problem(404), "not_found");
    assert_eq!(cancel(&stack, &id, &applicant.token, now.clone()).await.status, 403, "the applicant's time is over");
    for (body, field) in [
        (json!({}), "at"),
        (json!({ "at": "LATER" }), "at"),
        (json!({ "at": "NOW", "refund": true }), "refund"),
        (json!({ "at": "NOW", "reason": "x".repeat(201) }), "reason"),
    ] {
        let refused = cancel(&stack, &id, &token, body).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], field, "{refused:#}");
    }
    let foreign_card = stack.subscription(&foreign).await["paymentMethodId"].clone();
    for card in [foreign_card, json!("mth_nothing")] {
        let refused = change(&stack, &id, &token, json!({ "paymentMethodId": card })).await;
        assert_eq!(refused.problem(404), "not_found");
    }
    for (body, field) in [(json!({ "planCode": "premium" }), "planCode"), (json!({}), "paymentMethodId")] {
        let refused = change(&stack, &id, &token, body).await.expect(422);
        assert_eq!(refused["errors"][0]["field"], field, "{refused:#}");
    }
    let spare = stack.register_toss(&applicant, &token, "approved").await.expect(201)["id"].clone();
    let path = format!("/billing/payment-methods/{}", spare.as_str().unwrap());
    assert_eq!(stack.send(stack.request(Method::DELETE, &path, Some(&token))).await.status, 204);
    let refused = change(&stack, &id, &token, json!({ "paymentMethodId": spare })).await;
    assert_eq!(refused.problem(409), "payment_method_unusable");

    // An operator, with a key: done once, and once more only with the same body.
    let keyed = |body: Value| {
        let path = format!("/billing/subscriptions/{foreign}/cancel");
        let stack = &stack;
        async move {
            let request = stack.request(Method::POST, &path, Some(stack.ops().await)).json(&body);
            stack.send(request.header("Idempotency-Key", format!("leave-{path}"))).await
        }
    };
    let ended = keyed(now.clone()).await.expect(200);
    assert_eq!(ended["status"], "CANCELLED");
    assert_eq!(keyed(now).await.expect(200), ended);
    assert_eq!(keyed(json!({ "at": "PERIOD_END" })).await.problem(422), "idempotency_key_reused");
    let token = tenant_token(&stack, &stranger.tenant).await;
    let refused = change(&stack, &foreign, &token, json!({ "paymentMethodId": ended["paymentMethodId"] })).await;
    assert_eq!(refused.problem(409), "subscription_ended");
}
