//! What every kind of Toss answer becomes.

use domain::money::{Currency, Money};
use serde_json::json;

use super::*;

const ORDER: &str = "01KAS9Z0000000000000000000-0-0-1";

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: body.as_bytes().to_vec() }
}

fn error(status: u16, code: &str) -> Reply {
    reply(status, &json!({"code": code, "message": "메시지"}).to_string())
}

fn paid(status: &str) -> Value {
    json!({
        "paymentKey": "tviva1", "orderId": ORDER, "status": status, "currency": "KRW", "totalAmount": 33000,
        "balanceAmount": 0, "useEscrow": null, "somethingNew": {"a": [1]}, "cancels": null, "failure": null,
    })
}

fn capture(amount: i64) -> Answer {
    Answer::Captured(Capture {
        order_id: ORDER.into(),
        payment_id: "tviva1".into(),
        charge_id: None,
        amount: Money::krw(amount),
    })
}

fn heard(heard: Heard, code: &str) -> Answer {
    unknown(heard, Some(code.into()))
}

#[test]
fn money_taken_is_captured_even_when_given_back_later() {
    for status in ["DONE", "CANCELED", "PARTIAL_CANCELED"] {
        let body = paid(status).to_string();
        assert_eq!(charge(&reply(200, &body), ORDER), capture(33_000), "{status}");
        assert_eq!(find(&reply(200, &body), ORDER), Lookup::Found(capture(33_000)), "{status}");
    }
    let decimal = paid("DONE").to_string().replace("33000", "5000.0");
    assert_eq!(charge(&reply(200, &decimal), ORDER), capture(5_000));
}

#[test]
fn another_amount_or_currency_is_passed_on_for_the_domain_to_judge() {
    let mut body = paid("DONE");
    body["totalAmount"] = json!(1);
    body["currency"] = json!("USD");
    let Answer::Captured(capture) = charge(&reply(200, &body.to_string()), ORDER) else { panic!("captured") };
    assert_eq!(capture.amount, Money::new(1, Currency::USD));
}

#[test]
fn a_200_that_proves_nothing_is_unknown() {
    let mut foreign = paid("DONE");
    foreign["orderId"] = json!("01KAS9Z0000000000000000000-0-0-2");
    let mut keyless = paid("DONE");
    keyless["paymentKey"] = json!(null);
    let mut foreign_money = paid("DONE");
    foreign_money["currency"] = json!("XAU");
    for (body, code) in [
        (foreign.to_string(), "order_id_differs"),
        (keyless.to_string(), "unreadable_payment"),
        (foreign_money.to_string(), "unreadable_payment"),
        (paid("SETTLED_ON_THE_MOON").to_string(), "unlisted_status"),
        ("<html>".to_owned(), "unreadable"),
        ("{}".to_owned(), "order_id_differs"),
        (String::new(), "unreadable"),
    ] {
        assert_eq!(charge(&reply(200, &body), ORDER), heard(Heard::Error, code), "{body}");
        assert_eq!(find(&reply(200, &body), ORDER), Lookup::Found(heard(Heard::Error, code)), "{body}");
    }
}

#[test]
fn errors_follow_the_table() {
    let declined = |class, code: &str| decline(class, code.into());
    for (given, answer) in [
        (error(403, "REJECT_CARD_PAYMENT"), declined(DeclineClass::Soft, "REJECT_CARD_PAYMENT")),
        (error(400, "INVALID_STOPPED_CARD"), declined(DeclineClass::Hard, "INVALID_STOPPED_CARD")),
        (error(401, "UNAUTHORIZED_KEY"), Answer::Refused { code: "UNAUTHORIZED_KEY".into() }),
        (error(400, "INVALID_API_KEY"), Answer::Refused { code: "INVALID_API_KEY".into() }),
        (error(400, "DUPLICATED_ORDER_ID"), heard(Heard::Refusal, "DUPLICATED_ORDER_ID")),
        (error(409, "IDEMPOTENT_REQUEST_PROCESSING"), heard(Heard::Nothing, "IDEMPOTENT_REQUEST_PROCESSING")),
        (error(429, "TOO_MANY"), heard(Heard::Nothing, "rate_limited")),
        (error(400, "NOT_SUPPORTED_METHOD"), heard(Heard::Refusal, "NOT_SUPPORTED_METHOD")),
        (error(400, "MAINTAINED_METHOD"), heard(Heard::Refusal, "MAINTAINED_METHOD")),
        (error(404, "NOT_FOUND_BILLING"), declined(DeclineClass::Soft, "NOT_FOUND_BILLING")),
        (error(500, "COMMON_ERROR"), heard(Heard::Error, "COMMON_ERROR")),
        (reply(502, "<html>bad gateway</html>"), unknown(Heard::Error, None)),
        (reply(403, "<html>blocked</html>"), unknown(Heard::Error, None)),
        (reply(401, ""), unknown(Heard::Error, None)),
        (reply(302, ""), unknown(Heard::Error, None)),
    ] {
        assert_eq!(charge(&given, ORDER), answer);
    }
}

