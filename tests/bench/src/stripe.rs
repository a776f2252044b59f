//! Signed Stripe events about renewals that were settled before: what a gateway says after nearly every charge.

use domain::charge::{Answer, Billable, Capture, GatewayName, Trigger};
use domain::cycle::Cycle;
use domain::settle::{Report, Settlement, settle};
use domain::subscription::{Claim, Subscription};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::roles::emulator::KEY_TEXT;
use crate::seed;

/// A customer whose renewal was charged and settled, and the cycle it left.
pub fn settled(number: u32, now: Timestamp) -> (Subscription, Cycle) {
    let due = seed::subscription(number, GatewayName::Stripe, now);
    let claim = Claim {
        trigger: Trigger::Renewal,
        token: "01KBAVXJ7MZQ8R5T2W4Y6A9C1E".to_owned(),
        now,
        lease_until: now + SignedDuration::from_secs(90),
        secret: "5b6d9f8e-0c1a-4d2b-9e3f-7a8b9c0d1e2f".to_owned(),
        request: 1,
        intent: None,
    };
    let claimed = due.start(claim).expect("it is due");
    let live = claimed.live.clone().expect("claimed");
    let capture = capture(&claimed);
    let report = Report {
        index: live.index,
        seq: live.seq,
        n: Some(live.n),
        answer: Answer::Captured(capture),
        token: Some(live.token),
    };
    let Ok(Settlement::Apply(after)) = settle(&claimed, None, &report, now) else { panic!("a capture settles") };
    (after.subscription.expect("advanced"), after.cycle.expect("paid"))
}

fn billable(subscription: &Subscription) -> Billable {
    Billable { subscription: subscription.id.clone(), index: 1, seq: 0 }
}

fn capture(subscription: &Subscription) -> Capture {
    let order_id = billable(subscription).order_id(GatewayName::Stripe, 1);
    Capture {
        payment_id: format!("pi_{}", subscription.id.ulid()),
        charge_id: Some(format!("ch_{}", subscription.id.ulid())),
        amount: subscription.amount,
        order_id,
    }
}

/// A delivery: body and `Stripe-Signature`.
pub fn delivery(number: u32, id: &str, now: Timestamp) -> (String, String) {
    let subscription = seed::subscription(number, GatewayName::Stripe, now);
    let body = event(&capture(&subscription), id, now).to_string();
    let time = now.as_second().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY_TEXT.as_bytes()).expect("any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    (body, format!("t={time},v1={signature}"))
}

/// As large as Stripe's own.
fn event(capture: &Capture, id: &str, now: Timestamp) -> Value {
    let request = json!({ "id": "req_0000000000000000", "idempotency_key": format!("charge:{}", capture.order_id) });
    json!({
        "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": now.as_second(), "livemode": false,
        "pending_webhooks": 1, "request": request, "type": "payment_intent.succeeded", "data": { "object": intent(capture, now) },
    })
}

fn intent(capture: &Capture, now: Timestamp) -> Value {
    let amount = capture.amount.amount;
    let mut intent = json!({
        "id": capture.payment_id, "object": "payment_intent", "amount": amount, "amount_capturable": 0, "amount_details": { "tip": {} },
        "amount_received": amount, "capture_method": "automatic_async", "confirmation_method": "automatic",
        "client_secret": format!("{}_secret_0000000000000000000000000", capture.payment_id), "created": now.as_second(),
        "currency": "krw", "customer": "cus_00000000000000", "description": "MindGarden standard #2", "status": "succeeded",
        "latest_charge": capture.charge_id, "livemode": false, "metadata": { "order_id": capture.order_id },
        "payment_method": "pm_000000000000000000000000", "payment_method_types": ["card"],
        "payment_method_options": { "card": { "installments": null, "network": null, "request_three_d_secure": "automatic" } },
    });
    for absent in [
        "application",
        "application_fee_amount",
        "automatic_payment_methods",
        "canceled_at",
        "cancellation_reason",
        "last_payment_error",
        "next_action",
        "on_behalf_of",
        "payment_method_configuration_details",
        "processing",
        "receipt_email",
        "review",
        "setup_future_usage",
        "shipping",
        "source",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
        "transfer_group",
    ] {
        intent[absent] = Value::Null;
    }
    intent
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;
    use shared::gateway::webhook::{parse_stripe, verify_signature};

    #[test]
    fn an_event_verifies_and_changes_nothing_that_is_settled() {
        let now: Timestamp = "2026-12-01T01:00:00Z".parse().unwrap();
        let (body, signature) = delivery(5, "evt_1", now);
        let secret = SecretString::from(KEY_TEXT.to_owned());
        assert!(verify_signature(body.as_bytes(), &signature, &[secret]).is_ok());
        let (billable, answer) = parse_stripe(body.as_bytes()).ok().unwrap().report.unwrap();
        let (subscription, cycle) = settled(5, now);
        let report = Report { index: billable.index, seq: billable.seq, n: None, answer, token: None };
        assert_eq!(settle(&subscription, Some(&cycle), &report, now), Ok(Settlement::Nothing));
        assert!(body.len() > 1_400, "{}", body.len());
    }
}
