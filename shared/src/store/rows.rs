//! Records as stored items and back; both implementations of the store keep exactly these items.
//!
//! An item is the serde form of the domain type, flat, beside `pk`, `sk`, index attributes, `v` (version) and `w` (id
//! of the commit that wrote it). Invariants: one name per value (a field that is a key or an index attribute is stored
//! only as that); an item that decodes has the key its content says; no floating-point number is ever stored.

use domain::cycle::Cycle;
use domain::document::Document;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::schema::{Index, ON_SALE, RUN, RowKey, Table, time_then};
use super::{Record, StoreError};

/// The attributes of a row.
pub type Item = Map<String, Value>;

/// Version of the row, counted from 1.
pub const VERSION: &str = "v";
/// Id of the commit that wrote the row.
pub const WRITTEN_BY: &str = "w";

/// Fields that are stored under an attribute of a key or an index instead of their own name.
fn moved(table: Table) -> &'static [(&'static str, &'static str)] {
    match table {
        Table::Application => &[("id", "pk"), ("status", "by_status_pk")],
        Table::Tenant | Table::Run => &[("id", "pk")],
        Table::Plan => &[("code", "pk")],
        Table::Method => &[("tenantId", "pk"), ("id", "sk"), ("tokenHash", "by_token_pk")],
        Table::Subscription => {
            &[("id", "pk"), ("tenantId", "by_tenant_pk"), ("status", "by_status_pk"), ("dueAt", "due_sk")]
        }
        Table::Cycle => &[("subscriptionId", "pk")],
        // The counters' partition is no invoice; what reads one does not ask for it.
        Table::Invoice => &[("invoiceId", "pk"), ("id", "sk"), ("tenantId", "by_tenant_pk")],
        Table::Posting => &[("month", "pk"), ("id", "sk")],
        Table::Settlement => &[("id", "sk")],
        Table::Operator => &[("id", "pk"), ("expiresAt", "expires_at")],
        // Suspense has no month; what reads it does not ask for one.
        Table::Book => &[("month", "pk"), ("id", "sk")],
        Table::AuditLog => &[("id", "sk"), ("subject", "by_subject_pk")],
        Table::Inbox | Table::Idempotency => &[("key", "pk"), ("expiresAt", "expires_at")],
        Table::Statistic | Table::Control => &[("name", "pk")],
        Table::Forwarded => &[("day", "pk"), ("id", "sk"), ("expiresAt", "expires_at")],
        Table::Seal => &[("day", "sk")],
        Table::DemoRequest => &[("id", "sk"), ("expiresAt", "expires_at")],
    }
}

/// Whether the domain type has a `version` that counts writes. A plan's is the version sold; events have none.
pub(super) fn counts_writes(table: Table) -> bool {
    !matches!(table, Table::Plan | Table::AuditLog)
}

/// The version a record was read with; 0 for one that was never stored, and for plans and events, which are only
/// ever inserted.
pub(super) fn version(record: &Record) -> u64 {
    match record {
        Record::Application(row) => row.version,
        Record::Tenant(row) => row.version,
        Record::Method(row) => row.version,
        Record::Subscription(row) => row.version,
        Record::Cycle(row) => row.version,
        Record::Document(row) => row.version(),
        Record::Posting(row) => row.version,
        Record::Settlement(row) => row.version,
        Record::Book(row) => row.version(),
        Record::Access(row) => row.version(),
        Record::Run(row) => row.version,
        Record::Statistic(row) => row.version,
        Record::Control(row) => row.version,
        Record::Idempotency(row) => row.version,
        Record::Inbox(row) => row.version,
        Record::Forwarded(row) => row.version,
        Record::Seal(row) => row.version,
        Record::Demo(row) => row.version,
        Record::Plan(_) | Record::Event(_) => 0,
    }
}

/// The item of a record, stored as version `v` by commit `w`.
///
/// # Errors
/// [`StoreError::Corrupt`] when the record cannot be stored: a floating-point number inside.
pub fn encode(record: &Record, v: u64, w: &str) -> Result<Item, StoreError> {
    let key = RowKey::of(&record.key());
    let mut item = body(record, key.table)?;
    for (field, attribute) in moved(key.table) {
        if let Some(value) = item.remove(*field) {
            item.insert((*attribute).to_owned(), value);
        }
    }
    if counts_writes(key.table) {
        item.remove("version");
    }
    index(record, &mut item);
    item.insert("pk".to_owned(), key.pk.into());
    if let Some(sk) = key.sk {
        item.insert("sk".to_owned(), sk.into());
    }
    item.insert(VERSION.to_owned(), v.into());
    item.insert(WRITTEN_BY.to_owned(), w.into());
    Ok(item)
}

