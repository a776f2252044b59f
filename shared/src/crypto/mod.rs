//! Field encryption of gateway tokens, and the hash they are found by.
//!
//! Format of a [`Sealed`]: `kid` names the data key; `data` is base64 of a 12-byte random nonce followed by the
//! AES-256-GCM ciphertext and its 16-byte tag. The cipher key is SHA-256 over a fixed prefix and the key text of the
//! secret. Associated data is the row the value belongs to, so a ciphertext copied to another row does not open. The
//! current key seals; the previous one still opens during a rotation.

use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::charge::GatewayName;
use domain::method::Sealed;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::ports::{Random, Vault, VaultError};
use crate::secrets::formats::{self, DataKey};
use crate::secrets::parsed::Parsed;
use crate::secrets::{SecretName, SecretVersions, Secrets, SecretsError};

const KEY_DOMAIN: &[u8] = b"mindgarden-billing/data-key/v1\0";
const TOKEN_DOMAIN: &[u8] = b"mindgarden-billing/token-hash/v1\0";
const NONCE_LEN: usize = 12;

/// The hash a gateway token is indexed by: 128 bits in hex. Unkeyed on purpose: gateway tokens are random and long, so
/// there is nothing to guess, and a key would orphan every row at its rotation. Stored keys depend on it: never change.
#[must_use]
pub fn token_hash(gateway: GatewayName, token: &str) -> String {
    let hash = Sha256::new().chain_update(TOKEN_DOMAIN).chain_update(gateway.as_str()).chain_update([0]);
    let mut text = hex::encode(hash.chain_update(token).finalize());
    text.truncate(32);
    text
}

/// A short name for something long or foreign: 128 bits of SHA-256 in hex. For keys of rows and calls, not for secrets.
#[must_use]
pub fn digest(text: &str) -> String {
    let mut name = hex::encode(Sha256::digest(text));
    name.truncate(32);
    name
}

/// AES-256-GCM under the data keys of the secret store.
pub struct AesVault {
    secrets: Arc<dyn Secrets>,
    random: Arc<dyn Random>,
    keys: Parsed<Vec<Key>>,
}

struct Key {
    kid: String,
    cipher: Aes256Gcm,
}

impl AesVault {
    #[must_use]
    pub fn new(secrets: Arc<dyn Secrets>, random: Arc<dyn Random>) -> AesVault {
        AesVault { secrets, random, keys: Parsed::new(keys) }
    }

    async fn known(&self) -> Result<Arc<Vec<Key>>, SecretsError> {
        self.keys.of(&self.secrets.get(SecretName::DataKey).await?)
    }

    /// Keys among which those with this id are, if there are any. An unknown id asks the secret store again.
    async fn keys(&self, kid: &str) -> Result<Arc<Vec<Key>>, SecretsError> {
        let known = self.known().await?;
        if known.iter().any(|key| key.kid == kid) {
            return Ok(known);
        }
        self.keys.of(&self.secrets.refresh(SecretName::DataKey).await?)
    }
}

#[async_trait]
impl Vault for AesVault {
    async fn seal(&self, plain: &str, aad: &str) -> Result<Sealed, VaultError> {
        let keys = self.known().await.map_err(unavailable)?;
        let key = keys.first().ok_or(VaultError::Unavailable)?;
        let bits = self.random.bits().to_be_bytes();
        let nonce = bits.get(..NONCE_LEN).ok_or(VaultError::Unavailable)?;
        let payload = Payload { msg: plain.as_bytes(), aad: aad.as_bytes() };
        let sealed = key.cipher.encrypt(Nonce::from_slice(nonce), payload).map_err(|_| VaultError::Unavailable)?;
        Ok(Sealed { kid: key.kid.clone(), data: STANDARD.encode([nonce, &sealed].concat()) })
    }

    async fn open(&self, sealed: &Sealed, aad: &str) -> Result<SecretString, VaultError> {
        let data = STANDARD.decode(&sealed.data).map_err(|_| VaultError::Refused)?;
        let (nonce, text) = data.split_at_checked(NONCE_LEN).ok_or(VaultError::Refused)?;
        let keys = self.keys(&sealed.kid).await.map_err(unavailable)?;
        let named = || keys.iter().filter(|key| key.kid == sealed.kid);
        if named().next().is_none() {
            tracing::error!(kid = sealed.kid, "no data key with this id");
            return Err(VaultError::Unavailable);
        }
        // Two versions of the secret may carry the same id, so every key of that id is tried.
        let opened = named().find_map(|key| {
            let payload = Payload { msg: text, aad: aad.as_bytes() };
            key.cipher.decrypt(Nonce::from_slice(nonce), payload).ok()
        });
        let plain = String::from_utf8(opened.ok_or(VaultError::Refused)?).map_err(|_| VaultError::Refused)?;
        Ok(SecretString::from(plain))
    }
}

