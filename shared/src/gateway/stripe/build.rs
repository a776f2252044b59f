//! Renders Stripe requests. Pure: the same input gives the same bytes in the same order, because Stripe compares the
//! parameters of a resend with those of the first send.

use domain::charge::Billable;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};

use super::super::statements::Window;
use super::super::transport::{self, Body, Call, segment};
use super::super::{ApiKey, Charge, Find, REQUEST_VERSION, Refund};

/// The API version every request is pinned to. Raising it changes request bytes: raise [`REQUEST_VERSION`] with it.
pub(super) const API_VERSION: &str = "2026-10-28.endive";

/// Entries asked for per page; Stripe's most.
pub(super) const PAGE: &str = "100";

/// How far before the attempt's first send a lookup starts, seconds: clocks differ.
const SLACK: i64 = 300;

type Form<'a> = Vec<(&'a str, &'a str)>;

/// The attempt was frozen for code this is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VersionGone;

/// A customer for this owner.
pub(super) fn customer(base: &str, key: &ApiKey, owner: &str, idempotency_key: &str) -> Call {
    let form = vec![("metadata[owner]", owner)];
    post("stripe.customer", base, "/v1/customers", key, &form, Some(format!("{idempotency_key}:customer")))
}

/// A SetupIntent the browser confirms. `payment_method_types` is refused by this API version, and a redirect would need
/// a page of ours.
pub(super) fn setup_intent(base: &str, key: &ApiKey, customer: &str, owner: &str, idempotency_key: &str) -> Call {
    let form = vec![
        ("customer", customer),
        ("usage", "off_session"),
        ("automatic_payment_methods[enabled]", "true"),
        ("automatic_payment_methods[allow_redirects]", "never"),
        ("metadata[owner]", owner),
    ];
    post("stripe.setup", base, "/v1/setup_intents", key, &form, Some(format!("{idempotency_key}:setup")))
}

pub(super) fn get_setup_intent(base: &str, key: &ApiKey, id: &str) -> Call {
    get("stripe.setup_intent", base, &format!("/v1/setup_intents/{}", segment(id)), key)
}

pub(super) fn get_method(base: &str, key: &ApiKey, id: &str) -> Call {
    get("stripe.method", base, &format!("/v1/payment_methods/{}", segment(id)), key)
}

pub(super) fn attach(base: &str, key: &ApiKey, id: &str, customer: &str, idempotency_key: &str) -> Call {
    let path = format!("/v1/payment_methods/{}/attach", segment(id));
    post("stripe.attach", base, &path, key, &vec![("customer", customer)], Some(format!("{idempotency_key}:attach")))
}

pub(super) fn detach(base: &str, key: &ApiKey, token: &SecretString) -> Call {
    let path = format!("/v1/payment_methods/{}/detach", segment(token.expose_secret()));
    post("stripe.detach", base, &path, key, &Vec::new(), None)
}

/// Charges: the cycle's first attempt creates and confirms its PaymentIntent, later ones confirm it again. One intent
/// captures at most once, so the guard against a double charge outlives Stripe's idempotency keys.
///
/// # Errors
/// When the attempt was frozen for other code.
pub(super) fn charge(base: &str, key: &ApiKey, charge: &Charge<'_>) -> Result<Call, VersionGone> {
    if charge.request_version != REQUEST_VERSION {
        return Err(VersionGone);
    }
    let call = match charge.intent {
        Some(intent) => confirm(base, key, charge, intent),
        None => create(base, key, charge),
    };
    Ok(Call { timeout: transport::CHARGE, ..call })
}

fn create(base: &str, key: &ApiKey, charge: &Charge<'_>) -> Call {
    let amount = charge.amount.amount.to_string();
    let currency = charge.amount.currency.code().to_ascii_lowercase();
    let owner = Billable::parse_order_id(charge.order_id).map(|(billable, _)| billable.subscription.request().tenant());
    let mut form = vec![
        ("amount", amount.as_str()),
        ("currency", currency.as_str()),
        ("customer", charge.customer.expose_secret()),
        ("payment_method", charge.token.expose_secret()),
        ("off_session", "true"),
        ("confirm", "true"),
        ("automatic_payment_methods[enabled]", "true"),
        ("automatic_payment_methods[allow_redirects]", "never"),
        ("description", charge.order_name),
        ("metadata[order_id]", charge.order_id),
    ];
    if let Some(owner) = &owner {
        form.push(("metadata[owner]", owner.as_str()));
    }
    post("stripe.charge", base, "/v1/payment_intents", key, &form, Some(charge.idempotency_key.to_owned()))
}

/// Confirm takes no metadata; the intent's own names the cycle.
fn confirm(base: &str, key: &ApiKey, charge: &Charge<'_>, intent: &str) -> Call {
    let path = format!("/v1/payment_intents/{}/confirm", segment(intent));
    let form = vec![("payment_method", charge.token.expose_secret()), ("off_session", "true")];
    post("stripe.confirm", base, &path, key, &form, Some(charge.idempotency_key.to_owned()))
}

