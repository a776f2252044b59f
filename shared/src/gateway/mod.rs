//! The port to payment gateways and what every adapter promises.
//!
//! Contract: an adapter makes one try per call and never retries a POST by itself; it maps whatever came back to one
//! of captured, declined (allow-listed codes only), refused (provably never executed, our configuration) or unknown.
//! No answer, a 5xx, an unreadable body and any code nobody listed are *unknown*, never "failed". Wire types stay in
//! the adapter's module. URLs carry billing keys, so no transport error leaves with its URL.

use std::sync::Arc;

use async_trait::async_trait;
use domain::charge::{Answer, Capture, GatewayName, Heard, Lookup, Profile};
use domain::method::MaskedCard;
use domain::money::Money;
use jiff::Timestamp;
use secrecy::SecretString;

mod json;
pub mod keys;
pub mod sandbox_clock;
pub mod statements;
pub mod stripe;
pub mod toss;
pub mod transport;
pub mod webhook;

pub use domain::refund::{Answer as RefundAnswer, Listed as RefundsListed};
pub use keys::{ApiKey, ApiKeys, KeysUnavailable};

/// Version of the code that renders charge requests. Raise it whenever the bytes of a request would change, and keep
/// rendering the versions that may still be live (one key window back).
pub const REQUEST_VERSION: u16 = 1;

/// The code of every 429, whatever the gateway calls it: nothing was executed as far as it says, but only asking proves it.
pub const RATE_LIMITED: &str = "rate_limited";

/// What both gateways can do today. No default bodies but the profile's: a forgotten method must not compile.
#[async_trait]
pub trait Gateway: Send + Sync {
    fn name(&self) -> GatewayName;

    /// What recovery may rely on here. The adapters of both gateways keep to their published profile; a test may stand in
    /// for a worse gateway.
    fn profile(&self) -> Profile {
        self.name().profile()
    }

    /// The key versions this adapter can sign with; the current one first.
    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable>;

