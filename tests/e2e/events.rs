//! Every event named in the brief on the deployed stack, at both gateways: what the sandbox sends by itself, what it would
//! send if we used the gateway's own billing (signed here with the endpoint's secret), and what anybody can send.

use futures::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Answer, Stack, morning_after, var};
use crate::tables::{dump, quiet, unchanged};
use crate::tokens::tenant_token;

const REST: std::time::Duration = std::time::Duration::from_secs(2);

fn url(stack: &Stack, gateway: &str) -> String {
    format!("{}/api/v1/billing/payments/webhook/{gateway}", stack.webhook)
}

/// Signs an event as Stripe does, now, and delivers it.
pub async fn signed(stack: &Stack, id: &str, kind: &str, object: &Value) -> Answer {
    let body = json!({ "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": 1_795_300_101,
        "livemode": false, "type": kind, "data": { "object": object } });
    deliver(stack, &body.to_string()).await
}

async fn deliver(stack: &Stack, body: &str) -> Answer {
    let at = stack.now().await.as_second();
    let mut mac = Hmac::<Sha256>::new_from_slice(var("STRIPE_WEBHOOK_SECRET").as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    let header = format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()));
    let request = stack.http.post(url(stack, "stripe")).header("Stripe-Signature", header);
    stack.send(request.header("Content-Type", "application/json; charset=utf-8").body(body.to_owned())).await
}

async fn hint(stack: &Stack, kind: &str, data: Value) -> Answer {
    let body = json!({ "eventType": kind, "createdAt": "2026-11-23T09:00:00.65327", "data": data });
    stack.send(stack.http.post(url(stack, "toss")).json(&body)).await
}

/// Bodies of what the sandbox sent about an order, as (type, body).
async fn sent(stack: &Stack, order: &str) -> Vec<(String, Value)> {
    let request = stack.http.get(format!("{}/__sandbox/webhooks", stack.sandbox)).query(&[("orderId", order)]);
    let all = stack.send(request).await.expect(200)["deliveries"].as_array().unwrap().clone();
    let text = |record: &Value, field: &str| record[field].as_str().unwrap().to_owned();
    all.iter().map(|r| (text(r, "eventType"), serde_json::from_str(&text(r, "body")).unwrap())).collect()
}

/// The inbox row of an event, once it is there.
async fn received(stack: &Stack, id: &str) -> String {
    let row = || async { dump().await.into_iter().find(|row| row.starts_with("webhook_inbox") && row.contains(id)) };
    stack.until("the event is in the inbox", row).await
}

async fn events(kind: &str, subject: &str) -> usize {
    let kind = format!("\"{kind}\"");
    let of = |row: &&String| row.starts_with("ops_audit_log") && row.contains(&kind) && row.contains(subject);
    dump().await.iter().filter(of).count()
}

/// A capture whose answer is lost; the subscription is known to be waiting for its first payment.
async fn unheard(stack: &Stack, gateway: &str) -> (String, Value) {
    let applicant = stack.apply("starter").await;
    match gateway {
        "toss" => stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201),
        _ => stack.register_stripe(&applicant.token).await.expect(201),
    };
    let fault = json!({ "gateway": gateway, "operation": "charge", "fault": "drop_after", "times": 1 });
    stack.own(Method::POST, "/faults", fault).await;
    let body = stack.approve(&applicant).await;
    assert!(matches!(body.status, 200 | 202), "{body:?}");
    let id = body.body["subscriptionId"].as_str().unwrap().to_owned();
    let [capture] = &stack.captures(&id).await[..] else { panic!("one capture") };
    (id, capture.clone())
}

async fn active(stack: &Stack, id: &str) {
    stack
        .until("the payment is heard of", || async {
            Some(stack.subscription(id).await).filter(|subscription| subscription["status"] == "ACTIVE")
        })
        .await;
}

