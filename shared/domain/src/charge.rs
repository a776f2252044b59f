//! The vocabulary of charging: gateways and their profiles, billables and order ids, the live attempt, and the
//! one internal value every answer of a gateway becomes.
//!
//! Invariants: a key or order id is a pure function of (operation, subscription, period, seq, attempt), so a frozen
//! and thawed worker cannot charge under another key; an answer is captured, declined, refused (provably never
//! executed) or unknown, and whatever is not recognised is unknown.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::{MethodId, SubscriptionId};
use crate::money::{Currency, Money};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Gateway))]
pub enum GatewayName {
    Toss,
    Stripe,
}

impl GatewayName {
    pub const ALL: [GatewayName; 2] = [GatewayName::Toss, GatewayName::Stripe];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GatewayName::Toss => "toss",
            GatewayName::Stripe => "stripe",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        GatewayName::ALL.into_iter().find(|g| g.as_str() == text)
    }

    /// Whether a charge in this currency can be rendered for it. Toss bills cards in won (facts/toss-payments.md §2).
    #[must_use]
    pub fn takes(self, currency: Currency) -> bool {
        match self {
            GatewayName::Toss => currency == Currency::KRW,
            GatewayName::Stripe => true,
        }
    }

    /// How this gateway treats keys, errors and lookups. Recovery decides by it (design.md §5).
    #[must_use]
    pub fn profile(self) -> Profile {
        match self {
            // Toss: keys live 15 days; 4xx are replayed; approve may take 60 s; lookup by order id.
            GatewayName::Toss => Profile {
                key_window: SignedDuration::from_hours(13 * 24),
                replays_errors: true,
                absent_after_refusal: SignedDuration::from_mins(1),
                absent_after_error: SignedDuration::from_hours(1),
                finds: true,
                timeout: SignedDuration::from_secs(65),
            },
            // Stripe: keys may be pruned after 24 h and are then a new request; 402 and 500 are replayed.
            GatewayName::Stripe => Profile {
                key_window: SignedDuration::from_hours(20),
                replays_errors: true,
                absent_after_refusal: SignedDuration::from_hours(1),
                absent_after_error: SignedDuration::from_hours(1),
                finds: true,
                timeout: SignedDuration::from_secs(65),
            },
        }
    }
}

/// What recovery may rely on at one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// How long after the first send the same key may be sent again: shorter than the gateway keeps it by more than a
    /// lease, because a send decided on now arrives later.
    pub key_window: SignedDuration,
    /// Whether error answers are stored under the key and come back on a resend. Nothing is resent after an error either
    /// way: stored, it would only come back; not stored, the resend could be a second charge.
    pub replays_errors: bool,
    /// Between two empty lookups that prove absence, when the gateway had answered 4xx.
    pub absent_after_refusal: SignedDuration,
    /// The same when it had answered anything else, or nothing.
    pub absent_after_error: SignedDuration,
    /// Whether it can be asked by our id. One that cannot is sent the same bytes again inside the key window; after it,
    /// only an event or an operator can say what became of the attempt.
    pub finds: bool,
    /// The client's limit for one charge call.
    pub timeout: SignedDuration,
}

/// What one payment is for: a subscription's period, and within it the renewal (seq 0) or a proration or usage
/// charge (seq >= 1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Billable {
    pub subscription: SubscriptionId,
    pub index: u32,
    pub seq: u32,
}

impl Billable {
    /// The id the gateway stores and shows. Toss: one per attempt. Stripe: one per cycle, because one PaymentIntent
    /// serves all attempts of a cycle and its metadata is written once.
    #[must_use]
    pub fn order_id(&self, gateway: GatewayName, n: u32) -> String {
        let cycle = format!("{}-{}-{}", self.subscription.ulid(), self.index, self.seq);
        match gateway {
            GatewayName::Toss => format!("{cycle}-{n}"),
            GatewayName::Stripe => cycle,
        }
    }

    /// Reads an order id back; the attempt number is there for Toss only. `None` when it is not ours.
    #[must_use]
    pub fn parse_order_id(text: &str) -> Option<(Billable, Option<u32>)> {
        let mut parts = text.split('-');
        let subscription = SubscriptionId::parse(&format!("sub_{}", parts.next()?)).ok()?;
        let mut number = || parts.next().map(|p| p.parse::<u32>().ok().filter(|n| n.to_string() == p));
        let (index, seq, n) = (number()??, number()??, number());
        let n = match n {
            None => None,
            Some(None) => return None,
            Some(n) => n,
        };
        number().is_none().then_some((Billable { subscription, index, seq }, n))
    }

