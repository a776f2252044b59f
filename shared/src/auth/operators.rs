//! The operators' accounts: whose password counts, and what a try of one leaves behind.
//!
//! An operator starts with the temporary password in the secret store. It opens one door: setting a password of their
//! own, which makes the account's row. A temporary password other than the one the row replaced counts instead of the
//! row's, so a new one in the secret store brings back an operator who forgot theirs.

use std::sync::Arc;

use domain::access::{Access, Account, NAME_MAX};
use domain::event::{Actor, Fact};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::tries::{Asked, ClaimError, Claimed, claim};
use super::{Minted, Role, Tokens, password};
use crate::ports::{Context, Random};
use crate::secrets::{SecretName, Secrets, SecretsError, formats};
use crate::store::{Key, Record, Store, StoreError, Write};
use crate::telemetry::metrics;
use crate::usecase::{RACES, stamp};

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// Unknown user or wrong password; nobody learns which.
    #[error("invalid credentials")]
    Refused,
    /// Too many tries, whether or not anybody has that name. Seconds until the next one is looked at.
    #[error("locked for {0} s")]
    Locked(u32),
    #[error("operator account")]
    Account(#[from] SecretsError),
    #[error("account store")]
    Store(#[from] StoreError),
}

impl LogInError {
    fn of(error: ClaimError, now: Timestamp) -> LogInError {
        match error {
            ClaimError::Locked(until) => {
                let seconds = until.duration_since(now).as_secs().saturating_add(1);
                LogInError::Locked(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
            }
            ClaimError::Store(error) => error.into(),
        }
    }
}

/// A fresh session.
pub struct LoggedIn {
    pub role: Role,
    pub minted: Minted,
}

/// What the operators' accounts are kept in and made with.
pub struct Operators {
    pub store: Arc<dyn Store>,
    pub secrets: Arc<dyn Secrets>,
    pub tokens: Tokens,
    pub random: Arc<dyn Random>,
    /// Wrong passwords one address may send before it has to wait.
    pub tries_per_address: u32,
}

/// Whose password was right.
pub(super) struct Standing {
    pub name: String,
    /// The row, if there is one.
    pub account: Option<Account>,
    /// Fingerprint of the temporary password, when it was that.
    pub temporary: Option<String>,
}

/// What counts for a name.
struct Known {
    account: Option<Account>,
    /// The hash to check and, for a temporary one, its fingerprint.
    hash: SecretString,
    temporary: Option<String>,
    /// Whether anybody has the name.
    exists: bool,
}

impl Operators {
    /// Who has `name` and `password`, tried from `address` at `now` (wall clock), and the try that was claimed for it.
    ///
    /// # Errors
    /// [`LogInError`]; a wrong password has been counted then, and a lock written to the audit log.
    pub(super) async fn prove(
        &self,
        name: &str,
        password: &SecretString,
        address: &str,
        now: Timestamp,
    ) -> Result<(Standing, Claimed), LogInError> {
        let known = self.known(name).await?;
        let id = || stamp::token(self.random.as_ref());
        let asked = Asked { name, address, address_free: self.tries_per_address, now };
        let claimed = claim(self.store.as_ref(), id, asked).await;
        let claimed = claimed.map_err(|error| {
            metrics::log_in_refused();
            LogInError::of(error, now)
        })?;
        // The hash is computed for a name nobody has, too, so that timing does not tell names apart.
        let right = password::verify(password.expose_secret(), known.hash.expose_secret())
            .map_err(|_| SecretsError::Malformed(SecretName::OpsAdmin))?;
        if right && known.exists {
            let Known { account, temporary, .. } = known;
            return Ok((Standing { name: name.to_owned(), account, temporary }, claimed));
        }
        tracing::warn!("log-in refused");
        metrics::log_in_refused();
        if let Some(fact) = claimed.wrong(known.exists.then_some(name), now) {
            tracing::warn!(kind = fact.kind, subject = fact.subject, "password tries are locked");
            let context = Context { now, actor: Actor::System("log-in".to_owned()) };
            self.store.commit(&stamp::commit(self.random.as_ref(), &context, Vec::new(), vec![fact])).await?;
        }
        Err(LogInError::Refused)
    }

    /// Commits what a right password led to, and closes its try in the same transaction.
    ///
    /// # Errors
    /// When the store fails or races persist.
    pub(super) async fn conclude(
        &self,
        claimed: &Claimed,
        context: &Context,
        writes: &[Write],
        fact: &Fact,
    ) -> Result<(), StoreError> {
        for _ in 0..RACES {
            let mut all = claimed.right(self.store.as_ref()).await?;
            all.extend_from_slice(writes);
            match self.store.commit(&stamp::commit(self.random.as_ref(), context, all, vec![fact.clone()])).await {
                // Somebody else tries the same name now: their row, not ours, moved.
                Err(StoreError::Conflict { key: Some(Key::Tries(_)) | None }) => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict { key: None })
    }

    async fn known(&self, name: &str) -> Result<Known, LogInError> {
        let versions = self.secrets.get(SecretName::OpsAdmin).await?;
        let first = formats::ops_admin(&versions)?;
        // A temporary hash that cannot be used is ours to fix, whoever asks.
        password::acceptable(first.password_hash.expose_secret())
            .map_err(|_| SecretsError::Malformed(SecretName::OpsAdmin))?;
        let account = if plausible(name) { self.account(name).await? } else { None };
        let fingerprint = fingerprint(&first.password_hash);
        let first_is_meant = bool::from(name.as_bytes().ct_eq(first.username.as_bytes()));
        let replaced = account.as_ref().is_some_and(|account| account.temporary == fingerprint);
        Ok(match account {
            account if first_is_meant && !replaced => {
                Known { account, hash: first.password_hash, temporary: Some(fingerprint), exists: true }
            }
            Some(account) => {
                let hash = SecretString::from(account.password_hash.0.clone());
                Known { account: Some(account), hash, temporary: None, exists: true }
            }
            None => Known { account: None, hash: SecretString::from(password::NOBODY), temporary: None, exists: false },
        })
    }

    async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let mut found = self.store.get_many(&[Key::Account(name.to_owned())]).await?;
        match found.pop() {
            None => Ok(None),
            Some(Record::Access(Access::Account(account))) => Ok(Some(account)),
            Some(_) => Err(StoreError::Corrupt("a row of another kind".to_owned())),
        }
    }
}

/// Whether a name could be that of an account of ours. Names a provider gives have a colon: see `oidc::claims`.
fn plausible(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn fingerprint(hash: &SecretString) -> String {
    hex::encode(Sha256::digest(hash.expose_secret()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::secrets::testing::{FixedSecrets, versions};
    use crate::store::MemoryStore;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Counts up: commit ids and salts differ.
    #[derive(Default)]
    pub struct Counting(AtomicU64);

    impl Random for Counting {
        fn bits(&self) -> u128 {
            u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 8
        }
    }

    /// Operators over an empty store, with this temporary password for `ops` in the secret store.
    pub fn accounts(store: &Arc<MemoryStore>, temporary: &str) -> Operators {
        let hash = password::hash(temporary, 99).unwrap();
        with_hash(store, &hash)
    }

    pub fn with_hash(store: &Arc<MemoryStore>, hash: &str) -> Operators {
        let account = serde_json::json!({ "username": "ops", "passwordHash": hash }).to_string();
        let secrets = Arc::new(FixedSecrets::local().with(versions(SecretName::OpsAdmin, &account, None)));
        let random = Arc::new(Counting::default());
        let tokens = Tokens::new(secrets.clone(), random.clone());
        Operators { store: store.clone(), secrets, tokens, random, tries_per_address: 50 }
    }
}
