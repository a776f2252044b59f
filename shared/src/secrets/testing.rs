//! Fixed secrets and randomness for tests of other modules.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use secrecy::SecretString;

use super::{SecretName, SecretValue, SecretVersions, Secrets, SecretsError};
use crate::ports::Random;

pub fn versions(name: SecretName, current: &str, previous: Option<&str>) -> SecretVersions {
    let value =
        |id: &str, text: &str| SecretValue { version_id: id.to_owned(), value: SecretString::from(text.to_owned()) };
    SecretVersions { name, current: value("v2", current), previous: previous.map(|p| value("v1", p)) }
}

/// What `get` answers; `refresh` moves on to `rotated` when there is something.
#[derive(Default)]
pub struct FixedSecrets {
    known: Mutex<HashMap<SecretName, SecretVersions>>,
    rotated: Mutex<HashMap<SecretName, SecretVersions>>,
}

impl FixedSecrets {
    /// Token and data keys as a local stack has them.
    pub fn local() -> FixedSecrets {
        let key = |kid: &str| format!(r#"{{"kid":"{kid}","key":"{}"}}"#, "k".repeat(64));
        FixedSecrets::default().with(versions(SecretName::Jwt, &key("local-1"), None)).with(versions(
            SecretName::DataKey,
            &key("local-1"),
            None,
        ))
    }

    pub fn with(self, versions: SecretVersions) -> FixedSecrets {
        self.known.lock().unwrap().insert(versions.name, versions);
        self
    }

    pub fn rotating_to(self, versions: SecretVersions) -> FixedSecrets {
        self.rotated.lock().unwrap().insert(versions.name, versions);
        self
    }
}

#[async_trait]
impl Secrets for FixedSecrets {
    async fn get(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        let known = self.known.lock().unwrap();
        known.get(&name).cloned().map(Arc::new).ok_or(SecretsError::Unavailable(name))
    }

    async fn refresh(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        if let Some(versions) = self.rotated.lock().unwrap().remove(&name) {
            self.known.lock().unwrap().insert(name, versions);
        }
        self.get(name).await
    }
}

/// Always the same bits.
pub struct FixedBits(pub u128);

impl Random for FixedBits {
    fn bits(&self) -> u128 {
        self.0
    }
}