#[tokio::test]
async fn a_payment_nobody_answered_for_is_told_by_its_event_at_both_gateways() {
    let stack = Stack::new();
    // Stripe's own event, signed by the sandbox: payment_intent.succeeded, the brief's payment.succeeded.
    let (id, capture) = unheard(&stack, "stripe").await;
    active(&stack, &id).await;
    let order = capture["orderId"].as_str().unwrap();
    let told = sent(&stack, order).await;
    let (_, event) = told.iter().find(|(kind, _)| kind == "payment_intent.succeeded").expect("the sandbox tells");
    assert!(received(&stack, event["id"].as_str().unwrap()).await.contains("SETTLED"));
    // The same payment under the brief's name changes nothing more.
    let object = &event["data"]["object"];
    signed(&stack, &format!("evt_again_{id}"), "payment.succeeded", object).await.expect(200);
    assert!(received(&stack, &format!("evt_again_{id}")).await.contains("SETTLED"));
    assert_eq!((stack.captures(&id).await.len(), events("payment.captured", &id).await), (1, 1));

    // Toss says nothing of a completed charge by itself; a hint makes us look.
    let (id, capture) = unheard(&stack, "toss").await;
    let data = json!({ "orderId": capture["orderId"], "paymentKey": capture["paymentId"], "status": "DONE" });
    stack
        .until("the hint is followed", || async {
            let answer = hint(&stack, "PAYMENT_STATUS_CHANGED", data.clone()).await;
            assert!(matches!(answer.status, 200 | 500), "{answer:?}");
            Some(()).filter(|()| answer.status == 200)
        })
        .await;
    active(&stack, &id).await;
    assert_eq!((stack.captures(&id).await.len(), events("payment.captured", &id).await), (1, 1));
}

#[tokio::test]
async fn a_failed_payment_is_looked_up_and_never_believed() {
    let stack = Stack::new();
    let (_, id) = stack.onboard("stripe", "starter").await;
    let order = stack.captures(&id).await[0]["orderId"].clone();
    let intent = json!({ "id": "pi_forged", "object": "payment_intent", "status": "requires_payment_method",
        "metadata": { "order_id": order }, "last_payment_error": { "code": "card_declined", "decline_code": "lost_card" } });
    for kind in ["payment_intent.payment_failed", "payment.failed"] {
        let event = format!("evt_{kind}_{id}");
        signed(&stack, &event, kind, &intent).await.expect(200);
        assert!(received(&stack, &event).await.contains("LOOKED_UP"));
    }
    assert_eq!(stack.subscription(&id).await["status"], "ACTIVE");
    let (_, id) = stack.onboard("toss", "starter").await;
    let order = stack.captures(&id).await[0]["orderId"].clone();
    let before = quiet(REST).await;
    for status in ["ABORTED", "EXPIRED", "DONE"] {
        hint(&stack, "PAYMENT_STATUS_CHANGED", json!({ "orderId": order, "status": status })).await.expect(200);
    }
    unchanged("hints about a payment that is settled", &before, &dump().await);
}

#[tokio::test]
async fn the_gateways_own_invoices_and_subscriptions_are_stored_and_audited_once() {
    let stack = Stack::new();
    for (kind, fact, object) in [
        (
            "invoice.paid",
            "gateway_invoice.paid",
            json!({ "object": "invoice", "status": "paid", "amount_paid": 5_500 }),
        ),
        ("invoice.payment_failed", "gateway_invoice.payment_failed", json!({ "object": "invoice", "status": "open" })),
        ("customer.subscription.updated", "gateway_subscription.updated", json!({ "status": "past_due" })),
        ("customer.subscription.deleted", "gateway_subscription.deleted", json!({ "status": "canceled" })),
    ] {
        let (id, mut object) = (format!("evt_e2e_{kind}"), object);
        let subject = format!("obj_{}", kind.replace('.', "_"));
        object["id"] = json!(subject);
        for _ in 0..3 {
            signed(&stack, &id, kind, &object).await.expect(200);
        }
        assert!(received(&stack, &id).await.contains("RECORDED"));
        assert_eq!(events(fact, &subject).await, 1, "{kind}");
    }
}

