//! Reads Toss answers. Pure. Status first, body second: an unreadable body proves nothing, whatever the status.
//!
//! Invariant: a 200 counts only for the order id that was asked about; amounts are passed on as Toss says them.

use domain::charge::{Answer, Capture, Decline, DeclineClass, Heard, Lookup};
use domain::method::MaskedCard;
use domain::refund::{Seen, SeenState};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::super::json::{money, owned, text, whole};
use super::super::transport::Reply;
use super::super::{GatewayError, OrderOf, RATE_LIMITED, Refund, RefundAnswer, RefundsListed, Registered};
use super::codes::{self, Class};
use super::issuers;

/// The code of an error body; `None` when the body is not one of Toss's.
fn code(reply: &Reply) -> Option<String> {
    owned(&reply.json()?, "code")
}

fn unknown(heard: Heard, code: Option<String>) -> Answer {
    Answer::Unknown { heard, code, intent: None }
}

fn decline(class: DeclineClass, code: String) -> Answer {
    Answer::Declined(Decline { class, code, intent: None, charge_id: None })
}

/// The answer to an approval.
pub(super) fn charge(reply: &Reply, order_id: &str) -> Answer {
    if reply.ok() {
        return match payment(reply, order_id) {
            Lookup::Found(answer) => answer,
            Lookup::Pending | Lookup::NotFound | Lookup::Failed => unknown(Heard::Error, Some("not_final".into())),
        };
    }
    let slower = (reply.status == 429).then(|| RATE_LIMITED.to_owned());
    let Some(code) = code(reply) else { return unknown(Heard::Error, slower) };
    match codes::classify(reply.status, &code) {
        Class::Hard => decline(DeclineClass::Hard, code),
        Class::Soft => decline(DeclineClass::Soft, code),
        Class::Config => Answer::Refused { code },
        Class::Unknown(heard) => unknown(heard, slower.or(Some(code))),
    }
}

/// The answer to a lookup by order id.
pub(super) fn find(reply: &Reply, order_id: &str) -> Lookup {
    if reply.ok() {
        return payment(reply, order_id);
    }
    match code(reply).as_deref() {
        Some("NOT_FOUND_PAYMENT") if reply.status == 404 => Lookup::NotFound,
        Some(_) | None => Lookup::Failed,
    }
}

/// What a Payment object says about an order.
fn payment(reply: &Reply, order_id: &str) -> Lookup {
    let unreadable = |why: &str| Lookup::Found(unknown(Heard::Error, Some(why.to_owned())));
    let Some(payment) = reply.json() else { return unreadable("unreadable") };
    if text(&payment, "orderId") != Some(order_id) {
        return unreadable("order_id_differs");
    }
    match text(&payment, "status") {
        // Cancelled money was captured first; giving back is another story. totalAmount never changes.
        Some("DONE" | "CANCELED" | "PARTIAL_CANCELED") => match captured(&payment, order_id) {
            Some(capture) => Lookup::Found(Answer::Captured(capture)),
            None => unreadable("unreadable_payment"),
        },
        Some(status @ ("ABORTED" | "EXPIRED")) => Lookup::Found(failed(&payment, status)),
        Some("READY" | "IN_PROGRESS" | "WAITING_FOR_DEPOSIT") => Lookup::Pending,
        Some(_) | None => unreadable("unlisted_status"),
    }
}

fn captured(payment: &Value, order_id: &str) -> Option<Capture> {
    Some(Capture {
        order_id: order_id.to_owned(),
        payment_id: owned(payment, "paymentKey")?,
        charge_id: None,
        amount: money(payment, "totalAmount", "currency")?,
    })
}

/// An aborted payment is final whatever its code, so an unlisted one is a soft decline here.
fn failed(payment: &Value, status: &str) -> Answer {
    let code = payment.get("failure").and_then(|failure| owned(failure, "code")).unwrap_or_else(|| status.to_owned());
    let class = match codes::classify(400, &code) {
        Class::Hard => DeclineClass::Hard,
        Class::Soft | Class::Unknown(_) | Class::Config => DeclineClass::Soft,
    };
    decline(class, code)
}

