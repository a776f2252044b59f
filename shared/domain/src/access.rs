//! Who may log in, how often a password may be tried, and which sessions are over.
//!
//! Invariants: a try is counted before the password is looked at, so tries that run side by side are not free; what is
//! locked is a hash of what was typed, so a name nobody has is locked like one that somebody has; a session is over once
//! it was ended or once its account says that later ones begin; a password's hash never prints itself.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::event::Fact;

/// Characters of a password. Long ones need no other rule.
pub const PASSWORD_MIN: usize = 12;
/// A longer one would only cost time to hash.
pub const PASSWORD_MAX: usize = 128;
/// Characters of an operator's name.
pub const NAME_MAX: usize = 64;
/// Tries after which nothing is held against anybody any more, counted from the last one.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);
/// The longest lock: who is attacked by name can log in between two of the attacker's tries.
const LOCK_MINUTES_MAX: i64 = 60;

/// What is kept about access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Access {
    Account(Account),
    Ended(EndedSession),
    Tries(Tries),
}

impl Access {
    /// The version it was read with; 0 for one never stored.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Access::Account(row) => row.version,
            Access::Ended(row) => row.version,
            Access::Tries(row) => row.version,
        }
    }
}

/// What an operator's account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccountRole {
    OpsAdmin,
    OpsFinance,
    OpsViewer,
}

impl AccountRole {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AccountRole::OpsAdmin => "OPS_ADMIN",
            AccountRole::OpsFinance => "OPS_FINANCE",
            AccountRole::OpsViewer => "OPS_VIEWER",
        }
    }
}

/// An argon2id PHC string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// An operator with a password of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The name they log in with.
    pub id: String,
    pub role: AccountRole,
    pub password_hash: PasswordHash,
    /// Fingerprint of the temporary password it replaced. A temporary password with another one is newer: it counts
    /// instead of the account's own, which is how an operator who forgot theirs gets back in.
    pub temporary: String,
    /// Epoch second. Sessions that began before are over.
    pub sessions_from: i64,
    pub version: u64,
}

impl Account {
    /// After a new password at `now`: every earlier session is over. What begins at [`Account::sessions_from`] goes on.
    #[must_use]
    pub fn with_password(self, hash: PasswordHash, temporary: String, now: Timestamp) -> Account {
        // Later than the last one's, too: a session of a change in the same second is over as well.
        let sessions_from = now.as_second().max(self.sessions_from).saturating_add(1);
        Account { password_hash: hash, temporary, sessions_from, ..self }
    }
}

/// A session that was ended before its time. The row goes when the session would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedSession {
    pub id: String,
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires_at: Timestamp,
    pub version: u64,
}

/// Passwords tried for something: a name, an address, or both together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tries {
    /// A hash: what was typed may be a password in the wrong field.
    pub id: String,
    pub failures: u32,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub locked_until: Option<Timestamp>,
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires_at: Timestamp,
    pub version: u64,
}

impl Tries {
    /// Of something nobody tried yet.
    #[must_use]
    pub fn none(id: String) -> Tries {
        Tries { id, failures: 0, locked_until: None, expires_at: Timestamp::UNIX_EPOCH, version: 0 }
    }

    /// Until when nothing may be tried; none when it may be now.
    #[must_use]
    pub fn locked(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.filter(|until| *until > now)
    }

    /// With one more, before it is known whether it is right. From the `free`-th on the next one has to wait: a minute,
    /// then twice as long each time, up to an hour.
    #[must_use]
    pub fn claimed(self, free: u32, now: Timestamp) -> Tries {
        let before = if self.expires_at > now { self.failures } else { 0 };
        let failures = before.saturating_add(1);
        let expires_at = now.saturating_add(FORGOTTEN).unwrap_or(Timestamp::MAX);
        let locked_until = failures.checked_sub(free).map(|over| {
            let minutes = 1_i64.checked_shl(over.min(6)).unwrap_or(LOCK_MINUTES_MAX).min(LOCK_MINUTES_MAX);
            now.saturating_add(SignedDuration::from_mins(minutes)).unwrap_or(Timestamp::MAX)
        });
        Tries { failures, locked_until, expires_at, ..self }
    }

    /// The claimed one was right and does not count. What others tried still does.
    #[must_use]
    pub fn taken_back(self, free: u32) -> Tries {
        let failures = self.failures.saturating_sub(1);
        let locked_until = self.locked_until.filter(|_| failures >= free);
        Tries { failures, locked_until, ..self }
    }

    /// Nothing counts any more.
    #[must_use]
    pub fn forgiven(self) -> Tries {
        Tries { failures: 0, locked_until: None, ..self }
    }
}