    /// What a browser needs to open the gateway's card window.
    async fn set_up(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError>;

    /// Turns what the window returned into a chargeable method.
    async fn register(&self, request: &Register<'_>) -> Result<Registered, GatewayError>;

    /// Charges off-session, once, under the attempt's key. The answer to a resend goes through [`of_resend`].
    async fn charge(&self, request: &Charge<'_>) -> Answer;

    /// Asks what became of an attempt.
    async fn find(&self, request: &Find<'_>) -> Lookup;

    /// Cancels an open PaymentIntent, so that nothing under it is ever captured. Cancelling a cancelled one succeeds, and
    /// where a gateway has no such thing there is nothing to cancel.
    async fn cancel_intent(&self, request: &CancelIntent<'_>) -> IntentCancelled;

    /// Gives money back, once, under the refund's key.
    async fn refund(&self, request: &Refund<'_>) -> RefundAnswer;

    /// Lists what was given back of a payment, whoever did it. By it a refund nobody answered for is found, and one made in
    /// the gateway's own console.
    async fn find_refunds(&self, payment_id: &str) -> RefundsListed;

    /// Reads a payment back for the order it was made for: some events name nothing else.
    async fn order_of(&self, payment: &OfPayment<'_>) -> OrderOf;

    /// Forgets a method at the gateway. A method already gone is a success.
    async fn delete_method(&self, request: &DeleteMethod<'_>) -> Result<(), GatewayError>;
}

/// What the answer to a *resend* proves about the attempt. A refusal (wrong key, missing contract) is about this send
/// alone: the first one may have captured, so it stays unknown. Everything else speaks for the attempt.
#[must_use]
pub fn of_resend(answer: Answer) -> Answer {
    match answer {
        Answer::Refused { code } => Answer::Unknown { heard: Heard::Nothing, code: Some(code), intent: None },
        Answer::Captured(_) | Answer::Declined(_) | Answer::Unknown { .. } => answer,
    }
}

/// The adapters a function was given, by name.
#[derive(Clone)]
pub struct Gateways {
    pub toss: Arc<dyn Gateway>,
    pub stripe: Arc<dyn Gateway>,
}

impl Gateways {
    #[must_use]
    pub fn get(&self, name: GatewayName) -> &dyn Gateway {
        match name {
            GatewayName::Toss => self.toss.as_ref(),
            GatewayName::Stripe => self.stripe.as_ref(),
        }
    }
}

/// Why a call other than a charge did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The gateway does not know the object, or it belongs to someone else.
    #[error("not found at the gateway")]
    NotFound,
    /// The card was refused; the raw code may be shown to operators.
    #[error("card refused: {code}")]
    Declined { code: String },
    /// The gateway says the request itself is wrong.
    #[error("request refused: {code}")]
    Rejected { code: String },
    /// Our keys or contract are wrong; nothing was executed.
    #[error("gateway configuration: {code}")]
    Config { code: String },
    /// No answer, or one that proves nothing. The same call with the same key is safe.
    #[error("gateway outcome unknown")]
    Unknown,
}

#[derive(Debug)]
pub struct SetUp<'a> {
    /// Ours, in the clear: the Toss customerKey of this owner.
    pub customer_key: &'a str,
    /// The Stripe customer of this owner, if one was made before.
    pub customer: Option<&'a str>,
    /// Our id of the owner (tenant id), kept as metadata where the gateway can.
    pub owner: &'a str,
    pub idempotency_key: &'a str,
}

/// What the page needs. The client secret opens one card form and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct SetUpAnswer {
    pub client_key: String,
    pub customer_key: Option<String>,
    pub client_secret: Option<String>,
    /// The gateway's customer, to be remembered.
    pub customer: Option<String>,
}

/// What the card window returned to the page.
pub enum WindowResult<'a> {
    Toss { auth_key: &'a str, customer_key: &'a str },
    StripeSetupIntent { id: &'a str },
    StripePaymentMethod { id: &'a str },
}

pub struct Register<'a> {
    pub result: WindowResult<'a>,
    /// The Stripe customer of this owner. A gateway object of another customer is [`GatewayError::NotFound`].
    pub customer: Option<&'a str>,
    pub owner: &'a str,
    /// `H(gateway, owner, authKey or setupIntent)`: a retry after a crash finds the same method.
    pub idempotency_key: &'a str,
}

pub struct Registered {
    /// Toss billing key, Stripe payment method id.
    pub token: SecretString,
    /// Toss customerKey, Stripe customer id.
    pub customer: SecretString,
    pub card: MaskedCard,
    pub holder_name: Option<String>,
}

/// One attempt, as frozen when it was started. Rendering it twice gives the same bytes.
pub struct Charge<'a> {
    pub order_id: &'a str,
    pub idempotency_key: &'a str,
    pub amount: Money,
    /// Shown on the payer's statement or receipt; frozen with the attempt's billable.
    pub order_name: &'a str,
    pub token: &'a SecretString,
    pub customer: &'a SecretString,
    /// Version of the API key to use.
    pub key_version: &'a str,
    /// Version of the rendering code that started the attempt.
    pub request_version: u16,
    /// Stripe: the cycle's PaymentIntent, once there is one.
    pub intent: Option<&'a str>,
    /// Stripe: charges of earlier attempts; seeing one of them proves nothing about this attempt.
    pub known_charges: &'a [String],
}

pub struct Find<'a> {
    pub order_id: &'a str,
    pub amount: Money,
    pub customer: &'a SecretString,
    pub intent: Option<&'a str>,
    pub known_charges: &'a [String],
    /// First send of the attempt.
    pub since: Timestamp,
}

pub struct CancelIntent<'a> {
    pub intent: &'a str,
}

/// What became of a PaymentIntent that was to be cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntentCancelled {
    /// It captured nothing and never will.
    Cancelled,
    /// Too late: it had been paid.
    Captured(Capture),
    /// It may still capture; ask again later.
    Unknown,
}

pub struct Refund<'a> {
    /// Our id, carried in `cancelReason` (Toss) or metadata (Stripe).
    pub refund_id: &'a str,
    /// The order that was paid; Stripe keeps it as metadata, so that events about the refund find it.
    pub order_id: &'a str,
    pub payment_id: &'a str,
    pub charge_id: Option<&'a str>,
    pub amount: Money,
    /// What was left before this refund, minor units: Toss checks it, so a lost race cancels nothing.
    pub refundable: i64,
    pub idempotency_key: &'a str,
}

/// A payment to ask about, by what an event names.
pub struct OfPayment<'a> {
    /// Toss paymentKey, Stripe PaymentIntent id.
    pub payment_id: Option<&'a str>,
    /// Stripe charge id.
    pub charge_id: Option<&'a str>,
    /// What an unsigned event claims to be the payment's secret. A payment that has another one is
    /// [`OrderOf::Forged`]: whoever sent the event has not seen it.
    pub secret: Option<&'a SecretString>,
}

/// Which order of ours a payment was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderOf {
    Order {
        order_id: String,
        payment_id: String,
    },
    /// The gateway knows the payment, or does not, and it is none of ours.
    Foreign,
    /// The payment's secret is another one than was claimed.
    Forged,
    /// The question failed; says nothing.
    Failed,
}

pub struct DeleteMethod<'a> {
    pub token: &'a SecretString,
    pub customer: &'a SecretString,
}