#[test]
fn lookups_tell_absent_from_failed() {
    assert_eq!(find(&error(404, "NOT_FOUND_PAYMENT"), ORDER), Lookup::NotFound);
    for failed in
        [error(404, "NOT_FOUND"), error(401, "UNAUTHORIZED_KEY"), error(500, "X"), reply(404, ""), reply(503, "")]
    {
        assert_eq!(find(&failed, ORDER), Lookup::Failed);
    }
    for status in ["READY", "IN_PROGRESS"] {
        assert_eq!(find(&reply(200, &paid(status).to_string()), ORDER), Lookup::Pending);
        assert_eq!(charge(&reply(200, &paid(status).to_string()), ORDER), heard(Heard::Error, "not_final"));
    }
}

#[test]
fn an_aborted_payment_is_a_decline_by_its_failure() {
    for (failure, class, code) in [
        (json!({"code": "INVALID_STOPPED_CARD"}), DeclineClass::Hard, "INVALID_STOPPED_CARD"),
        (json!({"code": "REJECT_CARD_COMPANY"}), DeclineClass::Soft, "REJECT_CARD_COMPANY"),
        (json!({"code": "NEVER_HEARD_OF"}), DeclineClass::Soft, "NEVER_HEARD_OF"),
        (json!(null), DeclineClass::Soft, "ABORTED"),
    ] {
        let mut body = paid("ABORTED");
        body["failure"] = failure;
        assert_eq!(find(&reply(200, &body.to_string()), ORDER), Lookup::Found(decline(class, code.into())));
    }
}

#[test]
fn a_billing_key_is_taken_only_for_its_customer() {
    let billing = json!({
        "customerKey": "c1", "billingKey": "Qm9v=", "method": "카드",
        "card": {"issuerCode": "21", "number": "94100012****789*", "cardType": "신용"},
    });
    let registered = issued(&reply(200, &billing.to_string()), "c1").ok().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&registered.token), "Qm9v=");
    assert_eq!((registered.card.brand.as_deref(), registered.card.last4.as_deref()), (Some("하나"), Some("789*")));
    assert_eq!(issued(&reply(200, &billing.to_string()), "c2").err(), Some(GatewayError::NotFound));
    assert_eq!(issued(&reply(200, "{\"customerKey\":\"c1\"}"), "c1").err(), Some(GatewayError::Unknown));
    let cardless = json!({"customerKey": "c1", "billingKey": "k", "card": null});
    assert_eq!(issued(&reply(200, &cardless.to_string()), "c1").ok().unwrap().card, MaskedCard::default());
}

#[test]
fn refused_registrations_say_why() {
    let code = |code: &str| code.to_owned();
    for (given, wanted) in [
        (error(404, "NOT_FOUND_BILLING"), GatewayError::NotFound),
        (error(400, "NOT_MATCHES_CUSTOMER_KEY"), GatewayError::NotFound),
        (error(400, "INVALID_CARD_PASSWORD"), GatewayError::Declined { code: code("INVALID_CARD_PASSWORD") }),
        (error(403, "REJECT_CARD_COMPANY"), GatewayError::Declined { code: code("REJECT_CARD_COMPANY") }),
        (error(400, "INVALID_REQUEST"), GatewayError::Rejected { code: code("INVALID_REQUEST") }),
        (error(400, "NOT_SUPPORTED_METHOD"), GatewayError::Config { code: code("NOT_SUPPORTED_METHOD") }),
        (error(401, "UNAUTHORIZED_KEY"), GatewayError::Config { code: code("UNAUTHORIZED_KEY") }),
        (error(409, "IDEMPOTENT_REQUEST_PROCESSING"), GatewayError::Unknown),
        (error(400, "PROVIDER_ERROR"), GatewayError::Unknown),
        (error(400, "MAINTAINED_METHOD"), GatewayError::Unknown),
        (error(429, "TOO_MANY"), GatewayError::Unknown),
        (error(500, "COMMON_ERROR"), GatewayError::Unknown),
        (reply(502, "<html>"), GatewayError::Unknown),
    ] {
        assert_eq!(issued(&given, "c1").err(), Some(wanted));
    }
}

#[test]
fn a_key_already_gone_is_deleted() {
    assert_eq!(deleted(&reply(200, "")), Ok(()));
    assert_eq!(deleted(&error(400, "ALREADY_REMOVED_BILLING_KEY")), Ok(()));
    assert_eq!(deleted(&error(404, "NOT_FOUND_BILLING")), Err(GatewayError::NotFound));
    assert_eq!(deleted(&error(500, "COMMON_ERROR")), Err(GatewayError::Unknown));
}