pub(super) fn get_intent(base: &str, key: &ApiKey, intent: &str) -> Call {
    get("stripe.find", base, &format!("/v1/payment_intents/{}", segment(intent)), key)
}

pub(super) fn get_charge(base: &str, key: &ApiKey, charge: &str) -> Call {
    get("stripe.charge_of", base, &format!("/v1/charges/{}", segment(charge)), key)
}

/// Cancels an intent. Without a key: cancelling twice is cancelling once, and a stored refusal would outlive its reason.
pub(super) fn cancel_intent(base: &str, key: &ApiKey, intent: &str) -> Call {
    let path = format!("/v1/payment_intents/{}/cancel", segment(intent));
    let call = post("stripe.cancel", base, &path, key, &vec![("cancellation_reason", "abandoned")], None);
    Call { timeout: transport::LOOKUP, ..call }
}

/// One page of the customer's PaymentIntents since the attempt. Listing sees its own writes; searching by metadata may
/// lag an hour.
pub(super) fn list_intents(base: &str, key: &ApiKey, find: &Find<'_>, after: Option<&str>) -> Call {
    let since = find.since.as_second().saturating_sub(SLACK).to_string();
    let mut query =
        vec![("customer", find.customer.expose_secret()), ("created[gte]", since.as_str()), ("limit", PAGE)];
    query.extend(after.map(|id| ("starting_after", id)));
    get("stripe.find", base, &format!("/v1/payment_intents?{}", encoded(&query)), key)
}

/// One page of a payment's refunds.
pub(super) fn list_refunds(base: &str, key: &ApiKey, payment_id: &str, after: Option<&str>) -> Call {
    let mut query = vec![("payment_intent", payment_id), ("limit", PAGE)];
    query.extend(after.map(|id| ("starting_after", id)));
    get("stripe.refunds", base, &format!("/v1/refunds?{}", encoded(&query)), key)
}

/// Movements of our balance, newest first, with what each is about.
pub(super) fn list_balance(base: &str, key: &ApiKey, window: &Window<'_>) -> Call {
    let (from, until) = (window.from.as_second().to_string(), window.until.as_second().to_string());
    let mut query = vec![
        ("created[gte]", from.as_str()),
        ("created[lt]", until.as_str()),
        ("limit", PAGE),
        ("expand[]", "data.source.payment_intent"),
    ];
    query.extend(window.after.map(|id| ("starting_after", id)));
    let call = get("stripe.balance", base, &format!("/v1/balance_transactions?{}", encoded(&query)), key);
    Call { timeout: transport::OTHER, ..call }
}

pub(super) fn refund(base: &str, key: &ApiKey, refund: &Refund<'_>) -> Call {
    let amount = refund.amount.amount.to_string();
    let form = vec![
        ("payment_intent", refund.payment_id),
        ("amount", amount.as_str()),
        ("metadata[refund_id]", refund.refund_id),
        ("metadata[order_id]", refund.order_id),
    ];
    post("stripe.refund", base, "/v1/refunds", key, &form, Some(refund.idempotency_key.to_owned()))
}

