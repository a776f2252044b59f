//! The store as one process sees it: the memory store behind a network that takes time, loses answers and shows the
//! due index late; and behind the process's version of the code.
//!
//! Every call waits before and often after its effect, so that a process may die or freeze at each of the three points
//! of a call: not made, made but unheard, heard.

use std::sync::Arc;

use async_trait::async_trait;
use domain::subscription::Subscription;
use shared::store::memory::Fault;
use shared::store::{Commit, Key, MemoryStore, Page, Query, Record, Store, StoreError, Write};

use crate::clock::sleep;
use crate::sim::Sim;
use crate::trace::{NOBODY, Who};
use crate::weather::Kind;

pub struct ProcessStore {
    pub sim: Arc<Sim>,
    pub process: u32,
    /// Code of the version before: it calls the current request version the next one, and its own is one lower.
    pub old_code: bool,
}

/// A memory store that takes its faults from the simulation, one call at a time.
#[must_use]
pub fn memory(fault: &Arc<std::sync::Mutex<Option<Fault>>>) -> MemoryStore {
    let store = MemoryStore::new();
    let fault = Arc::clone(fault);
    store.inject(move |_| fault.lock().unwrap().take());
    store
}

impl ProcessStore {
    /// Reads are mostly instant; some take a while.
    async fn travel(&self) {
        if self.sim.rng.below(4) == 0 {
            sleep(self.sim.rng.range(1, 12)).await;
        }
    }

    /// Whether the next call fails, and how.
    fn draw(&self, commit: bool) -> Option<Fault> {
        let sim = &self.sim;
        if sim.weather.lock().unwrap().store_away(sim.now()) {
            return Some(Fault::Unavailable);
        }
        if sim.strikes(Kind::StoreUnavailable, NOBODY) {
            return Some(Fault::Unavailable);
        }
        if commit && sim.strikes(Kind::StoreConflict, NOBODY) {
            return Some(Fault::Conflict);
        }
        (commit && sim.strikes(Kind::StoreAnswerLost, NOBODY)).then_some(Fault::AnswerLost)
    }

    fn strike(&self, commit: bool) -> Option<Fault> {
        let fault = self.draw(commit);
        *self.sim.fault.lock().unwrap() = fault;
        fault
    }

    /// A page of a partition in which the judge's copy of the rows knows nothing due: most are, and asking the store
    /// would only cost time. Some are asked all the same, to keep the copy honest.
    async fn empty(&self, query: &Query) -> Result<Page, StoreError> {
        if self.draw(false).is_some() {
            return Err(StoreError::Unavailable("injected".to_owned()));
        }
        if self.sim.rng.below(64) == 0 {
            let page = self.sim.store.query(query, 1, None).await?;
            if !page.records.is_empty() {
                self.sim.broken("the judge's copy", None, format!("{query:?} is not empty"));
            }
        }
        Ok(Page { records: Vec::new(), damaged: Vec::new(), next: None })
    }

    /// Rows from the copy that was kept when they were committed: decoding them again only costs time. Some are read
    /// from the store all the same, to keep the copy honest.
    async fn copies(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        if self.draw(false).is_some() {
            return Err(StoreError::Unavailable("injected".to_owned()));
        }
        let copies = self.sim.copies(keys);
        if self.sim.rng.below(64) == 0 && self.sim.store.get_many(keys).await? != copies {
            self.sim.broken("the judge's copy", None, format!("{keys:?}: {copies:?}"));
        }
        Ok(copies)
    }

    fn seen(&self, record: Record) -> Record {
        match record {
            Record::Subscription(row) if self.old_code => Record::Subscription(reversioned(row, 1)),
            other => other,
        }
    }

    fn stored(&self, commit: &Commit) -> Commit {
        let translated = |write: &Write| match write {
            Write::Replace(Record::Subscription(row)) => {
                Write::Replace(Record::Subscription(reversioned(row.clone(), -1)))
            }
            Write::New(Record::Subscription(row)) => Write::New(Record::Subscription(reversioned(row.clone(), -1))),
            other => other.clone(),
        };
        Commit {
            id: commit.id.clone(),
            writes: commit.writes.iter().map(translated).collect(),
            events: commit.events.clone(),
        }
    }