#[tokio::test]
async fn money_given_back_in_the_console_is_told_by_charge_refunded_and_by_toss() {
    let stack = Stack::new();
    for (gateway, kind) in [("stripe", "charge.refunded"), ("toss", "PAYMENT_STATUS_CHANGED")] {
        let (_, id) = stack.onboard(gateway, "starter").await;
        let capture = stack.captures(&id).await[0].clone();
        let by_hand = json!({ "paymentId": capture["paymentId"], "amount": 4_000 });
        stack.own(Method::POST, "/refunds", by_hand).await;
        stack
            .until("it is in the books", || async {
                Some(stack.cycles(&id).await[0].clone()).filter(|cycle| cycle["refunded"] == 4_000)
            })
            .await;
        let told = sent(&stack, capture["orderId"].as_str().unwrap()).await;
        let (_, body) = told.iter().rfind(|(name, _)| name == kind).expect("the sandbox tells");
        if gateway == "stripe" {
            assert!(received(&stack, body["id"].as_str().unwrap()).await.contains("OBSERVED"));
            // Told again under another id, with nothing new in it.
            signed(&stack, &format!("evt_total_{id}"), kind, &body["data"]["object"]).await.expect(200);
        } else {
            // Toss's body carries the payment's secret; a forger's does not.
            assert!(body["data"]["secret"].is_string(), "{body:#}");
            let mut forged = body["data"].clone();
            forged["secret"] = json!("ps_somebody");
            assert_eq!(hint(&stack, kind, forged).await.problem(400), "bad_secret");
        }
        assert_eq!(stack.cycles(&id).await[0]["refunded"], 4_000);
        assert_eq!(events("refund.succeeded", &id).await, 1);
    }
}

#[tokio::test]
async fn a_card_that_is_renewed_or_removed_at_the_gateway_is_seen() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("stripe", "starter").await;
    let order = stack.captures(&id).await[0]["orderId"].as_str().unwrap().to_owned();
    let paid = sent(&stack, &order).await.into_iter().find(|(kind, _)| kind == "payment_intent.succeeded").unwrap().1;
    let method = paid["data"]["object"]["payment_method"].as_str().expect("a payment method").to_owned();
    let wire = |path: &str| {
        let request = stack.http.post(format!("{}/v1/payment_methods/{method}{path}", stack.sandbox));
        request.bearer_auth("sk_test_sandbox_e2e").header("Content-Type", "application/x-www-form-urlencoded")
    };
    stack.send(wire("").body("card[exp_month]=3&card[exp_year]=2049")).await.expect(200);
    let token = tenant_token(&stack, &applicant.tenant).await;
    let listed = || async { stack.get("/billing/payment-methods", Some(&token)).await.expect(200)["items"][0].clone() };
    let card = stack
        .until("the card shows its new expiry", || async {
            Some(listed().await).filter(|card| card["expYear"] == 2049)
        })
        .await;
    assert_eq!((&card["expMonth"], &card["status"]), (&json!(3), &json!("ACTIVE")));
    assert_eq!(events("payment_method.updated", &applicant.tenant).await, 1);
    // What the network renewed by itself comes under another name.
    let object = json!({ "id": method, "object": "payment_method", "card": { "exp_month": 4, "exp_year": 2050, "last4": "1881" } });
    signed(&stack, &format!("evt_auto_{id}"), "payment_method.automatically_updated", &object).await.expect(200);
    let card = listed().await;
    assert_eq!((&card["expYear"], &card["last4"]), (&json!(2050), &json!("1881")));
    stack.send(wire("/detach").body("")).await.expect(200);
    stack
        .until("the card is suspect", || async {
            Some(events("payment_method.suspect", &applicant.tenant).await).filter(|n| *n == 1)
        })
        .await;
    // The next charge confirms it, and a card is asked for; no run is kept waiting.
    let renewal = morning_after(&stack.subscription(&id).await);
    stack.run(renewal).await;
    assert_eq!(listed().await["status"], "INVALID");
    let dunning = &stack.subscription(&id).await["dunning"];
    assert!(dunning["lastDecline"].to_string().contains("payment_method_detached"), "{dunning:#}");
    assert!(dunning["nextRetryAt"].is_null(), "{dunning:#}");
}

