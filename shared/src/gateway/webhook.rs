//! What gateways send us: Stripe's signed events and Toss's unsigned hints, verified and parsed. Pure.
//!
//! Invariants: a Stripe body is worth nothing before [`verify_signature`] and [`within_tolerance`] said yes over its raw
//! bytes; a Toss body is worth nothing ever, it only says what to read back; unknown types and fields never fail.
//! Signature and time are separate steps because the signature needs no clock, and the clock may cost a store read.

mod stripe;
pub mod types;

pub use stripe::{About, StripeEvent, StripeKind, parse_stripe};

use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::json::{owned, text};
use types::Does;

/// How far a signature's time may be from ours, on either side.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(300);

/// Most signatures of one header that are compared: one per live secret, and some.
const SIGNATURES: usize = 16;

/// When Stripe says it signed a body. Check it with [`within_tolerance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedAt(pub Timestamp);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("malformed signature header")]
    Malformed,
    #[error("no signature matches")]
    Mismatch,
}

/// The body is not what a gateway sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unreadable event")]
pub struct Unreadable;

/// Checks `Stripe-Signature` over the raw body: any `v1` of the header by any of the secrets. Other schemes (`v0`) are
/// ignored, so that a header cannot be downgraded. Every pair is compared in constant time.
///
/// # Errors
/// When the header cannot be read, or nothing matches. Blank secrets match nothing.
pub fn verify_signature(raw: &[u8], header: &str, secrets: &[SecretString]) -> Result<SignedAt, SignatureError> {
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) if time.is_none() => time = Some(value),
            Some(("t", _)) => return Err(SignatureError::Malformed),
            Some(("v1", value)) if signatures.len() < SIGNATURES => signatures.extend(hex::decode(value).ok()),
            Some(_) | None => {}
        }
    }
    let time =
        time.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit())).ok_or(SignatureError::Malformed)?;
    let second = time.parse().map_err(|_| SignatureError::Malformed)?;
    let signed_at = Timestamp::from_second(second).map_err(|_| SignatureError::Malformed)?;
    let mut matched = Choice::from(0);
    for secret in secrets.iter().filter(|secret| !secret.expose_secret().trim().is_empty()) {
        let expected = signature(secret, time, raw).ok_or(SignatureError::Mismatch)?;
        for given in &signatures {
            matched |= expected.ct_eq(given.as_slice());
        }
    }
    if bool::from(matched) { Ok(SignedAt(signed_at)) } else { Err(SignatureError::Mismatch) }
}

/// The key is the whole secret, `whsec_` included. `None` never happens: HMAC takes keys of any length.
fn signature(secret: &SecretString, time: &str, raw: &[u8]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(raw);
    Some(mac.finalize().into_bytes().to_vec())
}

/// Whether a body was signed recently: neither replayed later nor dated ahead.
#[must_use]
pub fn within_tolerance(signed_at: SignedAt, now: Timestamp) -> bool {
    now.duration_since(signed_at.0).abs() <= TOLERANCE
}

/// What a Toss body is about. Nothing in it is trusted: the payment is read back, a deleted key shows at the next charge.
pub enum TossHint {
    PaymentChanged {
        order_id: String,
        payment_key: Option<String>,
        /// What it claims to be the payment's own secret, which the gateway shows to nobody else.
        secret: Option<SecretString>,
        /// It says that money was given back.
        cancelled: bool,
    },
    /// Something about a cancel, without its order.
    CancelChanged {
        payment_key: String,
    },
    BillingDeleted {
        billing_key: SecretString,
    },
    /// Stored, answered, nothing else.
    Other {
        /// One of the listed types, or [`types::UNLISTED`]: never a name of the sender's own.
        event_type: &'static str,
    },
}