    /// What a lagging index leaves out: rows that changed a moment ago. What a lagging replica would show: the row as
    /// it was before that change.
    fn behind(&self, page: Page) -> Page {
        let sim = &self.sim;
        let now = sim.now();
        let mut records = Vec::with_capacity(page.records.len());
        for record in page.records {
            let Record::Subscription(row) = &record else {
                records.push(record);
                continue;
            };
            let recent = sim.recent(&row.id, now);
            match recent {
                Some((who, _)) if sim.strikes(Kind::IndexBehind, who) => {}
                Some((who, Some(older))) if sim.strikes(Kind::RecordBehind, who) => {
                    records.push(Record::Subscription(older));
                }
                Some(_) | None => records.push(record),
            }
        }
        Page { records, ..page }
    }

    fn applied(&self, commit: &Commit) {
        let sim = &self.sim;
        // The subscription last: what it advanced over must be in the books.
        let records = commit.writes.iter().map(|write| match write {
            Write::New(record) | Write::Replace(record) => record,
        });
        records.clone().for_each(|record| sim.copy(record));
        let (rows, others): (Vec<_>, Vec<_>) = records.partition(|r| matches!(r, Record::Subscription(_)));
        for record in others.into_iter().chain(rows) {
            sim.written(self.process, record);
        }
        for event in &commit.events {
            sim.said(self.process, event);
        }
        sim.owed_back(commit);
    }
}

/// Rows whose stored form reads back as what was written; expiring ones are cut to the second.
pub fn copied(key: &Key) -> bool {
    !matches!(key, Key::Idempotency(_) | Key::Inbox(_) | Key::Plan { .. } | Key::Event(_))
}

fn reversioned(row: Subscription, by: i32) -> Subscription {
    let live = row.live.map(|mut live| {
        live.request = u16::try_from(i32::from(live.request) + by).unwrap();
        live
    });
    Subscription { live, ..row }
}

#[async_trait]
impl Store for ProcessStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let mut records = self.get_many(std::slice::from_ref(key)).await?;
        Ok(records.pop())
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.travel().await;
        let records = if keys.iter().all(copied) {
            self.copies(keys).await?
        } else {
            self.strike(false);
            self.sim.store.get_many(keys).await?
        };
        Ok(records.into_iter().map(|record| self.seen(record)).collect())
    }

    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError> {
        let due = matches!(query, Query::SubscriptionsDue { .. });
        if !due {
            self.travel().await;
        }
        if let Query::SubscriptionsDue { partition, until } = query
            && cursor.is_none()
            && self.sim.nothing_due(partition, *until)
        {
            return self.empty(query).await;
        }
        self.strike(false);
        let page = self.sim.store.query(query, limit, cursor).await?;
        if page.records.is_empty() {
            return Ok(page);
        }
        self.travel().await;
        let page = if due { self.behind(page) } else { page };
        Ok(Page { records: page.records.into_iter().map(|record| self.seen(record)).collect(), ..page })
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        sleep(self.sim.rng.range(1, 10)).await;
        let old = self.old_code.then(|| self.stored(commit));
        let commit = old.as_ref().unwrap_or(commit);
        let fault = self.strike(true);
        let result = self.sim.store.commit(commit).await;
        // With an injected loss of the answer, a conflict still comes back as one: anything else was applied.
        let applied = match (&result, fault) {
            (Ok(()), _) | (Err(StoreError::Unavailable(_)), Some(Fault::AnswerLost)) => true,
            (Err(_), _) => false,
        };
        if applied {
            self.applied(commit);
        }
        if let Err(error @ (StoreError::TooLarge | StoreError::Corrupt(_) | StoreError::BadCursor)) = &result {
            self.sim.broken("a storable commit", None::<Who>, format!("{error}"));
        }
        self.travel().await;
        result
    }
}
