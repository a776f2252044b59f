//! What was verified or read, in the words of the use cases.

use domain::charge::GatewayName;
use domain::event::Fact;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use crate::crypto::token_hash;
use crate::gateway::webhook::{About as StripeAbout, StripeEvent, StripeKind, TossHint};
use crate::usecase::Charging;
use crate::usecase::observe_refunds::{About, Said};
use crate::usecase::receive_hint::{Hint, receive_cancel_hint, receive_hint, receive_other, receive_removal};
use crate::usecase::receive_webhook::{ReceiveError, SignedEvent};
use crate::usecase::rereads::Rereads;

/// A verified Stripe event as the use case takes it.
#[must_use]
pub fn in_our_words(event: StripeEvent) -> SignedEvent {
    let hash = |token: &secrecy::SecretString| token_hash(GatewayName::Stripe, token.expose_secret());
    let plain = SignedEvent::stored(GatewayName::Stripe, event.id, event.event_type);
    let told = SignedEvent { report: event.report, ..plain };
    match event.kind {
        StripeKind::PaymentSucceeded { payment_id } if told.report.is_none() => {
            SignedEvent { stray_payment: Some(payment_id.unwrap_or_default()), ..told }
        }
        StripeKind::PaymentSucceeded { .. } | StripeKind::PaymentFailed | StripeKind::Other => told,
        StripeKind::Refund { about: of, seen } => SignedEvent { about: Some((about(of), Said::Refund(seen))), ..told },
        StripeKind::ChargeRefunded { about: of, total } => {
            SignedEvent { about: Some((about(of), Said::Refunded { total })), ..told }
        }
        StripeKind::Dispute { about: of, told: dispute } => {
            SignedEvent { about: Some((about(of), Said::Dispute(dispute))), ..told }
        }
        StripeKind::MethodRemoved { token } => SignedEvent { removed_method: Some(hash(&token)), ..told },
        StripeKind::MethodUpdated { token, card } => SignedEvent { updated_method: Some((hash(&token), card)), ..told },
        StripeKind::Recorded { fact, object, status } => {
            let fact = Fact::new(fact, object).with("gateway", GatewayName::Stripe.as_str()).with("status", status);
            SignedEvent { recorded: Some(fact), ..told }
        }
    }
}

fn about(of: StripeAbout) -> About {
    About { order_id: of.order_id, payment_id: of.payment_id, charge_id: of.charge_id }
}

/// Follows an unsigned event to what it hints at.
///
/// # Errors
/// When the store or the gateway fails in a way that a resend may cure, when it comes too soon after another about the same
/// payment, or when it is forged.
pub async fn follow(
    charging: &Charging,
    rereads: &Rereads,
    now: Timestamp,
    gateway: GatewayName,
    hint: TossHint,
) -> Result<(), ReceiveError> {
    match hint {
        TossHint::PaymentChanged { order_id, payment_key, secret, cancelled } => {
            let (payment_id, secret) = (payment_key.as_deref(), secret.as_ref());
            let hint = Hint { order_id: &order_id, payment_id, secret, cancelled };
            receive_hint(charging, rereads, now, gateway, &hint).await
        }
        TossHint::CancelChanged { payment_key } => {
            receive_cancel_hint(charging, rereads, now, gateway, &payment_key).await
        }
        TossHint::BillingDeleted { billing_key } => {
            receive_removal(charging, now, gateway, &token_hash(gateway, billing_key.expose_secret())).await
        }
        TossHint::Other { event_type } => receive_other(charging, now, gateway, event_type).await,
    }
}