/// The answer to an issue: a billing key, for the customer key it was asked for.
///
/// # Errors
/// As [`GatewayError`] says.
pub(super) fn issued(reply: &Reply, customer_key: &str) -> Result<Registered, GatewayError> {
    if !reply.ok() {
        return Err(issue_refused(reply));
    }
    let billing = reply.json().ok_or(GatewayError::Unknown)?;
    if text(&billing, "customerKey") != Some(customer_key) {
        return Err(GatewayError::NotFound);
    }
    let token = owned(&billing, "billingKey").ok_or(GatewayError::Unknown)?;
    Ok(Registered {
        token: SecretString::from(token),
        customer: SecretString::from(customer_key.to_owned()),
        card: card(&billing),
        holder_name: None,
    })
}

fn issue_refused(reply: &Reply) -> GatewayError {
    let Some(code) = code(reply) else { return GatewayError::Unknown };
    match code.as_str() {
        // An authKey that never was, was used up, or was made for another customer.
        "NOT_FOUND_BILLING" | "NOT_MATCHES_CUSTOMER_KEY" => return GatewayError::NotFound,
        // No billing contract: no card could be registered.
        "NOT_SUPPORTED_METHOD" => return GatewayError::Config { code },
        refused if codes::refused_at_registration(refused) => return GatewayError::Declined { code },
        _ => {}
    }
    other_refusal(reply.status, code)
}

fn other_refusal(status: u16, code: String) -> GatewayError {
    match codes::classify(status, &code) {
        Class::Hard | Class::Soft => GatewayError::Declined { code },
        Class::Config => GatewayError::Config { code },
        Class::Unknown(Heard::Refusal) if !codes::temporary(&code) => GatewayError::Rejected { code },
        // The same call with the same key is safe.
        Class::Unknown(_) => GatewayError::Unknown,
    }
}

/// The masked face of a card. Toss never says when it expires, and masks even the last digit.
fn card(billing: &Value) -> MaskedCard {
    let Some(card) = billing.get("card") else { return MaskedCard::default() };
    let brand = text(card, "issuerCode").map(|code| issuers::name(code).unwrap_or(code).to_owned());
    let last4 = text(card, "number").and_then(|number| number.get(number.len().checked_sub(4)?..));
    MaskedCard { brand, last4: last4.map(str::to_owned), exp_month: None, exp_year: None }
}

/// The answer to a deletion. The body of a 200 is empty.
///
/// # Errors
/// As [`GatewayError`] says.
pub(super) fn deleted(reply: &Reply) -> Result<(), GatewayError> {
    if reply.ok() {
        return Ok(());
    }
    let code = code(reply).ok_or(GatewayError::Unknown)?;
    match code.as_str() {
        "ALREADY_REMOVED_BILLING_KEY" => Ok(()),
        "NOT_FOUND_BILLING" | "INVALID_BILL_KEY_REQUEST" => Err(GatewayError::NotFound),
        _ => Err(other_refusal(reply.status, code)),
    }
}

/// What a cancel's answer says.
pub(super) enum Cancelled {
    Answer(RefundAnswer),
    /// Perhaps this very refund was done before: only the payment's list of cancels can tell.
    Ask {
        code: String,
    },
}

/// The answer to a cancel.
pub(super) fn cancelled(reply: &Reply, refund: &Refund<'_>) -> Cancelled {
    if reply.ok() {
        let done = reply.json().and_then(|payment| own_cancel(&payment, refund));
        let unlisted = || unknown_refund(Heard::Error, Some("cancel_not_listed".into()));
        return Cancelled::Answer(done.unwrap_or_else(unlisted));
    }
    match code(reply) {
        Some(code) if codes::perhaps_refunded(&code) => Cancelled::Ask { code },
        Some(code) if codes::refund_refused(&code) => Cancelled::Answer(RefundAnswer::Refused { code }),
        Some(code) => {
            let heard = match codes::classify(reply.status, &code) {
                Class::Unknown(heard) => heard,
                // Our keys: fixing them and asking again must find the refund still open.
                Class::Config => Heard::Nothing,
                Class::Hard | Class::Soft => Heard::Refusal,
            };
            Cancelled::Answer(unknown_refund(heard, Some(code)))
        }
        None if reply.status == 429 => Cancelled::Answer(unknown_refund(Heard::Nothing, None)),
        None => Cancelled::Answer(unknown_refund(Heard::Error, None)),
    }
}

