//! Reads Stripe answers about charges and refunds. Pure. Status first, body second.
//!
//! Invariants: money counts only when the PaymentIntent succeeded and carries the order id asked about; a decline needs a
//! listed code, or an intent that says by its state that nothing was captured; a `latest_charge` of an earlier attempt
//! proves nothing about this one.

use domain::charge::{Answer, Capture, Decline, DeclineClass, Heard, Lookup};
use domain::money::Money;
use domain::refund::{Seen, SeenState};
use serde_json::Value;

use super::super::json::{id, money, owned, text, whole};
use super::super::transport::Reply;
use super::super::{Charge, Find, IntentCancelled, OrderOf, RATE_LIMITED, Refund, RefundAnswer};
use super::codes::{self, Failure};

/// What is used of a PaymentIntent, from an answer or from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Intent {
    pub id: String,
    pub status: String,
    pub order_id: Option<String>,
    pub received: Option<Money>,
    pub charge: Option<String>,
    pub failure: Option<Failure>,
}

impl Intent {
    pub(in crate::gateway) fn read(value: &Value) -> Option<Self> {
        Some(Intent {
            id: owned(value, "id").filter(|id| id.starts_with("pi_"))?,
            status: owned(value, "status")?,
            order_id: value.get("metadata").and_then(|metadata| owned(metadata, "order_id")),
            received: money(value, "amount_received", "currency"),
            charge: id(value, "latest_charge"),
            failure: value.get("last_payment_error").filter(|error| error.is_object()).map(Failure::read),
        })
    }

    /// The capture, if it succeeded for some order of ours.
    pub(in crate::gateway) fn capture(&self) -> Option<Capture> {
        (self.status == "succeeded").then_some(())?;
        Some(Capture {
            order_id: self.order_id.clone()?,
            payment_id: self.id.clone(),
            charge_id: self.charge.clone(),
            amount: self.received?,
        })
    }

    /// The decline of an intent whose state proves that nothing was captured. An unlisted code is soft: the state
    /// decides, the code only colours it.
    pub(in crate::gateway) fn declined(&self) -> Decline {
        let failure = self.failure.clone().unwrap_or_default();
        Decline {
            class: failure.class().unwrap_or(DeclineClass::Soft),
            code: failure.raw().unwrap_or(self.status.as_str()).to_owned(),
            intent: Some(self.id.clone()),
            charge_id: failure.charge.or_else(|| self.charge.clone()),
        }
    }

    /// The payer must act; off-session that is a refusal.
    fn needs_payer(&self) -> Decline {
        let code = "authentication_required".to_owned();
        Decline { class: DeclineClass::Auth, code, intent: Some(self.id.clone()), charge_id: self.charge.clone() }
    }
}

/// The answer to create-and-confirm, or to confirm.
pub(super) fn charge(reply: &Reply, request: &Charge<'_>) -> Answer {
    let known = || request.intent.map(str::to_owned);
    let unknown = |heard, code: Option<String>| Answer::Unknown { heard, code, intent: known() };
    if reply.status == 429 {
        return unknown(Heard::Nothing, Some(RATE_LIMITED.to_owned()));
    }
    let Some(body) = reply.json() else { return unknown(Heard::Error, None) };
    if reply.ok() {
        return match Intent::read(&body) {
            Some(intent) => settled(&intent, request),
            None => unknown(Heard::Error, Some("unreadable".into())),
        };
    }
    let Some(error) = body.get("error").filter(|error| error.is_object()) else { return unknown(Heard::Error, None) };
    let failure = Failure::read(error);
    let nested = error.get("payment_intent").and_then(Intent::read);
    let code = || failure.raw().or_else(|| text(error, "type")).map(str::to_owned);
    match (reply.status, failure.class()) {
        (402, Some(class)) => Answer::Declined(Decline {
            class,
            code: code().unwrap_or_default(),
            intent: nested.as_ref().map(|intent| intent.id.clone()).or_else(known),
            charge_id: failure.charge.clone().or_else(|| nested.and_then(|intent| intent.charge)),
        }),
        (401 | 403, _) => Answer::Refused { code: code().unwrap_or_else(|| "unauthorized".into()) },
        // In flight under this very key, or not even looked at: sending the same again is how to hear.
        (409 | 429, _) => unknown(Heard::Nothing, code()),
        (400..=499, _) if reply.status != 424 => match nested {
            // A call in the wrong state answers with the intent: perhaps it was paid meanwhile.
            Some(intent) if intent.status == "succeeded" => settled(&intent, request),
            Some(intent) => Answer::Unknown { heard: Heard::Refusal, code: code(), intent: Some(intent.id) },
            None => unknown(Heard::Refusal, code()),
        },
        (_, _) => unknown(Heard::Error, code()),
    }
}

