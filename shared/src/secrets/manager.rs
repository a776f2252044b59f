//! Secrets from AWS Secrets Manager: the stages AWSCURRENT and AWSPREVIOUS.

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use secrecy::SecretString;

use super::cache::Source;
use super::{SecretName, SecretValue, SecretVersions, SecretsError};

pub struct SecretsManager {
    client: Client,
    stage: String,
}

impl SecretsManager {
    /// `stage` prefixes every name.
    #[must_use]
    pub fn new(client: Client, stage: &str) -> SecretsManager {
        SecretsManager { client, stage: stage.to_owned() }
    }

    /// One staged version; `None` when the secret has none in that stage.
    async fn version(&self, name: SecretName, stage: &str) -> Result<Option<SecretValue>, SecretsError> {
        let id = format!("{}/{}", self.stage, name.path());
        match self.client.get_secret_value().secret_id(id).version_stage(stage).send().await {
            Ok(found) => Ok(found.secret_string.map(|value| SecretValue {
                version_id: found.version_id.unwrap_or_default(),
                value: SecretString::from(value),
            })),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => Ok(None),
            Err(error) => {
                // Only the kind: nothing in an answer about secrets belongs in a log.
                let code = error.as_service_error().and_then(|e| e.meta().code()).unwrap_or("no answer");
                tracing::error!(secret = name.path(), code, "secret store");
                Err(SecretsError::Unavailable(name))
            }
        }
    }
}

#[async_trait]
impl Source for SecretsManager {
    async fn fetch(&self, name: SecretName) -> Result<SecretVersions, SecretsError> {
        let (current, previous) = futures::join!(self.version(name, "AWSCURRENT"), self.version(name, "AWSPREVIOUS"));
        let current = current?.ok_or(SecretsError::Unavailable(name))?;
        // Emulators and fresh secrets may answer the previous stage with the current version.
        let previous = previous?.filter(|value| value.version_id != current.version_id);
        Ok(SecretVersions { name, current, previous })
    }
}
