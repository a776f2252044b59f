//! The Toss wire, over HTTP, row by row of what the fact sheet says the sandbox must reproduce.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of a test may panic like the test")]
mod support;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use gateway_sandbox::Options;
use reqwest::Method;
use serde_json::{Value, json};
use support::{CUSTOMER, DEADLINE, House, Seen, order, start};

async fn house() -> House {
    start(Options::default()).await
}

#[tokio::test]
async fn authorization_errors_have_tosss_codes() {
    let house = house().await;
    for (header, status, code) in [
        (None, 401, "UNAUTHORIZED_KEY"),
        (Some("Bearer test_sk_x".to_owned()), 401, "UNAUTHORIZED_KEY"),
        (Some(format!("Basic {}", STANDARD.encode("test_sk_sandbox"))), 403, "INCORRECT_BASIC_AUTH_FORMAT"),
        (Some(format!("Basic {}", STANDARD.encode("live_sk_sandbox:"))), 401, "UNAUTHORIZED_KEY"),
        (Some(format!("Basic {}", STANDARD.encode("test_gsk_widget:"))), 401, "UNAUTHORIZED_KEY"),
    ] {
        let mut request = house.request(Method::GET, "/v1/payments/nothing");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let seen = Seen::of(request.send().await.unwrap()).await;
        seen.refused(status, code);
        assert_eq!(seen.trace().len(), 32);
    }
    house.get("/v1/payments/nothing").await.refused(404, "NOT_FOUND_PAYMENT");
}

#[tokio::test]
async fn an_auth_key_gives_one_billing_key() {
    let house = house().await;
    let auth = house.turn("/__sandbox/toss/auth-keys", json!({"customerKey": CUSTOMER, "card": "approved"})).await;
    let path = "/v1/billing/authorizations/issue";
    let wrong = json!({"authKey": auth["authKey"], "customerKey": "somebody-else"});
    house.post(path, None, wrong).await.refused(400, "NOT_MATCHES_CUSTOMER_KEY");
    let right = json!({"authKey": auth["authKey"], "customerKey": CUSTOMER});
    let issued = house.post(path, Some("k-1"), right.clone()).await;
    assert_eq!(issued.status, 200);
    let billing = issued.json();
    assert_eq!(billing["billingKey"].as_str().unwrap().len(), 44);
    assert_eq!(billing["method"], "카드");
    assert!(billing["authenticatedAt"].as_str().unwrap().ends_with("+09:00"));
    house.post(path, Some("k-2"), right.clone()).await.refused(404, "NOT_FOUND_BILLING");
    let bogus = json!({"authKey": "bogus", "customerKey": CUSTOMER});
    house.post(path, None, bogus).await.refused(404, "NOT_FOUND_BILLING");
    assert_eq!(house.post(path, Some("k-1"), right).await.text, issued.text, "a lost answer can be had again");
}

#[tokio::test]
async fn a_charge_answers_with_the_payment_and_lookups_show_it() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    let charged = house.charge(&key, "order-0001", "k-1").await;
    assert_eq!(charged.status, 200);
    assert_eq!(charged.headers["idempotency-key"], "k-1");
    let payment = charged.json();
    for (field, value) in [
        ("status", json!("DONE")),
        ("type", json!("BILLING")),
        ("totalAmount", json!(33_000)),
        ("balanceAmount", json!(33_000)),
        ("suppliedAmount", json!(30_000)),
        ("vat", json!(3_000)),
        ("currency", json!("KRW")),
        ("cancels", Value::Null),
        ("failure", Value::Null),
    ] {
        assert_eq!(payment[field], value, "{field}");
    }
    assert!(payment["secret"].as_str().unwrap().starts_with("ps_"));
    assert!(!charged.text.contains(CUSTOMER) && !charged.text.contains(&key), "keys are in no payment body");
    let by_order = house.get("/v1/payments/orders/order-0001").await;
    let by_key = house.get(&format!("/v1/payments/{}", payment["paymentKey"].as_str().unwrap())).await;
    assert_eq!((by_order.json(), by_key.json()), (payment.clone(), payment));
    house.get("/v1/payments/orders/order-0002").await.refused(404, "NOT_FOUND_PAYMENT");
}

