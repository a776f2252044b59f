//! The tables and indexes by name, and where each row lives in them: the key grammar is here and nowhere else.
//!
//! Invariants: a row's key never changes; what a key is made of is stored once; ids spread over partitions by the
//! pinned hash [`spread`]; sort keys compare as text in the order the queries promise.

use domain::charge::GatewayName;
use domain::ids::{EventId, spread};
use jiff::{Timestamp, civil::Date};

use super::Key;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Application,
    Tenant,
    Plan,
    Method,
    Subscription,
    Cycle,
    Invoice,
    Posting,
    Settlement,
    AuditLog,
    Inbox,
    Idempotency,
    Run,
    Statistic,
    Control,
    Forwarded,
    Seal,
    Book,
    Operator,
    DemoRequest,
}

impl Table {
    pub const ALL: [Table; 20] = [
        Table::Application,
        Table::Tenant,
        Table::Plan,
        Table::Method,
        Table::Subscription,
        Table::Cycle,
        Table::Invoice,
        Table::Posting,
        Table::Settlement,
        Table::AuditLog,
        Table::Inbox,
        Table::Idempotency,
        Table::Run,
        Table::Statistic,
        Table::Control,
        Table::Forwarded,
        Table::Seal,
        Table::Book,
        Table::Operator,
        Table::DemoRequest,
    ];

    /// The name without the stage: the physical one is `${Stage}-<name>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Table::Application => "onboarding_request",
            Table::Tenant => "tenant",
            Table::Plan => "plan",
            Table::Method => "ops_payment_method",
            Table::Subscription => "subscription",
            Table::Cycle => "subscription_cycle",
            Table::Invoice => "invoice",
            Table::Posting => "posting",
            Table::Settlement => "settlement",
            Table::AuditLog => "ops_audit_log",
            Table::Inbox => "webhook_inbox",
            Table::Idempotency => "idempotency",
            Table::Run => "run",
            Table::Statistic => "statistic",
            Table::Control => "control",
            Table::Forwarded => "forwarded",
            Table::Seal => "seal",
            Table::Book => "book",
            Table::Operator => "operator",
            Table::DemoRequest => "demo_request",
        }
    }

    /// Whether the table has a sort key `sk`.
    #[must_use]
    pub fn sorted(self) -> bool {
        match self {
            Table::Plan | Table::Method | Table::Cycle | Table::Invoice | Table::Posting | Table::AuditLog => true,
            Table::Settlement | Table::Forwarded | Table::Seal | Table::Book | Table::Operator => true,
            Table::DemoRequest => true,
            Table::Application | Table::Tenant | Table::Subscription | Table::Run | Table::Control => false,
            Table::Inbox | Table::Idempotency | Table::Statistic => false,
        }
    }

    #[must_use]
    pub fn indexes(self) -> &'static [Index] {
        match self {
            Table::Application => &[Index::ByStatus],
            Table::Plan => &[Index::OnSale],
            Table::Method => &[Index::ByToken],
            Table::Subscription => &[Index::ByTenant, Index::ByStatus, Index::Due],
            Table::Invoice => &[Index::ByTenant],
            Table::AuditLog => &[Index::BySubject],
            Table::Run => &[Index::ByStart],
            Table::Cycle => &[Index::RefundDue],
            Table::Tenant | Table::Posting | Table::Settlement | Table::Inbox | Table::Idempotency => &[],
            Table::Statistic | Table::Control | Table::Forwarded | Table::Seal | Table::Book => &[],
            Table::Operator | Table::DemoRequest => &[],
        }
    }

    /// Whether rows carry `expires_at` (epoch seconds) for the table's time to live.
    #[must_use]
    pub fn expires(self) -> bool {
        matches!(self, Table::Inbox | Table::Idempotency | Table::Forwarded | Table::Operator | Table::DemoRequest)
    }
}

/// A secondary index; all project keys only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Index {
    OnSale,
    ByStatus,
    ByToken,
    ByTenant,
    Due,
    BySubject,
    ByStart,
    RefundDue,
}

impl Index {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Index::OnSale => "on_sale",
            Index::ByStatus => "by_status",
            Index::ByToken => "by_token",
            Index::ByTenant => "by_tenant",
            Index::Due => "due",
            Index::BySubject => "by_subject",
            Index::ByStart => "by_start",
            Index::RefundDue => "refund_due",
        }
    }

    /// Attribute of the partition key.
    #[must_use]
    pub fn pk(self) -> &'static str {
        match self {
            Index::OnSale => "on_sale_pk",
            Index::ByStatus => "by_status_pk",
            Index::ByToken => "by_token_pk",
            Index::ByTenant => "by_tenant_pk",
            Index::Due => "due_pk",
            Index::BySubject => "by_subject_pk",
            Index::ByStart => "by_start_pk",
            Index::RefundDue => "refund_due_pk",
        }
    }

    /// Attribute of the sort key.
    #[must_use]
    pub fn sk(self) -> &'static str {
        match self {
            Index::OnSale => "on_sale_sk",
            Index::ByStatus => "by_status_sk",
            Index::ByToken => "by_token_sk",
            Index::ByTenant => "by_tenant_sk",
            Index::Due => "due_sk",
            Index::BySubject => "by_subject_sk",
            Index::ByStart => "by_start_sk",
            Index::RefundDue => "refund_due_sk",
        }
    }

    /// Whether the sort key is a number (epoch milliseconds) rather than text.
    #[must_use]
    pub fn numeric(self) -> bool {
        matches!(self, Index::Due | Index::RefundDue)
    }
}