/// Index attributes that are not a field of their own.
fn index(record: &Record, item: &mut Item) {
    let mut set = |name: &str, value: String| item.insert(name.to_owned(), value.into());
    if let Record::Cycle(row) = record {
        if let Some(at) = row.refund_due() {
            set(Index::RefundDue.pk(), row.refund_partition());
            item.insert(Index::RefundDue.sk().to_owned(), at.as_millisecond().into());
        }
        return;
    }
    match record {
        Record::Application(row) => {
            set(Index::ByStatus.sk(), time_then(row.submitted_at, row.id.as_str()));
        }
        Record::Plan(row) if row.on_sale => {
            set(Index::OnSale.pk(), ON_SALE.to_owned());
            set(Index::OnSale.sk(), format!("{}#{:06}", row.code, row.version));
        }
        Record::Method(row) => {
            set(Index::ByToken.sk(), row.id.to_string());
        }
        Record::Subscription(row) => {
            set(Index::ByTenant.sk(), row.id.to_string());
            set(Index::ByStatus.sk(), row.id.to_string());
            if row.due_at.is_some() {
                set(Index::Due.pk(), row.due_partition());
            }
        }
        Record::Document(Document::Invoice(row)) => {
            set(Index::ByTenant.sk(), time_then(row.issued_at, row.id.as_str()));
        }
        Record::Run(row) => {
            set(Index::ByStart.pk(), RUN.to_owned());
            set(Index::ByStart.sk(), time_then(row.started_at, row.id.as_str()));
        }
        Record::Event(row) => {
            set(Index::BySubject.sk(), row.id.to_string());
        }
        Record::Plan(_)
        | Record::Tenant(_)
        | Record::Cycle(_)
        | Record::Document(
            Document::CreditNote(_) | Document::DebitNote(_) | Document::Tax(_) | Document::Counter(_),
        )
        | Record::Posting(_)
        | Record::Statistic(_)
        | Record::Settlement(_)
        | Record::Book(_)
        | Record::Access(_)
        | Record::Control(_)
        | Record::Idempotency(_)
        | Record::Inbox(_)
        | Record::Forwarded(_)
        | Record::Seal(_)
        | Record::Demo(_) => {}
    }
}

fn body(record: &Record, table: Table) -> Result<Item, StoreError> {
    let value = match record {
        Record::Application(row) => object(row),
        Record::Tenant(row) => object(row),
        Record::Plan(row) => object(row),
        Record::Method(row) => object(row),
        Record::Subscription(row) => object(row),
        Record::Cycle(row) => object(row),
        Record::Document(row) => object(row),
        Record::Posting(row) => object(row),
        Record::Settlement(row) => object(row),
        Record::Book(row) => object(row),
        Record::Access(row) => object(row),
        Record::Run(row) => object(row),
        Record::Statistic(row) => object(row),
        Record::Control(row) => object(row),
        Record::Idempotency(row) => object(row),
        Record::Inbox(row) => object(row),
        Record::Event(row) => object(row),
        Record::Forwarded(row) => object(row),
        Record::Seal(row) => object(row),
        Record::Demo(row) => object(row),
    };
    value
        .filter(|item| !item.values().any(has_float))
        .ok_or_else(|| StoreError::Corrupt(format!("{}: not storable", table.name())))
}

fn object<T: Serialize>(row: &T) -> Option<Item> {
    match serde_json::to_value(row) {
        Ok(Value::Object(item)) => Some(item),
        Ok(_) | Err(_) => None,
    }
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_float),
        Value::Object(fields) => fields.values().any(has_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Reads an item back.
///
/// # Errors
/// [`StoreError::Corrupt`], naming the table only: an item may hold personal data.
pub fn decode(table: Table, mut item: Item) -> Result<Record, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("{}: unreadable row", table.name()));
    let key = key_of(table, &item).ok_or_else(corrupt)?;
    for (field, attribute) in moved(table) {
        if let Some(value) = item.remove(*attribute) {
            item.insert((*field).to_owned(), value);
        }
    }
    if counts_writes(table) {
        let version = item.remove(VERSION).ok_or_else(corrupt)?;
        item.insert("version".to_owned(), version);
    }
    let record = match table {
        Table::Application => read(item).map(Record::Application),
        Table::Tenant => read(item).map(Record::Tenant),
        Table::Plan => read(item).map(Record::Plan),
        Table::Method => read(item).map(Record::Method),
        Table::Subscription => read(item).map(Record::Subscription),
        Table::Cycle => read::<Cycle>(item).map(Record::Cycle),
        Table::Invoice => read(item).map(Record::Document),
        Table::Posting => read(item).map(Record::Posting),
        Table::Settlement => read(item).map(Record::Settlement),
        Table::Book => read(item).map(Record::Book),
        Table::Operator => read(item).map(Record::Access),
        Table::AuditLog => read(item).map(Record::Event),
        Table::Inbox => read(item).map(Record::Inbox),
        Table::Idempotency => read(item).map(Record::Idempotency),
        Table::Run => read(item).map(Record::Run),
        Table::Statistic => read(item).map(Record::Statistic),
        Table::Control => read(item).map(Record::Control),
        Table::Forwarded => read(item).map(Record::Forwarded),
        Table::Seal => read(item).map(Record::Seal),
        Table::DemoRequest => read(item).map(Record::Demo),
    };
    record.filter(|record| RowKey::of(&record.key()) == key).ok_or_else(corrupt)
}

fn read<T: DeserializeOwned>(item: Item) -> Option<T> {
    serde_json::from_value(Value::Object(item)).ok()
}

/// Where an item says it lives; none when it lacks the table's keys.
pub(super) fn key_of(table: Table, item: &Item) -> Option<RowKey> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let sk = if table.sorted() { Some(text("sk")?) } else { None };
    Some(RowKey { table, pk: text("pk")?, sk })
}

/// Size of an item as DynamoDB counts it, in bytes: attribute names and values.
#[must_use]
pub fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len().saturating_add(value_size(value))).sum()
}

fn value_size(value: &Value) -> usize {
    // A list or map costs three bytes, and one for each member.
    let nested = |sizes: &mut dyn Iterator<Item = usize>| sizes.fold(3, |a: usize, b| a.saturating_add(b + 1));
    match value {
        Value::Null | Value::Bool(_) => 1,
        // Two digits to a byte and one for the rest; a little more than what is billed.
        Value::Number(number) => number.to_string().len().div_ceil(2).saturating_add(1),
        Value::String(text) => text.len(),
        Value::Array(values) => nested(&mut values.iter().map(value_size)),
        Value::Object(fields) => nested(&mut fields.iter().map(|(name, v)| name.len().saturating_add(value_size(v)))),
    }
}
