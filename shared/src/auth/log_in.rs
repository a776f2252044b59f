//! The operators' log-in: password against the stored hash, an audit event, a one-hour token.

use std::sync::Arc;

use domain::event::{Actor, Event, Fact};
use domain::ids::{EventId, ulid};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::authorizer::SESSION_COOKIE;
use super::token::SESSION;
use super::{Caller, Minted, Role, Tokens, password};
use crate::ports::Random;
use crate::secrets::{SecretName, Secrets, SecretsError, formats};
use crate::store::{Commit, Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// Unknown user or wrong password; nobody learns which.
    #[error("invalid credentials")]
    Refused,
    #[error("operator account")]
    Account(#[from] SecretsError),
    #[error("audit log")]
    Audit(#[from] StoreError),
}

/// What logging in touches.
pub struct LogIn {
    pub store: Arc<dyn Store>,
    pub secrets: Arc<dyn Secrets>,
    pub tokens: Tokens,
    pub random: Arc<dyn Random>,
}

impl LogIn {
    /// A session for an operator at `now` (wall clock). The event is committed before the token is handed out.
    ///
    /// # Errors
    /// [`LogInError`].
    pub async fn log_in(&self, username: &str, password: &SecretString, now: Timestamp) -> Result<Minted, LogInError> {
        let account = formats::ops_admin(&self.secrets.get(SecretName::OpsAdmin).await?)?;
        // The hash is computed for an unknown name too, so that timing does not tell names apart.
        let right = password::verify(password.expose_secret(), account.password_hash.expose_secret())
            .map_err(|_| SecretsError::Malformed(SecretName::OpsAdmin))?;
        let known = bool::from(username.as_bytes().ct_eq(account.username.as_bytes()));
        if !(right && known) {
            tracing::warn!("log-in refused");
            return Err(LogInError::Refused);
        }
        let minted = self.tokens.mint(&Caller::operator(&account.username, Role::OpsAdmin), now, SESSION).await?;
        self.store.commit(&self.audit(&account.username, now)).await?;
        Ok(minted)
    }

    fn audit(&self, username: &str, now: Timestamp) -> Commit {
        let fact = Fact::new("operator.logged_in", format!("operator:{username}")).with("role", Role::OpsAdmin.as_str());
        let event = Event {
            id: EventId::new(ulid(now, self.random.bits())),
            at: now,
            kind: fact.kind.to_owned(),
            subject: fact.subject,
            actor: Actor::Operator(username.to_owned()),
            reason: None,
            changes: fact.changes,
        };
        Commit { id: format!("{:032x}", self.random.bits()), writes: Vec::new(), events: vec![event] }
    }
}

/// The session cookie of a token, for pages.
#[must_use]
pub fn cookie(minted: &Minted) -> String {
    let (token, seconds) = (minted.token.expose_secret(), SESSION.as_secs());
    format!("{SESSION_COOKIE}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict")
}
