//! How the AWS SDKs speak HTTP.
//!
//! AWS's own endpoints are believed on the five roots of Amazon Trust Services, all that its repository
//! (<https://www.amazontrust.com/repository/>) asks of a trust store of one's own, and on no other: a certificate any other
//! authority gives for `dynamodb.ap-northeast-2.amazonaws.com` is refused. It also saves a cold start: reading and parsing
//! some 140 system roots, from a bundle and again from a directory, was two thirds of what a function did before its first
//! request for work. An endpoint somebody configured over TLS is believed on the system's roots.

use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::settings::ConfigError;

/// Amazon Root CA 1 to 4 and Starfield Services Root Certificate Authority - G2. The first of them ends in 2037.
const AMAZON: &str = include_str!("amazon_roots.pem");

/// One client for all SDKs of a process, for AWS or for `endpoint`.
///
/// # Errors
/// When the TLS backend cannot start.
pub(super) fn client(endpoint: Option<&str>) -> Result<SharedHttpClient, ConfigError> {
    let configured = endpoint.is_some_and(|url| url.starts_with("https://"));
    let trust = if configured { TrustStore::default() } else { TrustStore::empty().with_pem_certificate(AMAZON) };
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|_| ConfigError::new("TLS", "does not start"))?;
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Ok(builder.tls_context(context).build_https())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// SHA-256 of each certificate, as the repository of Amazon Trust Services lists them.
    const FINGERPRINTS: [&str; 5] = [
        "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
        "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
        "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
        "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
    ];

    #[test]
    fn the_roots_are_amazons() {
        let end = "-----END CERTIFICATE-----";
        let bodies = AMAZON.split(end).filter_map(|part| part.split("-----BEGIN CERTIFICATE-----").nth(1));
        let found: Vec<String> = bodies
            .map(|body| STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap())
            .map(|der| hex::encode(digest(&SHA256, &der)))
            .collect();
        assert_eq!(found, FINGERPRINTS);
    }

    #[tokio::test]
    async fn they_load_as_a_function_starts() {
        // The SDK loads the roots when a client is made, and would panic on one that does not read; nobody listens there.
        for endpoint in [None, Some("http://127.0.0.1:1")] {
            let config = aws_sdk_sqs::config::Builder::new()
                .behavior_version(aws_sdk_sqs::config::BehaviorVersion::v2026_01_12())
                .region(aws_sdk_sqs::config::Region::new("ap-northeast-2"))
                .credentials_provider(aws_credential_types::Credentials::new("a", "b", None, None, "test"))
                .retry_config(aws_sdk_sqs::config::retry::RetryConfig::disabled())
                .endpoint_url("http://127.0.0.1:1")
                .http_client(client(endpoint).unwrap());
            let sqs = aws_sdk_sqs::Client::from_conf(config.build());
            assert!(sqs.list_queues().send().await.is_err());
        }
    }
}