#[tokio::test]
async fn the_equals_sign_of_a_key_may_be_encoded() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    let plain = house.charge(&key, "order-0001", "k-1").await;
    let encoded = house.charge(&key.replace('=', "%3D"), "order-0001", "k-1").await;
    assert_eq!((encoded.status, encoded.text), (200, plain.text), "the same URL as far as the key is concerned");
}

#[tokio::test]
async fn a_repeat_under_the_key_is_the_first_answer_byte_for_byte() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    let first = house.charge(&key, "order-0001", "k-1").await;
    let path = format!("/v1/billing/{key}");
    let repeat = house.post(&path, Some("k-1"), order("order-0999", 55_000)).await;
    assert_eq!((repeat.status, &repeat.text), (200, &first.text), "the body is not part of the match");
    assert!(repeat.trace().ends_with(&format!(", {}", first.trace())), "{}", repeat.trace());
    assert_eq!(house.effects().await, [("capture".to_owned(), "order-0001".to_owned(), 33_000)]);
    house.charge(&key, "order-0001", "k-2").await.refused(400, "DUPLICATED_ORDER_ID");

    house.turn("/__sandbox/behaviour", json!({"customerKey": CUSTOMER, "card": "stopped"})).await;
    let declined = house.charge(&key, "order-0002", "k-3").await;
    declined.refused(400, "INVALID_STOPPED_CARD");
    house.turn("/__sandbox/behaviour", json!({"customerKey": CUSTOMER, "card": "approved"})).await;
    let again = house.charge(&key, "order-0002", "k-3").await;
    assert_eq!((again.status, again.text), (400, declined.text), "a refusal is kept too");
    assert_eq!(house.charge(&key, "order-0002", "k-4").await.status, 200, "a declined order id is free by default");
}

#[tokio::test]
async fn a_key_is_forgotten_after_fifteen_days() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    let first = house.charge(&key, "order-0001", "k-1").await;
    let now = house.sandbox.core.now();
    let later = now + jiff::SignedDuration::from_hours(15 * 24 - 1);
    house.turn("/__sandbox/clock", json!({"now": later})).await;
    assert_eq!(house.charge(&key, "order-0001", "k-1").await.text, first.text);
    house.turn("/__sandbox/clock", json!({"now": now + jiff::SignedDuration::from_hours(15 * 24)})).await;
    house.charge(&key, "order-0001", "k-1").await.refused(400, "DUPLICATED_ORDER_ID");
}

#[tokio::test]
async fn a_key_in_use_answers_409_and_long_ones_400() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    house.fault("charge", "delay", 1, 1_500).await;
    let slow = house.charge(&key, "order-0001", "k-1");
    let meanwhile = async {
        // The slow one has been taken up once its fault is used up.
        let taken = async {
            while house.sandbox.core.armed().iter().any(|fault| fault.times > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, taken).await.unwrap();
        house.charge(&key, "order-0001", "k-1").await
    };
    let (slow, meanwhile) = tokio::join!(slow, meanwhile);
    meanwhile.refused(409, "IDEMPOTENT_REQUEST_PROCESSING");
    assert_eq!(slow.status, 200);
    house.charge(&key, "order-0002", &"k".repeat(301)).await.refused(400, "INVALID_IDEMPOTENCY_KEY");
    assert_eq!(house.charge(&key, "order-0002", &"k".repeat(300)).await.status, 200);
}

#[tokio::test]
async fn test_codes_answer_before_anything_is_looked_up() {
    let house = house().await;
    for (code, status) in [("REJECT_CARD_PAYMENT", 403), ("IDEMPOTENT_REQUEST_PROCESSING", 409), ("COMMON_ERROR", 500)]
    {
        let request = house.toss(Method::POST, "/v1/billing/none").header("tosspayments-test-code", code);
        Seen::of(request.send().await.unwrap()).await.refused(status, code);
    }
    let request = house.toss(Method::POST, "/v1/billing/none").header("tosspayments-test-code", "NO_SUCH_CODE");
    Seen::of(request.send().await.unwrap()).await.refused(400, "INVALID_TEST_CODE");
    assert!(house.effects().await.is_empty());
}

