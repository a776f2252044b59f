//! The store in memory: for tests, simulation and model checking. Deterministic; same items, conditions and limits as
//! DynamoDB, plus faults on demand. Its indexes are never stale, which is one of the behaviours the real ones have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::prepare::{Put, prepare};
use super::rows::{self, Item, VERSION, WRITTEN_BY};
use super::schema::{Index, RowKey, Table};
use super::selection::{PAGE_MAX, Position, Selection, Sort};
use super::{Commit, Key, Page, Query, Record, Store, StoreError};

/// A call about to be made, for deciding on a [`Fault`].
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    Get(&'a Key),
    GetMany(&'a [Key]),
    Query(&'a Query),
    Commit(&'a Commit),
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A commit loses a race; nothing is written. A read is as for [`Fault::Unavailable`].
    Conflict,
    /// Nothing happens and the caller hears so.
    Unavailable,
    /// It happens, and the caller hears [`StoreError::Unavailable`].
    AnswerLost,
}

type Faults = Arc<dyn Fn(Call<'_>) -> Option<Fault> + Send + Sync>;

/// Clones share the rows.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<RowKey, Item>,
    entries: BTreeSet<Entry>,
    faults: Option<Faults>,
}

/// One row in one index; ordered as the index is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    table: Table,
    index: Index,
    pk: String,
    sort: Sort,
    /// None only in bounds.
    row: Option<RowKey>,
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Asks `faults` before every call from now on.
    pub fn inject(&self, faults: impl Fn(Call<'_>) -> Option<Fault> + Send + Sync + 'static) {
        self.lock().faults = Some(Arc::new(faults));
    }

    /// No more faults.
    pub fn heal(&self) {
        self.lock().faults = None;
    }

    /// Every row as stored, by table name and key: equal dumps mean that nothing changed.
    #[must_use]
    pub fn dump(&self) -> Vec<(&'static str, Item)> {
        self.lock().rows.iter().map(|(key, item)| (key.table.name(), item.clone())).collect()
    }

    /// Puts an item as it is, unchecked: for tests of rows written by older versions and of damaged ones.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the item lacks the table's keys.
    pub fn put_raw(&self, table: Table, item: Item) -> Result<(), StoreError> {
        let row = rows::key_of(table, &item).ok_or_else(|| StoreError::Corrupt("no key".to_owned()))?;
        self.lock().put(row, item);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hook runs outside the lock, so that it may use the store.
    fn fault(&self, call: Call<'_>) -> Option<Fault> {
        let faults = self.lock().faults.clone();
        faults.and_then(|faults| faults(call))
    }

    fn readable(&self, call: Call<'_>) -> Result<(), StoreError> {
        if self.fault(call).is_some() { Err(injected()) } else { Ok(()) }
    }
}

impl State {
    fn put(&mut self, row: RowKey, item: Item) {
        if let Some(old) = self.rows.get(&row) {
            for entry in entries(&row, old) {
                self.entries.remove(&entry);
            }
        }
        self.entries.extend(entries(&row, &item));
        self.rows.insert(row, item);
    }

    fn apply(&mut self, commit: &str, puts: Vec<Put>) -> Result<(), StoreError> {
        let mut failed = None;
        for put in &puts {
            let stored = self.rows.get(&put.row);
            if stored.and_then(|item| item.get(VERSION)).and_then(Value::as_u64) == put.expected {
                continue;
            }
            if stored.and_then(|item| item.get(WRITTEN_BY)).and_then(Value::as_str) == Some(commit) {
                return Ok(());
            }
            failed = failed.or_else(|| Some(put.key.clone()));
        }
        if failed.is_some() {
            return Err(StoreError::Conflict { key: failed });
        }
        for put in puts {
            self.put(put.row, put.item);
        }
        Ok(())
    }

    /// Rows of a selection after a position, in order; `max` of them at most.
    fn select(&self, selection: &Selection, after: Option<&Position>, max: usize) -> Vec<&Item> {
        let keys: Vec<&RowKey> = match selection.index {
            Some(index) => self.select_entries(selection, index, after, max),
            None => self.select_rows(selection, after, max),
        };
        keys.into_iter().filter_map(|key| self.rows.get(key)).collect()
    }

    fn select_rows(&self, selection: &Selection, after: Option<&Position>, max: usize) -> Vec<&RowKey> {
        let bound = |pk: String| RowKey { table: selection.table, pk, sk: None };
        let after = after.map(|position| position.row.clone());
        let high = match &selection.below {
            Some(below) => RowKey { sk: Some(below.clone()), ..bound(selection.pk.clone()) },
            None => bound(following(&selection.pk)),
        };
        let range = range(selection, bound(selection.pk.clone()), high, after);
        let rows = self.rows.range(range).map(|(key, _)| key);
        if selection.newest_first { rows.rev().take(max).collect() } else { rows.take(max).collect() }
    }

    fn select_entries(
        &self,
        selection: &Selection,
        index: Index,
        after: Option<&Position>,
        max: usize,
    ) -> Vec<&RowKey> {
        let entry =
            |pk: String, sort: Sort, row: Option<RowKey>| Entry { table: selection.table, index, pk, sort, row };
        let low = entry(selection.pk.clone(), Sort::Number(i64::MIN), None);
        let high = match (selection.until.and_then(|until| until.checked_add(1)), &selection.below) {
            (Some(end), _) => entry(selection.pk.clone(), Sort::Number(end), None),
            (None, Some(below)) => entry(selection.pk.clone(), Sort::Text(below.clone()), None),
            (None, None) => entry(following(&selection.pk), Sort::Number(i64::MIN), None),
        };
        let after = after.and_then(|p| Some(entry(selection.pk.clone(), p.sort.clone()?, Some(p.row.clone()))));
        let entries = self.entries.range(range(selection, low, high, after)).filter_map(|entry| entry.row.as_ref());
        if selection.newest_first { entries.rev().take(max).collect() } else { entries.take(max).collect() }
    }
}

/// `low..high`, or what is left of it after a position in the selection's direction.
fn range<T: Ord>(selection: &Selection, low: T, high: T, after: Option<T>) -> (Bound<T>, Bound<T>) {
    match after {
        // An edited cursor may point outside; an inverted range would panic.
        Some(at) if at < low || at >= high => (Bound::Included(low), Bound::Excluded(high)),
        Some(at) if selection.newest_first => (Bound::Included(low), Bound::Excluded(at)),
        Some(at) => (Bound::Excluded(at), Bound::Excluded(high)),
        None => (Bound::Included(low), Bound::Excluded(high)),
    }
}

/// The least text greater than `text`.
fn following(text: &str) -> String {
    format!("{text}\0")
}

fn entries(row: &RowKey, item: &Item) -> Vec<Entry> {
    let entry = |index: &Index| {
        let pk = item.get(index.pk())?.as_str()?.to_owned();
        let sort = Sort::of(*index, item)?;
        Some(Entry { table: row.table, index: *index, pk, sort, row: Some(row.clone()) })
    };
    row.table.indexes().iter().filter_map(entry).collect()
}

fn injected() -> StoreError {
    StoreError::Unavailable("injected".to_owned())
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.readable(Call::Get(key))?;
        let row = RowKey::of(key);
        let item = self.lock().rows.get(&row).cloned();
        item.map(|item| rows::decode(row.table, item)).transpose()
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.readable(Call::GetMany(keys))?;
        let state = self.lock();
        let found = keys.iter().map(RowKey::of).filter_map(|row| Some((row.table, state.rows.get(&row)?.clone())));
        found.map(|(table, item)| rows::decode(table, item)).collect()
    }

    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError> {
        self.readable(Call::Query(query))?;
        let selection = Selection::of(query);
        let after = cursor.map(|cursor| selection.after(cursor)).transpose()?;
        let limit = usize::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(1);
        let state = self.lock();
        let items = state.select(&selection, after.as_ref(), limit.saturating_add(1));
        let last = items.get(limit.saturating_sub(1)).filter(|_| items.len() > limit);
        let next = last.and_then(|item| selection.position(item)).map(|position| selection.cursor(&position));
        let (records, damaged) = selection.decode(items.into_iter().take(limit).cloned())?;
        Ok(Page { records, damaged, next })
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let puts = prepare(commit)?;
        let fault = self.fault(Call::Commit(commit));
        match fault {
            Some(Fault::Unavailable) => return Err(injected()),
            Some(Fault::Conflict) => return Err(StoreError::Conflict { key: None }),
            Some(Fault::AnswerLost) | None => {}
        }
        self.lock().apply(&commit.id, puts)?;
        if fault == Some(Fault::AnswerLost) { Err(injected()) } else { Ok(()) }
    }
}
