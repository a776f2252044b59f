//! Booking: the one way an entry gets into the ledger. Each entry passes the gate of its month, in the commit that writes
//! it; a month that is closed lets nothing in, so the entry is dated to the first day of the next open one.
//!
//! Invariants: an entry and its gate are one commit, so a close that was decided meanwhile, or decided on fewer entries,
//! is a lost race for one of the two; an entry that was booked into an earlier month before that was closed, or moved to a
//! later one, is found there and not booked again.

use std::collections::BTreeMap;

use domain::ledger::{Book, Entry, Gate, after_month};

use crate::store::{Key, Record, Store, StoreError, Write, typed};

/// Closed months an entry is moved past. An entry older than that is somebody's mistake.
const MONTHS_MAX: u32 = 240;

/// The writes that book entries, to be committed together and as they are: a lost race begins again here. Entries whose
/// own month is open are taken to be new, as their documents or rows say.
///
/// # Errors
/// When the store fails.
pub async fn book(store: &dyn Store, entries: Vec<Entry>) -> Result<Vec<Write>, StoreError> {
    let mut gates: BTreeMap<String, (Gate, u64)> = BTreeMap::new();
    let mut writes = Vec::with_capacity(entries.len().saturating_add(1));
    for entry in entries {
        if let Some(entry) = place(store, entry, &mut gates).await? {
            if let Some((_, passed)) = gates.get_mut(&entry.month) {
                *passed = passed.saturating_add(1);
            }
            writes.push(Write::New(Record::Posting(entry)));
        }
    }
    for (gate, passed) in gates.into_values().filter(|(_, passed)| *passed > 0) {
        let first = gate.version == 0;
        let record = Record::Book(Book::Gate(gate.passed(passed)));
        writes.push(if first { Write::New(record) } else { Write::Replace(record) });
    }
    Ok(writes)
}

/// The entry in the first open month from its own on; none when a closed month on the way has it.
async fn place(
    store: &dyn Store,
    entry: Entry,
    gates: &mut BTreeMap<String, (Gate, u64)>,
) -> Result<Option<Entry>, StoreError> {
    let mut entry = entry;
    for _ in 0..MONTHS_MAX {
        if !gates.contains_key(&entry.month) {
            gates.insert(entry.month.clone(), (gate(store, &entry.month).await?, 0));
        }
        let open = gates.get(&entry.month).is_some_and(|(gate, _)| !gate.closed);
        // In its own month it is new; in a later one it may have come here before.
        let key = Key::Posting { month: entry.month.clone(), id: entry.id.clone() };
        if (!open || entry.dated.is_some()) && store.get(&key).await?.is_some() {
            return Ok(None);
        }
        if open {
            return Ok(Some(entry));
        }
        let next = after_month(&entry.month).ok_or_else(|| StoreError::Corrupt("no such month".to_owned()))?;
        entry = entry.moved_to(next);
    }
    Err(StoreError::Corrupt("too many closed months".to_owned()))
}

/// The gate of a month as it is now.
///
/// # Errors
/// When the store fails.
pub async fn gate(store: &dyn Store, month: &str) -> Result<Gate, StoreError> {
    match typed::get::<Book>(store, &Key::Gate(month.to_owned())).await? {
        Some(Book::Gate(gate)) => Ok(gate),
        Some(_) => Err(StoreError::Corrupt("a gate that is none".to_owned())),
        None => Ok(Gate::new(month.to_owned())),
    }
}
