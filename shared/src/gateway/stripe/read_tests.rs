//! What every kind of Stripe answer becomes.

use domain::money::Currency;
use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::gateway::of_resend;

const ORDER: &str = "01KAS9Z0000000000000000000-0-0";

struct Given {
    token: SecretString,
    customer: SecretString,
    known: Vec<String>,
}

fn given(known: &[&str]) -> Given {
    Given {
        token: "pm_1".to_owned().into(),
        customer: "cus_1".to_owned().into(),
        known: known.iter().map(|c| (*c).to_owned()).collect(),
    }
}

impl Given {
    fn charge<'a>(&'a self, intent: Option<&'a str>) -> Charge<'a> {
        Charge {
            order_id: ORDER,
            idempotency_key: "charge:1",
            amount: Money::krw(33_000),
            order_name: "Standard",
            token: &self.token,
            customer: &self.customer,
            key_version: "v1",
            request_version: 1,
            intent,
            known_charges: &self.known,
        }
    }

    fn find<'a>(&'a self, intent: Option<&'a str>) -> Find<'a> {
        Find {
            order_id: ORDER,
            amount: Money::krw(33_000),
            customer: &self.customer,
            intent,
            known_charges: &self.known,
            since: "2026-11-22T00:00:00Z".parse().unwrap(),
        }
    }
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, body: body.to_string().into_bytes() }
}

fn intent(status: &str) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "status": status, "amount": 33000, "amount_received": 33000,
        "currency": "krw", "latest_charge": "ch_1", "metadata": {"order_id": ORDER}, "last_payment_error": null,
        "something_new": [1],
    })
}

fn failed(code: &str, decline_code: Option<&str>) -> Value {
    let mut failed = intent("requires_payment_method");
    failed["amount_received"] = json!(0);
    failed["last_payment_error"] =
        json!({"type": "card_error", "code": code, "decline_code": decline_code, "charge": "ch_1"});
    failed
}

fn refusal(kind: &str, code: Option<&str>, decline_code: Option<&str>, nested: Option<Value>) -> Value {
    json!({"error": {
        "type": kind, "code": code, "decline_code": decline_code, "charge": nested.as_ref().map(|_| "ch_1"),
        "payment_intent": nested,
    }})
}

fn capture() -> Capture {
    Capture {
        order_id: ORDER.into(),
        payment_id: "pi_1".into(),
        charge_id: Some("ch_1".into()),
        amount: Money::krw(33_000),
    }
}

fn declined(class: DeclineClass, code: &str) -> Decline {
    Decline { class, code: code.into(), intent: Some("pi_1".into()), charge_id: Some("ch_1".into()) }
}

fn unknown(heard: Heard, code: Option<&str>, intent: Option<&str>) -> Answer {
    Answer::Unknown { heard, code: code.map(str::to_owned), intent: intent.map(str::to_owned) }
}

#[test]
fn a_succeeded_intent_of_our_order_is_captured() {
    let given = given(&[]);
    assert_eq!(charge(&reply(200, &intent("succeeded")), &given.charge(None)), Answer::Captured(capture()));
    let mut expanded = intent("succeeded");
    expanded["latest_charge"] = json!({"id": "ch_1", "object": "charge"});
    assert_eq!(charge(&reply(200, &expanded), &given.charge(Some("pi_1"))), Answer::Captured(capture()));
    let mut other = intent("succeeded");
    other["amount_received"] = json!(1);
    other["currency"] = json!("jpy");
    let Answer::Captured(other) = charge(&reply(200, &other), &given.charge(None)) else { panic!("captured") };
    assert_eq!(other.amount, Money::new(1, Currency::JPY), "the domain compares, not the adapter");
}