/// What the audit log says of a lock. `name` is that of an account; a name nobody has is not repeated.
#[must_use]
pub fn locked_fact(name: Option<&str>, failures: u32, until: Timestamp) -> Fact {
    let subject = name.map_or_else(|| "operator:unknown".to_owned(), |name| format!("operator:{name}"));
    Fact::new("operator.locked", subject).with("failures", failures).with("until", until.to_string())
}

/// Why a new password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    /// Not [`PASSWORD_MIN`] to [`PASSWORD_MAX`] characters.
    Length,
    /// The operator's name is in it.
    Name,
    /// It is the one it should replace.
    Same,
    /// Fewer than five different characters.
    Monotonous,
}

/// Whether a new password will do.
///
/// # Errors
/// [`Weak`], the first reason.
pub fn strong_enough(name: &str, current: &str, new: &str) -> Result<(), Weak> {
    let different: std::collections::BTreeSet<char> = new.chars().collect();
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&new.chars().count()) {
        Err(Weak::Length)
    } else if new == current {
        Err(Weak::Same)
    } else if !name.is_empty() && new.to_lowercase().contains(&name.to_lowercase()) {
        Err(Weak::Name)
    } else if different.len() < 5 {
        Err(Weak::Monotonous)
    } else {
        Ok(())
    }
}

/// Whether a session that began at `issued_at` (epoch second) under `role` is over. `account` is the operator's; operators
/// that somebody else vouches for, tenants and applicants have none.
#[must_use]
pub fn over(ended: bool, account: Option<&Account>, role: Option<AccountRole>, issued_at: i64) -> bool {
    let stale = account
        .is_some_and(|account| issued_at < account.sessions_from || role.is_some_and(|role| role != account.role));
    ended || stale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    fn tried(times: u32, now: Timestamp) -> Tries {
        (0..times).fold(Tries::none("x".to_owned()), |tries, _| tries.claimed(5, now))
    }

    #[test]
    fn the_fifth_try_locks_and_each_further_one_twice_as_long() {
        assert_eq!(tried(4, at(0)).locked(at(0)), None);
        let mut tries = tried(5, at(0));
        let mut now = at(0);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(tries.locked(now), Some(now + SignedDuration::from_mins(minutes)));
            now += SignedDuration::from_mins(minutes);
            assert_eq!(tries.locked(now), None, "it ends");
            tries = tries.claimed(5, now);
        }
    }

    #[test]
    fn a_day_without_a_try_forgets_and_a_right_one_forgives() {
        let tries = tried(30, at(0));
        assert_eq!(tries.clone().claimed(5, at(24 * 60 - 1)).failures, 31);
        assert_eq!(tries.clone().claimed(5, at(24 * 60)).failures, 1);
        let forgiven = tries.forgiven();
        assert_eq!((forgiven.failures, forgiven.locked(at(0))), (0, None));
    }

    #[test]
    fn a_right_try_takes_back_itself_and_nothing_else() {
        let one = tried(5, at(0)).taken_back(5);
        assert_eq!((one.failures, one.locked(at(0))), (4, None), "it was free");
        let attacked = tried(9, at(0));
        let after = attacked.clone().taken_back(5);
        assert_eq!((after.failures, after.locked_until), (8, attacked.locked_until), "the attack goes on");
    }

    #[test]
    fn passwords_are_long_and_their_own() {
        let new = |password: &str| strong_enough("ops", "old password here", password);
        assert_eq!(new("a long enough one"), Ok(()));
        assert_eq!(new("비밀번호는열두글자이상으로"), Ok(()));
        assert_eq!(new("short"), Err(Weak::Length));
        assert_eq!(new(&"abcde fgh ".repeat(13)), Err(Weak::Length));
        assert_eq!(new("old password here"), Err(Weak::Same));
        assert_eq!(new("my OpS password"), Err(Weak::Name));
        assert_eq!(new("aaaaaaaaaaaaaaab"), Err(Weak::Monotonous));
    }

    #[test]
    fn sessions_end_by_themselves_by_a_new_password_and_by_another_role() {
        let hash = || PasswordHash("phc".to_owned());
        let id = "ops".to_owned();
        let role = AccountRole::OpsAdmin;
        let account =
            Account { id, role, password_hash: hash(), temporary: String::new(), sessions_from: 0, version: 1 };
        let changed = account.with_password(hash(), "t".to_owned(), at(0));
        let second = at(0).as_second();
        let over = |issued, role| over(false, Some(&changed), role, issued);
        assert!(over(second, None), "one that began in the same second is older, too");
        assert!(!over(second + 1, None) && !over(second + 1, Some(role)));
        assert!(over(second + 1, Some(AccountRole::OpsFinance)));
        assert!(super::over(true, None, None, second) && !super::over(false, None, Some(role), second));
    }

    #[test]
    fn a_hash_does_not_print_itself() {
        assert_eq!(format!("{:?}", PasswordHash("secret".to_owned())), "PasswordHash(..)");
    }
}
