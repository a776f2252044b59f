//! The door for gateway events: size, address, rate, form and sender, then the signature, and only then anything else.
//!
//! Invariants: no store call before a signed event is verified, or an unsigned one is read; what is refused says why by
//! status and code alone, and no body is ever logged; an answer of 500 means that the gateway shall send it again.

mod throttle;
mod words;

use std::sync::Arc;

use domain::charge::GatewayName;

use super::{ApiError, Reply, Request};
use crate::config::{IpAllowList, Settings};
use crate::gateway::webhook::{parse_stripe, parse_toss, verify_signature, within_tolerance};
use crate::secrets::formats::webhook_secrets;
use crate::secrets::{SecretName, Secrets};
use crate::telemetry::metrics;
use crate::usecase::Charging;
use crate::usecase::receive_webhook::{ReceiveError, receive_signed};
use crate::usecase::rereads::Rereads;

pub use throttle::{Rates, Throttle, Ticks};
pub use words::{follow, in_our_words};

/// Largest event, in bytes. Both gateways send far less.
pub const EVENT_MAX: usize = 256 * 1024;

/// Everything between a delivery and its answer. One per process.
pub struct Door {
    charging: Charging,
    secrets: Arc<dyn Secrets>,
    allowed: IpAllowList,
    throttle: Throttle,
    rereads: Rereads,
}

impl Door {
    #[must_use]
    pub fn new(charging: Charging, secrets: Arc<dyn Secrets>, settings: &Settings, ticks: Ticks) -> Door {
        let (per_address, per_process) = (settings.webhook_rate_per_address, settings.webhook_rate);
        let throttle = Throttle::new(Rates { per_address, per_process }, ticks);
        Door::guarded(charging, secrets, settings.webhook_allowed_ips.clone(), throttle)
    }

    /// The same with its guards made already.
    #[must_use]
    pub fn guarded(charging: Charging, secrets: Arc<dyn Secrets>, allowed: IpAllowList, throttle: Throttle) -> Door {
        Door { charging, secrets, allowed, throttle, rereads: Rereads::default() }
    }

    /// Takes one delivery in.
    ///
    /// # Errors
    /// 413 too large, 403 address not allowed, 429 too many, 415 not JSON, 400 unreadable, unsigned or forged, 404 an
    /// unknown gateway in the path, 500 when it has to come again.
    pub async fn receive(&self, request: &Request) -> Result<Reply, ApiError> {
        let taken = self.admit(request).await;
        // A failure of ours is counted where all of ours are.
        if let Some(refused) = taken.as_ref().err().filter(|error| error.status() < 500) {
            metrics::webhook_refused(refused.code());
        }
        taken
    }

    async fn admit(&self, request: &Request) -> Result<Reply, ApiError> {
        if request.body.len() > EVENT_MAX {
            return Err(ApiError::new(413, "payload_too_large", "The event is too large."));
        }
        if !self.allowed.allows(&request.source_ip) {
            return Err(ApiError::new(403, "address_refused", "Events are not taken from this address."));
        }
        self.throttle.enter(&request.source_ip).map_err(ApiError::too_many_requests)?;
        let taken = self.take(request).await;
        if taken.as_ref().is_err_and(|error| error.status() < 500) {
            self.throttle.refused(&request.source_ip);
        }
        taken.map(|()| Reply::empty(200))
    }

    async fn take(&self, request: &Request) -> Result<(), ApiError> {
        readable(request)?;
        match sender(request)? {
            Sender::Stripe { signature } => self.signed(&request.body, &signature).await,
            Sender::Toss => self.hint(&request.body).await,
        }
    }

    async fn signed(&self, raw: &[u8], signature: &str) -> Result<(), ApiError> {
        let known = self.secrets.get(SecretName::StripeWebhook).await?;
        let signed_at = match verify_signature(raw, signature, &webhook_secrets(&known)?) {
            Ok(signed_at) => signed_at,
            // The secret may have been rotated a moment ago; how often that is asked is bounded (`secrets::cache`).
            Err(_) => {
                let now = self.secrets.refresh(SecretName::StripeWebhook).await?;
                verify_signature(raw, signature, &webhook_secrets(&now)?).map_err(|_| bad_signature())?
            }
        };
        // The clock of a stage that travels in time is in the store, so it comes after the signature.
        let now = self.charging.clock.now().await;
        if !within_tolerance(signed_at, now) {
            return Err(bad_signature());
        }
        let event = parse_stripe(raw).map_err(|_| unreadable())?;
        receive_signed(&self.charging, now, in_our_words(event)).await.map_err(again)
    }

    async fn hint(&self, raw: &[u8]) -> Result<(), ApiError> {
        let hint = parse_toss(raw).map_err(|_| unreadable())?;
        let now = self.charging.clock.now().await;
        follow(&self.charging, &self.rereads, now, GatewayName::Toss, hint).await.map_err(again)
    }
}

/// Who claims to be calling.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sender {
    Stripe { signature: String },
    Toss,
}

/// Both gateways send JSON in UTF-8. A delivery that does not say what it is may be; one that says it is something else is
/// not theirs.
fn readable(request: &Request) -> Result<(), ApiError> {
    let named = request.headers.contains_key("content-type");
    if named && !request.header("content-type").is_some_and(is_json) {
        return Err(ApiError::new(415, "unsupported_media_type", "Events are application/json."));
    }
    if std::str::from_utf8(&request.body).is_err() {
        return Err(unreadable());
    }
    Ok(())
}

