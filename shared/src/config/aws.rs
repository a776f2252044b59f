//! AWS clients, configured by hand from the variables Lambda sets: the full configuration loader would add profile
//! files, metadata services and half a megabyte to every function.

use std::time::Duration;

use aws_credential_types::Credentials;
// The same types in every SDK crate; each only spells the path differently.
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedHttpClient};

use super::aws_http;
use super::settings::{ConfigError, Read, required};

/// One try: connecting, and the whole of it.
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(2);
/// An operation with its retries.
const OPERATION: Duration = Duration::from_secs(6);
const ATTEMPTS: u32 = 3;

/// Where AWS is and who we are there. No `Debug`: it holds credentials.
pub(super) struct Aws {
    region: String,
    credentials: Credentials,
    /// Emulators only.
    endpoint: Option<String>,
    http: SharedHttpClient,
}

impl Aws {
    pub(super) fn read(read: Read<'_>) -> Result<Aws, ConfigError> {
        let optional = |name: &str| read(name).filter(|value| !value.is_empty());
        let region = required(read, "AWS_REGION").or_else(|error| optional("AWS_DEFAULT_REGION").ok_or(error))?;
        let key = required(read, "AWS_ACCESS_KEY_ID")?;
        let secret = required(read, "AWS_SECRET_ACCESS_KEY")?;
        let credentials = Credentials::new(key, secret, optional("AWS_SESSION_TOKEN"), None, "environment");
        let endpoint = optional("AWS_ENDPOINT_URL");
        let http = aws_http::client(endpoint.as_deref())?;
        Ok(Aws { region, credentials, endpoint, http })
    }

    pub(super) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .timeout_config(timeouts())
            .retry_config(retries());
        config.set_endpoint_url(self.endpoint.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    pub(super) fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .timeout_config(timeouts())
            .retry_config(retries());
        config.set_endpoint_url(self.endpoint.clone());
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// What signs calls to the mail service.
    pub(super) fn ses(&self, wall: super::Wall) -> crate::notices::SesAccess {
        crate::notices::SesAccess {
            region: self.region.clone(),
            credentials: self.credentials.clone(),
            endpoint: self.endpoint.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
            wall,
        }
    }

    pub(super) fn sqs(&self) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .timeout_config(timeouts())
            .retry_config(retries());
        config.set_endpoint_url(self.endpoint.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

fn timeouts() -> TimeoutConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT);
    timeouts.operation_timeout(OPERATION).build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}
