//! A month of the ledger, summed and tied to its documents.
//!
//! Invariants: every entry of the month is counted once, or the answer says that it is not complete; memory does not grow
//! with the month beyond one page of entries and what does not tie.

use std::collections::BTreeMap;

use domain::document::Document;
use domain::ledger::{Documented, Entry, Month};

use crate::store::{Key, PAGE_MAX, Query, Record, Store, StoreError, typed};

/// Pages summed for one answer: 20,000 entries, which is what an HTTP call has the time for.
const PAGES_MAX: u32 = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub month: Month,
    /// False when the month has more entries than were summed.
    pub complete: bool,
}

/// Sums a month (`YYYY-MM`).
///
/// # Errors
/// When the store fails.
pub async fn summarise(store: &dyn Store, month: &str) -> Result<Summary, StoreError> {
    summarise_while(store, month, |pages| pages < PAGES_MAX).await
}

/// Sums a month as long as `go_on`, asked with the number of pages summed, says so.
///
/// # Errors
/// When the store fails.
pub async fn summarise_while(
    store: &dyn Store,
    month: &str,
    go_on: impl Fn(u32) -> bool + Send,
) -> Result<Summary, StoreError> {
    let query = Query::PostingsOf { month: month.to_owned() };
    let (mut sum, mut cursor) = (Month::default(), None::<String>);
    let mut pages = 0_u32;
    while go_on(pages) {
        pages = pages.saturating_add(1);
        let (entries, next) = typed::list::<Entry>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
        let documents = documents(store, &entries).await?;
        for entry in &entries {
            sum.add(entry, key(entry).and_then(|key| documents.get(&key)));
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(Summary { month: sum, complete: true });
        }
    }
    Ok(Summary { month: sum, complete: false })
}

fn key(entry: &Entry) -> Option<Key> {
    entry.about().map(|about| match about {
        Documented::Invoice(id) => Key::Invoice(id),
        Documented::CreditNote { invoice, id } => Key::CreditNote { invoice, id },
        Documented::DebitNote { invoice, id } => Key::DebitNote { invoice, id },
    })
}

async fn documents(store: &dyn Store, entries: &[Entry]) -> Result<BTreeMap<Key, Document>, StoreError> {
    let mut keys: Vec<Key> = entries.iter().filter_map(key).collect();
    keys.sort();
    keys.dedup();
    let found = typed::get_many::<Document>(store, &keys).await?;
    Ok(found.into_iter().map(|document| (Record::Document(document.clone()).key(), document)).collect())
}