#[tokio::test]
async fn cards_decline_as_they_are_called() {
    let house = house().await;
    for (card, status, code) in [
        ("insufficient_funds", 403, "REJECT_CARD_PAYMENT"),
        ("company_reject", 403, "REJECT_CARD_COMPANY"),
        ("stopped", 400, "INVALID_STOPPED_CARD"),
        ("expired", 400, "INVALID_CARD_EXPIRATION"),
        ("EXCEED_MAX_DAILY_PAYMENT_COUNT", 400, "EXCEED_MAX_DAILY_PAYMENT_COUNT"),
    ] {
        let key = house.billing_key(card).await;
        house.charge(&key, "order-0001", card).await.refused(status, code);
        house.get("/v1/payments/orders/order-0001").await.refused(404, "NOT_FOUND_PAYMENT");
    }
    assert_eq!(house.effects().await.len(), 5);
    assert!(house.effects().await.iter().all(|(kind, ..)| kind == "decline"));
    house.turn("/__sandbox/toss/switches", json!({"keepDeclined": true, "declinedOrderIdTaken": true})).await;
    let key = house.billing_key("stopped").await;
    house.charge(&key, "order-0002", "k-1").await.refused(400, "INVALID_STOPPED_CARD");
    let aborted = house.get("/v1/payments/orders/order-0002").await.json();
    assert_eq!((&aborted["status"], &aborted["balanceAmount"]), (&json!("ABORTED"), &json!(0)));
    assert_eq!(aborted["failure"]["code"], "INVALID_STOPPED_CARD");
    house.charge(&key, "order-0002", "k-2").await.refused(400, "DUPLICATED_ORDER_ID");
}

#[tokio::test]
async fn a_behaviour_lasts_for_its_times() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    let behaviour = json!({"customerKey": CUSTOMER, "card": "insufficient_funds", "times": 2});
    house.turn("/__sandbox/behaviour", behaviour).await;
    house.charge(&key, "order-0001", "k-1").await.refused(403, "REJECT_CARD_PAYMENT");
    house.charge(&key, "order-0001", "k-2").await.refused(403, "REJECT_CARD_PAYMENT");
    assert_eq!(house.charge(&key, "order-0001", "k-3").await.status, 200);
}

#[tokio::test]
async fn a_charge_request_is_checked_field_by_field() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    let path = format!("/v1/billing/{key}");
    let with = |field: &str, value: Value| {
        let mut body = order("order-0001", 33_000);
        body[field] = value;
        body
    };
    for (body, status, code) in [
        (json!([]), 400, "INVALID_REQUEST"),
        (with("customerKey", Value::Null), 400, "INVALID_REQUIRED_PARAM"),
        (with("customerKey", json!("other")), 400, "NOT_MATCHES_CUSTOMER_KEY"),
        (with("customerKey", json!("c".repeat(301))), 500, "FAILED_DB_PROCESSING"),
        (with("orderId", json!("12345")), 400, "INVALID_ORDER_ID"),
        (with("orderId", json!("주문-000001")), 400, "INVALID_ORDER_ID"),
        (with("orderName", json!("가".repeat(101))), 400, "INVALID_ORDER_NAME"),
        (with("customerEmail", json!("nowhere")), 400, "INVALID_EMAIL"),
        (with("amount", Value::Null), 400, "REQUIRED_AMOUNT"),
        (with("amount", json!("33000")), 400, "INVALID_REQUEST"),
        (with("amount", json!(0)), 400, "BELOW_ZERO_AMOUNT"),
        (with("amount", json!(99)), 400, "BELOW_MINIMUM_AMOUNT"),
    ] {
        house.post(&path, None, body).await.refused(status, code);
    }
    house
        .post("/v1/billing/never-issued", None, order("order-0001", 100))
        .await
        .refused(400, "INVALID_BILL_KEY_REQUEST");
    assert!(house.effects().await.is_empty());
    let float = house.toss(Method::POST, &path).header("content-type", "application/json");
    let body = order("order-0001", 5_000).to_string().replace("5000", "5000.0");
    let seen = Seen::of(float.body(body).send().await.unwrap()).await;
    assert_eq!((seen.status, &seen.json()["totalAmount"]), (200, &json!(5_000)));
}

