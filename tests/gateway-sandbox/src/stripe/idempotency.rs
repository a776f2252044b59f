//! Stripe's idempotency keys (v1): the first answer of a key is the answer, for 24 hours of the sandbox's clock.
//!
//! Invariants: at most one request runs under a key; a key answers only to the parameters and endpoint it was first used
//! with; a request that never began to execute leaves no trace; a running request is never persisted.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};

/// Seconds a key is remembered.
const RETENTION: i64 = 24 * 60 * 60;
/// Longest key, in characters.
pub const LONGEST: usize = 255;

/// The first answer of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// HTTP status.
    pub status: u16,
    /// The body, byte for byte.
    pub body: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    fingerprint: String,
    original: String,
    created: i64,
    answer: Option<Kept>,
}

/// What a key says about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody used it: run, then [`Keys::finish`] or [`Keys::release`].
    Fresh,
    /// The stored answer, and the id of the request that first ran.
    Replay(Kept, String),
    /// The first request still runs.
    InUse,
    /// Used for something else.
    Mismatch,
}

/// All keys of the account.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Keys {
    #[serde(serialize_with = "finished")]
    entries: HashMap<String, Entry>,
    order: VecDeque<(i64, String)>,
}

fn finished<S: serde::Serializer>(entries: &HashMap<String, Entry>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().filter(|(_, entry)| entry.answer.is_some()))
}

impl Keys {
    /// Claims `key` for the request with this fingerprint. `now` is in Unix seconds by the sandbox's clock.
    pub fn claim(&mut self, key: &str, fingerprint: &str, request_id: &str, now: i64) -> Claim {
        self.prune(now);
        match self.entries.get(key) {
            Some(entry) if entry.fingerprint != fingerprint => Claim::Mismatch,
            Some(Entry { answer: Some(kept), original, .. }) => Claim::Replay(kept.clone(), original.clone()),
            Some(_) => Claim::InUse,
            None => {
                let entry = Entry {
                    fingerprint: fingerprint.to_owned(),
                    original: request_id.to_owned(),
                    created: now,
                    answer: None,
                };
                self.entries.insert(key.to_owned(), entry);
                self.order.push_back((now, key.to_owned()));
                Claim::Fresh
            }
        }
    }

    /// Keeps the answer of the running request.
    pub fn finish(&mut self, key: &str, kept: Kept) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.answer = Some(kept);
        }
    }

    /// Forgets a request that was refused before it began to execute.
    pub fn release(&mut self, key: &str) {
        self.entries.remove(key);
    }

    fn prune(&mut self, now: i64) {
        while self.order.front().is_some_and(|(created, _)| now - created >= RETENTION) {
            let Some((created, key)) = self.order.pop_front() else { return };
            // A released key may have been claimed again since: that later claim has its own place in the order.
            let settled = |entry: &Entry| entry.created == created && entry.answer.is_some();
            if self.entries.get(&key).is_some_and(settled) {
                self.entries.remove(&key);
            }
        }
    }
}

/// What makes two requests the same: endpoint and parameters, in any order.
pub fn fingerprint(path: &str, mut parameters: Vec<(String, String)>) -> String {
    parameters.sort();
    let mut hash = Sha256::new();
    hash.update(path);
    for (name, value) in parameters {
        for text in [name, value] {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(body: &str) -> Kept {
        Kept { status: 402, body: body.to_owned() }
    }

    #[test]
    fn a_key_runs_once_replays_and_refuses_other_parameters() {
        let mut keys = Keys::default();
        assert_eq!(keys.claim("k", "a", "req_1", 0), Claim::Fresh);
        assert_eq!(keys.claim("k", "a", "req_2", 1), Claim::InUse);
        assert_eq!(keys.claim("k", "b", "req_2", 1), Claim::Mismatch);
        keys.finish("k", kept("x"));
        assert_eq!(keys.claim("k", "a", "req_3", 2), Claim::Replay(kept("x"), "req_1".to_owned()));
    }

    #[test]
    fn a_released_key_is_as_new_and_an_old_one_is_forgotten_after_a_day() {
        let mut keys = Keys::default();
        keys.claim("k", "a", "req_1", 0);
        keys.release("k");
        assert_eq!(keys.claim("k", "b", "req_2", 10), Claim::Fresh);
        keys.finish("k", kept("y"));
        // The first claim's place in the order is a day old here; the second claim is not.
        assert_eq!(keys.claim("k", "b", "req_3", RETENTION), Claim::Replay(kept("y"), "req_2".to_owned()));
        assert_eq!(keys.claim("k", "c", "req_4", RETENTION + 10), Claim::Fresh);
    }

    #[test]
    fn running_requests_are_not_saved() {
        let mut keys = Keys::default();
        keys.claim("running", "a", "req_1", 0);
        keys.claim("done", "a", "req_2", 0);
        keys.finish("done", kept("z"));
        let saved = serde_json::to_string(&keys).unwrap();
        let mut loaded: Keys = serde_json::from_str(&saved).unwrap();
        assert_eq!(loaded.claim("running", "a", "req_3", 1), Claim::Fresh);
        assert_eq!(loaded.claim("done", "a", "req_3", 1), Claim::Replay(kept("z"), "req_2".to_owned()));
    }

    #[test]
    fn the_order_of_parameters_does_not_matter_but_their_borders_do() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let one = fingerprint("/v1/x", vec![pair("a", "1"), pair("b", "2")]);
        assert_eq!(one, fingerprint("/v1/x", vec![pair("b", "2"), pair("a", "1")]));
        assert_ne!(one, fingerprint("/v1/y", vec![pair("a", "1"), pair("b", "2")]));
        assert_ne!(fingerprint("", vec![pair("ab", "c")]), fingerprint("", vec![pair("a", "bc")]));
    }
}