/// `application/json`, alone or with `charset=utf-8`.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        let charset = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        charset.is_none_or(|(_, value)| value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
    })
}

/// Tells the sender from the path or, on the bare path, from its headers.
fn sender(request: &Request) -> Result<Sender, ApiError> {
    let signature = request.header("stripe-signature");
    let named = request.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let gateway = match named {
        "webhook" if request.headers.contains_key("stripe-signature") => GatewayName::Stripe,
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
fn bad_signature() -> ApiError {
    ApiError::new(400, "bad_signature", "The signature does not match.")
}

/// 400: not what a gateway sends.
fn unreadable() -> ApiError {
    ApiError::new(400, "unreadable_event", "The event cannot be read.")
}

/// What is not taken must come again, unless it was not the gateway's in the first place.
fn again(error: ReceiveError) -> ApiError {
    match error {
        ReceiveError::Forged => ApiError::new(400, "bad_secret", "The secret is not this payment's."),
        ReceiveError::TooSoon(_) => {
            ApiError::new(500, "asked_just_now", "This payment was read a moment ago; send the event again.")
        }
        ReceiveError::Store(_) | ReceiveError::Settle(_) | ReceiveError::Charge(_) | ReceiveError::Unanswered => {
            ApiError::internal(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::serve::read;
    use secrecy::SecretString;

    fn delivery(path: &str, headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request { path: path.to_owned(), source_ip: "10.0.0.9".to_owned(), ..Request::default() };
        for (name, value) in headers {
            request.headers.append(*name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn the_sender_is_told_from_path_or_headers() {
        let bare = "/api/v1/billing/payments/webhook";
        let stripe = Sender::Stripe { signature: "t=1,v1=00".to_owned() };
        let signed = [("stripe-signature", "t=1,v1=00")];
        assert_eq!(sender(&delivery(bare, &signed)).ok(), Some(stripe.clone()));
        assert_eq!(sender(&delivery(&format!("{bare}/stripe"), &signed)).ok(), Some(stripe));
        assert_eq!(sender(&delivery(&format!("{bare}/toss"), &[])).ok(), Some(Sender::Toss));
        let toss = [("tosspayments-webhook-transmission-id", "whtrans_1")];
        assert_eq!(sender(&delivery(bare, &toss)).ok(), Some(Sender::Toss));
        let refused = |request: Request| sender(&request).err().map(|e| e.status());
        assert_eq!(refused(delivery(bare, &[])), Some(400));
        assert_eq!(refused(delivery(&format!("{bare}/stripe"), &[])), Some(400));
        assert_eq!(refused(delivery(&format!("{bare}/paypal"), &[])), Some(404));
        let twice = [signed[0], signed[0], toss[0]];
        assert_eq!(refused(delivery(bare, &twice)), Some(400), "signed twice is not Toss's");
    }

    #[test]
    fn json_in_utf_8_or_nothing_said() {
        let status = |headers: &[(&'static str, &str)], body: &[u8]| {
            let request = Request { body: body.to_vec(), ..delivery("/webhook/toss", headers) };
            readable(&request).err().map(|e| e.status())
        };
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json; v=1",
        ] {
            assert_eq!(status(&[("content-type", good)], b"{}"), None, "{good}");
        }
        assert_eq!(status(&[], b"{}"), None);
        for bad in [
            "text/plain",
            "",
            "application/jsonp",
            "application/json; charset=euc-kr",
            "application/json, text/plain",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(status(&[("content-type", bad)], b"{}"), Some(415), "{bad}");
        }
        assert_eq!(
            status(&[("content-type", "application/json"), ("content-type", "application/json")], b"{}"),
            Some(415)
        );
        for bad in [&b"\xff"[..], b"{\"a\":\"\xc3\x28\"}", b"\xed\xa0\x80"] {
            assert_eq!(status(&[], bad), Some(400));
        }
    }

    /// As the platform hands a signed body over: base64, header names in any case. What is verified are the bytes that were
    /// sent.
    #[test]
    fn a_base64_body_is_decoded_before_it_is_verified() {
        use base64::Engine as _;
        let body = br#"{"id":"evt_test_1","object":"event","type":"payment_intent.succeeded"}"#;
        let signature = "t=1767225600,v1=4ce0a350824dd6416bf546d8a6c56304bb305ed2e205299dc3dc24654cc4e6d9";
        for (name, base64) in [("stripe-signature", true), ("Stripe-Signature", true), ("STRIPE-SIGNATURE", false)] {
            let sent = String::from_utf8(body.to_vec()).unwrap();
            let sent = if base64 { base64::engine::general_purpose::STANDARD.encode(body) } else { sent };
            let path = "/api/v1/billing/payments/webhook";
            let event = serde_json::json!({
                "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
                "headers": { "Content-Type": "application/json", name: signature },
                "requestContext": { "accountId": "anonymous", "apiId": "x", "requestId": "r", "routeKey": "$default",
                    "stage": "$default", "timeEpoch": 1,
                    "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "10.0.0.9" } },
                "body": sent, "isBase64Encoded": base64,
            });
            let request = read(lambda_http::request::from_str(&event.to_string()).unwrap());
            assert!(readable(&request).is_ok());
            let Ok(Sender::Stripe { signature }) = sender(&request) else { panic!("Stripe's, {name}") };
            let secret = [SecretString::from("whsec_sandbox_0001".to_owned())];
            assert!(verify_signature(&request.body, &signature, &secret).is_ok(), "{name}");
        }
    }
}
