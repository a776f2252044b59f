//! Every event of facts/stripe.md §6.5, and what nobody promised.

use domain::charge::{Capture, Decline, DeclineClass};
use domain::money::Money;
use domain::refund::SeenState;
use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

const ORDER: &str = "01KAS9Z0000000000000000000-3-0";

fn event(event_type: &str, object: Value) -> StripeEvent {
    let body = json!({
        "id": "evt_1", "object": "event", "api_version": "2026-10-28.endive", "created": 1795300101, "livemode": false,
        "type": event_type, "data": {"object": object, "previous_attributes": {}}, "request": {"id": null},
    });
    parse_stripe(body.to_string().as_bytes()).ok().unwrap()
}

fn intent(order_id: Value) -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount_received": 33000, "currency": "krw",
        "latest_charge": "ch_1", "metadata": {"order_id": order_id},
    })
}

#[test]
fn a_success_reports_a_capture_of_our_billable() {
    let event = event("payment_intent.succeeded", intent(json!(ORDER)));
    assert!(matches!(&event.kind, StripeKind::PaymentSucceeded { payment_id: Some(id) } if id == "pi_1"));
    assert_eq!((event.id.as_str(), event.livemode), ("evt_1", false));
    assert_eq!(event.created.map(|at| at.as_second()), Some(1_795_300_101));
    let (billable, answer) = event.report.unwrap();
    assert_eq!((billable.index, billable.seq), (3, 0));
    let capture = Capture {
        order_id: ORDER.into(),
        payment_id: "pi_1".into(),
        charge_id: Some("ch_1".into()),
        amount: Money::krw(33_000),
    };
    assert_eq!(answer, Answer::Captured(capture));
}

#[test]
fn a_failure_reports_a_decline_with_its_charge() {
    let mut object = intent(json!(ORDER));
    object["status"] = json!("requires_payment_method");
    object["last_payment_error"] =
        json!({"code": "card_declined", "decline_code": "insufficient_funds", "charge": "ch_2"});
    let event = event("payment_intent.payment_failed", object);
    assert!(matches!(event.kind, StripeKind::PaymentFailed));
    let decline = Decline {
        class: DeclineClass::Soft,
        code: "insufficient_funds".into(),
        intent: Some("pi_1".into()),
        charge_id: Some("ch_2".into()),
    };
    assert_eq!(event.report.map(|(_, answer)| answer), Some(Answer::Declined(decline)));
}

#[test]
fn payments_that_are_not_ours_report_nothing() {
    for order_id in [json!(null), json!("order-77"), json!(format!("{ORDER}-1")), json!(5)] {
        let event = event("payment_intent.succeeded", intent(order_id));
        assert!(event.report.is_none());
    }
    let mut unfinished = intent(json!(ORDER));
    unfinished["status"] = json!("processing");
    assert!(event("payment_intent.succeeded", unfinished).report.is_none(), "only a succeeded intent captured");
}

#[test]
fn refunds_tell_ours_from_the_dashboards() {
    let object = json!({
        "id": "re_1", "object": "refund", "amount": 1000, "currency": "krw", "charge": "ch_1", "payment_intent": "pi_1",
        "status": "failed", "metadata": {"refund_id": "rf_1", "order_id": "o-3-0"},
    });
    for event_type in ["refund.created", "refund.updated", "refund.failed"] {
        let StripeKind::Refund { about, seen } = event(event_type, object.clone()).kind else { panic!("a refund") };
        assert_eq!((seen.gateway_refund_id.as_str(), seen.refund_id.as_deref()), ("re_1", Some("rf_1")));
        assert_eq!((about.payment_id.as_deref(), about.charge_id.as_deref()), (Some("pi_1"), Some("ch_1")));
        assert_eq!(about.order_id.as_deref(), Some("o-3-0"));
        assert_eq!((seen.amount, seen.state), (1_000, SeenState::Failed));
    }
    let charge = json!({"id": "ch_1", "payment_intent": {"id": "pi_1"}, "amount_refunded": 1000, "currency": "krw"});
    let StripeKind::ChargeRefunded { about, total } = event("charge.refunded", charge).kind else {
        panic!("a refunded charge")
    };
    assert_eq!((about.charge_id.as_deref(), about.payment_id.as_deref()), (Some("ch_1"), Some("pi_1")));
    assert_eq!((about.order_id, total), (None, Some(1_000)));
}