fn keys(versions: &SecretVersions) -> Result<Vec<Key>, SecretsError> {
    Ok(formats::data_keys(versions)?.into_iter().map(key).collect())
}

fn key(DataKey { kid, key }: DataKey) -> Key {
    let bytes: [u8; 32] = Sha256::new().chain_update(KEY_DOMAIN).chain_update(key.expose_secret()).finalize().into();
    Key { kid, cipher: Aes256Gcm::new(&bytes.into()) }
}

fn unavailable(error: SecretsError) -> VaultError {
    tracing::error!(%error, "data keys");
    VaultError::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::testing::{FixedBits, FixedSecrets, versions};
    use futures::executor::block_on;

    fn key(kid: &str, fill: &str) -> String {
        format!(r#"{{"kid":"{kid}","key":"{}"}}"#, fill.repeat(32))
    }

    fn vault(secrets: FixedSecrets) -> AesVault {
        AesVault::new(Arc::new(secrets), Arc::new(FixedBits(0x1234_5678_9abc_def0)))
    }

    fn data(current: &str, previous: Option<&str>) -> FixedSecrets {
        FixedSecrets::default().with(versions(SecretName::DataKey, current, previous))
    }

    fn opened(vault: &AesVault, sealed: &Sealed, aad: &str) -> Result<String, VaultError> {
        block_on(vault.open(sealed, aad)).map(|s| s.expose_secret().to_owned())
    }

    #[test]
    fn opens_only_in_its_own_row() {
        let vault = vault(data(&key("1", "ab"), None));
        let sealed = block_on(vault.seal("billing-key", "ten_1#mth_1")).unwrap();
        assert_eq!((sealed.kid.as_str(), format!("{sealed:?}")), ("1", "Sealed(1)".to_owned()));
        assert!(!sealed.data.contains("billing"));
        assert_eq!(opened(&vault, &sealed, "ten_1#mth_1"), Ok("billing-key".to_owned()));
        assert_eq!(opened(&vault, &sealed, "ten_1#mth_2"), Err(VaultError::Refused));
    }

    #[test]
    fn rotation_keeps_old_rows_open() {
        let old = block_on(vault(data(&key("1", "ab"), None)).seal("t", "r")).unwrap();
        let rotated = vault(data(&key("2", "cd"), Some(&key("1", "ab"))));
        assert_eq!(opened(&rotated, &old, "r"), Ok("t".to_owned()));
        assert_eq!(block_on(rotated.seal("t", "r")).unwrap().kid, "2");
        let same_id = vault(data(&key("1", "cd"), Some(&key("1", "ab"))));
        assert_eq!(opened(&same_id, &old, "r"), Ok("t".to_owned()));
        let gone = vault(data(&key("3", "ef"), Some(&key("2", "cd"))));
        assert_eq!(opened(&gone, &old, "r"), Err(VaultError::Unavailable));
    }

    #[test]
    fn a_key_rotated_elsewhere_is_fetched() {
        let new = block_on(vault(data(&key("2", "cd"), None)).seal("t", "r")).unwrap();
        let rotated = versions(SecretName::DataKey, &key("2", "cd"), Some(&key("1", "ab")));
        let behind = vault(data(&key("1", "ab"), None).rotating_to(rotated));
        assert_eq!(opened(&behind, &new, "r"), Ok("t".to_owned()));
    }

    #[test]
    fn damaged_ciphertexts_are_refused() {
        let vault = vault(data(&key("1", "ab"), None));
        let sealed = block_on(vault.seal("t", "r")).unwrap();
        let mut bytes = STANDARD.decode(&sealed.data).unwrap();
        bytes[15] ^= 1;
        for data in [STANDARD.encode(&bytes), STANDARD.encode(b"short"), "*".to_owned(), String::new()] {
            let damaged = Sealed { kid: "1".to_owned(), data };
            assert_eq!(opened(&vault, &damaged, "r"), Err(VaultError::Refused));
        }
    }

    #[test]
    fn token_hashes_are_pinned() {
        let hash = token_hash(GatewayName::Toss, "token");
        assert_eq!(hash.len(), 32);
        assert_ne!(hash, token_hash(GatewayName::Stripe, "token"));
        assert_eq!(hash, "5d06ae969e3654039165293d5a9253cf");
    }
}
