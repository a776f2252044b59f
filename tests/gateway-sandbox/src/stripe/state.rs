//! What the Stripe side remembers. Amounts are integers in the currency's minor unit; times are Unix seconds by the
//! sandbox's clock.
//!
//! Invariants: an intent has at most one paid charge; a method that was detached, or used without a customer, is `dead`
//! and never works again.

use super::{
    declines::Refused,
    idempotency::Keys,
    table::{Row, Table},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Events kept for `GET /v1/events`; older ones fall off.
const EVENTS_KEPT: usize = 20_000;

/// Events sent to an endpoint that was not made through the API. One family per fact: `charge.succeeded` and
/// `charge.failed` say what the intent's events say.
const SUBSCRIBED: [&str; 18] = [
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.refunded",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
];

/// Free-form keys and values of an object.
pub type Metadata = BTreeMap<String, String>;

/// A customer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Customer {
    pub id: String,
    pub created: i64,
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub description: Option<String>,
    pub address: BTreeMap<String, String>,
    pub locales: Vec<String>,
    pub default_method: Option<String>,
    pub metadata: Metadata,
    pub deleted: bool,
}

/// A saved card, or one about to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Method {
    pub id: String,
    pub created: i64,
    /// Which test card it is.
    pub card: String,
    pub brand: String,
    pub funding: String,
    pub last4: String,
    pub exp_month: i64,
    pub exp_year: i64,
    pub fingerprint: String,
    pub customer: Option<String>,
    /// May not be used again.
    pub dead: bool,
    /// Saved through a SetupIntent.
    pub set_up: bool,
    pub billing: BTreeMap<String, String>,
    pub address: BTreeMap<String, String>,
    pub allow_redisplay: Option<String>,
    pub metadata: Metadata,
}

/// A SetupIntent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setup {
    pub id: String,
    pub secret: String,
    pub created: i64,
    pub status: String,
    pub customer: Option<String>,
    pub method: Option<String>,
    pub usage: String,
    pub redirects: Option<String>,
    pub description: Option<String>,
    pub last_error: Option<Value>,
    pub cancellation_reason: Option<String>,
    pub metadata: Metadata,
}

/// A PaymentIntent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Intent {
    pub id: String,
    pub secret: String,
    pub created: i64,
    pub amount: i64,
    pub received: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    pub status: String,
    pub customer: Option<String>,
    pub method: Option<String>,
    pub latest_charge: Option<String>,
    pub capture_method: String,
    pub setup_future_usage: Option<String>,
    pub redirects: Option<String>,
    pub return_url: Option<String>,
    pub description: Option<String>,
    pub receipt_email: Option<String>,
    pub suffix: Option<String>,
    pub last_error: Option<Value>,
    pub canceled_at: Option<i64>,
    pub cancellation_reason: Option<String>,
    pub metadata: Metadata,
}

/// One attempt to take money.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Charge {
    pub id: String,
    pub created: i64,
    pub intent: String,
    pub customer: Option<String>,
    pub method: String,
    /// The card it was played with, by name.
    pub card: String,
    pub brand: String,
    pub last4: String,
    pub exp_month: i64,
    pub exp_year: i64,
    pub fingerprint: String,
    pub amount: i64,
    pub currency: String,
    pub description: Option<String>,
    /// `None` when it was paid.
    pub refused: Option<Refused>,
    /// Refunds that are not failed, in minor units.
    pub refunded: i64,
    pub balance: Option<String>,
    /// From when `balance` is shown: capture is asynchronous.
    pub balance_at: i64,
    pub disputed: bool,
    pub metadata: Metadata,
}

/// A refund.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    pub created: i64,
    pub charge: String,
    pub intent: String,
    pub amount: i64,
    pub currency: String,
    pub status: String,
    pub reason: Option<String>,
    pub failure_reason: Option<String>,
    pub balance: Option<String>,
    pub failure_balance: Option<String>,
    pub metadata: Metadata,
}

/// A movement of our balance.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Balance {
    pub id: String,
    pub created: i64,
    pub kind: String,
    pub category: String,
    /// Signed.
    pub amount: i64,
    pub fee: i64,
    pub currency: String,
    pub source: String,
    pub available_on: i64,
    pub description: Option<String>,
}

/// A chargeback or inquiry.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Dispute {
    pub id: String,
    pub created: i64,
    pub charge: String,
    pub intent: String,
    pub amount: i64,
    pub currency: String,
    pub reason: String,
    pub status: String,
    pub inquiry: bool,
    pub balances: Vec<String>,
}

/// A webhook endpoint made through the API.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Hook {
    pub id: String,
    pub created: i64,
    pub url: String,
    pub enabled: Vec<String>,
    pub version: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
}

/// Something that happened, as it was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Happened {
    pub id: String,
    pub created: i64,
    pub kind: String,
    /// The event object, byte for byte as delivered.
    pub body: String,
}

/// A refund that still has to turn into what its card makes of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Turning {
    pub refund: String,
    pub at: i64,
}

/// Knobs of the Stripe side; `POST /__sandbox/stripe/settings` changes them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Seconds until search sees a new PaymentIntent.
    pub search_lag_seconds: i64,
    /// Seconds until a charge shows its balance transaction.
    pub balance_lag_seconds: i64,
    /// Seconds until a pending refund turns.
    pub refund_lag_seconds: i64,
    /// Keys accepted; empty: any test-mode secret or restricted key.
    pub accepted_keys: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { search_lag_seconds: 60, balance_lag_seconds: 0, refund_lag_seconds: 60, accepted_keys: Vec::new() }
    }
}

/// Stripe's objects.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StripeState {
    pub(super) settings: Settings,
    pub(super) keys: Keys,
    pub(super) customers: Table<Customer>,
    pub(super) methods: Table<Method>,
    pub(super) setups: Table<Setup>,
    pub(super) intents: Table<Intent>,
    pub(super) charges: Table<Charge>,
    pub(super) refunds: Table<Refund>,
    pub(super) balances: Table<Balance>,
    pub(super) disputes: Table<Dispute>,
    pub(super) hooks: Table<Hook>,
    pub(super) events: VecDeque<Happened>,
    pub(super) turning: VecDeque<Turning>,
}

impl StripeState {
    pub(super) fn remember(&mut self, event: Happened) {
        self.events.push_back(event);
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
        }
    }

    /// Whether an event of this kind goes to the webhook endpoint: what the endpoint made through the API asked for, or
    /// what an integration by PaymentIntents subscribes to.
    pub(super) fn subscribed(&self, kind: &str) -> bool {
        match self.hooks.newest().next() {
            Some(hook) => hook.enabled.iter().any(|enabled| enabled == "*" || enabled == kind),
            None => SUBSCRIBED.contains(&kind),
        }
    }
}

macro_rules! rows {
    ($($row:ty => $kind:literal),* $(,)?) => {$(
        impl Row for $row {
            const KIND: &'static str = $kind;
            fn id(&self) -> &str { &self.id }
            fn created(&self) -> i64 { self.created }
        }
    )*};
}

rows! {
    Customer => "customer", Method => "payment_method", Setup => "setup_intent", Intent => "payment_intent",
    Charge => "charge", Refund => "refund", Balance => "balance_transaction", Dispute => "dispute",
    Hook => "webhook_endpoint", Happened => "event",
}
