//! Renders Toss requests. Pure: the same input gives the same bytes, which is what makes a resend safe.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::Date;
use domain::calendar::zone;
use domain::money::Currency;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::super::statements::Window;
use super::super::transport::{self, Body, Call};
use super::super::{ApiKey, Charge, REQUEST_VERSION, Refund};

/// Longest order name Toss takes, in characters.
const ORDER_NAME: usize = 100;

/// Why a charge cannot be rendered. Nothing was sent, now or ever, for a currency; a request version may have been sent
/// by older code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrenderable {
    Currency,
    Version,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issue<'a> {
    auth_key: &'a str,
    customer_key: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Approve<'a> {
    customer_key: &'a str,
    amount: i64,
    order_id: &'a str,
    order_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cancel<'a> {
    cancel_reason: &'a str,
    cancel_amount: i64,
    refundable_amount: i64,
}

/// Exchanges the window's one-time key for a billing key.
pub(super) fn issue(base: &str, key: &ApiKey, auth_key: &str, customer_key: &str, idempotency_key: &str) -> Call {
    let url = transport::url(base, "/v1/billing/authorizations/issue");
    post("toss.issue", url, key, &Issue { auth_key, customer_key }, idempotency_key)
}

/// Charges a billing key.
///
/// # Errors
/// When the attempt was frozen for code this is not, or is not in won.
pub(super) fn approve(base: &str, key: &ApiKey, charge: &Charge<'_>) -> Result<Call, Unrenderable> {
    if charge.request_version != REQUEST_VERSION {
        return Err(Unrenderable::Version);
    }
    if charge.amount.currency != Currency::KRW {
        return Err(Unrenderable::Currency);
    }
    let body = Approve {
        customer_key: charge.customer.expose_secret(),
        amount: charge.amount.amount,
        order_id: charge.order_id,
        order_name: shortened(charge.order_name, ORDER_NAME),
    };
    let url = billing_key(base, charge.token);
    let call = post("toss.approve", url, key, &body, charge.idempotency_key);
    Ok(Call { timeout: transport::CHARGE, ..call })
}

/// Reads a payment by our order id.
pub(super) fn by_order(base: &str, key: &ApiKey, order_id: &str) -> Call {
    let path = format!("/v1/payments/orders/{}", transport::segment(order_id));
    bare("toss.find", Method::GET, transport::url(base, &path), key, transport::LOOKUP)
}

/// Reads a payment by its own key.
pub(super) fn by_payment(base: &str, key: &ApiKey, payment_key: &str) -> Call {
    let path = format!("/v1/payments/{}", transport::segment(payment_key));
    bare("toss.payment", Method::GET, transport::url(base, &path), key, transport::LOOKUP)
}

/// Gives money back. `refundableAmount` makes Toss refuse when anything else was cancelled meanwhile; the reason is our
/// refund id and nothing else, so that the cancel can be recognised later.
pub(super) fn cancel(base: &str, key: &ApiKey, refund: &Refund<'_>) -> Call {
    let path = format!("/v1/payments/{}/cancel", transport::segment(refund.payment_id));
    let body = Cancel {
        cancel_reason: refund.refund_id,
        cancel_amount: refund.amount.amount,
        refundable_amount: refund.refundable,
    };
    post("toss.cancel", transport::url(base, &path), key, &body, refund.idempotency_key)
}

/// Approvals and cancels of a window. Toss takes Seoul's time without an offset, to the second and both ends included.
pub(super) fn transactions(base: &str, key: &ApiKey, window: &Window<'_>, limit: usize) -> Call {
    let civil = |at: jiff::Timestamp| at.to_zoned(zone()).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let mut path = format!(
        "/v1/transactions?startDate={}&endDate={}&limit={limit}",
        transport::segment(&civil(window.from)),
        transport::segment(&civil(window.until)),
    );
    if let Some(after) = window.after {
        path.push_str("&startingAfter=");
        path.push_str(&transport::segment(after));
    }
    bare("toss.transactions", Method::GET, transport::url(base, &path), key, transport::CHARGE)
}

/// What was sold on a civil day, with fees.
pub(super) fn settlements(base: &str, key: &ApiKey, day: Date, page: u32, size: usize) -> Call {
    let path = format!("/v1/settlements?startDate={day}&endDate={day}&dateType=soldDate&page={page}&size={size}");
    bare("toss.settlements", Method::GET, transport::url(base, &path), key, transport::CHARGE)
}

/// Deletes a billing key.
pub(super) fn delete(base: &str, key: &ApiKey, token: &SecretString) -> Call {
    bare("toss.delete", Method::DELETE, billing_key(base, token), key, transport::OTHER)
}

fn billing_key(base: &str, token: &SecretString) -> String {
    transport::url(base, &format!("/v1/billing/{}", transport::segment(token.expose_secret())))
}

