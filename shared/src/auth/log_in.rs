//! The operators' log-in: password against the stored hash, an audit event, a short token.

use domain::event::{Actor, Fact};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::authorizer::SESSION_COOKIE;
use super::token::{PENDING, SESSION};
use super::{Caller, LogInError, LoggedIn, Minted, Operators, Role};
use crate::ports::Context;

impl Operators {
    /// A session for an operator who logs in from `address` at `now` (wall clock). The event is committed before the token
    /// is handed out. A temporary password opens a session that may only set another one.
    ///
    /// # Errors
    /// [`LogInError`].
    pub async fn log_in(
        &self,
        username: &str,
        password: &SecretString,
        address: &str,
        now: Timestamp,
    ) -> Result<LoggedIn, LogInError> {
        let (standing, claimed) = self.prove(username, password, address, now).await?;
        let (role, lifetime) = match (&standing.account, &standing.temporary) {
            (Some(account), None) => (Role::from(account.role), SESSION),
            (_, Some(_)) | (None, None) => (Role::OpsPending, PENDING),
        };
        // An account that got a new password this second has sessions from the next one on.
        let from = standing.account.as_ref().map_or(now.as_second(), |a| a.sessions_from.max(now.as_second()));
        let begin = Timestamp::from_second(from).map_or(now, |from| from.max(now));
        let minted = self.tokens.mint(&Caller::operator(&standing.name, role), begin, lifetime).await?;
        let context = Context { now, actor: Actor::Operator(standing.name.clone()) };
        let fact = Fact::new("operator.logged_in", format!("operator:{}", standing.name)).with("role", role.as_str());
        self.conclude(&claimed, &context, &[], &fact).await?;
        Ok(LoggedIn { role, minted })
    }
}

/// The session cookie of a token, for pages: it ends with the token.
#[must_use]
pub fn cookie(minted: &Minted, now: Timestamp) -> String {
    let seconds = minted.expires_at.duration_since(now).as_secs().max(0);
    session_cookie(minted.token.expose_secret(), seconds)
}

/// What takes the session cookie out of a browser.
#[must_use]
pub fn no_cookie() -> String {
    session_cookie("", 0)
}

fn session_cookie(value: &str, seconds: i64) -> String {
    format!("{SESSION_COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::operators::tests::{accounts, with_hash};
    use crate::auth::password::tests::hash_as;
    use crate::store::{MemoryStore, Query, Record, Store};
    use crate::telemetry::testing::said;
    use argon2::Algorithm;
    use futures::executor::block_on;
    use std::sync::Arc;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_796_083_200 + second).unwrap()
    }

    fn attempt(accounts: &Operators, username: &str, password: &str, now: Timestamp) -> Result<LoggedIn, LogInError> {
        block_on(accounts.log_in(username, &SecretString::from(password.to_owned()), "192.0.2.1", now))
    }

    fn told(store: &MemoryStore, subject: &str) -> Vec<String> {
        let query = Query::EventsOf { subject: subject.to_owned() };
        let events = block_on(store.query(&query, 100, None)).unwrap().records;
        let kind = |record| if let Record::Event(event) = record { event.kind } else { panic!("no event") };
        events.into_iter().map(kind).collect()
    }

    #[test]
    fn a_temporary_password_opens_a_session_that_sets_another() {
        let store = Arc::new(MemoryStore::default());
        let accounts = accounts(&store, "correct horse");
        let session = attempt(&accounts, "ops", "correct horse", at(0)).ok().unwrap();
        let verified = block_on(accounts.tokens.verify(session.minted.token.expose_secret(), at(0))).unwrap().unwrap();
        assert_eq!(verified.caller, Caller::operator("ops", Role::OpsPending));
        assert_eq!(session.minted.expires_at, at(900));
        assert_eq!(told(&store, "operator:ops"), ["operator.logged_in"]);
        let cookie = cookie(&session.minted, at(0));
        assert!(cookie.starts_with("__Host-session=") && cookie.ends_with("Secure; HttpOnly; SameSite=Strict"));
        assert!(cookie.contains("Max-Age=900;") && no_cookie().contains("__Host-session=; Path=/; Max-Age=0;"));
    }

    #[test]
    fn nobody_else_gets_in_and_nobody_learns_why() {
        let store = Arc::new(MemoryStore::default());
        let accounts = accounts(&store, "correct horse");
        let long = "n".repeat(5_000);
        for (username, password) in [
            ("ops", "wrong"),
            ("root", "correct horse"),
            ("", ""),
            ("OPS", "correct horse"),
            (&long, "x"),
            ("a b", "x"),
        ] {
            let refused = || assert!(matches!(attempt(&accounts, username, password, at(0)), Err(LogInError::Refused)));
            assert_eq!(said(refused), ["LogInsRefused 1"], "{username}");
        }
        assert!(told(&store, "operator:ops").is_empty() && told(&store, "operator:unknown").is_empty());
    }

    #[test]
    fn brute_force_is_locked_told_and_the_same_for_a_name_nobody_has() {
        let store = Arc::new(MemoryStore::default());
        let accounts = accounts(&store, "correct horse");
        for name in ["ops", "root"] {
            for _ in 0..5 {
                assert!(matches!(attempt(&accounts, name, "guess", at(0)), Err(LogInError::Refused)));
            }
            assert!(matches!(attempt(&accounts, name, "correct horse", at(1)), Err(LogInError::Locked(60))), "{name}");
        }
        assert_eq!(told(&store, "operator:ops"), ["operator.locked"]);
        assert_eq!(told(&store, "operator:unknown"), ["operator.locked"], "a name nobody has is not repeated");
        assert!(attempt(&accounts, "ops", "correct horse", at(60)).is_ok());
        assert_eq!(told(&store, "operator:ops").len(), 2);
        for _ in 0..4 {
            assert!(matches!(attempt(&accounts, "ops", "guess", at(61)), Err(LogInError::Refused)), "forgiven");
        }
    }

    #[test]
    fn a_weak_stored_hash_is_a_failure_of_ours_whoever_asks() {
        let store = Arc::new(MemoryStore::default());
        let accounts = with_hash(&store, &hash_as("p", Algorithm::Argon2id, 8_192, 2));
        for name in ["ops", "root"] {
            assert!(matches!(attempt(&accounts, name, "p", at(0)), Err(LogInError::Account(_))));
        }
    }
}
