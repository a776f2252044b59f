//! Counting tries of passwords: for the name, for the address, and for both together.
//!
//! One address that tries one name is locked soon; a name tried from everywhere and an address that tries every name are
//! locked later, because they may be many honest people. What is asked while something is locked is not looked at and
//! does not count.

use domain::access::{Access, Tries, locked_fact};
use domain::event::Fact;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::store::{Commit, Key, Record, Store, StoreError, Write};
use crate::usecase::RACES;

/// Free tries of one name from one address.
const PAIR_FREE: u32 = 5;
/// Free tries of one name from anywhere.
const NAME_FREE: u32 = 50;

/// Tries that were counted before the password was looked at.
pub(super) struct Claimed {
    /// The pair's, the name's and the address's.
    counters: [Tries; 3],
    address_free: u32,
}

/// Who tries what, and how often an address may.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub name: &'a str,
    pub address: &'a str,
    /// Free tries of anything from one address.
    pub address_free: u32,
    /// Wall clock.
    pub now: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    #[error("locked until {0}")]
    Locked(Timestamp),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Each counter with its free tries.
fn with_free(counters: [Tries; 3], address_free: u32) -> [(Tries, u32); 3] {
    let [pair, name, address] = counters;
    [(pair, PAIR_FREE), (name, NAME_FREE), (address, address_free)]
}

fn ids(name: &str, address: &str) -> [String; 3] {
    // A length before each part: no name and address read like another pair.
    let hash = |what: &str, parts: &[&str]| {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        format!("{what}:{}", hex::encode(digest.finalize()))
    };
    [hash("pair", &[name, address]), hash("name", &[name]), hash("address", &[address])]
}

fn write(tries: &Tries) -> Write {
    let record = Record::Access(Access::Tries(tries.clone()));
    if tries.version == 0 { Write::New(record) } else { Write::Replace(record) }
}

async fn load(store: &dyn Store, ids: [String; 3]) -> Result<[Tries; 3], StoreError> {
    let keys: Vec<Key> = ids.iter().cloned().map(Key::Tries).collect();
    let mut counters = ids.map(Tries::none);
    for record in store.get_many(&keys).await? {
        let Record::Access(Access::Tries(row)) = record else {
            return Err(StoreError::Corrupt("a row of another kind".to_owned()));
        };
        if let Some(counter) = counters.iter_mut().find(|counter| counter.id == row.id) {
            *counter = row;
        }
    }
    Ok(counters)
}

/// Counts a try. `id` makes commit ids.
///
/// # Errors
/// [`ClaimError::Locked`] when one of the counters is locked, and when races persist: many at once look like an attack.
pub(super) async fn claim(store: &dyn Store, id: impl Fn() -> String, asked: Asked<'_>) -> Result<Claimed, ClaimError> {
    let Asked { name, address, address_free, now } = asked;
    let ids = ids(name, address);
    for _ in 0..RACES {
        let counters = load(store, ids.clone()).await?;
        if let Some(until) = counters.iter().filter_map(|counter| counter.locked(now)).max() {
            return Err(ClaimError::Locked(until));
        }
        let claimed = with_free(counters, address_free).map(|(counter, free)| counter.claimed(free, now));
        let writes = claimed.iter().map(write).collect();
        match store.commit(&Commit { id: id(), writes, events: Vec::new() }).await {
            Ok(()) => return Ok(Claimed { counters: claimed, address_free }),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ClaimError::Locked(now.saturating_add(jiff::SignedDuration::from_secs(1)).unwrap_or(now)))
}

impl Claimed {
    /// What the audit log says of a wrong try: nothing until it locked something. `account` is the name when there is one.
    pub(super) fn wrong(&self, account: Option<&str>, now: Timestamp) -> Option<Fact> {
        let locked = self.counters.iter().filter_map(|c| c.locked(now).map(|until| (until, c.failures))).max()?;
        Some(locked_fact(account, locked.1, locked.0))
    }

    /// The writes of a right try, on the counters as they are now: the pair is forgiven, the wide ones take this one back.
    /// A commit with them that loses a race is made again.
    pub(super) async fn right(&self, store: &dyn Store) -> Result<Vec<Write>, StoreError> {
        let now = load(store, self.counters.clone().map(|counter| counter.id)).await?;
        let [(pair, _), (name, name_free), (address, address_free)] = with_free(now, self.address_free);
        let settled = [pair.forgiven(), name.taken_back(name_free), address.taken_back(address_free)];
        Ok(settled.iter().map(write).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use futures::executor::block_on;
    use jiff::SignedDuration;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn id() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("commit-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn tried(store: &MemoryStore, name: &str, address: &str, second: i64) -> Result<Claimed, Timestamp> {
        let asked = Asked { name, address, address_free: 50, now: at(second) };
        block_on(claim(store, id, asked)).map_err(|error| match error {
            ClaimError::Locked(until) => until,
            ClaimError::Store(error) => panic!("{error}"),
        })
    }

    #[test]
    fn five_wrong_ones_lock_the_pair_and_nobody_else() {
        let store = MemoryStore::default();
        for n in 0..5 {
            let claimed = tried(&store, "ops", "10.0.0.1", n).ok().unwrap();
            assert_eq!(claimed.wrong(Some("ops"), at(n)).is_some(), n == 4);
        }
        assert_eq!(tried(&store, "ops", "10.0.0.1", 5).err(), Some(at(64)));
        assert!(tried(&store, "ops", "10.0.0.2", 5).is_ok(), "the operator is elsewhere");
        assert!(tried(&store, "finn", "10.0.0.1", 5).is_ok(), "a colleague in the same office");
        assert!(tried(&store, "ops", "10.0.0.1", 64).is_ok(), "it ends");
        assert_eq!(tried(&store, "ops", "10.0.0.1", 65).err(), Some(at(64) + SignedDuration::from_mins(2)));
    }

    #[test]
    fn a_name_tried_from_everywhere_and_an_address_that_tries_every_name_are_locked() {
        let store = MemoryStore::default();
        for n in 0..50 {
            assert!(tried(&store, "ops", &format!("10.0.1.{n}"), 0).is_ok());
            assert!(tried(&store, &format!("name-{n}"), "10.9.9.9", 0).is_ok());
        }
        assert!(tried(&store, "ops", "10.0.2.1", 0).is_err());
        assert!(tried(&store, "another", "10.9.9.9", 0).is_err());
        assert!(tried(&store, "another", "10.0.2.1", 0).is_ok());
    }

    #[test]
    fn a_right_one_forgives_the_pair() {
        let store = MemoryStore::default();
        for round in 0..20 {
            for n in 0..3 {
                tried(&store, "ops", "10.0.0.1", round * 10 + n).ok().unwrap();
            }
            let claimed = tried(&store, "ops", "10.0.0.1", round * 10 + 3).ok().unwrap();
            let writes = block_on(claimed.right(&store)).unwrap();
            // The name's and the address's counters keep the wrong ones: at 50 they wait like anybody's.
            block_on(store.commit(&Commit { id: id(), writes, events: Vec::new() })).unwrap();
            if (round + 1) * 3 >= 47 {
                break;
            }
        }
        assert!(tried(&store, "ops", "10.0.0.1", 1_000).is_ok());
    }

    #[test]
    fn what_was_typed_is_not_kept() {
        let text = ids("correct horse", "192.0.2.77").join(" ");
        assert!(!text.contains("horse") && !text.contains("192.0"), "{text}");
        assert_ne!(ids("ab", "c")[0], ids("a", "bc")[0]);
    }
}
