//! The operators' chat address from the secret store.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::{SecretName, Secrets, formats};
use crate::notices::{NotSent, SlackUrl};

pub struct SlackSecret {
    secrets: Arc<dyn Secrets>,
}

impl SlackSecret {
    #[must_use]
    pub fn new(secrets: Arc<dyn Secrets>) -> SlackSecret {
        SlackSecret { secrets }
    }
}

#[async_trait]
impl SlackUrl for SlackSecret {
    async fn url(&self) -> Result<SecretString, NotSent> {
        let read = async { formats::chat_url(self.secrets.get(SecretName::Slack).await?.as_ref()) };
        read.await.map_err(|error| {
            tracing::error!(%error, "chat address");
            NotSent::NoSecret
        })
    }
}