/// What an intent's state says about the attempt that has just brought it there.
fn settled(intent: &Intent, request: &Charge<'_>) -> Answer {
    let unknown = |code: &str| Answer::Unknown {
        heard: Heard::Error,
        code: Some(code.to_owned()),
        intent: Some(intent.id.clone()),
    };
    if intent.order_id.as_deref() != Some(request.order_id) {
        // Not remembered as this cycle's intent: it is not.
        let intent = request.intent.map(str::to_owned);
        return Answer::Unknown { heard: Heard::Error, code: Some("order_id_differs".into()), intent };
    }
    match intent.status.as_str() {
        "succeeded" => intent.capture().map_or_else(|| unknown("unreadable_payment"), Answer::Captured),
        "requires_payment_method" if intent.failure.is_some() => Answer::Declined(intent.declined()),
        "requires_action" => Answer::Declined(intent.needs_payer()),
        status => unknown(status),
    }
}

/// What an intent says about the attempt that is looked up.
pub(super) fn judge(intent: &Intent, find: &Find<'_>) -> Lookup {
    let unknown = |code: &str| {
        Lookup::Found(Answer::Unknown {
            heard: Heard::Error,
            code: Some(code.to_owned()),
            intent: find.intent.map(str::to_owned),
        })
    };
    if intent.order_id.as_deref() != Some(find.order_id) {
        return unknown("order_id_differs");
    }
    let earlier = intent.charge.as_ref().is_some_and(|charge| find.known_charges.contains(charge));
    match intent.status.as_str() {
        "succeeded" => {
            intent.capture().map_or_else(|| unknown("unreadable_payment"), |c| Lookup::Found(Answer::Captured(c)))
        }
        "processing" => Lookup::Pending,
        // Whose failure is it? A new charge is this attempt's. Without any charge it is this attempt's only if no
        // attempt before it had the intent.
        "requires_payment_method" => {
            let own = match &intent.charge {
                Some(_) => !earlier,
                None => intent.failure.is_some() && find.intent.is_none(),
            };
            if own { Lookup::Found(Answer::Declined(intent.declined())) } else { Lookup::NotFound }
        }
        "requires_action" if earlier => Lookup::NotFound,
        "requires_action" => Lookup::Found(Answer::Declined(intent.needs_payer())),
        // Never confirmed, so the call that would have charged it never ran.
        "requires_confirmation" => Lookup::NotFound,
        // Final: it captured nothing and never will. It is no longer this cycle's intent.
        "canceled" => Lookup::Found(Answer::Declined(Decline { intent: None, ..intent.declined() })),
        status => unknown(status),
    }
}

/// The answer to a lookup by intent id.
pub(super) fn one(reply: &Reply, find: &Find<'_>) -> Lookup {
    let intent = reply.ok().then(|| reply.json()).flatten().as_ref().and_then(Intent::read);
    // A 404 for an id Stripe itself gave us is a key of another account or mode: it proves nothing.
    intent.map_or(Lookup::Failed, |intent| judge(&intent, find))
}

/// What a cancellation, or a look at an intent that could not be cancelled, says.
pub(super) fn cancelled(reply: &Reply, intent: &str) -> IntentCancelled {
    let body = reply.json();
    let intent = match (reply.ok(), reply.status) {
        (true, _) => body.as_ref().and_then(Intent::read),
        // A call in the wrong state answers with the intent.
        (false, 400) => body.as_ref().and_then(|b| b.get("error")?.get("payment_intent")).and_then(Intent::read),
        (false, _) => None,
    }
    .filter(|read| read.id == intent);
    match intent {
        Some(intent) if intent.status == "canceled" => IntentCancelled::Cancelled,
        Some(intent) => intent.capture().map_or(IntentCancelled::Unknown, IntentCancelled::Captured),
        None => IntentCancelled::Unknown,
    }
}

/// One page of a list: its rows and, when there are more, where the next page starts.
pub(super) struct Page {
    pub rows: Vec<Value>,
    pub after: Option<String>,
}

/// A page, or `None` when the answer is no list.
pub(super) fn page(reply: &Reply) -> Option<Page> {
    let body = reply.ok().then(|| reply.json()).flatten()?;
    let rows = body.get("data")?.as_array()?.clone();
    let more = body.get("has_more").and_then(Value::as_bool)?;
    let after = if more { Some(rows.last().and_then(|row| owned(row, "id"))?) } else { None };
    Some(Page { rows, after })
}