#[tokio::test]
async fn a_deleted_key_charges_nothing_more() {
    let house = house().await;
    let key = house.billing_key("approved").await;
    let path = format!("/v1/billing/{key}");
    let gone = Seen::of(house.toss(Method::DELETE, &path).send().await.unwrap()).await;
    assert_eq!((gone.status, gone.text.as_str(), &gone.headers["content-length"]), (200, "", &"0".parse().unwrap()));
    house.charge(&key, "order-0001", "k-1").await.refused(400, "ALREADY_REMOVED_BILLING_KEY");
    let twice = Seen::of(house.toss(Method::DELETE, &path).send().await.unwrap()).await;
    twice.refused(400, "ALREADY_REMOVED_BILLING_KEY");
    let never = Seen::of(house.toss(Method::DELETE, "/v1/billing/never").send().await.unwrap()).await;
    never.refused(404, "NOT_FOUND_BILLING");
}

/// A paid order and a way to cancel parts of it.
async fn paid(house: &House, order_id: &str) -> String {
    let key = house.billing_key("approved").await;
    let payment = house.charge(&key, order_id, order_id).await.json();
    format!("/v1/payments/{}/cancel", payment["paymentKey"].as_str().unwrap())
}

#[tokio::test]
async fn cancels_follow_the_table() {
    let house = house().await;
    let part = |amount: i64| json!({"cancelReason": "고객 요청", "cancelAmount": amount});
    let all = json!({"cancelReason": "고객 요청"});
    let state = |seen: &Seen| {
        let payment = seen.json();
        let status = payment["status"].as_str().unwrap().to_owned();
        (seen.status, status, payment["balanceAmount"].as_i64().unwrap())
    };

    let parts = paid(&house, "order-parts").await;
    let first = house.post(&parts, Some("c-1"), part(11_000)).await;
    assert_eq!(state(&first), (200, "PARTIAL_CANCELED".to_owned(), 22_000));
    let left = first.json();
    assert_eq!(
        (&left["suppliedAmount"], &left["vat"], &left["totalAmount"]),
        (&json!(20_000), &json!(2_000), &json!(33_000))
    );
    assert_eq!(left["cancels"][0]["refundableAmount"], 22_000);
    assert_eq!(left["cancels"][0]["transactionKey"], left["lastTransactionKey"]);
    assert_eq!(house.post(&parts, Some("c-1"), part(11_000)).await.text, first.text, "no second cancel");
    house.post(&parts, Some("c-2"), part(22_001)).await.refused(403, "NOT_CANCELABLE_AMOUNT");
    let stale = json!({"cancelReason": "r", "cancelAmount": 1_000, "refundableAmount": 33_000});
    house.post(&parts, Some("c-3"), stale).await.refused(400, "NOT_MATCHES_REFUNDABLE_AMOUNT");
    let rest = house.post(&parts, Some("c-4"), all.clone()).await;
    assert_eq!(state(&rest), (200, "PARTIAL_CANCELED".to_owned(), 0), "stays partial with nothing left");
    house.post(&parts, Some("c-5"), all.clone()).await.refused(403, "NOT_CANCELABLE_AMOUNT");

    let whole = paid(&house, "order-whole").await;
    assert_eq!(state(&house.post(&whole, None, all.clone()).await), (200, "CANCELED".to_owned(), 0));
    house.post(&whole, None, all.clone()).await.refused(400, "ALREADY_CANCELED_PAYMENT");
    house.post("/v1/payments/none/cancel", None, all).await.refused(404, "NOT_FOUND_PAYMENT");
    house.post(&whole, None, json!({})).await.refused(400, "INVALID_REQUEST");
    let refunds: Vec<i64> =
        house.effects().await.into_iter().filter(|(kind, ..)| kind == "refund").map(|(.., amount)| amount).collect();
    assert_eq!(refunds, [11_000, 22_000, 33_000]);
}