#[test]
fn declines_come_as_402_with_the_intent_inside() {
    let given = given(&[]);
    for (code, decline_code, class, raw) in [
        ("card_declined", Some("insufficient_funds"), DeclineClass::Soft, "insufficient_funds"),
        ("card_declined", Some("stolen_card"), DeclineClass::Hard, "stolen_card"),
        ("expired_card", None, DeclineClass::Hard, "expired_card"),
        ("authentication_required", None, DeclineClass::Auth, "authentication_required"),
        ("card_declined", Some("authentication_required"), DeclineClass::Auth, "authentication_required"),
    ] {
        let body = refusal("card_error", Some(code), decline_code, Some(failed(code, decline_code)));
        let answer = charge(&reply(402, &body), &given.charge(None));
        assert_eq!(answer, Answer::Declined(declined(class, raw)), "{raw}");
    }
}

#[test]
fn a_402_nobody_listed_is_looked_up_and_decided_by_state() {
    let given = given(&[]);
    for (code, decline_code) in [("card_declined", Some("duplicate_transaction")), ("brand_new_code", None)] {
        let nested = failed(code, decline_code);
        let body = refusal("card_error", Some(code), decline_code, Some(nested.clone()));
        let raw = decline_code.unwrap_or(code);
        let answer = charge(&reply(402, &body), &given.charge(None));
        assert_eq!(answer, unknown(Heard::Refusal, Some(raw), Some("pi_1")));
        let looked = one(&reply(200, &nested), &given.find(Some("pi_1")));
        assert_eq!(looked, Lookup::Found(Answer::Declined(declined(DeclineClass::Soft, raw))));
    }
}

#[test]
fn other_statuses_never_say_failed() {
    let given = given(&[]);
    let error = |kind: &str, code: Option<&str>| refusal(kind, code, None, None);
    let bad = "invalid_request_error";
    for (status, body, answer) in [
        (400, error("idempotency_error", None), unknown(Heard::Refusal, Some("idempotency_error"), None)),
        (400, error(bad, Some("amount_too_small")), unknown(Heard::Refusal, Some("amount_too_small"), None)),
        (404, error(bad, Some("resource_missing")), unknown(Heard::Refusal, Some("resource_missing"), None)),
        (
            409,
            error(bad, Some("idempotency_key_in_use")),
            unknown(Heard::Nothing, Some("idempotency_key_in_use"), None),
        ),
        (429, error(bad, Some("rate_limit")), unknown(Heard::Nothing, Some("rate_limited"), None)),
        (424, error("api_error", None), unknown(Heard::Error, Some("api_error"), None)),
        (500, error("api_error", None), unknown(Heard::Error, Some("api_error"), None)),
        (302, error("api_error", None), unknown(Heard::Error, Some("api_error"), None)),
        (503, json!("not an object"), unknown(Heard::Error, None, None)),
        (401, json!({"message": "a proxy"}), unknown(Heard::Error, None, None)),
        (401, error(bad, None), Answer::Refused { code: bad.into() }),
        (401, error(bad, Some("api_key_expired")), Answer::Refused { code: "api_key_expired".into() }),
        (403, error(bad, None), Answer::Refused { code: bad.into() }),
    ] {
        assert_eq!(charge(&reply(status, &body), &given.charge(None)), answer, "{status} {body}");
    }
    let html = Reply { status: 502, body: b"<html>".to_vec() };
    assert_eq!(charge(&html, &given.charge(Some("pi_1"))), unknown(Heard::Error, None, Some("pi_1")));
}

/// Two wordings of the same (facts/stripe.md §4).
#[test]
fn a_detached_card_is_refused_for_good_unless_it_was_charged_before() {
    let given = given(&[]);
    for said in [
        "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and may not be used again.",
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment or was detached from a Customer. It may not be used again.",
    ] {
        let mut body = refusal("invalid_request_error", None, None, None);
        body["error"]["message"] = said.into();
        let gone = Decline { class: DeclineClass::Hard, code: CARD_GONE.into(), intent: None, charge_id: None };
        let answer = charge(&reply(400, &body), &given.charge(None));
        assert_eq!(answer, Answer::Declined(gone));
        assert_eq!(of_resend(answer), unknown(Heard::Error, Some(CARD_GONE), None), "the first send may have captured");
        assert_eq!(
            charge(&reply(404, &body), &given.charge(None)),
            unknown(Heard::Refusal, Some("invalid_request_error"), None)
        );
    }
}

