//! Tokens over the secret store: mints with the current key, verifies with every live one.

use std::sync::Arc;

use domain::ids::ulid;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::Caller;
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
        let versions = self.secrets.get(SecretName::Jwt).await?;
        let keys = formats::token_keys(&versions)?;
        let current = keys.first().ok_or(SecretsError::Malformed(SecretName::Jwt))?;
        let jti = ulid(now, self.random.bits()).to_string();
        let (token, expires_at) =
            token::mint(caller, jti, now, lifetime, current).map_err(|_| SecretsError::Malformed(SecretName::Jwt))?;
        Ok(Minted { token, expires_at })
    }

    /// The caller of a token at `now` (wall clock). An unknown key id refreshes the keys, at most every 30 seconds.
    ///
    /// # Errors
    /// `Ok(Err(_))` for a bad token, `Err(_)` when the keys are unavailable.
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Result<Caller, TokenError>, SecretsError> {
        let versions = self.secrets.get(SecretName::Jwt).await?;
        let keys: Vec<TokenKey> = formats::token_keys(&versions)?;
        match token::verify(text, &keys, now) {
            Err(TokenError::UnknownKey) => {
                let versions = self.secrets.refresh(SecretName::Jwt).await?;
                let keys = formats::token_keys(&versions)?;
                Ok(token::verify(text, &keys, now))
            }
            verdict => Ok(verdict),
        }
    }
}
