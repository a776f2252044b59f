//! Where adapters get their API keys. An attempt freezes the *version* of the key it was sent with, because a
//! resend under another key is another request (Toss scopes idempotency by API key).

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

/// One version of a gateway's key pair.
#[derive(Clone)]
pub struct ApiKey {
    /// Opaque version id of the secret store.
    pub version: String,
    pub secret: SecretString,
    /// The browser's half; not a secret.
    pub client: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gateway keys are unavailable")]
pub struct KeysUnavailable;

/// The live versions of one gateway's keys: the current one first, then the previous one during rotation.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    async fn versions(&self) -> Result<Arc<Vec<ApiKey>>, KeysUnavailable>;
}

/// A fixed set of keys, for tests and tools.
#[async_trait]
impl ApiKeys for Vec<ApiKey> {
    async fn versions(&self) -> Result<Arc<Vec<ApiKey>>, KeysUnavailable> {
        Ok(Arc::new(self.clone()))
    }
}

/// The current key.
pub(super) async fn current(keys: &dyn ApiKeys) -> Result<ApiKey, KeysUnavailable> {
    keys.versions().await?.first().cloned().ok_or(KeysUnavailable)
}

/// The key of exactly this version, or why there is none: nothing was sent then.
pub(super) async fn of_version(keys: &dyn ApiKeys, version: &str) -> Result<ApiKey, &'static str> {
    let versions = keys.versions().await.map_err(|KeysUnavailable| "keys_unavailable")?;
    versions.iter().find(|key| key.version == version).cloned().ok_or("key_version_gone")
}
