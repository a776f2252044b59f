//! One request as the endpoints see it: state, parameters, time, and the effects it leaves for afterwards.
//!
//! Invariants: an endpoint refuses before it changes anything; effects (ledger entries, events) are gathered here and
//! applied whatever the answer is, because a declined charge is an effect too.

use super::{
    declines::Decline,
    failure::Failure,
    form::Form,
    render,
    state::{Happened, Intent, Metadata, StripeState},
};
use crate::core::{Core, Gateway, Kind, LedgerEntry};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The version objects and events are rendered at unless the caller or endpoint says otherwise.
pub const VERSION: &str = "2026-10-28.endive";

/// An event to deliver.
pub struct Outgoing {
    /// Metadata order id, for replays.
    pub order_id: Option<String>,
    /// `payment_intent.succeeded`, …
    pub kind: String,
    /// The event object.
    pub body: String,
}

/// A request being answered.
pub struct Call<'a> {
    pub state: &'a mut StripeState,
    pub core: &'a Core,
    pub form: &'a Form,
    /// Path of the request, for `url` in lists.
    pub path: &'a str,
    pub at: Timestamp,
    /// Id and idempotency key of the request, echoed in events; none for automatic events.
    pub request_id: Option<&'a str>,
    pub key: Option<&'a str>,
    pub ledger: Vec<LedgerEntry>,
    pub outbox: Vec<Outgoing>,
}

impl<'a> Call<'a> {
    /// A call outside any API request: the browser's side and things that happen by themselves.
    pub fn automatic(state: &'a mut StripeState, core: &'a Core, form: &'a Form, at: Timestamp) -> Self {
        Self { state, core, form, path: "", at, request_id: None, key: None, ledger: Vec::new(), outbox: Vec::new() }
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        self.at.as_second()
    }

    /// A new id.
    pub fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.core.token(24))
    }

    /// Tells the world. `previous` is `previous_attributes`.
    pub fn emit(&mut self, kind: &str, object: Value, previous: Option<Value>, order_id: Option<String>) {
        let mut data = json!({ "object": object });
        if let Some(previous) = previous {
            data["previous_attributes"] = previous;
        }
        let version = self.state.hooks_version().unwrap_or_else(|| VERSION.to_owned());
        let id = self.id("evt");
        let event = json!({
            "id": id, "object": "event", "api_version": version, "created": self.now(), "livemode": false,
            "pending_webhooks": 1, "request": { "id": self.request_id, "idempotency_key": self.key }, "type": kind,
            "data": data,
        });
        let body = event.to_string();
        self.state.remember(Happened { id, created: self.now(), kind: kind.to_owned(), body: body.clone() });
        if self.state.subscribed(kind) {
            self.outbox.push(Outgoing { order_id, kind: kind.to_owned(), body });
        }
    }

    /// Tells of an intent as it is now.
    pub fn emit_intent(&mut self, kind: &str, id: &str) {
        let Some((object, order_id)) =
            self.state.intents.get(id).map(|it| (render::intent(it), order_id(&it.metadata)))
        else {
            return;
        };
        self.emit(kind, object, None, order_id);
    }

    /// Tells of a charge as it is now.
    pub fn emit_charge(&mut self, kind: &str, id: &str, previous: Option<Value>) {
        let now = self.now();
        let seen = self.state.charges.get(id).map(|it| (render::charge(it, now), order_id(&it.metadata)));
        if let Some((object, order_id)) = seen {
            self.emit(kind, object, previous, order_id);
        }
    }

    /// Tells of a refund as it is now; the order it belongs to is its charge's.
    pub fn emit_refund(&mut self, kind: &str, id: &str, previous: Option<Value>) {
        let Some(refund) = self.state.refunds.get(id) else { return };
        let object = render::refund(refund);
        let order_id = self.state.charges.get(&refund.charge).and_then(|it| order_id(&it.metadata));
        self.emit(kind, object, previous, order_id);
    }

    /// Tells of a payment method as it is now.
    pub fn emit_method(&mut self, kind: &str, id: &str, previous: Option<Value>) {
        if let Some(object) = self.state.methods.get(id).map(render::method) {
            self.emit(kind, object, previous, None);
        }
    }

    /// Tells of a setup intent as it is now.
    pub fn emit_setup(&mut self, kind: &str, id: &str) {
        if let Some(object) = self.state.setups.get(id).map(render::setup) {
            self.emit(kind, object, None, None);
        }
    }

    /// Writes an effect on an intent's money into the ledger.
    pub fn enter(&mut self, kind: Kind, intent: &Intent, amount: i64) {
        self.ledger.push(LedgerEntry {
            gateway: Gateway::Stripe,
            kind,
            order_id: order_id(&intent.metadata).unwrap_or_default(),
            payment_id: intent.id.clone(),
            amount,
            currency: intent.currency.to_uppercase(),
            at: self.at,
        });
    }
}

impl StripeState {
    fn hooks_version(&self) -> Option<String> {
        self.hooks.newest().next().and_then(|hook| hook.version.clone())
    }
}

/// The order an object belongs to.
pub fn order_id(metadata: &Metadata) -> Option<String> {
    metadata.get("order_id").cloned()
}

/// A decline as a 402 that shows the refused card.
pub fn refusal(decline: &Decline, method: Value) -> Failure {
    decline.failure().with("payment_method", method)
}
