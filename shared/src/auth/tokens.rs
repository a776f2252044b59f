//! Tokens over the secret store: mints with the current key, verifies with every live one.

use std::sync::Arc;

use domain::ids::{SubscriptionId, ulid};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::Caller;
use super::guide;
use super::session::Verified;
use super::token::{self, TokenError, TokenKey};
use crate::ports::Random;
use crate::secrets::{SecretName, Secrets, SecretsError, formats};

/// A fresh token and when it ends.
pub struct Minted {
    pub token: SecretString,
    pub expires_at: Timestamp,
}

/// Mints and verifies our tokens.
#[derive(Clone)]
pub struct Tokens {
    secrets: Arc<dyn Secrets>,
    random: Arc<dyn Random>,
}

impl Tokens {
    #[must_use]
    pub fn new(secrets: Arc<dyn Secrets>, random: Arc<dyn Random>) -> Tokens {
        Tokens { secrets, random }
    }

    /// A token for `caller`. `now` is the wall clock: the authorizer knows no other, so a travelled billing clock
    /// must not end up here.
    ///
    /// # Errors
    /// When the key is unavailable.
    pub async fn mint(
        &self,
        caller: &Caller,
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Minted, SecretsError> {
        let current = self.current().await?;
        let jti = ulid(now, self.random.bits()).to_string();
        let (token, expires_at) =
            token::mint(caller, jti, now, lifetime, &current).map_err(|_| SecretsError::Malformed(SecretName::Jwt))?;
        Ok(Minted { token, expires_at })
    }

    /// The token in the address of a payment guide, valid for [`guide::LIFETIME`] from `now` (wall clock).
    ///
    /// # Errors
    /// When the key is unavailable.
    pub async fn mint_guide(&self, id: &SubscriptionId, now: Timestamp) -> Result<SecretString, SecretsError> {
        guide::mint(id, now, &self.current().await?).map_err(|_| SecretsError::Malformed(SecretName::Jwt))
    }

    /// The caller and the session of a token at `now` (wall clock). Whether it was ended is not looked at: see
    /// [`super::session::is_over`]. An unknown key id refreshes the keys, at most every 30 seconds.
    ///
    /// # Errors
    /// `Ok(Err(_))` for a bad token, `Err(_)` when the keys are unavailable.
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Result<Verified, TokenError>, SecretsError> {
        self.check(|keys| token::verify(text, keys, now)).await
    }

    /// The subscription whose payment guide a token opens, as [`Tokens::verify`].
    ///
    /// # Errors
    /// As [`Tokens::verify`].
    pub async fn verify_guide(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Result<SubscriptionId, TokenError>, SecretsError> {
        self.check(|keys| guide::verify(text, keys, now)).await
    }

    async fn current(&self) -> Result<TokenKey, SecretsError> {
        let versions = self.secrets.get(SecretName::Jwt).await?;
        formats::token_keys(&versions)?.into_iter().next().ok_or(SecretsError::Malformed(SecretName::Jwt))
    }

    async fn check<T>(
        &self,
        verify: impl Fn(&[TokenKey]) -> Result<T, TokenError> + Send,
    ) -> Result<Result<T, TokenError>, SecretsError> {
        let versions = self.secrets.get(SecretName::Jwt).await?;
        let keys = formats::token_keys(&versions)?;
        match verify(&keys) {
            Err(TokenError::UnknownKey) => {
                let versions = self.secrets.refresh(SecretName::Jwt).await?;
                let keys = formats::token_keys(&versions)?;
                Ok(verify(&keys))
            }
            verdict => Ok(verdict),
        }
    }
}
