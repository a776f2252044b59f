//! The door for gateway events: size, address and sender, before anything is verified; and the translation of what
//! was verified into our words.

use domain::charge::GatewayName;
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{ApiError, Request};
use crate::config::IpAllowList;
use crate::crypto::token_hash;
use crate::gateway::webhook::{About as StripeAbout, StripeEvent, StripeKind, TossHint};
use crate::usecase::Charging;
use crate::usecase::observe_refunds::{About, Said};
use crate::usecase::receive_webhook::{ReceiveError, SignedEvent, receive_cancel_hint, receive_hint, receive_removal};

/// Largest event, in bytes. Both gateways send far less.
const EVENT_MAX: usize = 256 * 1024;

/// Who claims to be calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    Stripe { signature: String },
    Toss,
}

/// Lets a delivery in by size and address, and tells the sender from the path or, on the bare path, from its headers.
///
/// # Errors
/// 413 too large, 403 address not allowed, 400 no sender recognised, 404 an unknown gateway in the path.
pub fn admit(request: &Request, allowed: &IpAllowList) -> Result<Sender, ApiError> {
    if request.body.len() > EVENT_MAX {
        return Err(ApiError::new(413, "payload_too_large", "The event is too large."));
    }
    if !allowed.allows(&request.source_ip) {
        return Err(ApiError::new(403, "address_refused", "Events are not taken from this address."));
    }
    let signature = request.header("stripe-signature");
    let named = request.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let gateway = match named {
        "webhook" if signature.is_some() => GatewayName::Stripe,
        "webhook" if request.header("tosspayments-webhook-transmission-id").is_some() => GatewayName::Toss,
        "webhook" => return Err(ApiError::new(400, "unknown_sender", "No gateway sends events like this.")),
        name => GatewayName::parse(name).ok_or_else(ApiError::not_found)?,
    };
    match gateway {
        GatewayName::Toss => Ok(Sender::Toss),
        GatewayName::Stripe => Ok(Sender::Stripe { signature: signature.ok_or_else(bad_signature)?.to_owned() }),
    }
}

/// 400: the one answer to everything that is not provably Stripe's.
#[must_use]
pub fn bad_signature() -> ApiError {
    ApiError::new(400, "bad_signature", "The signature does not match.")
}

/// 400: not what a gateway sends.
#[must_use]
pub fn unreadable() -> ApiError {
    ApiError::new(400, "unreadable_event", "The event cannot be read.")
}

/// A verified Stripe event as the use case takes it.
#[must_use]
pub fn in_our_words(event: StripeEvent) -> SignedEvent {
    let removed_method = match &event.kind {
        StripeKind::MethodRemoved { token } => Some(token_hash(GatewayName::Stripe, token.expose_secret())),
        _ => None,
    };
    let about = |about: &StripeAbout| About {
        order_id: about.order_id.clone(),
        payment_id: about.payment_id.clone(),
        charge_id: about.charge_id.clone(),
    };
    let about = match &event.kind {
        StripeKind::Refund { about: of, seen } => Some((about(of), Said::Refund(seen.clone()))),
        StripeKind::ChargeRefunded { about: of, total } => Some((about(of), Said::Refunded { total: *total })),
        StripeKind::Dispute { about: of, told } => Some((about(of), Said::Dispute(told.clone()))),
        _ => None,
    };
    SignedEvent {
        gateway: GatewayName::Stripe,
        id: event.id,
        kind: event.event_type,
        report: event.report,
        about,
        removed_method,
    }
}

/// Follows an unsigned event to what it hints at.
///
/// # Errors
/// When the store or the gateway fails in a way that a resend may cure.
pub async fn follow(
    charging: &Charging,
    now: Timestamp,
    gateway: GatewayName,
    hint: TossHint,
) -> Result<(), ReceiveError> {
    match hint {
        TossHint::PaymentChanged { order_id, cancelled, .. } => {
            receive_hint(charging, now, gateway, &order_id, cancelled).await
        }
        TossHint::CancelChanged { payment_key } => receive_cancel_hint(charging, now, gateway, &payment_key).await,
        TossHint::BillingDeleted { billing_key } => {
            receive_removal(charging, now, gateway, &token_hash(gateway, billing_key.expose_secret())).await
        }
        TossHint::Other { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(path: &str, headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request { path: path.to_owned(), source_ip: "10.0.0.9".to_owned(), ..Request::default() };
        for (name, value) in headers {
            request.headers.insert(*name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn the_sender_is_told_from_path_or_headers() {
        let all = IpAllowList::default();
        let bare = "/api/v1/billing/payments/webhook";
        let stripe = Sender::Stripe { signature: "t=1,v1=00".to_owned() };
        let signed = [("stripe-signature", "t=1,v1=00")];
        assert_eq!(admit(&delivery(bare, &signed), &all).ok(), Some(stripe.clone()));
        assert_eq!(admit(&delivery(&format!("{bare}/stripe"), &signed), &all).ok(), Some(stripe));
        assert_eq!(admit(&delivery(&format!("{bare}/toss"), &[]), &all).ok(), Some(Sender::Toss));
        let toss = [("tosspayments-webhook-transmission-id", "whtrans_1")];
        assert_eq!(admit(&delivery(bare, &toss), &all).ok(), Some(Sender::Toss));
        let refused = |request: Request| admit(&request, &all).err().map(|e| e.status());
        assert_eq!(refused(delivery(bare, &[])), Some(400));
        assert_eq!(refused(delivery(&format!("{bare}/stripe"), &[])), Some(400));
        assert_eq!(refused(delivery(&format!("{bare}/paypal"), &[])), Some(404));
        assert_eq!(refused(Request { body: vec![b' '; EVENT_MAX + 1], ..delivery(bare, &toss) }), Some(413));
    }
}
