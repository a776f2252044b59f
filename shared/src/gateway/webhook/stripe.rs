//! Stripe events. An event is a snapshot that may be old, repeated or out of order; only a capture in it is a fact of
//! its own, the rest says what to look at.

use domain::charge::{Answer, Billable};
use domain::dispute::Told;
use domain::method::MaskedCard;
use domain::refund::Seen;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::Unreadable;
use crate::gateway::json::{id, owned, text, whole};
use crate::gateway::stripe::methods::card;
use crate::gateway::stripe::read::{self, Intent};

/// One event of the v1 API.
pub struct StripeEvent {
    /// Duplicates share it.
    pub id: String,
    /// Stripe's own name of the type.
    pub event_type: String,
    pub created: Option<Timestamp>,
    pub livemode: bool,
    pub kind: StripeKind,
    /// For payment events: which of our billables it is about, and what it says. Negative answers have no claim token,
    /// so they only say that looking is worth while.
    pub report: Option<(Billable, Answer)>,
}

/// The payment an event is about, as far as its object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The order of ours it was made for; absent where the object carries no metadata of ours.
    pub order_id: Option<String>,
    pub payment_id: Option<String>,
    pub charge_id: Option<String>,
}

/// What an event is about.
pub enum StripeKind {
    PaymentSucceeded,
    PaymentFailed,
    /// One refund's state; it carries our refund id when we made it, none when the Dashboard did.
    Refund {
        about: About,
        seen: Seen,
    },
    /// What a charge has given back so far, in total; the refunds themselves are told by their own events.
    ChargeRefunded {
        about: About,
        total: Option<i64>,
    },
    MethodRemoved {
        token: SecretString,
    },
    /// The card network replaced number or expiry; the method stays the same.
    MethodUpdated {
        token: SecretString,
        card: MaskedCard,
    },
    SetupSucceeded {
        setup_intent: String,
        customer: Option<SecretString>,
    },
    SetupFailed {
        setup_intent: String,
        customer: Option<SecretString>,
    },
    Dispute {
        about: About,
        told: Told,
    },
    Unknown,
}

/// Reads an event whose signature was verified.
///
/// # Errors
/// When it is no v1 event envelope. An event of a type or shape nobody knows is [`StripeKind::Unknown`].
pub fn parse_stripe(raw: &[u8]) -> Result<StripeEvent, Unreadable> {
    let body: Value = serde_json::from_slice(raw).map_err(|_| Unreadable)?;
    if text(&body, "object").is_some_and(|object| object != "event") {
        return Err(Unreadable);
    }
    let event_type = owned(&body, "type").ok_or(Unreadable)?;
    let object = body.get("data").and_then(|data| data.get("object")).unwrap_or(&Value::Null);
    Ok(StripeEvent {
        id: owned(&body, "id").filter(|id| id.len() <= 255).ok_or(Unreadable)?,
        created: whole(&body, "created").and_then(|second| Timestamp::from_second(second).ok()),
        livemode: body.get("livemode").and_then(Value::as_bool).unwrap_or(false),
        kind: kind(&event_type, object).unwrap_or(StripeKind::Unknown),
        report: report(&event_type, object),
        event_type,
    })
}

/// `None` when the object lacks what the type promises.
fn kind(event_type: &str, object: &Value) -> Option<StripeKind> {
    let secret = |field: &str| id(object, field).map(SecretString::from);
    let own = || owned(object, "id");
    Some(match event_type {
        "payment_intent.succeeded" => StripeKind::PaymentSucceeded,
        "payment_intent.payment_failed" => StripeKind::PaymentFailed,
        "charge.refunded" => StripeKind::ChargeRefunded {
            about: About { charge_id: Some(own()?), ..about(object) },
            total: whole(object, "amount_refunded"),
        },
        "refund.created" | "refund.updated" | "refund.failed" => {
            StripeKind::Refund { about: about(object), seen: read::seen(object)? }
        }
        "payment_method.detached" => StripeKind::MethodRemoved { token: own()?.into() },
        "payment_method.automatically_updated" => {
            StripeKind::MethodUpdated { token: own()?.into(), card: card(object) }
        }
        "setup_intent.succeeded" => StripeKind::SetupSucceeded { setup_intent: own()?, customer: secret("customer") },
        "setup_intent.setup_failed" => StripeKind::SetupFailed { setup_intent: own()?, customer: secret("customer") },
        dispute if dispute.starts_with("charge.dispute.") => StripeKind::Dispute {
            about: about(object),
            told: Told {
                id: own()?,
                amount: whole(object, "amount")?,
                status: owned(object, "status")?,
                reason: owned(object, "reason"),
                closed: dispute == "charge.dispute.closed",
            },
        },
        _ => StripeKind::Unknown,
    })
}

fn about(object: &Value) -> About {
    About {
        order_id: object.get("metadata").and_then(|metadata| owned(metadata, "order_id")),
        payment_id: id(object, "payment_intent"),
        charge_id: id(object, "charge"),
    }
}

/// What a payment event says of one of our billables.
fn report(event_type: &str, object: &Value) -> Option<(Billable, Answer)> {
    let intent = Intent::read(object)?;
    // A Stripe order id names the cycle; one with an attempt number is a Toss id in the wrong place.
    let (billable, None) = Billable::parse_order_id(intent.order_id.as_deref()?)? else { return None };
    let answer = match event_type {
        "payment_intent.succeeded" => Answer::Captured(intent.capture()?),
        "payment_intent.payment_failed" => Answer::Declined(intent.declined()),
        _ => return None,
    };
    Some((billable, answer))
}

#[cfg(test)]
#[path = "stripe_tests.rs"]
mod tests;
