//! The provider's public keys: found through its discovery document and kept for a while.
//!
//! Invariants: they are asked for again after [`TTL`], and sooner only for an id nobody here knows, at most once per
//! [`RETRY`], so that made-up ids cannot make us flood the provider; when it does not answer, what was known stays in use
//! for [`STALE`] and no longer; a key that is too weak, for something else than signatures, or of another algorithm is none.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::Documents;
use crate::secrets::cache::Elapsed;

/// How long keys are used without asking.
const TTL: Duration = Duration::from_secs(300);
/// How soon they may be asked for again.
const RETRY: Duration = Duration::from_secs(30);
/// How long they are used when the provider does not answer.
const STALE: Duration = Duration::from_secs(3_600);
/// Keys of one provider; it signs with two or three.
const KEYS_MAX: usize = 50;
/// A modulus of 2048 bits in base64: shorter ones are not safe.
const RSA_CHARACTERS_MIN: usize = 342;

/// The provider does not answer, or not as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity provider is unavailable: {0}")]
pub struct ProviderUnavailable(pub &'static str);

/// A key that signatures are checked with, by its one algorithm.
#[derive(Clone)]
pub(super) struct Key {
    pub kid: String,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    fetched_at: Option<Duration>,
    tried_at: Option<Duration>,
}

/// The keys, as last heard.
pub struct Keys {
    documents: Arc<dyn Documents>,
    elapsed: Elapsed,
    // Held across a fetch, so that concurrent requests ask once.
    known: Mutex<Known>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl Keys {
    /// `elapsed` is time since some instant, by a clock that never goes back.
    #[must_use]
    pub fn new(documents: Arc<dyn Documents>, elapsed: Elapsed) -> Keys {
        Keys { documents, elapsed, known: Mutex::default() }
    }

    /// The keys with this id, of a provider known by `issuer`; none when it has none.
    ///
    /// # Errors
    /// When no keys are known that may still be used.
    pub(super) async fn named(&self, issuer: &str, kid: &str) -> Result<Vec<Key>, ProviderUnavailable> {
        let mut known = self.known.lock().await;
        let now = (self.elapsed)();
        let since = |at: Option<Duration>| at.map(|at| now.saturating_sub(at));
        let fresh = since(known.fetched_at).is_some_and(|age| age < TTL);
        let enough = fresh && known.keys.iter().any(|key| key.kid == kid);
        let asked_lately = since(known.tried_at).is_some_and(|age| age < RETRY);
        if !enough && !asked_lately {
            known.tried_at = Some(now);
            match self.fetch(issuer).await {
                Ok(keys) => {
                    known.keys = keys;
                    known.fetched_at = Some(now);
                }
                Err(error) => tracing::warn!(%error, "using the keys known so far"),
            }
        }
        if since(known.fetched_at).is_none_or(|age| age >= STALE) {
            return Err(ProviderUnavailable("no keys are known"));
        }
        Ok(known.keys.iter().filter(|key| key.kid == kid).cloned().collect())
    }

    async fn fetch(&self, issuer: &str) -> Result<Vec<Key>, ProviderUnavailable> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery = self.documents.get(&address).await?;
        let discovery: Discovery =
            serde_json::from_slice(&discovery).map_err(|_| ProviderUnavailable("discovery does not read"))?;
        if discovery.issuer != issuer {
            return Err(ProviderUnavailable("discovery is another issuer's"));
        }
        // Keys over an open line would be anybody's; a provider on this machine is spoken to as it is configured.
        if !discovery.jwks_uri.starts_with("https://") && issuer.starts_with("https://") {
            return Err(ProviderUnavailable("keys are published without TLS"));
        }
        let published = self.documents.get(&discovery.jwks_uri).await?;
        let published: Published =
            serde_json::from_slice(&published).map_err(|_| ProviderUnavailable("keys do not read"))?;
        let keys: Vec<Key> = published.keys.into_iter().take(KEYS_MAX).filter_map(usable).collect();
        if keys.is_empty() { Err(ProviderUnavailable("no key can be used")) } else { Ok(keys) }
    }
}

/// A published key, if it is one of ours to use. One of a kind nobody here knows is none, and no error.
fn usable(published: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(published).ok()?;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= RSA_CHARACTERS_MIN => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    let common = &jwk.common;
    let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let meant = match common.key_algorithm {
        None => true,
        Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
        Some(_) => false,
    };
    let kid = common.key_id.clone()?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (signs && meant).then_some(Key { kid, algorithm, key })
}
