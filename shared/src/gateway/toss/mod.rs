//! Toss Payments adapter. Each operation is build (pure) → send (once) → read (pure).
//!
//! Invariants: an attempt is charged only with the key version it froze, because Toss scopes idempotency by API key; a
//! lookup may use any key of the account; the customer key is ours and half of the power to charge.

mod build;
mod codes;
mod issuers;
mod read;
mod statements;

use std::sync::Arc;

use async_trait::async_trait;
use domain::charge::{Answer, GatewayName, Heard, Lookup};
use reqwest::Client;

use super::keys::{current, of_version};
use super::transport::{NoAnswer, send};
use super::{
    ApiKey, ApiKeys, CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, IntentCancelled, KeysUnavailable,
    OfPayment, OrderOf, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer, WindowResult,
};
use build::Unrenderable;
use read::Cancelled;

pub struct Toss {
    client: Client,
    base: String,
    keys: Arc<dyn ApiKeys>,
}

impl Toss {
    /// `base_url` is `https://api.tosspayments.com`, or a sandbox.
    #[must_use]
    pub fn new(client: Client, base_url: impl Into<String>, keys: Arc<dyn ApiKeys>) -> Self {
        Toss { client, base: base_url.into(), keys }
    }

    async fn key(&self) -> Result<ApiKey, GatewayError> {
        current(self.keys.as_ref()).await.map_err(|KeysUnavailable| no_keys())
    }
}

fn no_keys() -> GatewayError {
    GatewayError::Config { code: "keys_unavailable".into() }
}

/// Nothing was sent this time, which says nothing of earlier sends.
fn unsent(code: &str) -> Answer {
    Answer::Unknown { heard: Heard::Nothing, code: Some(code.to_owned()), intent: None }
}

#[async_trait]
impl Gateway for Toss {
    fn name(&self) -> GatewayName {
        GatewayName::Toss
    }

    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable> {
        Ok(self.keys.versions().await?.iter().map(|key| key.version.clone()).collect())
    }

    async fn set_up(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        let key = self.key().await?;
        let customer_key = Some(request.customer_key.to_owned());
        Ok(SetUpAnswer { client_key: key.client, customer_key, client_secret: None, customer: None })
    }

    async fn register(&self, request: &Register<'_>) -> Result<Registered, GatewayError> {
        let WindowResult::Toss { auth_key, customer_key } = request.result else {
            return Err(GatewayError::Rejected { code: "not_a_toss_result".into() });
        };
        let key = self.key().await?;
        let call = build::issue(&self.base, &key, auth_key, customer_key, request.idempotency_key);
        let reply = send(&self.client, call).await.map_err(|NoAnswer| GatewayError::Unknown)?;
        read::issued(&reply, customer_key)
    }

    async fn charge(&self, request: &Charge<'_>) -> Answer {
        let key = match of_version(self.keys.as_ref(), request.key_version).await {
            Ok(key) => key,
            Err(why) => return unsent(why),
        };
        let call = match build::approve(&self.base, &key, request) {
            Ok(call) => call,
            // One subscription's trouble, which is kept from starting (`GatewayName::takes`): it must not stop the run.
            Err(Unrenderable::Currency) => return unsent("currency_not_supported"),
            Err(Unrenderable::Version) => return unsent("request_version_gone"),
        };
        match send(&self.client, call).await {
            Ok(reply) => read::charge(&reply, request.order_id),
            Err(NoAnswer) => Answer::Unknown { heard: Heard::Nothing, code: None, intent: None },
        }
    }

    async fn find(&self, request: &Find<'_>) -> Lookup {
        let Ok(key) = current(self.keys.as_ref()).await else { return Lookup::Failed };
        match send(&self.client, build::by_order(&self.base, &key, request.order_id)).await {
            Ok(reply) => read::find(&reply, request.order_id),
            Err(NoAnswer) => Lookup::Failed,
        }
    }

    /// An approval is one call under one order id: nothing of it stays open.
    async fn cancel_intent(&self, _: &CancelIntent<'_>) -> IntentCancelled {
        IntentCancelled::Cancelled
    }

    async fn refund(&self, request: &Refund<'_>) -> RefundAnswer {
        let Ok(key) = current(self.keys.as_ref()).await else {
            return RefundAnswer::Unknown { heard: Heard::Nothing, code: Some("keys_unavailable".into()) };
        };
        let code = match send(&self.client, build::cancel(&self.base, &key, request)).await {
            Ok(reply) => match read::cancelled(&reply, request) {
                Cancelled::Answer(answer) => return answer,
                Cancelled::Ask { code } => code,
            },
            Err(NoAnswer) => return RefundAnswer::Unknown { heard: Heard::Nothing, code: None },
        };
        match send(&self.client, build::by_payment(&self.base, &key, request.payment_id)).await {
            Ok(reply) => read::asked(&reply, request, code),
            Err(NoAnswer) => RefundAnswer::Unknown { heard: Heard::Error, code: Some(code) },
        }
    }

    async fn find_refunds(&self, payment_id: &str) -> RefundsListed {
        let Ok(key) = current(self.keys.as_ref()).await else { return RefundsListed::Failed };
        match send(&self.client, build::by_payment(&self.base, &key, payment_id)).await {
            Ok(reply) => read::refunds(&reply, payment_id),
            Err(NoAnswer) => RefundsListed::Failed,
        }
    }

    async fn order_of(&self, payment: &OfPayment<'_>) -> OrderOf {
        let Some(payment_id) = payment.payment_id else { return OrderOf::Foreign };
        let Ok(key) = current(self.keys.as_ref()).await else { return OrderOf::Failed };
        match send(&self.client, build::by_payment(&self.base, &key, payment_id)).await {
            Ok(reply) => read::order(&reply, payment_id, payment.secret),
            Err(NoAnswer) => OrderOf::Failed,
        }
    }

    async fn delete_method(&self, request: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        let key = self.key().await?;
        let call = build::delete(&self.base, &key, request.token);
        let reply = send(&self.client, call).await.map_err(|NoAnswer| GatewayError::Unknown)?;
        read::deleted(&reply)
    }
}
