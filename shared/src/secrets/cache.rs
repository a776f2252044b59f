//! The in-memory cache in front of the secret store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{SecretName, SecretVersions, Secrets, SecretsError};

/// How long a secret is used without asking.
pub const TTL: Duration = Duration::from_secs(300);
/// How soon it may be asked for again after a failure.
pub const RETRY: Duration = Duration::from_secs(30);
/// How often within [`RETRY`] an unknown version makes us ask: keys rotated one after the other must not stop a run, and
/// whoever makes up key ids must not make us flood the source.
pub const ASKS: usize = 3;
/// Calls that found a version unknown side by side ask once.
const TOGETHER: Duration = Duration::from_secs(1);

/// Where secrets come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Both live versions, now.
    async fn fetch(&self, name: SecretName) -> Result<SecretVersions, SecretsError>;
}

/// Monotonic time since some fixed instant. Passed in, so that nothing here reads a clock.
pub type Elapsed = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Secrets with a memory. When the source fails, what was known stays in use: a secret store's bad minute must not
/// stop charging, and a rotated secret's previous version is still accepted.
pub struct CachedSecrets {
    source: Box<dyn Source>,
    elapsed: Elapsed,
    // Held across a fetch, so that concurrent first uses ask once.
    entries: Mutex<HashMap<SecretName, Entry>>,
}

struct Entry {
    versions: Arc<SecretVersions>,
    fetched_at: Duration,
    tried_at: Duration,
    /// When somebody lately asked for a version unknown here. The first [`ASKS`] are never put off, however fresh the rest
    /// is: a key made a moment ago must not stop a run.
    wanted_at: Vec<Duration>,
}

impl Entry {
    /// Whether the last try came to nothing.
    fn failed(&self) -> bool {
        self.tried_at > self.fetched_at
    }
}

impl CachedSecrets {
    #[must_use]
    pub fn new(source: Box<dyn Source>, elapsed: Elapsed) -> CachedSecrets {
        CachedSecrets { source, elapsed, entries: Mutex::new(HashMap::new()) }
    }

    async fn read(&self, name: SecretName, wants_new: bool) -> Result<Arc<SecretVersions>, SecretsError> {
        let mut entries = self.entries.lock().await;
        let now = (self.elapsed)();
        if let Some(entry) = entries.get(&name) {
            let lately = |at: Duration| now.saturating_sub(at) < RETRY;
            let asks = || entry.wanted_at.iter().filter(|at| lately(**at)).count();
            let just_asked = || entry.wanted_at.last().is_some_and(|at| now.saturating_sub(*at) < TOGETHER);
            let enough = match wants_new {
                true => asks() >= ASKS || just_asked() || (entry.failed() && lately(entry.tried_at)),
                false => now.saturating_sub(entry.fetched_at) < TTL || lately(entry.tried_at),
            };
            if enough {
                return Ok(Arc::clone(&entry.versions));
            }
        }
        let mut wanted_at = entries.get(&name).map(|entry| entry.wanted_at.clone()).unwrap_or_default();
        wanted_at.retain(|at| now.saturating_sub(*at) < RETRY);
        if wants_new {
            wanted_at.push(now);
        }
        match (self.source.fetch(name).await, entries.get_mut(&name)) {
            (Ok(versions), _) => {
                let versions = Arc::new(versions);
                let entry = Entry { versions: Arc::clone(&versions), fetched_at: now, tried_at: now, wanted_at };
                entries.insert(name, entry);
                Ok(versions)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "using the secret known so far");
                known.tried_at = now;
                known.wanted_at = wanted_at;
                Ok(Arc::clone(&known.versions))
            }
            (Err(error), None) => Err(error),
        }
    }
}

#[async_trait]
impl Secrets for CachedSecrets {
    async fn get(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        self.read(name, false).await
    }

    async fn refresh(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        self.read(name, true).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretValue;
    use futures::executor::block_on;
    use secrecy::SecretString;
    use std::sync::Mutex as StdMutex;

    #[derive(Clone, Default)]
    struct World {
        seconds: Arc<StdMutex<u64>>,
        fetches: Arc<StdMutex<u32>>,
        down: Arc<StdMutex<bool>>,
    }

    #[async_trait]
    impl Source for World {
        async fn fetch(&self, name: SecretName) -> Result<SecretVersions, SecretsError> {
            let mut fetches = self.fetches.lock().unwrap();
            *fetches += 1;
            if *self.down.lock().unwrap() {
                return Err(SecretsError::Unavailable(name));
            }
            let current = SecretValue { version_id: fetches.to_string(), value: SecretString::from("s".to_owned()) };
            Ok(SecretVersions { name, current, previous: None })
        }
    }

    impl World {
        fn secrets(&self) -> CachedSecrets {
            let seconds = Arc::clone(&self.seconds);
            CachedSecrets::new(Box::new(self.clone()), Arc::new(move || Duration::from_secs(*seconds.lock().unwrap())))
        }

        fn at(&self, second: u64) {
            *self.seconds.lock().unwrap() = second;
        }
    }

    fn version(secrets: &CachedSecrets) -> String {
        block_on(secrets.get(SecretName::Jwt)).unwrap().current.version_id.clone()
    }

    #[test]
    fn asks_once_per_ttl() {
        let world = World::default();
        let secrets = world.secrets();
        assert_eq!((version(&secrets), version(&secrets)), ("1".into(), "1".into()));
        world.at(299);
        assert_eq!(version(&secrets), "1");
        world.at(300);
        assert_eq!(version(&secrets), "2");
    }

    #[test]
    fn refreshes_early_a_few_times_in_half_a_minute() {
        let world = World::default();
        let secrets = world.secrets();
        let refreshed = || block_on(secrets.refresh(SecretName::Jwt)).unwrap().current.version_id.clone();
        assert_eq!(version(&secrets), "1");
        assert_eq!(
            (refreshed(), refreshed()),
            ("2".into(), "2".into()),
            "the first to ask is not put off; asked together"
        );
        world.at(10);
        assert_eq!(refreshed(), "3", "nor is one after the next rotation");
        world.at(20);
        assert_eq!(refreshed(), "4");
        world.at(29);
        assert_eq!((refreshed(), version(&secrets)), ("4".into(), "4".into()), "three times lately");
        world.at(30);
        assert_eq!(refreshed(), "5", "the first was half a minute ago");
        *world.down.lock().unwrap() = true;
        world.at(60);
        assert_eq!(refreshed(), "5");
        world.at(70);
        assert_eq!(refreshed(), "5");
        assert_eq!(*world.fetches.lock().unwrap(), 6, "not hammered");
    }

    #[test]
    fn a_failing_store_does_not_stop_us() {
        let world = World::default();
        let secrets = world.secrets();
        *world.down.lock().unwrap() = true;
        assert!(block_on(secrets.get(SecretName::Jwt)).is_err(), "nothing known yet");
        *world.down.lock().unwrap() = false;
        assert_eq!(version(&secrets), "2");
        *world.down.lock().unwrap() = true;
        world.at(301);
        assert_eq!(version(&secrets), "2", "known so far");
        world.at(320);
        assert_eq!(version(&secrets), "2");
        assert_eq!(*world.fetches.lock().unwrap(), 3, "not hammered");
        *world.down.lock().unwrap() = false;
        world.at(331);
        assert_eq!(version(&secrets), "4");
    }
}