#[tokio::test]
async fn what_toss_says_of_no_consequence_leaves_one_row_a_type() {
    let stack = Stack::new();
    for n in 0..5 {
        for kind in ["CUSTOMER_STATUS_CHANGED", &format!("INVENTED_{n}")] {
            hint(&stack, kind, json!({ "customerKey": format!("c{n}"), "status": "CREATED" })).await.expect(200);
        }
        hint(&stack, "BILLING_DELETED", json!({ "billingKey": format!("nobodys-{n}") })).await.expect(200);
    }
    let rows: Vec<String> = dump().await.into_iter().filter(|row| row.contains("toss#unsigned#")).collect();
    assert!(rows.iter().all(|row| row.contains("CUSTOMER_STATUS_CHANGED") || row.contains("unlisted")), "{rows:#?}");
    // The day may have ended in between.
    assert!((2..=4).contains(&rows.len()), "{rows:#?}");
}

#[tokio::test]
async fn what_is_not_an_event_is_refused_and_changes_nothing() {
    let stack = Stack::new();
    let before = quiet(REST).await;
    let post = |gateway: &str| stack.http.post(url(&stack, gateway));
    let json_type = |request: reqwest::RequestBuilder| request.header("Content-Type", "application/json");
    for gateway in ["toss", "stripe"] {
        let typed = post(gateway).header("Content-Type", "text/html").body("{}");
        assert_eq!(stack.send(typed).await.problem(415), "unsupported_media_type");
        let large = json_type(post(gateway)).body(format!("{{}}{}", " ".repeat(256 * 1024)));
        assert_eq!(stack.send(large).await.problem(413), "payload_too_large");
    }
    assert_eq!(stack.send(json_type(post("toss")).body("[1]")).await.problem(400), "unreadable_event");
    let thin = json!({ "id": "evt_thin", "object": "v2.core.event", "type": "x" }).to_string();
    assert_eq!(deliver(&stack, &thin).await.problem(400), "unreadable_event");
    assert_eq!(stack.send(json_type(post("paypal")).body("{}")).await.problem(404), "not_found");
    unchanged("what is no event", &before, &dump().await);
}

#[tokio::test]
async fn a_flood_from_one_address_is_turned_away_and_others_are_heard() {
    let stack = Stack::new();
    let before = quiet(REST).await;
    // The stack sees the peer's address: this one is nobody else's.
    let flooder = Client::builder().local_address("127.0.0.2".parse::<std::net::IpAddr>().ok()).build().unwrap();
    let forged = || flooder.post(url(&stack, "stripe")).header("Stripe-Signature", "t=1,v1=00").body("{}").send();
    let mut sent = 0;
    let refused = loop {
        sent += 8;
        assert!(sent < 16_000, "never turned away");
        let answers = join_all((0..8).map(|_| forged())).await.into_iter().map(|answer| answer.expect("it answers"));
        let (mut others, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status() != 429);
        assert!(others.drain(..).all(|answer| answer.status() == 400));
        if let Some(answer) = refused.into_iter().next() {
            break answer;
        }
    };
    let wait: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait));
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "rate_limited");
    hint(&stack, "PAYMENT_STATUS_CHANGED", json!({ "orderId": "nobodys-order", "status": "DONE" })).await.expect(200);
    unchanged("a flood", &before, &dump().await);
}
