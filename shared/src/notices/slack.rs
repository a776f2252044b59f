//! Slack's incoming webhook. Its URL is the credential: it lives in the secret store and nowhere else.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Chat, NotSent, wire};

/// Where the webhook's URL comes from.
#[async_trait]
pub trait SlackUrl: Send + Sync {
    /// # Errors
    /// [`NotSent::NoSecret`].
    async fn url(&self) -> Result<SecretString, NotSent>;
}

pub struct Slack {
    http: reqwest::Client,
    url: Arc<dyn SlackUrl>,
}

impl Slack {
    #[must_use]
    pub fn new(http: reqwest::Client, url: Arc<dyn SlackUrl>) -> Slack {
        Slack { http, url }
    }
}

#[async_trait]
impl Chat for Slack {
    async fn post(&self, message: &Value) -> Result<(), NotSent> {
        let url = self.url.url().await?;
        wire::post(&self.http, "slack", url.expose_secret(), &[], message.to_string()).await
    }
}