#[test]
fn a_wrong_state_answer_may_say_it_was_paid() {
    let given = given(&["ch_0"]);
    let code = Some("payment_intent_unexpected_state");
    let paid = refusal("invalid_request_error", code, None, Some(intent("succeeded")));
    assert_eq!(charge(&reply(400, &paid), &given.charge(Some("pi_1"))), Answer::Captured(capture()));
    let gone = refusal("invalid_request_error", code, None, Some(intent("canceled")));
    let answer = charge(&reply(400, &gone), &given.charge(Some("pi_1")));
    assert_eq!(answer, unknown(Heard::Refusal, code, Some("pi_1")));
}

#[test]
fn a_200_that_is_not_final_or_not_ours_is_unknown() {
    let given = given(&[]);
    for status in ["processing", "requires_capture", "requires_confirmation", "canceled", "brand_new"] {
        let answer = charge(&reply(200, &intent(status)), &given.charge(None));
        assert_eq!(answer, unknown(Heard::Error, Some(status), Some("pi_1")));
    }
    let mut foreign = intent("succeeded");
    foreign["metadata"] = json!({"order_id": "01KAS9Z0000000000000000000-1-0"});
    let answer = charge(&reply(200, &foreign), &given.charge(None));
    assert_eq!(answer, unknown(Heard::Error, Some("order_id_differs"), None));
    let mut dollars = intent("succeeded");
    dollars["currency"] = json!("xau");
    let answer = charge(&reply(200, &dollars), &given.charge(None));
    assert_eq!(answer, unknown(Heard::Error, Some("unreadable_payment"), Some("pi_1")));
    let answer = charge(&reply(200, &json!({"object": "list"})), &given.charge(None));
    assert_eq!(answer, unknown(Heard::Error, Some("unreadable"), None));
    let Answer::Declined(decline) = charge(&reply(200, &intent("requires_action")), &given.charge(None)) else {
        panic!("off-session, needing the payer is a refusal")
    };
    assert_eq!(decline.class, DeclineClass::Auth);
}

#[test]
fn an_earlier_attempts_charge_proves_nothing() {
    let failed = failed("card_declined", Some("insufficient_funds"));
    let own = Lookup::Found(Answer::Declined(declined(DeclineClass::Soft, "insufficient_funds")));
    let look = |body: &Value, known: &[&str], id: Option<&str>| one(&reply(200, body), &given(known).find(id));
    assert_eq!(look(&failed, &["ch_0"], Some("pi_1")), own, "a new charge is this attempt's");
    assert_eq!(look(&failed, &["ch_0", "ch_1"], Some("pi_1")), Lookup::NotFound, "a known one is not");
    assert_eq!(look(&intent("succeeded"), &["ch_1"], Some("pi_1")), Lookup::Found(Answer::Captured(capture())));
    let mut chargeless = failed.clone();
    chargeless["latest_charge"] = json!(null);
    assert_eq!(look(&chargeless, &[], Some("pi_1")), Lookup::NotFound, "an earlier attempt may have left it");
    assert_eq!(look(&chargeless, &[], None), own, "nobody had the intent before");
    assert_eq!(look(&intent("requires_action"), &["ch_1"], Some("pi_1")), Lookup::NotFound);
    assert_eq!(look(&intent("requires_confirmation"), &[], Some("pi_1")), Lookup::NotFound);
    assert_eq!(look(&intent("processing"), &[], Some("pi_1")), Lookup::Pending);
    let Lookup::Found(Answer::Declined(gone)) = look(&intent("canceled"), &[], Some("pi_1")) else { panic!("final") };
    assert_eq!((gone.intent, gone.code.as_str()), (None, "canceled"));
}

