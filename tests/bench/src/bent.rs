//! A store as the bench wants it: with a latency where the real one has some, noting when charges were settled, and
//! spoiled on request to show that a gate fires.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::cycle::State;
use shared::store::{Commit, Key, Page, Query, Record, Store, StoreError, Write};
use tokio::time::Instant;

/// Set to spoil the subject of every row: more requests, more processor time, more memory, slower hand-ons.
pub const SPOIL: &str = "BENCH_SLOW";

/// Latencies of a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    pub call: Duration,
    pub transaction: Duration,
}

pub struct Bent {
    inner: Arc<dyn Store>,
    lag: Lag,
    spoiled: bool,
    hoard: Mutex<Vec<Vec<u8>>>,
    settled: AtomicU64,
    last: Mutex<Option<Instant>>,
}

/// Whether this program is asked to be bad.
pub fn spoiled() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the bench's own switch")]
    std::env::var(SPOIL).is_ok_and(|value| value == "1")
}

/// Burns processor time.
pub fn burn(time: Duration) {
    let began = std::time::Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

impl Bent {
    pub fn new(inner: Arc<dyn Store>, lag: Lag) -> Arc<Bent> {
        let (hoard, settled, last) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        Arc::new(Bent { inner, lag, spoiled: spoiled(), hoard, settled, last })
    }

    /// Charges settled: commits that pay a cycle.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    pub fn settled_at(&self) -> Option<Instant> {
        *self.last.lock().expect("whole")
    }

    async fn lags(&self, time: Duration) {
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    async fn spoil(&self, commit: &Commit) -> Result<(), StoreError> {
        burn(Duration::from_millis(1));
        self.hoard.lock().expect("whole").push(vec![1; 4096]);
        for write in &commit.writes {
            let (Write::New(record) | Write::Replace(record)) = write;
            if matches!(record, Record::Subscription(_)) {
                self.inner.get(&record.key()).await?;
            }
            if matches!(record, Record::Control(_)) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Bent {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.lags(self.lag.call).await;
        self.inner.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.lags(self.lag.call).await;
        self.inner.get_many(keys).await
    }

    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError> {
        // An index is queried, then the rows behind it are read.
        self.lags(self.lag.call * 2).await;
        self.inner.query(query, limit, cursor).await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let single = commit.writes.len() + commit.events.len() < 2;
        self.lags(if single { self.lag.call } else { self.lag.transaction }).await;
        if self.spoiled {
            self.spoil(commit).await?;
        }
        self.inner.commit(commit).await?;
        let pays = |write: &Write| match write {
            Write::New(Record::Cycle(cycle)) | Write::Replace(Record::Cycle(cycle)) => {
                matches!(cycle.state, State::Paid(_))
            }
            _ => false,
        };
        if commit.writes.iter().any(pays) {
            self.settled.fetch_add(1, Ordering::Relaxed);
            *self.last.lock().expect("whole") = Some(Instant::now());
        }
        Ok(())
    }
}