#[tokio::test]
async fn reports_show_each_movement_and_settle_it_the_day_after() {
    let house = house().await;
    house.turn("/__sandbox/clock", json!({"now": "2040-03-01T03:00:00Z"})).await;
    let cancel = paid(&house, "order-0001").await;
    house.post(&cancel, None, json!({"cancelReason": "r", "cancelAmount": 11_000})).await;
    let rows = house.get("/v1/transactions?startDate=2040-03-01&endDate=2040-03-02T00:00:00").await.json();
    let brief = |row: &Value| (row["status"].as_str().unwrap().to_owned(), row["amount"].as_i64().unwrap());
    let rows: Vec<_> = rows.as_array().unwrap().iter().map(brief).collect();
    assert_eq!(rows, [("DONE".to_owned(), 33_000), ("PARTIAL_CANCELED".to_owned(), 11_000)]);
    house.get("/v1/transactions?startDate=2040-03-01T00:00:00Z&endDate=2040-03-02").await.refused(400, "INVALID_DATE");

    let path = "/v1/settlements?startDate=2040-03-01&endDate=2040-03-01";
    assert_eq!(house.get(path).await.json(), json!([]), "nothing on the day itself");
    house.turn("/__sandbox/clock", json!({"now": "2040-03-01T15:00:00Z"})).await;
    let rows = house.get(path).await.json();
    let column =
        |name: &str| rows.as_array().unwrap().iter().map(|row| row[name].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(column("amount"), [33_000, -11_000]);
    assert_eq!(column("fee"), [1_234, -411]);
    for ((amount, fee), (supply, vat)) in
        column("amount").iter().zip(column("fee")).zip(column("supplyAmount").iter().zip(column("vat")))
    {
        assert_eq!(fee, supply + vat);
        assert!(column("payOutAmount").contains(&(amount - fee)));
    }
    assert!(rows[0]["cancel"].is_null() && rows[1]["cancel"]["cancelAmount"] == 11_000);
    let second = house.get(&format!("{path}&size=1&page=2")).await.json();
    assert_eq!(second.as_array().unwrap().as_slice(), &rows.as_array().unwrap()[1..]);
    let paid_out = house.get("/v1/settlements?startDate=2040-03-06&endDate=2040-03-06&dateType=paidOutDate").await;
    assert_eq!(paid_out.json(), rows);
    house.turn("/__sandbox/toss/switches", json!({"oddities": true})).await;
    let odd = house.get(path).await.json();
    assert!(odd[0]["fee"].is_string() && odd[0].get("fees").is_none());
}

#[tokio::test]
async fn the_window_gives_an_auth_key_or_the_reason_why_not() {
    let house = house().await;
    let shim = Seen::of(house.request(Method::GET, "/v2/standard").send().await.unwrap()).await;
    assert!(shim.text.contains("requestBillingAuth"));
    let query = "customerKey=c-1&successUrl=http://app/ok&failUrl=http://app/no%22%3E";
    let page = Seen::of(house.request(Method::GET, &format!("/__sandbox/window?{query}")).send().await.unwrap()).await;
    assert!(page.text.contains("http://app/no&quot;&gt;"), "what comes in the query is escaped");
    let choose = async |card: &str| {
        let body = format!("customerKey=c-1&successUrl=http://app/ok&failUrl=http://app/no&card={card}");
        let form = house.request(Method::POST, "/__sandbox/window");
        let form = form.header("content-type", "application/x-www-form-urlencoded").body(body);
        form.send().await.unwrap().headers()["location"].to_str().unwrap().to_owned()
    };
    let given = choose("approved").await;
    let auth_key = given.strip_prefix("http://app/ok?customerKey=c%2D1&authKey=e%5F").expect("the success address");
    let body = json!({"authKey": format!("e_{auth_key}"), "customerKey": "c-1"});
    assert_eq!(house.post("/v1/billing/authorizations/issue", None, body).await.status, 200);
    assert!(choose("closed").await.starts_with("http://app/no?code=PAY%5FPROCESS%5FCANCELED&message="));
}
