//! The product's journey, for both gateways: apply, register, approve, pay, renew, decline, retry, recover.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Stack, morning_after};

/// Every paid cycle has exactly one capture of its amount in the gateway's ledger, and there is no other capture.
async fn judged_by_the_ledger(stack: &Stack, id: &str) -> Vec<Value> {
    let cycles = stack.cycles(id).await;
    let captures = stack.captures(id).await;
    let paid: Vec<&Value> = cycles.iter().filter(|c| c["status"] == "PAID").collect();
    assert_eq!(captures.len(), paid.len(), "{captures:#?} {cycles:#?}");
    for cycle in paid {
        let orders: Vec<&str> =
            cycle["attempts"].as_array().unwrap().iter().map(|a| a["orderId"].as_str().unwrap()).collect();
        let ours: Vec<_> = captures.iter().filter(|c| orders.contains(&c["orderId"].as_str().unwrap())).collect();
        assert_eq!(ours.len(), 1, "{cycle:#}");
        assert_eq!(ours[0]["amount"], cycle["total"]);
    }
    cycles
}

/// Makes the registered card answer as `card` says from now on.
async fn behave(stack: &Stack, gateway: &str, customer_key: &str, stripe_method: Option<&str>, card: &str) {
    let subject = match gateway {
        "toss" => json!({ "customerKey": customer_key, "card": card }),
        _ => json!({ "paymentMethod": stripe_method.unwrap(), "card": card }),
    };
    stack.own(Method::POST, "/behaviour", subject).await;
}

/// The Stripe payment method of a subscription's customer, read from the sandbox's ledger of charges.
async fn stripe_method(stack: &Stack, id: &str) -> String {
    let payment = stack.captures(id).await[0]["paymentId"].as_str().unwrap().to_owned();
    let request =
        stack.http.get(format!("{}/v1/payment_intents/{payment}", stack.sandbox)).bearer_auth("sk_test_reader");
    stack.send(request).await.expect(200)["payment_method"].as_str().unwrap().to_owned()
}

async fn journey(gateway: &str) {
    let stack = Stack::new();
    let plans = stack.get("/plans", None).await.expect(200);
    let prices: Vec<_> =
        plans["plans"].as_array().unwrap().iter().map(|p| p["price"]["amount"].as_i64().unwrap()).collect();
    assert!([33_000, 77_000, 165_000].iter().all(|p| prices.contains(p)), "{prices:?}");

    let (applicant, id) = stack.onboard(gateway, "standard").await;
    let subscription = stack.subscription(&id).await;
    assert_eq!(subscription["status"], "ACTIVE");
    assert_eq!(subscription["amount"], 77_000);

    let renewal = morning_after(&subscription);
    stack.run(renewal).await;
    let subscription = stack.subscription(&id).await;
    assert_eq!(judged_by_the_ledger(&stack, &id).await.len(), 2);

    let method = if gateway == "stripe" { Some(stripe_method(&stack, &id).await) } else { None };
    let bad = if gateway == "toss" { "insufficient_funds" } else { "pm_card_chargeDeclinedInsufficientFunds" };
    behave(&stack, gateway, &applicant.customer_key, method.as_deref(), bad).await;
    let declined_at = morning_after(&subscription);
    stack.run(declined_at).await;
    let subscription = stack.subscription(&id).await;
    assert_eq!(subscription["status"], "ACTIVE", "a declined renewal keeps access while it is dunned");
    assert_eq!(subscription["dunning"]["step"], 0);
    assert!(subscription["dunning"]["nextRetryAt"].is_string(), "{subscription:#}");

    stack.run(declined_at + SignedDuration::from_hours(25)).await;
    assert_eq!(stack.subscription(&id).await["dunning"]["step"], 1, "a scheduled retry consumes a step");
    let path = format!("/billing/subscriptions/{id}/retry");
    let problem = stack.post(&path, Some(stack.ops().await), json!({})).await;
    assert_eq!(problem.body["declineClass"], "SOFT", "{problem:?}");
    assert_eq!(problem.problem(402), "payment_declined");
    assert_eq!(stack.subscription(&id).await["dunning"]["step"], 1, "a manual retry consumes none");

    let good = if gateway == "toss" { "approved" } else { "pm_card_visa" };
    behave(&stack, gateway, &applicant.customer_key, method.as_deref(), good).await;
    let recovered = stack.post(&path, Some(stack.ops().await), json!({})).await.expect(200);
    assert_eq!(recovered["status"], "ACTIVE");
    assert!(recovered["dunning"].is_null(), "{recovered:#}");
    let cycles = judged_by_the_ledger(&stack, &id).await;
    assert!(cycles.iter().all(|c| c["status"] == "PAID"), "{cycles:#?}");
    assert_eq!(cycles.len(), 3);
    for pair in cycles.windows(2) {
        assert_eq!(pair[0]["period"]["end"], pair[1]["period"]["start"], "periods are contiguous");
    }

    let again = stack.post(&path, Some(stack.ops().await), json!({})).await.expect(200);
    assert_eq!(again["status"], "ACTIVE");
    judged_by_the_ledger(&stack, &id).await;
}

