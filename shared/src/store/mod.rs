//! The port to the tables: load aggregates with a version, commit decisions conditional on those versions.
//!
//! Invariants: every write is conditional (on absence or on the version read); a commit is all or nothing; a lost
//! race is [`StoreError::Conflict`] and never overwrites; reads that decide about money are consistent; a commit that
//! was applied but whose answer was lost is recognised by its id and reported as applied.

use async_trait::async_trait;
use domain::event::Event;

mod counted;
pub mod dynamo;
pub mod memory;
mod prepare;
mod record;
pub mod rows;
pub mod schema;
mod selection;
pub mod stream;
pub mod typed;

pub use counted::CountedStore;
pub use dynamo::DynamoStore;
pub use memory::MemoryStore;
pub use prepare::{COMMIT_BYTES_MAX, COMMIT_ROWS_MAX, ROW_BYTES_MAX};
pub use record::{Control, ForwardedRow, IdempotencyRow, InboxRow, Key, Record};
pub use selection::PAGE_MAX;

/// One changed row. The record carries the version it was read with; `New` demands absence. Plan versions, invoices,
/// credit notes, postings, seals, closes of months, ends of sessions, requests for a demo and events are never replaced, events
/// come only through [`Commit::events`], and no row may hold a floating-point number: a commit that tries is [`StoreError::Corrupt`].
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Insert; conflicts when the row exists. The record's version must be 0 and is stored as 1.
    New(Record),
    /// Replace; conflicts unless the stored version is the record's. Stored as version + 1.
    Replace(Record),
}

/// A decision to persist: rows and events together, or nothing. At most 100 in all (DynamoDB's limit).
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Random, unique per decision. Stored with each row, so that our own write is recognised after a lost answer.
    pub id: String,
    pub writes: Vec<Write>,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else was first: reload and decide again. `key` names a row that is stored otherwise than was read; none when
    /// somebody's transaction is still under way.
    #[error("lost a race")]
    Conflict { key: Option<Key> },
    #[error("row or commit too large")]
    TooLarge,
    /// The cursor was not made by this query.
    #[error("bad cursor")]
    BadCursor,
    /// Throttled or unreachable; a commit may or may not have been applied.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A row that does not read back: a bug or a hand edit.
    #[error("corrupt row: {0}")]
    Corrupt(String),
}

/// What can be listed. Each is one index or one partition; nothing scans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    PlansOnSale,
    /// Versions of a plan, newest first.
    PlanVersions {
        code: String,
    },
    /// Oldest first.
    ApplicationsByStatus {
        status: domain::onboarding::Status,
    },
    MethodsOfTenant {
        tenant: domain::ids::TenantId,
    },
    MethodsByToken {
        token_hash: String,
    },
    SubscriptionsOfTenant {
        tenant: domain::ids::TenantId,
    },
    SubscriptionsByStatus {
        status: domain::subscription::Status,
    },
    /// Due at or before an instant, oldest first, in one partition of the due index. Eventually consistent.
    SubscriptionsDue {
        partition: String,
        until: jiff::Timestamp,
    },
    /// Cycles with a refund to be looked at by an instant, oldest first, in one partition. Eventually consistent.
    RefundsDue {
        partition: String,
        until: jiff::Timestamp,
    },
    /// In period order.
    CyclesOf {
        subscription: domain::ids::SubscriptionId,
    },
    /// The invoice, its credit notes and its tax document.
    DocumentsOf {
        invoice: domain::invoice::InvoiceId,
    },
    /// Newest first.
    InvoicesOfTenant {
        tenant: domain::ids::TenantId,
    },
    /// Ledger entries of a month (`YYYY-MM`), by day.
    PostingsOf {
        month: String,
    },
    /// Rows of a gateway's settlement of a Seoul day, by id.
    SettlementsOf {
        gateway: domain::charge::GatewayName,
        day: domain::Date,
    },
    /// Newest first.
    Runs,
    /// Events about a subject, newest first.
    EventsOf {
        subject: String,
    },
    /// Events of a UTC day, oldest first, in one of its [`schema::LOG_SHARDS`] partitions. Consistent.
    EventsOn {
        day: domain::Date,
        shard: u32,
    },
    /// Events of a part of the audit log, newest first; those with an id below one, where one is named.
    EventsBelow {
        part: LogPart,
        below: Option<domain::ids::EventId>,
    },
    /// Marks of the forwarder about events of a UTC day, in no order that means anything. Consistent.
    ForwardedOn {
        day: domain::Date,
    },
    /// Seals of days, newest first. Consistent.
    Seals,
    /// Requests for a demo, newest first. Consistent.
    DemoRequests,
}

/// A part of the audit log that can be listed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPart {
    /// Behind an index: what was written just now may be missing.
    Subject(String),
    /// One of the [`schema::LOG_SHARDS`] partitions of a UTC day. Consistent.
    Day(domain::Date, u32),
}

/// A page of records, as they are now: behind an index those that have left the query since are missing, so a page
/// may be short and still have a successor. `next` is opaque, stands for this query only, and is none exactly when
/// nothing followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub records: Vec<Record>,
    /// Keys of rows that do not read back. Only [`Query::SubscriptionsDue`] and [`Query::RefundsDue`] go on without
    /// them, because one bad account must not stop a run; every other query is [`StoreError::Corrupt`] then.
    pub damaged: Vec<String>,
    pub next: Option<String>,
}

#[async_trait]
pub trait Store: Send + Sync {
    /// Consistent read of one row.
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// Consistent reads of many rows, in any number of calls; absent rows are left out, order is that of the keys.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError>;

    /// One page of at most `limit` records; `cursor` continues an earlier page of the same query.
    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError>;

    /// All or nothing; a single row is one conditional put. May be repeated as it is after
    /// [`StoreError::Unavailable`]: an earlier success is recognised as long as one of its rows is as it left it, which
    /// for a commit with events is for ever.
    async fn commit(&self, commit: &Commit) -> Result<(), StoreError>;
}