#[test]
fn lookups_that_fail_say_nothing() {
    let given = given(&[]);
    for status in [401, 404, 429, 500] {
        let body = refusal("invalid_request_error", Some("resource_missing"), None, None);
        assert_eq!(one(&reply(status, &body), &given.find(Some("pi_1"))), Lookup::Failed);
        assert!(page(&reply(status, &body)).is_none());
    }
    assert!(page(&reply(200, &json!({"data": []}))).is_none(), "a list says whether there is more");
    let torn = json!({"data": [], "has_more": true});
    assert!(page(&reply(200, &torn)).is_none(), "more, but nowhere to go on from");
}

#[test]
fn a_paid_intent_is_the_best_witness_then_the_newest() {
    let row = |id: &str, status: &str, order: &str| {
        let mut row = intent(status);
        row["id"] = json!(id);
        row["metadata"] = json!({"order_id": order});
        row
    };
    let rows = [
        row("pi_5", "succeeded", "another"),
        row("pi_4", "requires_payment_method", ORDER),
        row("pi_3", "requires_payment_method", ORDER),
    ];
    let best = better(None, &rows, ORDER);
    assert_eq!(best.as_ref().map(|i| i.id.as_str()), Some("pi_4"));
    let best = better(best, &[row("pi_2", "succeeded", ORDER), row("pi_1", "canceled", ORDER)], ORDER);
    assert_eq!(best.map(|i| i.id), Some("pi_2".to_owned()));
    assert_eq!(better(None, &rows[..1], ORDER), None);
}

#[test]
fn refunds_are_recognised_by_our_id_and_told_by_their_status() {
    let refund = Refund {
        refund_id: "rf_1",
        order_id: "o-3-0",
        payment_id: "pi_1",
        charge_id: Some("ch_1"),
        amount: Money::krw(300),
        refundable: 1_000,
        idempotency_key: "refund:rf_1",
    };
    let row = |id: &str, ours: &str, status: &str| json!({"id": id, "status": status, "metadata": {"refund_id": ours}});
    let id = || "re_1".to_owned();
    for (status, answer) in [
        ("succeeded", RefundAnswer::Done { gateway_refund_id: id() }),
        ("pending", RefundAnswer::Pending { gateway_refund_id: id() }),
        ("requires_action", RefundAnswer::Pending { gateway_refund_id: id() }),
        ("failed", RefundAnswer::Refused { code: "failed".into() }),
        ("canceled", RefundAnswer::Refused { code: "canceled".into() }),
        ("brand_new", RefundAnswer::Unknown { heard: Heard::Error, code: Some("brand_new".into()) }),
    ] {
        assert_eq!(refunded(&reply(200, &row("re_1", "rf_1", status))), answer);
        let rows = [row("re_0", "rf_0", "succeeded"), row("re_1", "rf_1", status)];
        assert_eq!(own_refund(&rows, &refund), Some(answer));
    }
    assert_eq!(own_refund(&[row("re_0", "rf_0", "succeeded")], &refund), None);
    let error = |code: Option<&str>, param: Option<&str>| json!({"error": {"type": "invalid_request_error", "code": code, "param": param}});
    let refused = |code: &str| RefundAnswer::Refused { code: code.into() };
    let unknown = |heard, code: &str| RefundAnswer::Unknown { heard, code: Some(code.into()) };
    for (status, body, answer) in [
        (400, error(None, Some("amount")), refused("amount")),
        (400, error(Some("charge_already_refunded"), None), refused("charge_already_refunded")),
        (400, error(Some("charge_disputed"), None), refused("charge_disputed")),
        (404, error(Some("resource_missing"), Some("payment_intent")), refused("resource_missing")),
        (400, json!({"error": {"type": "idempotency_error"}}), unknown(Heard::Refusal, "idempotency_error")),
        (401, error(None, None), unknown(Heard::Nothing, "invalid_request_error")),
        (409, error(Some("idempotency_key_in_use"), None), unknown(Heard::Nothing, "idempotency_key_in_use")),
        (429, error(Some("rate_limit"), None), unknown(Heard::Nothing, "rate_limit")),
        (500, json!({"error": {"type": "api_error"}}), unknown(Heard::Error, "api_error")),
    ] {
        assert_eq!(refunded(&reply(status, &body)), answer, "{status}");
    }
    assert_eq!(
        refunded(&Reply { status: 502, body: Vec::new() }),
        RefundAnswer::Unknown { heard: Heard::Error, code: None }
    );
}