#[tokio::test]
async fn a_business_is_billed_through_toss() {
    journey("toss").await;
}

#[tokio::test]
async fn a_business_is_billed_through_stripe() {
    journey("stripe").await;
}

/// The first payment is declined: the subscription waits for a card, and the new card pays at once.
#[tokio::test]
async fn a_new_card_pays_a_declined_first_payment() {
    let stack = Stack::new();
    let applicant = stack.apply("starter").await;
    stack.register_toss(&applicant, &applicant.token, "insufficient_funds").await.expect(201);
    let decided = stack.approve(&applicant).await.expect(200);
    assert_eq!(decided["nextAction"], "SUPPLY_CARD");
    let id = decided["subscriptionId"].as_str().unwrap();
    assert_eq!(stack.subscription(id).await["status"], "PENDING_ACTIVATION");
    let registered = stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    assert_eq!(registered["charge"], "SUCCEEDED");
    assert_eq!(stack.subscription(id).await["status"], "ACTIVE");
    assert_eq!(judged_by_the_ledger(&stack, id).await.len(), 1);
    let ended = stack.get(&format!("/onboarding/requests/{}", applicant.id), Some(&applicant.token)).await;
    assert!(ended.status == 401 || ended.status == 403, "the applicant's token ends with the first payment: {ended:?}");
}

/// Activation is repeatable, and a subscription that is not approved cannot be activated.
#[tokio::test]
async fn activation_charges_once() {
    let stack = Stack::new();
    let applicant = stack.apply("premium").await;
    let method = stack.register_stripe(&applicant.token).await.expect(201);
    let order = json!({
        "onboardingRequestId": applicant.id, "planCode": "premium", "addonCodes": ["sms"], "paymentMethodId": method["id"],
    });
    let created = stack.post("/billing/subscriptions", Some(&applicant.token), order.clone()).await.expect(201);
    assert_eq!(created["status"], "PENDING_ACTIVATION");
    assert_eq!(created["amount"], 176_000);
    let again = stack.post("/billing/subscriptions", Some(&applicant.token), order).await.expect(201);
    assert_eq!(again["id"], created["id"]);
    let path = format!("/billing/subscriptions/{}/activate", created["id"].as_str().unwrap());
    let refused = stack.post(&path, Some(stack.ops().await), json!({})).await;
    assert_eq!(refused.problem(409), "not_approved");
    stack.approve(&applicant).await.expect(200);
    let first = stack.post(&path, Some(stack.ops().await), json!({})).await.expect(200);
    let second = stack.post(&path, Some(stack.ops().await), json!({})).await.expect(200);
    assert_eq!(first, second);
    assert_eq!(stack.captures(created["id"].as_str().unwrap()).await.len(), 1);
}
