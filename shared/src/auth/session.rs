//! A session: the life of one token, known by what its signature covers.
//!
//! Invariant: two tokens that say anything different are two sessions, and no other spelling of a signature makes a
//! second one: ending a session ends every token that could stand for it.

use std::collections::HashMap;

use domain::access::{Access, AccountRole, over};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Caller, Role};
use crate::store::{Key, Record, Store, StoreError};

/// What is known of the token a caller came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    /// Epoch second.
    pub issued_at: i64,
    pub expires_at: Timestamp,
}

/// A token that holds, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub caller: Caller,
    pub session: Session,
}

impl Session {
    /// The session of a token whose signature was checked. None for an end out of range.
    #[must_use]
    pub fn of(token: &str, issued_at: i64, expires_at: i64) -> Option<Session> {
        let (signed, _) = token.rsplit_once('.')?;
        let id = hex::encode(Sha256::digest(signed));
        Some(Session { id, issued_at, expires_at: Timestamp::from_second(expires_at).ok()? })
    }

    /// Adds it to the authorizer's context.
    pub fn add_to(&self, context: &mut Map<String, Value>) {
        context.insert("session".to_owned(), self.id.as_str().into());
        context.insert("sessionFrom".to_owned(), self.issued_at.to_string().into());
        context.insert("sessionUntil".to_owned(), self.expires_at.as_second().to_string().into());
    }

    /// Reads [`Session::add_to`] back.
    #[must_use]
    pub fn from_context(context: &HashMap<String, Value>) -> Option<Session> {
        let text = |name: &str| context.get(name).and_then(Value::as_str);
        let until = text("sessionUntil")?.parse().ok()?;
        Some(Session {
            id: text("session").filter(|id| !id.is_empty())?.to_owned(),
            issued_at: text("sessionFrom")?.parse().ok()?,
            expires_at: Timestamp::from_second(until).ok()?,
        })
    }
}

/// Whether a session was ended, by itself or with all others of its operator: one consistent read.
///
/// # Errors
/// When the store fails: then nobody may be let in.
pub async fn is_over(store: &dyn Store, verified: &Verified) -> Result<bool, StoreError> {
    let Verified { caller, session } = verified;
    let mut keys = vec![Key::EndedSession(session.id.clone())];
    if caller.role.is_operator() {
        keys.push(Key::Account(caller.actor_id().to_owned()));
    }
    let (mut ended, mut account) = (false, None);
    for record in store.get_many(&keys).await? {
        match record {
            Record::Access(Access::Ended(_)) => ended = true,
            Record::Access(Access::Account(row)) => account = Some(row),
            _ => return Err(StoreError::Corrupt("a row of another kind".to_owned())),
        }
    }
    Ok(over(ended, account.as_ref(), account_role(caller.role), session.issued_at))
}

/// The role an account must have for a session's to count. One that waits for a password has none yet.
fn account_role(role: Role) -> Option<AccountRole> {
    match role {
        Role::OpsAdmin => Some(AccountRole::OpsAdmin),
        Role::OpsFinance => Some(AccountRole::OpsFinance),
        Role::OpsViewer => Some(AccountRole::OpsViewer),
        Role::OpsPending | Role::Tenant | Role::Applicant => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_what_was_signed() {
        let of = |token: &str| Session::of(token, 1, 2).unwrap();
        assert_eq!(of("a.b.c").id, of("a.b.another-signature").id);
        assert_ne!(of("a.b.c").id, of("a.x.c").id);
        assert_eq!(Session::of("nothing", 1, 2), None);
        assert_eq!(Session::of("a.b.c", 1, i64::MAX), None);
    }

    #[test]
    fn contexts_round_trip() {
        let session = Session::of("a.b.c", 1_800_000_000, 1_800_003_600).unwrap();
        let mut context = Map::new();
        session.add_to(&mut context);
        let context: HashMap<String, Value> = context.into_iter().collect();
        assert!(context.values().all(Value::is_string));
        assert_eq!(Session::from_context(&context), Some(session));
        assert_eq!(Session::from_context(&HashMap::new()), None);
    }
}