/// Reads a Toss body.
///
/// # Errors
/// When it is not a JSON object.
pub fn parse_toss(raw: &[u8]) -> Result<TossHint, Unreadable> {
    let body: Value = serde_json::from_slice(raw).map_err(|_| Unreadable)?;
    if !body.is_object() {
        return Err(Unreadable);
    }
    let (event_type, does) = types::toss(text(&body, "eventType"));
    let data = body.get("data").unwrap_or(&Value::Null);
    let changed = |order_id, cancelled| TossHint::PaymentChanged {
        order_id,
        payment_key: payment_key(data),
        secret: owned(data, "secret").filter(|secret| secret.len() <= 200).map(SecretString::from),
        cancelled,
    };
    let hint = match does {
        Does::Payment => {
            let cancelled = matches!(text(data, "status"), Some("CANCELED" | "PARTIAL_CANCELED"));
            order_id(data).map(|order_id| changed(order_id, cancelled))
        }
        Does::Refunded => match order_id(data) {
            Some(order_id) => Some(changed(order_id, true)),
            None => payment_key(data).map(|payment_key| TossHint::CancelChanged { payment_key }),
        },
        Does::MethodRemoved => owned(data, "billingKey")
            .filter(|key| key.len() <= 200)
            .map(|key| TossHint::BillingDeleted { billing_key: SecretString::from(key) }),
        _ => None,
    };
    Ok(hint.unwrap_or(TossHint::Other { event_type }))
}

fn payment_key(data: &Value) -> Option<String> {
    owned(data, "paymentKey").filter(|key| key.len() <= 200)
}