#[test]
fn refunds_in_a_list_are_told_by_whose_they_are_and_how_they_stand() {
    let row = |status: &str, ours: Value| json!({"id": "re_1", "amount": 300, "status": status, "metadata": ours});
    let told = |status: &str, ours: Value| seen(&row(status, ours)).map(|s| (s.refund_id, s.amount, s.state, s.code));
    let ours = || json!({"refund_id": "rf_1"});
    assert_eq!(told("succeeded", ours()), Some((Some("rf_1".into()), 300, SeenState::Succeeded, None)));
    assert_eq!(told("pending", json!({})), Some((None, 300, SeenState::Pending, None)));
    assert_eq!(told("canceled", json!(null)), Some((None, 300, SeenState::Failed, Some("canceled".into()))));
    assert_eq!(told("brand_new", ours()), None);
}

#[test]
fn an_order_is_read_from_the_intent_and_only_from_there() {
    let intent = |metadata: Value| json!({"id": "pi_1", "status": "succeeded", "metadata": metadata});
    let ours = OrderOf::Order { order_id: "o-3-0".into(), payment_id: "pi_1".into() };
    assert_eq!(order(&reply(200, &intent(json!({"order_id": "o-3-0"})))), ours);
    assert_eq!(order(&reply(200, &intent(json!({})))), OrderOf::Foreign);
    assert_eq!(order(&reply(404, &json!({"error": {}}))), OrderOf::Foreign);
    assert_eq!(order(&reply(500, &json!({}))), OrderOf::Failed);
    assert_eq!(intent_of(&reply(200, &json!({"id": "ch_1", "payment_intent": "pi_1"}))), Ok(Some("pi_1".into())));
    assert_eq!(intent_of(&reply(500, &json!({}))), Err(OrderOf::Failed));
}

#[test]
fn a_cancellation_is_done_too_late_or_unknown() {
    let refused = |status, intent: Option<Value>| {
        let code = "payment_intent_unexpected_state";
        reply(status, &json!({"error": {"type": "invalid_request_error", "code": code, "payment_intent": intent}}))
    };
    let said = |reply: &Reply| cancelled(reply, "pi_1");
    assert_eq!(said(&reply(200, &intent("canceled"))), IntentCancelled::Cancelled);
    assert_eq!(said(&refused(400, Some(intent("canceled")))), IntentCancelled::Cancelled);
    for late in [reply(200, &intent("succeeded")), refused(400, Some(intent("succeeded")))] {
        let IntentCancelled::Captured(capture) = said(&late) else { panic!("captured") };
        assert_eq!((capture.payment_id.as_str(), capture.amount), ("pi_1", Money::krw(33_000)));
    }
    for status in ["processing", "requires_payment_method", "requires_action", "requires_capture", "something_new"] {
        assert_eq!(said(&reply(200, &intent(status))), IntentCancelled::Unknown, "{status}");
        assert_eq!(said(&refused(400, Some(intent(status)))), IntentCancelled::Unknown, "{status}");
    }
    for status in [401, 403, 404, 409, 424, 429, 500, 503] {
        assert_eq!(said(&refused(status, Some(intent("canceled")))), IntentCancelled::Unknown, "{status}");
    }
    assert_eq!(said(&refused(400, None)), IntentCancelled::Unknown);
    assert_eq!(said(&Reply { status: 200, body: b"oops".to_vec() }), IntentCancelled::Unknown);
    let mut other = intent("canceled");
    other["id"] = json!("pi_2");
    assert_eq!(said(&reply(200, &other)), IntentCancelled::Unknown, "another intent says nothing of this one");
}
