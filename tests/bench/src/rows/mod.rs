//! The rows of the table, one file per question.

mod cost;
pub mod counts;
pub mod cpu;
pub mod handlers;
pub mod memory;
pub mod spawn;
pub mod strain;
pub mod wall;
pub mod webhooks;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use functions::SystemRandom;
use secrecy::SecretString;
use shared::crypto::AesVault;
use shared::ports::Vault;
use shared::secrets::{SecretName, SecretValue, SecretVersions, Secrets, SecretsError};

use crate::aws::Stand;
use crate::roles::emulator::secret_text;
use crate::seed;

/// How much work a row does.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Small numbers while developing: they say nothing.
    pub quick: bool,
}

impl Scale {
    pub fn of<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Repeats of an interleaved measurement.
    pub fn repeats(self) -> usize {
        self.of(5, 2)
    }
}

/// The secrets the emulator's front answers, without asking it.
struct Known;

#[async_trait]
impl Secrets for Known {
    async fn get(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        let current = SecretValue { version_id: "1".to_owned(), value: SecretString::from(secret_text(name.path())) };
        Ok(Arc::new(SecretVersions { name, current, previous: None }))
    }

    async fn refresh(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        self.get(name).await
    }
}

/// A vault whose ciphertexts every function under this stand can open.
pub fn vault() -> Arc<dyn Vault> {
    Arc::new(AesVault::new(Arc::new(Known), Arc::new(SystemRandom)))
}

/// A stage with these customers, due now.
pub async fn planted(stand: &Stand, stage: &str, customers: Range<u32>) {
    stand.stage(stage).await;
    let now = functions::wall();
    seed::plant(&stand.client, stage, customers, domain::charge::GatewayName::Toss, vault(), now).await;
}
