//! Stripe adapter. Each operation is build (pure) → send (once) → read (pure); lookups page.
//!
//! Invariants: one PaymentIntent per cycle, created by its first attempt and confirmed again by later ones; an attempt
//! is charged only with the key version it froze; no Stripe Billing objects, no card data.

mod build;
pub(super) mod codes;
pub(super) mod methods;
pub(super) mod read;
mod statements;

use std::sync::Arc;

use async_trait::async_trait;
use domain::charge::{Answer, GatewayName, Heard, Lookup};
use reqwest::Client;

use super::keys::{current, of_version};
use super::transport::{NoAnswer, send};
use super::{
    ApiKey, ApiKeys, CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, IntentCancelled, KeysUnavailable,
    Refund, RefundAnswer, Register, Registered, SetUp, SetUpAnswer, WindowResult,
};
use build::VersionGone;

/// Most pages one lookup reads: 2,000 objects of one customer.
const PAGES: usize = 20;

pub struct Stripe {
    client: Client,
    base: String,
    keys: Arc<dyn ApiKeys>,
}

impl Stripe {
    /// `base_url` is `https://api.stripe.com`, or a sandbox.
    #[must_use]
    pub fn new(client: Client, base_url: impl Into<String>, keys: Arc<dyn ApiKeys>) -> Self {
        Stripe { client, base: base_url.into(), keys }
    }

    async fn key(&self) -> Result<ApiKey, GatewayError> {
        let key = current(self.keys.as_ref()).await;
        key.map_err(|KeysUnavailable| GatewayError::Config { code: "keys_unavailable".into() })
    }

    /// The newest intent of the order among the customer's, paid ones first.
    async fn search(&self, key: &ApiKey, find: &Find<'_>) -> Lookup {
        let (mut best, mut after) = (None, None);
        for _ in 0..PAGES {
            let call = build::list_intents(&self.base, key, find, after.as_deref());
            let Ok(reply) = send(&self.client, call).await else { return Lookup::Failed };
            let Some(page) = read::page(&reply) else { return Lookup::Failed };
            best = read::better(best, &page.rows, find.order_id);
            after = page.after;
            if after.is_none() {
                return best.map_or(Lookup::NotFound, |intent| read::judge(&intent, find));
            }
        }
        // Only what was seen is certain; there is more, so absence is not.
        best.map_or(Lookup::Failed, |intent| read::judge(&intent, find))
    }

    /// Our refund, if Stripe has it already. Its idempotency keys live a day and it has no optimistic lock, so asking
    /// first is what makes a late repeat safe.
    async fn earlier_refund(&self, key: &ApiKey, refund: &Refund<'_>) -> Option<RefundAnswer> {
        let mut after = None;
        for _ in 0..PAGES {
            let call = build::list_refunds(&self.base, key, refund.payment_id, after.as_deref());
            let Ok(reply) = send(&self.client, call).await else { return Some(RefundAnswer::Unknown { code: None }) };
            let Some(page) = read::page(&reply) else { return Some(read::refunded(&reply)) };
            let own = read::own_refund(&page.rows, refund);
            after = page.after;
            if own.is_some() || after.is_none() {
                return own;
            }
        }
        Some(RefundAnswer::Unknown { code: None })
    }
}

/// Nothing was sent this time, which says nothing of earlier sends.
fn unsent(code: &str) -> Answer {
    Answer::Unknown { heard: Heard::Nothing, code: Some(code.to_owned()), intent: None }
}

#[async_trait]
impl Gateway for Stripe {
    fn name(&self) -> GatewayName {
        GatewayName::Stripe
    }

    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable> {
        Ok(self.keys.versions().await?.iter().map(|key| key.version.clone()).collect())
    }

    async fn set_up(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        self.open_window(request).await
    }

    async fn register(&self, request: &Register<'_>) -> Result<Registered, GatewayError> {
        match request.result {
            WindowResult::StripeSetupIntent { id } => self.register_setup_intent(request, id).await,
            WindowResult::StripePaymentMethod { id } => self.register_method(request, id).await,
            WindowResult::Toss { .. } => Err(GatewayError::Rejected { code: "not_a_stripe_result".into() }),
        }
    }

    async fn charge(&self, request: &Charge<'_>) -> Answer {
        let key = match of_version(self.keys.as_ref(), request.key_version).await {
            Ok(key) => key,
            Err(why) => return unsent(why),
        };
        let call = match build::charge(&self.base, &key, request) {
            Ok(call) => call,
            Err(VersionGone) => return unsent("request_version_gone"),
        };
        match send(&self.client, call).await {
            Ok(reply) => read::charge(&reply, request),
            Err(NoAnswer) => {
                Answer::Unknown { heard: Heard::Nothing, code: None, intent: request.intent.map(str::to_owned) }
            }
        }
    }

    async fn find(&self, request: &Find<'_>) -> Lookup {
        let Ok(key) = current(self.keys.as_ref()).await else { return Lookup::Failed };
        let Some(intent) = request.intent else { return self.search(&key, request).await };
        match send(&self.client, build::get_intent(&self.base, &key, intent)).await {
            Ok(reply) => read::one(&reply, request),
            Err(NoAnswer) => Lookup::Failed,
        }
    }

    async fn cancel_intent(&self, request: &CancelIntent<'_>) -> IntentCancelled {
        let Ok(key) = current(self.keys.as_ref()).await else { return IntentCancelled::Unknown };
        let Ok(reply) = send(&self.client, build::cancel_intent(&self.base, &key, request.intent)).await else {
            return IntentCancelled::Unknown;
        };
        match read::cancelled(&reply, request.intent) {
            // Refused for its state, without saying which.
            IntentCancelled::Unknown if reply.status == 400 => {
                match send(&self.client, build::get_intent(&self.base, &key, request.intent)).await {
                    Ok(reply) => read::cancelled(&reply, request.intent),
                    Err(NoAnswer) => IntentCancelled::Unknown,
                }
            }
            said => said,
        }
    }

    async fn refund(&self, request: &Refund<'_>) -> RefundAnswer {
        let Ok(key) = current(self.keys.as_ref()).await else {
            return RefundAnswer::Unknown { code: Some("keys_unavailable".into()) };
        };
        if let Some(earlier) = self.earlier_refund(&key, request).await {
            return earlier;
        }
        match send(&self.client, build::refund(&self.base, &key, request)).await {
            Ok(reply) => read::refunded(&reply),
            Err(NoAnswer) => RefundAnswer::Unknown { code: None },
        }
    }

    async fn delete_method(&self, request: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        self.forget(request).await
    }
}
