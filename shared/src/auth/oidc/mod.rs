//! Tokens of an OpenID provider: the people who work here, and tenants, each through an audience of their own.
//!
//! Invariants: only RS256 and ES256 under a key the provider publishes, each key with its own algorithm, so no key is
//! ever used as another kind; issuer and audience are exactly the configured ones, one audience per token; an operator's
//! role comes from the staff's audience by an allow-list and nowhere else, a tenant from the tenants' audience; a token
//! that claims both is refused, whoever signed it; names the provider gives cannot be those of our own accounts.

mod claims;
mod keys;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::Role;
use super::session::{Session, Verified};
use super::token::{TokenError, in_time, parts};
pub use keys::{Keys, ProviderUnavailable};

/// Longest token looked at; providers put groups and names into theirs.
const TOKEN_MAX: usize = 8_192;
/// Longest life a provider may give a token; leaving ends it sooner.
const LIFETIME_MAX_S: i64 = 24 * 60 * 60;

/// Fetches the provider's documents.
#[async_trait]
pub trait Documents: Send + Sync {
    /// The body of a successful answer, bounded in size and time.
    ///
    /// # Errors
    /// When there is none.
    async fn get(&self, url: &str) -> Result<Vec<u8>, ProviderUnavailable>;
}

/// Whom we believe, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Exactly as the provider writes it.
    pub issuer: String,
    pub staff_audience: String,
    pub tenant_audience: String,
    /// Where the staff's tokens have their groups or roles: one text or a list.
    pub role_claim: String,
    /// Where the tenants' tokens have their `ten_…`.
    pub tenant_claim: String,
    /// The provider's words and what they mean here; the first one a person has counts.
    pub roles: Vec<(String, Role)>,
}

/// Verifies the provider's tokens.
pub struct Oidc {
    settings: Settings,
    keys: Keys,
}

impl Oidc {
    #[must_use]
    pub fn new(settings: Settings, keys: Keys) -> Oidc {
        Oidc { settings, keys }
    }

    /// The caller and the session of a token at `now` (wall clock).
    ///
    /// # Errors
    /// `Ok(Err(_))` for a bad token, `Err(_)` when the provider's keys are unavailable.
    pub async fn verify(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<Verified, TokenError>, ProviderUnavailable> {
        let (kid, algorithm) = match header(token) {
            Ok(header) => header,
            Err(refused) => return Ok(Err(refused)),
        };
        let keys = self.keys.named(&self.settings.issuer, &kid).await?;
        let mut verdict = Err(TokenError::UnknownKey);
        // A provider may publish keys of two algorithms under one id.
        for key in keys.iter().filter(|key| key.algorithm == algorithm) {
            verdict = self.judge(token, key, now);
            if verdict.is_ok() {
                break;
            }
        }
        Ok(verdict)
    }

    fn judge(&self, token: &str, key: &keys::Key, now: Timestamp) -> Result<Verified, TokenError> {
        let claims = claims::signed(token, key, &self.settings.issuer)?;
        let (issued_at, expires_at) = claims.times()?;
        in_time(issued_at, expires_at, claims.not_before()?, now)?;
        if expires_at.saturating_sub(issued_at) > LIFETIME_MAX_S {
            return Err(TokenError::Time);
        }
        let session = Session::of(token, issued_at, expires_at).ok_or(TokenError::Time)?;
        Ok(Verified { caller: claims.caller(&self.settings)?, session })
    }
}

/// Whether a token says that a provider signed it. Ours say HS256, so no token is looked at by both.
#[must_use]
pub fn is_foreign(token: &str) -> bool {
    header(token).is_ok()
}

/// The key id and the algorithm a token names. Whatever else a header may ask for is refused or means nothing here: keys
/// in a header, or addresses of some, are never looked at.
fn header(token: &str) -> Result<(String, jsonwebtoken::Algorithm), TokenError> {
    if token.len() > TOKEN_MAX {
        return Err(TokenError::Malformed);
    }
    let header = parts(token)?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let typed = match header.get("typ") {
        None => true,
        Some(typ) => typ.as_str().is_some_and(|typ| ["JWT", "at+jwt", "application/at+jwt"].contains(&typ)),
    };
    if !typed || ["crit", "b64", "zip", "cty", "enc"].iter().any(|name| header.contains_key(*name)) {
        return Err(TokenError::Header);
    }
    let algorithm = match text("alg") {
        Some("RS256") => jsonwebtoken::Algorithm::RS256,
        Some("ES256") => jsonwebtoken::Algorithm::ES256,
        _ => return Err(TokenError::Header),
    };
    Ok((text("kid").map(str::to_owned).ok_or(TokenError::Header)?, algorithm))
}

#[cfg(test)]
mod tests;