/// The one partition of [`Index::OnSale`]: a handful of rows.
pub(super) const ON_SALE: &str = "ON_SALE";
/// The one partition of [`Index::ByStart`]: one row a day.
pub(super) const RUN: &str = "RUN";
/// The partition of the counters of number series, beside the documents they number.
const COUNTERS: &str = "counter";
/// Sort key of an invoice's tax document.
const TAX: &str = "tax";
/// Sort keys of what a month has beside its entries.
const GATE: &str = "gate";
const CLOSE: &str = "close";
/// Sort keys of what is known of a name, a session or a caller.
const ACCOUNT: &str = "account";
const ENDED: &str = "ended";
const TRIES: &str = "tries";
/// The partition of money in quarantine: a row now and then.
const SUSPENSE: &str = "suspense";
/// The one partition of seals: a row a day, written once a night.
pub(super) const SEAL: &str = "SEAL";
/// The one partition of requests for a demo: a few a day, and an address may make some a day only.
pub(super) const DEMO: &str = "DEMO";
/// Partitions of the audit log per day. Stored keys depend on it.
pub const LOG_SHARDS: u32 = 4;

/// Where a row lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    pub table: Table,
    pub pk: String,
    pub sk: Option<String>,
}

impl RowKey {
    #[must_use]
    pub fn of(key: &Key) -> RowKey {
        let (table, pk, sk) = match key {
            Key::Application(id) => (Table::Application, id.to_string(), None),
            Key::Tenant(id) => (Table::Tenant, id.to_string(), None),
            Key::Plan { code, version } => (Table::Plan, code.clone(), Some(format!("{version:06}"))),
            Key::Method { tenant, id } => (Table::Method, tenant.to_string(), Some(id.to_string())),
            Key::Subscription(id) => (Table::Subscription, id.to_string(), None),
            Key::Cycle { subscription, index, seq } => {
                (Table::Cycle, subscription.to_string(), Some(format!("{index:06}#{seq:04}")))
            }
            Key::Invoice(id) => (Table::Invoice, id.to_string(), Some(id.to_string())),
            Key::CreditNote { invoice, id } => (Table::Invoice, invoice.to_string(), Some(id.to_string())),
            Key::TaxDocument(invoice) => (Table::Invoice, invoice.to_string(), Some(TAX.to_owned())),
            Key::Counter(series) => (Table::Invoice, COUNTERS.to_owned(), Some(series.clone())),
            Key::DebitNote { invoice, id } => (Table::Invoice, invoice.to_string(), Some(id.to_string())),
            Key::Gate(month) => (Table::Book, month.clone(), Some(GATE.to_owned())),
            Key::MonthClose(month) => (Table::Book, month.clone(), Some(CLOSE.to_owned())),
            Key::Suspense(id) => (Table::Book, SUSPENSE.to_owned(), Some(id.clone())),
            Key::Account(name) => (Table::Operator, name.clone(), Some(ACCOUNT.to_owned())),
            Key::EndedSession(id) => (Table::Operator, id.clone(), Some(ENDED.to_owned())),
            Key::Tries(id) => (Table::Operator, id.clone(), Some(TRIES.to_owned())),
            Key::Posting { month, id } => (Table::Posting, month.clone(), Some(id.clone())),
            Key::Settlement { gateway, day, id } => {
                (Table::Settlement, settlement_day(*gateway, *day), Some(id.clone()))
            }
            Key::Run(id) => (Table::Run, id.to_string(), None),
            Key::Statistic(name) => (Table::Statistic, name.clone(), None),
            Key::Control(name) => (Table::Control, name.clone(), None),
            Key::Idempotency(key) => (Table::Idempotency, key.clone(), None),
            Key::Inbox(key) => (Table::Inbox, key.clone(), None),
            Key::Event(id) => (Table::AuditLog, log_partition(id), Some(id.to_string())),
            Key::Forwarded { day, id } => (Table::Forwarded, day.to_string(), Some(id.clone())),
            Key::Seal(day) => (Table::Seal, SEAL.to_owned(), Some(day.to_string())),
            Key::Demo(id) => (Table::DemoRequest, DEMO.to_owned(), Some(id.to_string())),
        };
        RowKey { table, pk, sk }
    }
}

/// One day of a gateway's settlement.
pub(super) fn settlement_day(gateway: GatewayName, day: Date) -> String {
    format!("{}#{day}", gateway.as_str())
}

/// `YYYY-MM-DD#shard`. The day is the UTC day inside the event's id, so that the id alone finds the row.
fn log_partition(id: &EventId) -> String {
    log_shard(id.day(), spread(id.as_str()) % LOG_SHARDS)
}

/// One partition of the audit log.
pub(super) fn log_shard(day: Date, shard: u32) -> String {
    format!("{day}#{shard}")
}

/// An instant followed by an id, as text that sorts by time, then id. Instants before 1970 sort as 1970.
pub(super) fn time_then(at: Timestamp, id: &str) -> String {
    format!("{:015}#{id}", at.as_millisecond().max(0))
}