#[test]
fn methods_and_disputes() {
    let object = json!({"id": "pm_1", "customer": null, "card": {"brand": "visa", "last4": "1881", "exp_year": 2032}});
    let StripeKind::MethodRemoved { token } = event("payment_method.detached", object.clone()).kind else { panic!() };
    assert_eq!(token.expose_secret(), "pm_1");
    for event_type in ["payment_method.automatically_updated", "payment_method.updated"] {
        let StripeKind::MethodUpdated { card, token } = event(event_type, object.clone()).kind else { panic!() };
        assert_eq!((card.last4.as_deref(), card.exp_year, card.exp_month), (Some("1881"), Some(2032), None));
        assert_eq!(token.expose_secret(), "pm_1");
    }
    let dispute = json!({"id": "dp_1", "charge": "ch_1", "payment_intent": "pi_1", "amount": 5, "currency": "krw",
        "status": "needs_response", "reason": "fraudulent"});
    for (event_type, end) in [("charge.dispute.created", false), ("charge.dispute.closed", true)] {
        let StripeKind::Dispute { told, about } = event(event_type, dispute.clone()).kind else { panic!() };
        assert_eq!((told.closed, told.status.as_str(), told.amount), (end, "needs_response", 5));
        assert_eq!(about.payment_id.as_deref(), Some("pi_1"));
    }
}

#[test]
fn unknown_types_and_shapes_are_no_errors() {
    for (event_type, object) in [
        ("invoice.paid", json!({"status": "paid"})),
        ("customer.subscription.deleted", json!({"id": 5})),
        ("setup_intent.created", json!({"id": "seti_1"})),
        ("refund.updated", json!({"id": "re_1", "amount": 5, "status": "brand_new"})),
        ("payment_method.detached", json!({})),
        ("charge.dispute.created", json!(null)),
    ] {
        let event = event(event_type, object);
        assert!(matches!(event.kind, StripeKind::Other) && event.report.is_none(), "{event_type}");
        assert_eq!(event.event_type, event_type);
    }
}

#[test]
fn the_gateways_own_subscriptions_and_invoices_are_recorded() {
    for (event_type, kind) in [
        ("customer.subscription.updated", "gateway_subscription.updated"),
        ("customer.subscription.deleted", "gateway_subscription.deleted"),
        ("invoice.paid", "gateway_invoice.paid"),
        ("invoice.payment_failed", "gateway_invoice.payment_failed"),
    ] {
        let told = event(event_type, json!({"id": "in_1", "status": "paid", "metadata": {}}));
        let StripeKind::Recorded { fact, object, status } = told.kind else { panic!("{event_type}") };
        assert_eq!((fact, object.as_str(), status.as_deref()), (kind, "in_1", Some("paid")));
        assert!(told.report.is_none());
        let ours = event(event_type, json!({"id": "in_1", "metadata": {"order_id": ORDER}}));
        let (billable, answer) = ours.report.unwrap();
        assert_eq!((billable.index, billable.seq), (3, 0));
        assert!(matches!(answer, Answer::Unknown { .. }), "it says only that looking is worth while");
    }
}

#[test]
fn the_generic_names_stand_for_the_payments_own() {
    let succeeded = event("payment.succeeded", intent(json!(ORDER)));
    assert!(matches!(succeeded.report, Some((_, Answer::Captured(_)))));
    let mut object = intent(json!(ORDER));
    object["status"] = json!("requires_payment_method");
    assert!(matches!(event("payment.failed", object).report, Some((_, Answer::Declined(_)))));
}

#[test]
fn what_is_no_event_is_refused() {
    let thin = json!({"id": "evt_1", "object": "v2.core.event", "type": "x"}).to_string();
    let nameless = json!({"object": "event", "type": "x"}).to_string();
    let typeless = json!({"object": "event", "id": "evt_1"}).to_string();
    for raw in ["", "[]", "{", thin.as_str(), nameless.as_str(), typeless.as_str()] {
        assert!(parse_stripe(raw.as_bytes()).is_err(), "{raw}");
    }
}
