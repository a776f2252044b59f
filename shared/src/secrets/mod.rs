//! Secrets by name, in at most two live versions: the current one and, during a rotation, the previous one.
//!
//! Invariants: values live in memory only, behind `SecretString`; they are cached for [`cache::TTL`] and refreshed
//! early at most every [`cache::RETRY`]; no error or log line holds a value.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

pub mod cache;
pub mod formats;
mod gateway_keys;
mod manager;
pub mod parsed;
mod slack_url;
#[cfg(test)]
pub mod testing;

pub use gateway_keys::GatewayKeys;
pub use manager::SecretsManager;
pub use slack_url::SlackSecret;

/// The secrets there are. Stored as `<stage>/<path>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretName {
    Toss,
    Stripe,
    StripeWebhook,
    Jwt,
    OpsAdmin,
    DataKey,
    Slack,
}

impl SecretName {
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            SecretName::Toss => "gateway/toss",
            SecretName::Stripe => "gateway/stripe",
            SecretName::StripeWebhook => "webhook/stripe",
            SecretName::Jwt => "auth/jwt",
            SecretName::OpsAdmin => "auth/ops-admin",
            SecretName::DataKey => "data-key",
            SecretName::Slack => "chat/slack",
        }
    }
}

/// One version of a secret.
#[derive(Clone)]
pub struct SecretValue {
    /// Opaque, unique per version.
    pub version_id: String,
    pub value: SecretString,
}

/// The live versions of a secret.
#[derive(Clone)]
pub struct SecretVersions {
    pub name: SecretName,
    pub current: SecretValue,
    pub previous: Option<SecretValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    #[error("secret {} is unavailable", .0.path())]
    Unavailable(SecretName),
    /// The current version does not have the shape it must have; its value is not shown.
    #[error("secret {} is malformed", .0.path())]
    Malformed(SecretName),
}

#[async_trait]
pub trait Secrets: Send + Sync {
    /// The live versions, from memory while they are fresh.
    async fn get(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError>;

    /// Asks the secret store again, for a version nobody here knows; from memory when that was tried moments ago.
    async fn refresh(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError>;
}
