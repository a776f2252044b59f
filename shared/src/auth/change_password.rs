//! A new password for an operator: the current one proves who asks, every other session ends, and this one goes on.

use domain::access::{Access, Account, AccountRole, PasswordHash, Weak, strong_enough};
use domain::event::{Actor, Fact};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::token::SESSION;
use super::{Caller, LogInError, LoggedIn, Operators, Role, password};
use crate::ports::Context;
use crate::secrets::{SecretName, SecretsError};
use crate::store::{Record, Write};

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the new password is not taken: {0:?}")]
    Weak(Weak),
    #[error(transparent)]
    LogIn(#[from] LogInError),
}

/// What is to be changed. No `Debug`: it carries passwords.
pub struct Change {
    pub current: SecretString,
    pub new: SecretString,
}

impl Operators {
    /// Gives the operator `name` a new password at `now` (wall clock), asked for from `address`, and a session with it.
    /// Whoever came with the temporary password becomes the account it was for.
    ///
    /// # Errors
    /// [`ChangeError`]; a wrong current password counts as a try to log in.
    pub async fn change_password(
        &self,
        name: &str,
        change: &Change,
        address: &str,
        now: Timestamp,
    ) -> Result<LoggedIn, ChangeError> {
        let (current, new) = (change.current.expose_secret(), change.new.expose_secret());
        strong_enough(name, current, new).map_err(ChangeError::Weak)?;
        let (standing, claimed) = self.prove(name, &change.current, address, now).await?;
        let hash = password::hash(new, self.random.bits());
        let hash = hash.map_err(|_| LogInError::from(SecretsError::Malformed(SecretName::OpsAdmin)))?;
        let before = standing.account.unwrap_or_else(|| first(name));
        let temporary = standing.temporary.unwrap_or_else(|| before.temporary.clone());
        let account = before.with_password(PasswordHash(hash), temporary, now);
        let (role, from) = (Role::from(account.role), account.sessions_from);
        let record = Record::Access(Access::Account(account.clone()));
        let write = if account.version == 0 { Write::New(record) } else { Write::Replace(record) };
        let context = Context { now, actor: Actor::Operator(name.to_owned()) };
        let fact = Fact::new("operator.password_changed", format!("operator:{name}")).with("role", role.as_str());
        self.conclude(&claimed, &context, &[write], &fact).await.map_err(LogInError::from)?;
        let begin = Timestamp::from_second(from).unwrap_or(now + SignedDuration::from_secs(1));
        let minted = self.tokens.mint(&Caller::operator(name, role), begin, SESSION).await.map_err(LogInError::from)?;
        Ok(LoggedIn { role, minted })
    }
}

/// The account the temporary password is for.
fn first(name: &str) -> Account {
    Account {
        id: name.to_owned(),
        role: AccountRole::OpsAdmin,
        password_hash: PasswordHash(String::new()),
        temporary: String::new(),
        sessions_from: 0,
        version: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::operators::tests::accounts;
    use crate::auth::session::is_over;
    use crate::store::{MemoryStore, Store};
    use futures::executor::block_on;
    use std::sync::Arc;

    const OWN: &str = "a password of my own";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_796_083_200 + second).unwrap()
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn log_in(accounts: &Operators, password: &str, second: i64) -> Result<LoggedIn, LogInError> {
        block_on(accounts.log_in("ops", &secret(password), "192.0.2.1", at(second)))
    }

    fn change(accounts: &Operators, current: &str, new: &str, second: i64) -> Result<LoggedIn, ChangeError> {
        let change = Change { current: secret(current), new: secret(new) };
        block_on(accounts.change_password("ops", &change, "192.0.2.1", at(second)))
    }

    fn over(accounts: &Operators, session: &LoggedIn, second: i64) -> bool {
        let token = session.minted.token.expose_secret();
        let verified = block_on(accounts.tokens.verify(token, at(second))).unwrap().unwrap();
        block_on(is_over(accounts.store.as_ref(), &verified)).unwrap()
    }

    #[test]
    fn the_first_password_of_their_own_makes_an_operator_of_them() {
        let store = Arc::new(MemoryStore::default());
        let accounts = accounts(&store, "temporary one");
        let pending = log_in(&accounts, "temporary one", 0).ok().unwrap();
        assert!(!over(&accounts, &pending, 1));
        let session = change(&accounts, "temporary one", OWN, 1).ok().unwrap();
        assert_eq!(session.role, Role::OpsAdmin);
        assert!(over(&accounts, &pending, 2), "the session that only sets a password is over");
        assert!(!over(&accounts, &session, 1));
        assert!(matches!(log_in(&accounts, "temporary one", 3), Err(LogInError::Refused)), "it is used up");
        let again = log_in(&accounts, OWN, 4).ok().unwrap();
        assert!(again.role == Role::OpsAdmin && !over(&accounts, &again, 4));
    }

    #[test]
    fn every_other_session_ends() {
        let store = Arc::new(MemoryStore::default());
        let accounts = accounts(&store, "temporary one");
        change(&accounts, "temporary one", OWN, 0).ok().unwrap();
        let stolen = log_in(&accounts, OWN, 10).ok().unwrap();
        let mine = change(&accounts, OWN, "another one of my own", 10).ok().unwrap();
        assert!(over(&accounts, &stolen, 11), "even one that began in the same second");
        assert!(!over(&accounts, &mine, 11));
        let next = log_in(&accounts, "another one of my own", 10).ok().unwrap();
        assert!(!over(&accounts, &next, 11), "even one that begins in the same second");
        let last = change(&accounts, "another one of my own", OWN, 10).ok().unwrap();
        assert!(over(&accounts, &mine, 12) && over(&accounts, &next, 12), "two changes in one second");
        assert!(!over(&accounts, &last, 12));
    }

    #[test]
    fn a_new_temporary_password_brings_back_who_forgot_theirs() {
        let store = Arc::new(MemoryStore::default());
        let before = accounts(&store, "temporary one");
        change(&before, "temporary one", OWN, 0).ok().unwrap();
        let after = accounts(&store, "temporary two");
        assert!(matches!(log_in(&after, OWN, 5), Err(LogInError::Refused)), "it counts instead of the forgotten one");
        assert_eq!(log_in(&after, "temporary two", 6).ok().unwrap().role, Role::OpsPending);
        change(&after, "temporary two", OWN, 7).ok().unwrap();
        assert_eq!(log_in(&after, OWN, 8).ok().unwrap().role, Role::OpsAdmin);
        assert_eq!(log_in(&after, OWN, 9).ok().unwrap().role, Role::OpsAdmin, "the row was replaced, not doubled");
    }

    #[test]
    fn guessing_the_current_one_is_guessing() {
        let store = Arc::new(MemoryStore::default());
        let accounts = accounts(&store, "temporary one");
        assert!(matches!(change(&accounts, "temporary one", "short", 0), Err(ChangeError::Weak(Weak::Length))));
        for _ in 0..5 {
            let refused = change(&accounts, "a guess", OWN, 0);
            assert!(matches!(refused, Err(ChangeError::LogIn(LogInError::Refused))));
        }
        let locked = change(&accounts, "temporary one", OWN, 1);
        assert!(matches!(locked, Err(ChangeError::LogIn(LogInError::Locked(_)))));
        let rows = block_on(store.get_many(&[crate::store::Key::Account("ops".to_owned())])).unwrap();
        assert!(rows.is_empty(), "nothing was changed");
    }
}