#[test]
fn a_refund_is_recognised_by_its_reason() {
    let refund = Refund {
        refund_id: "rf_2",
        order_id: "o-3-0",
        payment_id: "tviva1",
        charge_id: None,
        amount: Money::krw(300),
        refundable: 700,
        idempotency_key: "refund:rf_2",
    };
    let mut body = paid("PARTIAL_CANCELED");
    let cancel = |reason: &str, key: &str| json!({"cancelReason": reason, "transactionKey": key, "cancelStatus": "DONE", "cancelAmount": 300});
    body["cancels"] = json!([cancel("rf_1", "tx1"), cancel("rf_2", "tx2")]);
    let done = RefundAnswer::Done { gateway_refund_id: "tx2".into() };
    let answer = |given: &Reply| match cancelled(given, &refund) {
        Cancelled::Answer(answer) => answer,
        Cancelled::Ask { code } => panic!("asks: {code}"),
    };
    assert_eq!(answer(&reply(200, &body.to_string())), done);
    assert_eq!(asked(&reply(200, &body.to_string()), &refund, "NOT_CANCELABLE_AMOUNT".into()), done);
    body["cancels"] = json!([cancel("rf_1", "tx1")]);
    let refused = RefundAnswer::Refused { code: "NOT_CANCELABLE_AMOUNT".into() };
    assert_eq!(asked(&reply(200, &body.to_string()), &refund, "NOT_CANCELABLE_AMOUNT".into()), refused);
    let unknown = |heard, code: &str| RefundAnswer::Unknown { heard, code: Some(code.into()) };
    assert_eq!(
        asked(&reply(500, ""), &refund, "NOT_CANCELABLE_AMOUNT".into()),
        unknown(Heard::Error, "NOT_CANCELABLE_AMOUNT")
    );
    assert_eq!(answer(&reply(200, &body.to_string())), unknown(Heard::Error, "cancel_not_listed"));
    for code in ["ALREADY_CANCELED_PAYMENT", "NOT_CANCELABLE_AMOUNT", "NOT_MATCHES_REFUNDABLE_AMOUNT"] {
        assert!(matches!(cancelled(&error(403, code), &refund), Cancelled::Ask { .. }), "{code}");
    }
    assert_eq!(answer(&error(400, "REFUND_REJECTED")), RefundAnswer::Refused { code: "REFUND_REJECTED".into() });
    for (status, code, heard) in [
        (400, "PROVIDER_ERROR", Heard::Refusal),
        (403, "FORBIDDEN_CONSECUTIVE_REQUEST", Heard::Error),
        (401, "UNAUTHORIZED_KEY", Heard::Nothing),
        (409, "IDEMPOTENT_REQUEST_PROCESSING", Heard::Nothing),
        (500, "FAILED_REFUND_PROCESS", Heard::Error),
    ] {
        assert_eq!(answer(&error(status, code)), unknown(heard, code));
    }
    assert_eq!(answer(&reply(500, "")), RefundAnswer::Unknown { heard: Heard::Error, code: None });
    assert_eq!(answer(&reply(429, "")), RefundAnswer::Unknown { heard: Heard::Nothing, code: None });
}

#[test]
fn every_cancel_of_a_payment_is_seen_ours_and_the_consoles() {
    let mut body = paid("PARTIAL_CANCELED");
    let key = body["paymentKey"].as_str().unwrap().to_owned();
    assert_eq!(refunds(&reply(200, &body.to_string()), &key), RefundsListed::All(Vec::new()), "null before the first");
    body["cancels"] = json!([
        {"cancelReason": "rf_1", "transactionKey": "tx1", "cancelStatus": "DONE", "cancelAmount": 300},
        {"cancelReason": "고객 요청", "transactionKey": "tx2", "cancelStatus": "IN_PROGRESS", "cancelAmount": 200},
    ]);
    let RefundsListed::All(all) = refunds(&reply(200, &body.to_string()), &key) else { panic!("a list") };
    let told: Vec<_> = all.iter().map(|s| (s.refund_id.as_deref(), s.amount, s.state)).collect();
    assert_eq!(told, [(Some("rf_1"), 300, SeenState::Succeeded), (None, 200, SeenState::Pending)]);
    body["cancels"] = json!([{"cancelReason": "x"}]);
    assert_eq!(refunds(&reply(200, &body.to_string()), &key), RefundsListed::Failed, "a row that does not read");
    assert_eq!(refunds(&reply(200, &body.to_string()), "another"), RefundsListed::Failed);
    assert_eq!(refunds(&reply(500, ""), &key), RefundsListed::Failed);
    let named = OrderOf::Order { order_id: body["orderId"].as_str().unwrap().to_owned(), payment_id: key.clone() };
    assert_eq!(order(&reply(200, &body.to_string()), &key, None), named);
    assert_eq!(order(&error(404, "NOT_FOUND_PAYMENT"), &key, None), OrderOf::Foreign);
    assert_eq!(order(&reply(500, ""), &key, None), OrderOf::Failed);
    let claim = |secret: &str| SecretString::from(secret.to_owned());
    for (own, claimed, ours) in [
        (json!("ps_1"), claim("ps_1"), true),
        (json!("ps_1"), claim("ps_2"), false),
        (json!("ps_1"), claim("ps_11"), false),
        (json!(null), claim("ps_2"), true),
    ] {
        let mut body = body.clone();
        body["secret"] = own;
        let said = order(&reply(200, &body.to_string()), &key, Some(&claimed));
        assert_eq!(said == named, ours, "{said:?}");
        assert!(ours || said == OrderOf::Forged);
    }
}
