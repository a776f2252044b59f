//! A commit as the conditional puts both implementations perform, checked against the limits of DynamoDB before
//! anything is sent.

use std::collections::BTreeSet;

use domain::access::Access;

use super::rows::{self, Item};
use super::schema::RowKey;
use super::{Commit, Key, Record, StoreError, Write};

/// Members of one transaction.
pub const COMMIT_ROWS_MAX: usize = 100;
/// Bytes of one transaction.
pub const COMMIT_BYTES_MAX: usize = 4 << 20;
/// Bytes of one row, names included.
pub const ROW_BYTES_MAX: usize = 400 << 10;
/// Bytes of a partition key.
const PK_BYTES_MAX: usize = 2048;
/// Bytes of a sort key.
const SK_BYTES_MAX: usize = 1024;

/// One conditional put.
pub(super) struct Put {
    pub key: Key,
    pub row: RowKey,
    pub item: Item,
    /// The version that must be stored now; none demands absence.
    pub expected: Option<u64>,
}

/// # Errors
/// [`StoreError::TooLarge`] over a limit; [`StoreError::Corrupt`] for a commit nobody may make: two writes of one row,
/// a new record with a version, a changed plan or event, an empty key.
pub(super) fn prepare(commit: &Commit) -> Result<Vec<Put>, StoreError> {
    if commit.writes.len().saturating_add(commit.events.len()) > COMMIT_ROWS_MAX {
        return Err(StoreError::TooLarge);
    }
    let mut puts = Vec::with_capacity(commit.writes.len().saturating_add(commit.events.len()));
    for write in &commit.writes {
        puts.push(put(write, &commit.id)?);
    }
    for event in &commit.events {
        puts.push(build(&Record::Event(event.clone()), None, &commit.id)?);
    }
    let rows: BTreeSet<&RowKey> = puts.iter().map(|put| &put.row).collect();
    if rows.len() != puts.len() {
        return Err(misuse("two writes of one row"));
    }
    if puts.iter().map(|put| rows::size(&put.item)).sum::<usize>() > COMMIT_BYTES_MAX {
        return Err(StoreError::TooLarge);
    }
    Ok(puts)
}

fn put(write: &Write, commit: &str) -> Result<Put, StoreError> {
    match write {
        Write::New(Record::Event(_)) | Write::Replace(Record::Event(_)) => Err(misuse("an event among the writes")),
        Write::Replace(Record::Plan(_)) => Err(misuse("a changed plan version")),
        Write::Replace(Record::Posting(_)) => Err(misuse("a changed posting")),
        Write::Replace(Record::Book(book)) if book.is_final() => Err(misuse("a changed close of a month")),
        Write::Replace(Record::Access(Access::Ended(_))) => Err(misuse("a changed end of a session")),
        Write::Replace(Record::Seal(_)) => Err(misuse("a changed seal")),
        Write::Replace(Record::Demo(_)) => Err(misuse("a changed request for a demo")),
        Write::Replace(Record::Document(document)) if document.is_final() => Err(misuse("a changed document")),
        Write::New(record) if rows::version(record) != 0 => Err(misuse("a new record with a version")),
        Write::New(record) => build(record, None, commit),
        Write::Replace(record) => build(record, Some(rows::version(record)), commit),
    }
}

fn build(record: &Record, expected: Option<u64>, commit: &str) -> Result<Put, StoreError> {
    let key = record.key();
    let row = RowKey::of(&key);
    let v = expected.unwrap_or(0).checked_add(1).ok_or_else(|| misuse("a version out of range"))?;
    let item = rows::encode(record, v, commit)?;
    keys_fit(&row, &item)?;
    if rows::size(&item) > ROW_BYTES_MAX {
        return Err(StoreError::TooLarge);
    }
    Ok(Put { key, row, item, expected })
}

/// Keys and index attributes have limits of their own, and must not be empty.
fn keys_fit(row: &RowKey, item: &Item) -> Result<(), StoreError> {
    let indexes = row.table.indexes().iter().flat_map(|index| [index.pk(), index.sk()]);
    for (attribute, max) in [("pk", PK_BYTES_MAX)].into_iter().chain(indexes.chain(["sk"]).map(|a| (a, SK_BYTES_MAX))) {
        match item.get(attribute).and_then(|value| value.as_str()) {
            Some("") => return Err(misuse("an empty key")),
            Some(text) if text.len() > max => return Err(StoreError::TooLarge),
            Some(_) | None => {}
        }
    }
    Ok(())
}

fn misuse(what: &str) -> StoreError {
    StoreError::Corrupt(format!("commit with {what}"))
}