fn unknown_refund(heard: Heard, code: Option<String>) -> RefundAnswer {
    RefundAnswer::Unknown { heard, code }
}

/// Decides a doubtful cancel by the payment: our cancel is in its list, or it was never done.
pub(super) fn asked(reply: &Reply, refund: &Refund<'_>, code: String) -> RefundAnswer {
    let payment = reply.ok().then(|| reply.json()).flatten();
    match payment.filter(|payment| text(payment, "paymentKey") == Some(refund.payment_id)) {
        Some(payment) => own_cancel(&payment, refund).unwrap_or(RefundAnswer::Refused { code }),
        None => unknown_refund(Heard::Error, Some(code)),
    }
}

/// Our cancel in a payment's list, recognised by its reason.
fn own_cancel(payment: &Value, refund: &Refund<'_>) -> Option<RefundAnswer> {
    let cancels = payment.get("cancels")?.as_array()?;
    let own = cancels.iter().find(|cancel| text(cancel, "cancelReason") == Some(refund.refund_id))?;
    let Seen { gateway_refund_id, state, code, .. } = seen(own, None)?;
    Some(match state {
        SeenState::Pending => RefundAnswer::Pending { gateway_refund_id },
        SeenState::Failed => RefundAnswer::Refused { code: code.unwrap_or_default() },
        SeenState::Succeeded => RefundAnswer::Done { gateway_refund_id },
    })
}

/// One cancel. The reason is our refund id when we made it, and somebody's words when the console did.
fn seen(cancel: &Value, currency: Option<&str>) -> Option<Seen> {
    let state = match text(cancel, "cancelStatus") {
        Some("IN_PROGRESS") => SeenState::Pending,
        Some("ABORTED") => SeenState::Failed,
        Some(_) | None => SeenState::Succeeded,
    };
    Some(Seen {
        gateway_refund_id: owned(cancel, "transactionKey")?,
        refund_id: owned(cancel, "cancelReason").filter(|reason| reason.starts_with("rf_")),
        amount: whole(cancel, "cancelAmount")?,
        currency: currency.map(str::to_owned),
        state,
        code: (state == SeenState::Failed).then(|| "ABORTED".to_owned()),
    })
}

/// All cancels of a payment. `cancels` is null before the first.
pub(super) fn refunds(reply: &Reply, payment_id: &str) -> RefundsListed {
    let payment = reply.ok().then(|| reply.json()).flatten();
    let Some(payment) = payment.filter(|payment| text(payment, "paymentKey") == Some(payment_id)) else {
        return RefundsListed::Failed;
    };
    let all = match payment.get("cancels") {
        None | Some(Value::Null) => Some(Vec::new()),
        // A cancel has no currency of its own: it is the payment's.
        Some(Value::Array(cancels)) => cancels.iter().map(|c| seen(c, text(&payment, "currency"))).collect(),
        Some(_) => None,
    };
    all.map_or(RefundsListed::Failed, RefundsListed::All)
}

/// The order a payment was made for. A claimed secret is compared where the payment shows one, in constant time.
pub(super) fn order(reply: &Reply, payment_id: &str, claimed: Option<&SecretString>) -> OrderOf {
    if !reply.ok() {
        let unknown = reply.status == 404 && code(reply).as_deref() == Some("NOT_FOUND_PAYMENT");
        return if unknown { OrderOf::Foreign } else { OrderOf::Failed };
    }
    let payment = reply.json().filter(|payment| text(payment, "paymentKey") == Some(payment_id));
    let own = payment.as_ref().and_then(|payment| owned(payment, "secret"));
    if let (Some(own), Some(claimed)) = (own, claimed)
        && !bool::from(own.as_bytes().ct_eq(claimed.expose_secret().as_bytes()))
    {
        return OrderOf::Forged;
    }
    match payment.as_ref().and_then(|payment| owned(payment, "orderId")) {
        Some(order_id) => OrderOf::Order { order_id, payment_id: payment_id.to_owned() },
        None => OrderOf::Failed,
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
