//! The shapes of the secrets: JSON objects, read into keys. The current version must have its shape; a previous one
//! that does not is left out (a secret's first rotation starts from whatever was there).

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{SecretValue, SecretVersions, SecretsError};
use crate::auth::token::TokenKey;
use crate::gateway::ApiKey;

/// Shortest HMAC or encryption key text accepted: 32 bytes.
const KEY_MIN: usize = 32;

#[derive(Deserialize)]
struct Keyed {
    kid: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gateway {
    #[serde(alias = "publishableKey")]
    client_key: String,
    secret_key: String,
}

#[derive(Deserialize)]
struct Webhook {
    secret: String,
}

#[derive(Deserialize)]
struct Address {
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    username: String,
    password_hash: String,
}

/// A data key: its id and the text the cipher key is derived from.
#[derive(Clone)]
pub struct DataKey {
    pub kid: String,
    pub key: SecretString,
}

/// The operator account.
pub struct OpsAdmin {
    pub username: String,
    /// An argon2id PHC string.
    pub password_hash: SecretString,
}

/// Keys of our tokens, the current one first.
///
/// # Errors
/// When the current version is malformed.
pub fn token_keys(versions: &SecretVersions) -> Result<Vec<TokenKey>, SecretsError> {
    let read = |_: &SecretValue, raw: Keyed| long(raw.key).map(|key| TokenKey { kid: raw.kid, key });
    each(versions, read)
}

/// Keys of field encryption, the current one first.
///
/// # Errors
/// When the current version is malformed.
pub fn data_keys(versions: &SecretVersions) -> Result<Vec<DataKey>, SecretsError> {
    each(versions, |_, raw: Keyed| long(raw.key).map(|key| DataKey { kid: raw.kid, key }))
}

/// A gateway's API keys, the current one first.
///
/// # Errors
/// When the current version is malformed.
pub fn api_keys(versions: &SecretVersions) -> Result<Vec<ApiKey>, SecretsError> {
    each(versions, |value, raw: Gateway| {
        let (secret, client) = (filled(raw.secret_key)?, raw.client_key);
        Some(ApiKey { version: value.version_id.clone(), secret, client })
    })
}

/// Signing secrets of gateway events, the current one first.
///
/// # Errors
/// When the current version is malformed.
pub fn webhook_secrets(versions: &SecretVersions) -> Result<Vec<SecretString>, SecretsError> {
    each(versions, |_, raw: Webhook| filled(raw.secret))
}

/// Where the operators' chat takes messages; only the current address counts.
///
/// # Errors
/// When it is malformed.
pub fn chat_url(versions: &SecretVersions) -> Result<SecretString, SecretsError> {
    let only = SecretVersions { previous: None, ..versions.clone() };
    let urls = each(&only, |_, raw: Address| filled(raw.url).filter(|url| url.expose_secret().starts_with("http")))?;
    urls.into_iter().next().ok_or(SecretsError::Malformed(versions.name))
}

/// The operator account; only the current version counts, a replaced password is gone.
///
/// # Errors
/// When it is malformed.
pub fn ops_admin(versions: &SecretVersions) -> Result<OpsAdmin, SecretsError> {
    let only = SecretVersions { previous: None, ..versions.clone() };
    let accounts = each(&only, |_, raw: Account| {
        let password_hash = filled(raw.password_hash)?;
        (!raw.username.is_empty()).then_some(OpsAdmin { username: raw.username, password_hash })
    })?;
    accounts.into_iter().next().ok_or(SecretsError::Malformed(versions.name))
}

fn each<Raw: DeserializeOwned, T>(
    versions: &SecretVersions,
    read: impl Fn(&SecretValue, Raw) -> Option<T>,
) -> Result<Vec<T>, SecretsError> {
    let parse = |value: &SecretValue| {
        // The parser's message may quote the value, so it goes no further.
        let raw = serde_json::from_str::<Raw>(value.value.expose_secret()).ok()?;
        read(value, raw)
    };
    let current = parse(&versions.current).ok_or(SecretsError::Malformed(versions.name))?;
    Ok(std::iter::once(current).chain(versions.previous.as_ref().and_then(parse)).collect())
}

fn filled(text: String) -> Option<SecretString> {
    (!text.is_empty()).then(|| SecretString::from(text))
}

fn long(text: String) -> Option<SecretString> {
    (text.len() >= KEY_MIN).then(|| SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretName;
    use crate::secrets::testing::versions;

    #[test]
    fn gateway_keys_of_both_spellings() {
        let toss = versions(SecretName::Toss, r#"{"clientKey":"ck","secretKey":"sk"}"#, None);
        let stripe = r#"{"publishableKey":"pk","secretKey":"sk2"}"#;
        let stripe = versions(SecretName::Stripe, stripe, Some(r#"{"publishableKey":"pk","secretKey":"sk1"}"#));
        let (toss, stripe) = (api_keys(&toss).unwrap(), api_keys(&stripe).unwrap());
        assert_eq!((toss.len(), toss[0].client.as_str(), toss[0].version.as_str()), (1, "ck", "v2"));
        let order: Vec<&str> = stripe.iter().map(|k| k.secret.expose_secret()).collect();
        assert_eq!((order, stripe[1].version.as_str()), (vec!["sk2", "sk1"], "v1"));
    }

    #[test]
    fn a_malformed_current_version_is_named_and_never_shown() {
        for bad in ["", "{}", "not json", r#"{"kid":"1","key":"short"}"#, r#"{"kid":1,"key":"x"}"#] {
            let error = token_keys(&versions(SecretName::Jwt, bad, None)).err().unwrap();
            assert_eq!(error.to_string(), "secret auth/jwt is malformed");
        }
    }

    #[test]
    fn a_malformed_previous_version_is_left_out() {
        let key = format!(r#"{{"kid":"2","key":"{}"}}"#, "k".repeat(32));
        assert_eq!(data_keys(&versions(SecretName::DataKey, &key, Some("junk"))).unwrap().len(), 1);
        assert_eq!(data_keys(&versions(SecretName::DataKey, &key, Some(&key))).unwrap().len(), 2);
    }

    #[test]
    fn a_chat_address_is_a_url() {
        let url = |text: &str| chat_url(&versions(SecretName::Slack, text, Some(r#"{"url":"https://old"}"#)));
        assert_eq!(url(r#"{"url":"https://hooks.example/x"}"#).unwrap().expose_secret(), "https://hooks.example/x");
        for bad in ["{}", r#"{"url":""}"#, r#"{"url":"ftp://x"}"#, ""] {
            assert_eq!(url(bad).unwrap_err().to_string(), "secret chat/slack is malformed");
        }
    }

    #[test]
    fn only_the_current_password_counts() {
        let account = |hash: &str| format!(r#"{{"username":"ops","passwordHash":"{hash}"}}"#);
        let both = versions(SecretName::OpsAdmin, &account("new"), Some(&account("old")));
        assert_eq!(ops_admin(&both).unwrap().password_hash.expose_secret(), "new");
    }
}