/// The better witness of two intents of one order: one that succeeded, else the newer (lists come newest first).
pub(super) fn better(best: Option<Intent>, rows: &[Value], order_id: &str) -> Option<Intent> {
    let own = rows.iter().filter_map(Intent::read).filter(|intent| intent.order_id.as_deref() == Some(order_id));
    own.fold(best, |best, intent| match &best {
        Some(_) if intent.status != "succeeded" => best,
        Some(known) if known.status == "succeeded" => best,
        Some(_) | None => Some(intent),
    })
}

/// Our refund among a payment's refunds.
pub(super) fn own_refund(rows: &[Value], refund: &Refund<'_>) -> Option<RefundAnswer> {
    let own =
        |row: &&Value| row.get("metadata").and_then(|metadata| text(metadata, "refund_id")) == Some(refund.refund_id);
    rows.iter().find(own).and_then(refund_state)
}

fn refund_state(row: &Value) -> Option<RefundAnswer> {
    let gateway_refund_id = owned(row, "id")?;
    Some(match state_of(text(row, "status")?) {
        Some(SeenState::Succeeded) => RefundAnswer::Done { gateway_refund_id },
        Some(SeenState::Pending) => RefundAnswer::Pending { gateway_refund_id },
        Some(SeenState::Failed) => RefundAnswer::Refused { code: failure(row).unwrap_or_default() },
        None => RefundAnswer::Unknown { heard: Heard::Error, code: owned(row, "status") },
    })
}

fn state_of(status: &str) -> Option<SeenState> {
    match status {
        "succeeded" => Some(SeenState::Succeeded),
        "pending" | "requires_action" => Some(SeenState::Pending),
        "failed" | "canceled" => Some(SeenState::Failed),
        _ => None,
    }
}

/// Why a refund failed.
fn failure(row: &Value) -> Option<String> {
    owned(row, "failure_reason").or_else(|| owned(row, "status"))
}

/// One refund object; from an answer or from an event.
pub(in crate::gateway) fn seen(row: &Value) -> Option<Seen> {
    let state = state_of(text(row, "status")?)?;
    Some(Seen {
        gateway_refund_id: owned(row, "id")?,
        refund_id: row.get("metadata").and_then(|metadata| owned(metadata, "refund_id")),
        amount: whole(row, "amount")?,
        currency: owned(row, "currency"),
        state,
        code: if state == SeenState::Failed { failure(row) } else { None },
    })
}

/// The order of an intent.
pub(super) fn order(reply: &Reply) -> OrderOf {
    let body = reply.json();
    match body.as_ref().filter(|_| reply.ok()).and_then(Intent::read) {
        Some(Intent { id, order_id: Some(order_id), .. }) => OrderOf::Order { order_id, payment_id: id },
        Some(_) => OrderOf::Foreign,
        // Another account's or another mode's: none of ours.
        None if reply.status == 404 => OrderOf::Foreign,
        None => OrderOf::Failed,
    }
}

/// The intent of a charge: `Err` when the answer does not say.
pub(super) fn intent_of(reply: &Reply) -> Result<Option<String>, OrderOf> {
    match reply.json().filter(|_| reply.ok()) {
        Some(charge) => Ok(id(&charge, "payment_intent")),
        None if reply.status == 404 => Ok(None),
        None => Err(OrderOf::Failed),
    }
}

/// The answer to a refund.
pub(super) fn refunded(reply: &Reply) -> RefundAnswer {
    let unknown = |heard, code| RefundAnswer::Unknown { heard, code };
    // Not looked at, in flight under this very key, or our keys: nothing is stored, asking the same again is how to hear.
    let heard = match reply.status {
        401 | 403 | 409 | 429 => Heard::Nothing,
        400..=499 => Heard::Refusal,
        _ => Heard::Error,
    };
    let Some(body) = reply.json() else { return unknown(heard, None) };
    if reply.ok() {
        return refund_state(&body).unwrap_or_else(|| unknown(Heard::Error, Some("unreadable".into())));
    }
    let Some(error) = body.get("error") else { return unknown(heard, None) };
    let code = text(error, "code").or_else(|| text(error, "param")).or_else(|| text(error, "type")).map(str::to_owned);
    match reply.status {
        400 | 404 if codes::refund_refused(error) => RefundAnswer::Refused { code: code.unwrap_or_default() },
        _ => unknown(heard, code),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
