//! Stripe events. An event is a snapshot that may be old, repeated or out of order; only a capture in it is a fact of
//! its own, the rest says what to look at.

use domain::charge::{Answer, Billable, Heard};
use domain::dispute::Told;
use domain::method::MaskedCard;
use domain::refund::Seen;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::Unreadable;
use super::types::{self, Does};
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
    PaymentSucceeded {
        payment_id: Option<String>,
    },
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
    Dispute {
        about: About,
        told: Told,
    },
    /// An object of the gateway's that we do not keep changed; `fact` is the kind of event it leaves.
    Recorded {
        fact: &'static str,
        /// The gateway's id of it.
        object: String,
        status: Option<String>,
    },
    /// Nothing to do: a type of no consequence, or an object that lacks what its type promises.
    Other,
}

/// Reads an event whose signature was verified.
///
/// # Errors
/// When it is no v1 event envelope. An event of a type or shape nobody knows is [`StripeKind::Other`].
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
        kind: kind(&event_type, object).unwrap_or(StripeKind::Other),
        report: report(&event_type, object),
        event_type,
    })
}

/// `None` when the object lacks what the type promises.
fn kind(event_type: &str, object: &Value) -> Option<StripeKind> {
    let own = || owned(object, "id");
    Some(match types::stripe(event_type) {
        Does::Payment => StripeKind::PaymentSucceeded { payment_id: own() },
        Does::Failure => StripeKind::PaymentFailed,
        Does::Refunded => StripeKind::ChargeRefunded {
            about: About { charge_id: Some(own()?), ..about(object) },
            total: whole(object, "amount_refunded"),
        },
        Does::Refund => StripeKind::Refund { about: about(object), seen: read::seen(object)? },
        Does::MethodRemoved => StripeKind::MethodRemoved { token: own()?.into() },
        Does::MethodUpdated => StripeKind::MethodUpdated { token: own()?.into(), card: card(object) },
        Does::Dispute => StripeKind::Dispute {
            about: about(object),
            told: Told {
                id: own()?,
                amount: whole(object, "amount")?,
                status: owned(object, "status")?,
                reason: owned(object, "reason"),
                closed: event_type == "charge.dispute.closed",
            },
        },
        Does::Recorded(fact) => StripeKind::Recorded { fact, object: own()?, status: owned(object, "status") },
        Does::Stored => StripeKind::Other,
    })
}

fn about(object: &Value) -> About {
    About {
        order_id: object.get("metadata").and_then(|metadata| owned(metadata, "order_id")),
        payment_id: id(object, "payment_intent"),
        charge_id: id(object, "charge"),
    }
}

/// What an event says of one of our billables.
fn report(event_type: &str, object: &Value) -> Option<(Billable, Answer)> {
    let does = types::stripe(event_type);
    let intent = Intent::read(object);
    let answer = match (does, &intent) {
        (Does::Payment, Some(intent)) => Answer::Captured(intent.capture()?),
        (Does::Failure, Some(intent)) => Answer::Declined(intent.declined()),
        // Whatever became of an invoice that names our order, only the payment itself can say.
        (Does::Recorded(_), _) => Answer::Unknown { heard: Heard::Nothing, code: None, intent: None },
        _ => return None,
    };
    // A Stripe order id names the cycle; one with an attempt number is a Toss id in the wrong place.
    let order_id = about(object).order_id?;
    let (billable, None) = Billable::parse_order_id(&order_id)? else { return None };
    Some((billable, answer))
}

#[cfg(test)]
#[path = "stripe_tests.rs"]
mod tests;