fn post(operation: &'static str, url: String, key: &ApiKey, body: &impl Serialize, idempotency_key: &str) -> Call {
    let call = bare(operation, Method::POST, url, key, transport::OTHER);
    // Structs of strings and integers cannot fail to serialise; an empty body would be refused, not charged.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    Call {
        headers: vec![("Idempotency-Key", idempotency_key.to_owned())],
        body: Some(Body { content_type: "application/json", bytes }),
        ..call
    }
}

fn bare(operation: &'static str, verb: Method, url: String, key: &ApiKey, timeout: std::time::Duration) -> Call {
    // User name and an empty password: the colon is mandatory.
    let credentials = BASE64_STANDARD.encode(format!("{}:", key.secret.expose_secret()));
    let authorization = SecretString::from(format!("Basic {credentials}"));
    Call { operation, verb, url, authorization, headers: Vec::new(), body: None, timeout }
}

/// The first `most` characters.
fn shortened(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::Money;

    fn key() -> ApiKey {
        ApiKey { version: "v1".into(), secret: "test_sk_abc".into(), client: "test_ck_abc".into() }
    }

    fn frozen<'a>(token: &'a SecretString, customer: &'a SecretString, order_name: &'a str) -> Charge<'a> {
        Charge {
            order_id: "01KAS9Z0000000000000000000-3-0-2",
            idempotency_key: "charge:sub_01KAS9Z0000000000000000000:3:0:2",
            amount: Money::krw(33_000),
            order_name,
            token,
            customer,
            key_version: "v1",
            request_version: 1,
            intent: None,
            known_charges: &[],
        }
    }

    fn text(call: &Call) -> String {
        String::from_utf8(call.body.as_ref().unwrap().bytes.clone()).unwrap()
    }

    #[test]
    fn an_approval_renders_these_bytes_for_ever() {
        let (token, customer) = (SecretString::from("Qm9/vZ+=="), SecretString::from("0b9a6a2e"));
        let call = approve("http://gateway/", &key(), &frozen(&token, &customer, "스탠다드 2026-11")).ok().unwrap();
        assert_eq!(call.verb, Method::POST);
        assert_eq!(call.url, "http://gateway/v1/billing/Qm9%2FvZ%2B%3D%3D");
        assert_eq!(call.authorization.expose_secret(), "Basic dGVzdF9za19hYmM6");
        assert_eq!(call.headers, [("Idempotency-Key", "charge:sub_01KAS9Z0000000000000000000:3:0:2".to_owned())]);
        assert_eq!(
            text(&call),
            r#"{"customerKey":"0b9a6a2e","amount":33000,"orderId":"01KAS9Z0000000000000000000-3-0-2","orderName":"스탠다드 2026-11"}"#
        );
        assert_eq!(call.timeout.as_secs(), 65);
    }

    #[test]
    fn only_won_and_only_known_request_versions() {
        let (token, customer) = (SecretString::from("k"), SecretString::from("c"));
        let charge = frozen(&token, &customer, "x");
        let yen = Charge { amount: Money::new(100, Currency::JPY), ..charge };
        assert_eq!(approve("b", &key(), &yen).err(), Some(Unrenderable::Currency));
        let charge = frozen(&token, &customer, "x");
        assert_eq!(approve("b", &key(), &Charge { request_version: 2, ..charge }).err(), Some(Unrenderable::Version));
    }

    #[test]
    fn a_long_order_name_is_cut_between_characters() {
        let (token, customer) = (SecretString::from("k"), SecretString::from("c"));
        let name = "가".repeat(150);
        let call = approve("b", &key(), &frozen(&token, &customer, &name)).ok().unwrap();
        assert!(text(&call).contains(&format!("\"orderName\":\"{}\"", "가".repeat(100))));
    }

    #[test]
    fn a_cancel_names_what_is_left_and_our_refund() {
        let refund = Refund {
            refund_id: "rf_1",
            order_id: "o-3-0",
            payment_id: "tviva2026",
            charge_id: None,
            amount: Money::krw(300),
            refundable: 1_000,
            idempotency_key: "refund:rf_1",
        };
        let call = cancel("b", &key(), &refund);
        assert_eq!(call.url, "b/v1/payments/tviva2026/cancel");
        assert_eq!(text(&call), r#"{"cancelReason":"rf_1","cancelAmount":300,"refundableAmount":1000}"#);
        assert_eq!(call.headers, [("Idempotency-Key", "refund:rf_1".to_owned())]);
    }

    #[test]
    fn the_rest_renders_as_documented() {
        let call = issue("b", &key(), "e_8A0F", "0b9a", "reg:1");
        assert_eq!(call.url, "b/v1/billing/authorizations/issue");
        assert_eq!(text(&call), r#"{"authKey":"e_8A0F","customerKey":"0b9a"}"#);
        let call = by_order("b", &key(), "a-0-0-1");
        assert_eq!((call.verb, call.url.as_str()), (Method::GET, "b/v1/payments/orders/a-0-0-1"));
        let call = delete("b", &key(), &SecretString::from("k=="));
        assert_eq!((call.verb, call.url.as_str()), (Method::DELETE, "b/v1/billing/k%3D%3D"));
        assert!(call.body.is_none() && call.headers.is_empty());
    }
}