/// An order id as Toss allows it; anything else is no order of anyone.
fn order_id(data: &Value) -> Option<String> {
    let allowed = |id: &String| {
        (6..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    owned(data, "orderId").filter(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // facts/stripe.md §6.2, computed with Stripe's own library.
    const PAYLOAD: &[u8] = br#"{"id":"evt_test_1","object":"event","type":"payment_intent.succeeded"}"#;
    const A: &str = "4ce0a350824dd6416bf546d8a6c56304bb305ed2e205299dc3dc24654cc4e6d9";
    const B: &str = "a6c89526beecb8524cb2073fd5559bc3b0cad0fe06a3b447070c4b83e12d60ad";

    fn secrets(names: &[&str]) -> Vec<SecretString> {
        names.iter().map(|name| SecretString::from((*name).to_owned())).collect()
    }

    fn verify(header: &str, names: &[&str]) -> Result<i64, SignatureError> {
        verify_signature(PAYLOAD, header, &secrets(names)).map(|at| at.0.as_second())
    }

    #[test]
    fn the_known_vector_verifies_with_either_secret() {
        let rolling = format!("t=1767225600,v1={A},v1={B}");
        for names in [&["whsec_sandbox_0001"][..], &["whsec_sandbox_0002"], &["whsec_x", "whsec_sandbox_0002"]] {
            assert_eq!(verify(&rolling, names), Ok(1_767_225_600));
        }
        assert_eq!(verify(&format!("t=1767225600,v1={A}"), &["whsec_sandbox_0001"]), Ok(1_767_225_600));
        assert_eq!(verify(&rolling, &["whsec_x"]), Err(SignatureError::Mismatch));
        assert_eq!(verify(&rolling, &[]), Err(SignatureError::Mismatch));
        assert_eq!(verify(&rolling, &["", "  "]), Err(SignatureError::Mismatch));
    }

    #[test]
    fn nothing_may_change() {
        let (name, other) = (["whsec_sandbox_0001"], A.replace('4', "5"));
        for header in [
            format!("t=1767225601,v1={A}"),
            format!("t=01767225600,v1={A}"),
            format!("t=1767225600,v1={B}"),
            format!("t=1767225600,v1={other}"),
            format!("t=1767225600,v1={}", &A[..62]),
            format!("t=1767225600,v1={A}00"),
            format!("t=1767225600,v0={A}"),
            "t=1767225600,v1=".to_owned(),
            "t=1767225600,v1=zz".to_owned(),
            "t=1767225600".to_owned(),
        ] {
            assert_eq!(verify(&header, &name), Err(SignatureError::Mismatch), "{header}");
        }
        for at in 0..PAYLOAD.len() {
            let mut raw = PAYLOAD.to_vec();
            raw[at] ^= 1;
            let header = format!("t=1767225600,v1={A}");
            assert_eq!(verify_signature(&raw, &header, &secrets(&name)), Err(SignatureError::Mismatch), "byte {at}");
        }
    }

    #[test]
    fn malformed_headers_are_told_apart() {
        let twice = format!("t=1767225600,t=1767225600,v1={A}");
        let late = format!("t=99999999999999999999,v1={A}");
        for header in ["", "v1", &format!("v1={A}"), &format!("t=,v1={A}"), &format!("t=-5,v1={A}"), &twice, &late] {
            assert_eq!(verify(header, &["whsec_sandbox_0001"]), Err(SignatureError::Malformed), "{header}");
        }
    }

    #[test]
    fn tolerance_binds_both_sides() {
        let signed_at = SignedAt(Timestamp::from_second(1_767_225_600).unwrap());
        for (seconds, within) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            let now = Timestamp::from_second(1_767_225_600 + seconds).unwrap();
            assert_eq!(within_tolerance(signed_at, now), within, "{seconds}");
        }
        let late = Timestamp::from_millisecond(1_767_225_900_001).unwrap();
        assert!(!within_tolerance(signed_at, late));
    }

    #[test]
    fn toss_hints_name_what_to_read_back() {
        let parse = |body: Value| parse_toss(body.to_string().as_bytes());
        let order = "01KAS9Z0000000000000000000-3-0-2";
        let body = json!({"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-23T09:00:00.65327",
            "data": {"paymentKey": "tviva1", "orderId": order, "status": "DONE", "new": {}}});
        let Ok(TossHint::PaymentChanged { order_id, payment_key, secret, .. }) = parse(body) else { panic!("changed") };
        assert_eq!((order_id.as_str(), payment_key.as_deref(), secret.is_none()), (order, Some("tviva1"), true));
        let body = json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": order, "secret": "ps_1"}});
        let Ok(TossHint::PaymentChanged { secret: Some(secret), .. }) = parse(body) else { panic!("a secret") };
        assert_eq!(secret.expose_secret(), "ps_1");
        let body = json!({"eventType": "BILLING_DELETED", "data": {"billingKey": "Qm9v=", "reason": null}});
        let Ok(TossHint::BillingDeleted { billing_key }) = parse(body) else { panic!("deleted") };
        assert_eq!(billing_key.expose_secret(), "Qm9v=");
    }

    #[test]
    fn other_toss_bodies_are_no_hint() {
        for (body, named) in [
            (json!({"eventType": "METHOD_UPDATED", "data": {}}), "METHOD_UPDATED"),
            (json!({"secret": "ps_1", "status": "DONE", "orderId": "va_123456"}), types::UNTYPED),
            (json!({"eventType": "x".repeat(99), "data": {}}), types::UNLISTED),
            (json!({"eventType": "BILLING_DELETED", "data": {"billingKey": "k".repeat(201)}}), "BILLING_DELETED"),
            (json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "a/../b"}}), "PAYMENT_STATUS_CHANGED"),
            (json!({"eventType": "PAYMENT_STATUS_CHANGED"}), "PAYMENT_STATUS_CHANGED"),
        ] {
            let Ok(TossHint::Other { event_type }) = parse_toss(body.to_string().as_bytes()) else { panic!("{named}") };
            assert_eq!(event_type, named);
        }
        for raw in [&b"[]"[..], b"", b"\xff", b"\"x\"", b"{\"eventType\":"] {
            assert_eq!(parse_toss(raw).err(), Some(Unreadable));
        }
    }

    #[test]
    fn a_hint_that_money_went_back_says_so() {
        let parse = |body: Value| parse_toss(body.to_string().as_bytes());
        let told = |event: &str, data: Value| match parse(json!({ "eventType": event, "data": data })) {
            Ok(TossHint::PaymentChanged { cancelled, .. }) => Some(cancelled),
            Ok(TossHint::CancelChanged { payment_key }) => Some(payment_key == "pk"),
            Ok(TossHint::BillingDeleted { .. } | TossHint::Other { .. }) | Err(Unreadable) => None,
        };
        for (status, went_back) in [("DONE", false), ("CANCELED", true), ("PARTIAL_CANCELED", true), ("NEW", false)] {
            let data = json!({ "orderId": "order-1", "status": status });
            assert_eq!(told("PAYMENT_STATUS_CHANGED", data), Some(went_back), "{status}");
        }
        assert_eq!(told("CANCEL_STATUS_CHANGED", json!({ "orderId": "order-1" })), Some(true));
        assert_eq!(told("CANCEL_STATUS_CHANGED", json!({ "paymentKey": "pk" })), Some(true));
        assert_eq!(told("CANCEL_STATUS_CHANGED", json!({})), None);
    }
}