fn encoded(pairs: &Form<'_>) -> String {
    // Pairs of strings cannot fail to encode; an empty form would be refused, not charged.
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

fn get(operation: &'static str, base: &str, path: &str, key: &ApiKey) -> Call {
    Call {
        operation,
        verb: Method::GET,
        url: transport::url(base, path),
        authorization: SecretString::from(format!("Bearer {}", key.secret.expose_secret())),
        headers: vec![("Stripe-Version", API_VERSION.to_owned())],
        body: None,
        timeout: transport::LOOKUP,
    }
}

fn post(
    operation: &'static str,
    base: &str,
    path: &str,
    key: &ApiKey,
    form: &Form<'_>,
    idempotency_key: Option<String>,
) -> Call {
    let call = get(operation, base, path, key);
    let mut headers = call.headers;
    headers.extend(idempotency_key.map(|value| ("Idempotency-Key", value)));
    let body = Body { content_type: "application/x-www-form-urlencoded", bytes: encoded(form).into_bytes() };
    Call { verb: Method::POST, headers, body: Some(body), timeout: transport::OTHER, ..call }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::{Currency, Money};

    fn key() -> ApiKey {
        ApiKey { version: "v1".into(), secret: "sk_test_abc".into(), client: "pk_test_abc".into() }
    }

    fn body(call: &Call) -> &str {
        std::str::from_utf8(&call.body.as_ref().unwrap().bytes).unwrap()
    }

    fn frozen<'a>(token: &'a SecretString, customer: &'a SecretString, intent: Option<&'a str>) -> Charge<'a> {
        Charge {
            order_id: "01KAS9Z0000000000000000000-3-0",
            idempotency_key: "charge:sub_01KAS9Z0000000000000000000:3:0:1",
            amount: Money::krw(33_000),
            order_name: "Standard 11월",
            token,
            customer,
            key_version: "v1",
            request_version: 1,
            intent,
            known_charges: &[],
        }
    }

    #[test]
    fn a_first_charge_renders_these_bytes_for_ever() {
        let (token, customer) = (SecretString::from("pm_1"), SecretString::from("cus_1"));
        let call = charge("http://gateway", &key(), &frozen(&token, &customer, None)).unwrap_or_else(|_| panic!());
        assert_eq!((call.verb.as_str(), call.url.as_str()), ("POST", "http://gateway/v1/payment_intents"));
        assert_eq!(call.authorization.expose_secret(), "Bearer sk_test_abc");
        assert_eq!(
            call.headers,
            [
                ("Stripe-Version", "2026-10-28.endive".to_owned()),
                ("Idempotency-Key", "charge:sub_01KAS9Z0000000000000000000:3:0:1".to_owned()),
            ]
        );
        assert_eq!(
            body(&call),
            "amount=33000&currency=krw&customer=cus_1&payment_method=pm_1&off_session=true&confirm=true\
             &automatic_payment_methods%5Benabled%5D=true&automatic_payment_methods%5Ballow_redirects%5D=never\
             &description=Standard+11%EC%9B%94&metadata%5Border_id%5D=01KAS9Z0000000000000000000-3-0\
             &metadata%5Bowner%5D=ten_01KAS9Z0000000000000000000"
        );
        assert_eq!(call.timeout.as_secs(), 65);
    }

    #[test]
    fn a_later_attempt_confirms_the_cycles_intent_without_metadata() {
        let (token, customer) = (SecretString::from("pm_2"), SecretString::from("cus_1"));
        let charge = frozen(&token, &customer, Some("pi_1"));
        let call = super::charge("b", &key(), &charge).unwrap_or_else(|_| panic!());
        assert_eq!(call.url, "b/v1/payment_intents/pi_1/confirm");
        assert_eq!(body(&call), "payment_method=pm_2&off_session=true");
        assert!(super::charge("b", &key(), &Charge { request_version: 0, ..charge }).is_err());
    }

    #[test]
    fn setting_up_never_redirects_and_names_the_owner() {
        let call = customer("b", &key(), "ten_1", "setup:1");
        assert_eq!(body(&call), "metadata%5Bowner%5D=ten_1");
        assert_eq!(call.headers[1].1, "setup:1:customer");
        let call = setup_intent("b", &key(), "cus_1", "ten_1", "setup:1");
        assert_eq!(
            body(&call),
            "customer=cus_1&usage=off_session&automatic_payment_methods%5Benabled%5D=true\
             &automatic_payment_methods%5Ballow_redirects%5D=never&metadata%5Bowner%5D=ten_1"
        );
        assert_eq!(call.headers[1].1, "setup:1:setup");
        let call = attach("b", &key(), "pm_1", "cus_1", "reg:1");
        assert_eq!((call.url.as_str(), body(&call)), ("b/v1/payment_methods/pm_1/attach", "customer=cus_1"));
    }

    #[test]
    fn ids_from_outside_cannot_leave_their_path_segment() {
        assert_eq!(get_setup_intent("b", &key(), "../customers?x=1").url, "b/v1/setup_intents/..%2Fcustomers%3Fx%3D1");
    }

    #[test]
    fn lookups_page_through_the_customers_intents() {
        let customer = SecretString::from("cus_1");
        let find = Find {
            order_id: "o",
            amount: Money::new(5_500, Currency::JPY),
            customer: &customer,
            intent: None,
            known_charges: &[],
            since: "2026-11-22T00:00:00Z".parse().unwrap(),
        };
        let call = list_intents("b", &key(), &find, Some("pi_9"));
        assert_eq!(
            call.url,
            "b/v1/payment_intents?customer=cus_1&created%5Bgte%5D=1795305300&limit=100&starting_after=pi_9"
        );
        assert!(call.body.is_none());
    }

    #[test]
    fn a_cancellation_has_no_key_whose_answer_could_be_stored() {
        let call = cancel_intent("b", &key(), "pi_1");
        assert_eq!((call.verb.as_str(), call.url.as_str()), ("POST", "b/v1/payment_intents/pi_1/cancel"));
        assert_eq!((body(&call), call.headers.len()), ("cancellation_reason=abandoned", 1));
    }

    #[test]
    fn a_refund_carries_our_id() {
        let wanted = Refund {
            refund_id: "rf_1",
            order_id: "o-3-0",
            payment_id: "pi_1",
            charge_id: Some("ch_1"),
            amount: Money::krw(300),
            refundable: 1_000,
            idempotency_key: "refund:rf_1",
        };
        let call = refund("b", &key(), &wanted);
        assert_eq!(
            body(&call),
            "payment_intent=pi_1&amount=300&metadata%5Brefund_id%5D=rf_1&metadata%5Border_id%5D=o-3-0"
        );
        assert_eq!(list_refunds("b", &key(), "pi_1", None).url, "b/v1/refunds?payment_intent=pi_1&limit=100");
    }
}
