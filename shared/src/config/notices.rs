//! What notices are delivered with.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ids::{RequestId, SubscriptionId};
use secrecy::SecretString;

use super::{ConfigError, Env, Wall};
use crate::auth::token::APPLICATION;
use crate::auth::{Caller, Tokens};
use crate::jobs::SqsPostpone;
use crate::notices::{Chat, LinkTokens, Links, Mailer, NotSent, Ses, Slack};
use crate::ports::Postpone;
use crate::secrets::SlackSecret;

/// Tokens in mails live by the wall clock, as all tokens do.
struct Signed {
    tokens: Tokens,
    wall: Wall,
}

#[async_trait]
impl LinkTokens for Signed {
    async fn guide(&self, subscription: &SubscriptionId) -> Result<SecretString, NotSent> {
        let minted = self.tokens.mint_guide(subscription, (self.wall)()).await;
        minted.map_err(|_| NotSent::NoSecret)
    }

    async fn application(&self, id: &RequestId) -> Result<SecretString, NotSent> {
        let minted = self.tokens.mint(&Caller::applicant(id), (self.wall)(), APPLICATION).await;
        minted.map(|session| session.token).map_err(|_| NotSent::NoSecret)
    }
}

impl Env {
    /// Sends mails; none where this stage sends none.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn mailer(&self) -> Result<Option<Arc<dyn Mailer>>, ConfigError> {
        let Some(address) = &self.settings.mail_from else { return Ok(None) };
        let from = format!("MindGarden <{address}>");
        Ok(Some(Arc::new(Ses::new(self.http()?, self.aws.ses(self.wall), from))))
    }

    /// Posts to the operators; none where there is no chat.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn chat(&self) -> Result<Option<Arc<dyn Chat>>, ConfigError> {
        if !self.settings.operator_chat {
            return Ok(None);
        }
        Ok(Some(Arc::new(Slack::new(self.http()?, Arc::new(SlackSecret::new(self.secrets()))))))
    }

    #[must_use]
    pub fn link_tokens(&self) -> Arc<dyn LinkTokens> {
        Arc::new(Signed { tokens: self.tokens(), wall: self.wall })
    }

    /// # Errors
    /// When this function was not told where people reach the API.
    pub fn links(&self) -> Result<Links, ConfigError> {
        let api = self.settings.public_url.clone().ok_or(ConfigError::new("PUBLIC_URL", "is missing"))?;
        Ok(Links { api, portal: self.settings.portal_url.clone() })
    }

    /// Postpones messages of the `notifications` queue.
    #[must_use]
    pub fn postpone_notifications(&self) -> Arc<dyn Postpone> {
        Arc::new(SqsPostpone::new(self.sqs(), self.settings.notifications_queue_url.clone()))
    }
}
