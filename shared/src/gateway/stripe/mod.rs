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
use serde_json::Value;

use super::keys::{current, of_version};
use super::transport::{NoAnswer, send};
use super::{
    ApiKey, ApiKeys, CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, IntentCancelled, KeysUnavailable,
    OfPayment, OrderOf, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer, WindowResult,
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

    /// Every refund of a payment; none when Stripe does not say.
    async fn all_refunds(&self, key: &ApiKey, payment_id: &str) -> Option<Vec<Value>> {
        let (mut rows, mut after) = (Vec::new(), None);
        for _ in 0..PAGES {
            let call = build::list_refunds(&self.base, key, payment_id, after.as_deref());
            let page = read::page(&send(&self.client, call).await.ok()?)?;
            rows.extend(page.rows);
            after = page.after;
            if after.is_none() {
                return Some(rows);
            }
        }
        None
    }

    /// Our refund, if Stripe has it already. Its idempotency keys live a day and it has no optimistic lock, so asking
    /// first is what makes a late repeat safe.
    async fn earlier_refund(&self, key: &ApiKey, refund: &Refund<'_>) -> Option<RefundAnswer> {
        match self.all_refunds(key, refund.payment_id).await {
            Some(rows) => read::own_refund(&rows, refund),
            // Nothing was sent, and nothing may be sent without knowing.
            None => Some(RefundAnswer::Unknown { heard: Heard::Nothing, code: None }),
        }
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
            return RefundAnswer::Unknown { heard: Heard::Nothing, code: Some("keys_unavailable".into()) };
        };
        if let Some(earlier) = self.earlier_refund(&key, request).await {
            return earlier;
        }
        match send(&self.client, build::refund(&self.base, &key, request)).await {
            Ok(reply) => read::refunded(&reply),
            Err(NoAnswer) => RefundAnswer::Unknown { heard: Heard::Nothing, code: None },
        }
    }

    async fn find_refunds(&self, payment_id: &str) -> RefundsListed {
        let Ok(key) = current(self.keys.as_ref()).await else { return RefundsListed::Failed };
        let rows = self.all_refunds(&key, payment_id).await;
        // A row in a state nobody knows proves nothing, neither of itself nor of its absence.
        let seen = rows.and_then(|rows| rows.iter().map(read::seen).collect());
        seen.map_or(RefundsListed::Failed, RefundsListed::All)
    }

    async fn order_of(&self, payment: &OfPayment<'_>) -> OrderOf {
        let Ok(key) = current(self.keys.as_ref()).await else { return OrderOf::Failed };
        let named = payment.payment_id.map(str::to_owned);
        let intent = match (named, payment.charge_id) {
            (Some(intent), _) => Some(intent),
            (None, Some(charge)) => {
                let reply = send(&self.client, build::get_charge(&self.base, &key, charge)).await;
                let Ok(reply) = reply else { return OrderOf::Failed };
                match read::intent_of(&reply) {
                    Ok(intent) => intent,
                    Err(failed) => return failed,
                }
            }
            (None, None) => None,
        };
        let Some(intent) = intent else { return OrderOf::Foreign };
        match send(&self.client, build::get_intent(&self.base, &key, &intent)).await {
            Ok(reply) => read::order(&reply),
            Err(NoAnswer) => OrderOf::Failed,
        }
    }

    async fn delete_method(&self, request: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        self.forget(request).await
    }
}