    /// The idempotency key of an operation on an attempt.
    #[must_use]
    pub fn key(&self, operation: &str, n: u32) -> String {
        format!("{operation}:{}:{}:{}:{n}", self.subscription, self.index, self.seq)
    }
}

/// Why a charge is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Trigger {
    /// The first payment after approval, by decision, activation or run.
    First,
    /// A period has begun.
    Renewal,
    /// A scheduled retry of an open dunning case; the only trigger that consumes a step.
    Dunning,
    /// A person asked, or supplied a card.
    Manual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DeclineClass {
    /// Never again on this card.
    Hard,
    /// Try again later.
    Soft,
    /// The payer must authenticate.
    Auth,
}

/// The one attempt of a subscription that may have reached the gateway and is not settled. While it is there no
/// other attempt starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveAttempt {
    pub index: u32,
    pub seq: u32,
    pub n: u32,
    pub trigger: Trigger,
    /// Random; fences resends and negative outcomes, never a capture.
    pub token: String,
    #[serde(rename = "lease", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub lease_until: Timestamp,
    /// First send: every date a settlement sets derives from it.
    #[serde(rename = "at", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub started_at: Timestamp,
    /// Minor units in the subscription's currency.
    pub amount: i64,
    pub gateway: GatewayName,
    pub method_id: MethodId,
    /// Version of the gateway secret in use; Toss keys are scoped by API key, so a resend needs the same one.
    pub secret: String,
    /// Version of the code that renders the request; a resend must render the same bytes.
    pub request: u16,
    /// Stripe: the PaymentIntent of the cycle, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Doubt>,
}

/// What is known of an attempt whose outcome is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// The answer that left the outcome open, when there was one.
    pub heard: Heard,
    /// Lookups that found nothing.
    pub empty: u32,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub last_empty_at: Option<Timestamp>,
    /// How often it was looked at, for backing off.
    pub looks: u32,
}

/// Ordered by how little it proves: when an attempt was answered more than once, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Heard {
    Nothing,
    /// A 4xx that is neither a known decline nor a proof of absence.
    Refusal,
    /// A 5xx or something unreadable.
    Error,
}

impl LiveAttempt {
    #[must_use]
    pub fn billable(&self, subscription: &SubscriptionId) -> Billable {
        Billable { subscription: subscription.clone(), index: self.index, seq: self.seq }
    }
}

/// Every answer of a gateway about one attempt: the call's reply, a webhook and a poll all become this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Captured(Capture),
    Declined(Decline),
    /// Provably never executed, and our configuration is to blame (wrong key, missing contract).
    Refused {
        code: String,
    },
    Unknown {
        heard: Heard,
        code: Option<String>,
        intent: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capture {
    pub order_id: String,
    /// Toss paymentKey, Stripe PaymentIntent id.
    pub payment_id: String,
    /// Stripe charge id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge_id: Option<String>,
    pub amount: Money,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    pub class: DeclineClass,
    /// The gateway's raw code.
    pub code: String,
    pub intent: Option<String>,
    pub charge_id: Option<String>,
}

/// What asking a gateway about an attempt brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    Found(Answer),
    /// The gateway knows it and is still working on it.
    Pending,
    NotFound,
    /// The question itself failed; says nothing.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_ids_round_trip_and_fit(ms in 0u64..1 << 47, random in any::<u128>(), index in 0u32..100_000, seq in 0u32..1_000, n in 1u32..1_000) {
            let subscription = SubscriptionId::new(ulid::Ulid::from_parts(ms, random));
            let billable = Billable { subscription, index, seq };
            let toss = billable.order_id(GatewayName::Toss, n);
            prop_assert!((6..=64).contains(&toss.len()));
            prop_assert!(toss.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
            prop_assert_eq!(Billable::parse_order_id(&toss), Some((billable.clone(), Some(n))));
            prop_assert_eq!(Billable::parse_order_id(&billable.order_id(GatewayName::Stripe, n)), Some((billable, None)));
        }

        #[test]
        fn foreign_order_ids_are_not_ours(text in "[A-Za-z0-9_-]{0,64}") {
            if let Some((billable, n)) = Billable::parse_order_id(&text) {
                let again = billable.order_id(if n.is_some() { GatewayName::Toss } else { GatewayName::Stripe }, n.unwrap_or(1));
                prop_assert_eq!(again, text);
            }
        }
    }
}
