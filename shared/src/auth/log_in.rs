//! The operators' log-in: password against the stored hash, an audit event, a one-hour token.

use std::sync::Arc;

use domain::event::{Actor, Fact};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::authorizer::SESSION_COOKIE;
use super::token::SESSION;
use super::{Caller, Minted, Role, Tokens, password};
use crate::ports::{Context, Random};
use crate::secrets::{SecretName, Secrets, SecretsError, formats};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics;
use crate::usecase::stamp;

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
        let versions = self.secrets.get(SecretName::OpsAdmin).await?;
        let account = formats::ops_admin(&versions)?;
        // The hash is computed for an unknown name too, so that timing does not tell names apart.
        let right = password::verify(password.expose_secret(), account.password_hash.expose_secret())
            .map_err(|_| SecretsError::Malformed(SecretName::OpsAdmin))?;
        let known = bool::from(username.as_bytes().ct_eq(account.username.as_bytes()));
        if !(right && known) {
            tracing::warn!("log-in refused");
            metrics::log_in_refused();
            return Err(LogInError::Refused);
        }
        let minted = self.tokens.mint(&Caller::operator(&account.username, Role::OpsAdmin), now, SESSION).await?;
        let context = Context { now, actor: Actor::Operator(account.username.clone()) };
        let fact = Fact::new("operator.logged_in", format!("operator:{}", account.username));
        let fact = fact.with("role", Role::OpsAdmin.as_str());
        self.store.commit(&stamp::commit(&*self.random, &context, Vec::new(), vec![fact])).await?;
        Ok(minted)
    }
}

/// The session cookie of a token, for pages.
#[must_use]
pub fn cookie(minted: &Minted) -> String {
    let (token, seconds) = (minted.token.expose_secret(), SESSION.as_secs());
    format!("{SESSION_COOKIE}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::password::tests::hash;
    use crate::secrets::testing::{FixedBits, FixedSecrets, versions};
    use crate::store::{MemoryStore, Query, Record};
    use crate::telemetry::testing::said;
    use argon2::Algorithm;
    use futures::executor::block_on;

    fn now() -> Timestamp {
        "2026-12-01T00:00:00Z".parse().unwrap()
    }

    fn log_in(phc: &str) -> (LogIn, Arc<MemoryStore>) {
        let account = serde_json::json!({"username": "ops", "passwordHash": phc}).to_string();
        let secrets = FixedSecrets::local().with(versions(SecretName::OpsAdmin, &account, None));
        let (secrets, random) = (Arc::new(secrets), Arc::new(FixedBits(7)));
        let store = Arc::new(MemoryStore::default());
        let tokens = Tokens::new(secrets.clone(), random.clone());
        (LogIn { store: store.clone(), secrets, tokens, random }, store)
    }

    fn attempt(log_in: &LogIn, username: &str, password: &str) -> Result<Minted, LogInError> {
        block_on(log_in.log_in(username, &SecretString::from(password.to_owned()), now()))
    }

    #[test]
    fn the_operator_gets_a_token_and_an_audit_event() {
        let (log_in, store) = log_in(&hash("correct horse", Algorithm::Argon2id, 19_456, 2));
        let minted = attempt(&log_in, "ops", "correct horse").ok().unwrap();
        let caller = block_on(log_in.tokens.verify(minted.token.expose_secret(), now())).unwrap().unwrap();
        assert_eq!(caller, Caller::operator("ops", Role::OpsAdmin));
        let query = Query::EventsOf { subject: "operator:ops".to_owned() };
        let events = block_on(store.query(&query, 10, None)).unwrap().records;
        assert!(matches!(&events[..], [Record::Event(e)] if e.kind == "operator.logged_in"));
        let cookie = cookie(&minted);
        assert!(cookie.starts_with("__Host-session=") && cookie.ends_with("Secure; HttpOnly; SameSite=Strict"));
    }

    #[test]
    fn nobody_else_does() {
        let (log_in, store) = log_in(&hash("correct horse", Algorithm::Argon2id, 19_456, 2));
        for (username, password) in [("ops", "wrong"), ("root", "correct horse"), ("", ""), ("OPS", "correct horse")] {
            let refused = || assert!(matches!(attempt(&log_in, username, password), Err(LogInError::Refused)));
            assert_eq!(said(refused), ["LogInsRefused 1"], "{username}");
        }
        let query = Query::EventsOf { subject: "operator:ops".to_owned() };
        assert!(block_on(store.query(&query, 10, None)).unwrap().records.is_empty());
    }

    #[test]
    fn a_weak_stored_hash_is_a_failure_of_ours() {
        let (log_in, _) = log_in(&hash("p", Algorithm::Argon2id, 8_192, 2));
        assert!(matches!(attempt(&log_in, "ops", "p"), Err(LogInError::Account(_))));
    }
}
