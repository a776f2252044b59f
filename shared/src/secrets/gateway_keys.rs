//! A gateway's API keys from the secret store.

use std::sync::Arc;

use async_trait::async_trait;

use super::parsed::Parsed;
use super::{SecretName, Secrets, formats};
use crate::gateway::{ApiKey, ApiKeys, KeysUnavailable};

pub struct GatewayKeys {
    secrets: Arc<dyn Secrets>,
    name: SecretName,
    parsed: Parsed<Vec<ApiKey>>,
}

impl GatewayKeys {
    #[must_use]
    pub fn new(secrets: Arc<dyn Secrets>, name: SecretName) -> GatewayKeys {
        GatewayKeys { secrets, name, parsed: Parsed::new(formats::api_keys) }
    }
}

#[async_trait]
impl ApiKeys for GatewayKeys {
    async fn versions(&self) -> Result<Arc<Vec<ApiKey>>, KeysUnavailable> {
        let read = async { self.parsed.of(&self.secrets.get(self.name).await?) };
        read.await.map_err(|error| {
            tracing::error!(%error, "gateway keys");
            KeysUnavailable
        })
    }
}
