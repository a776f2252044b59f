//! The rows a store holds, and their keys.

use domain::Date;
use domain::access::Access;
use domain::charge::GatewayName;
use domain::cycle::Cycle;
use domain::demo::DemoRequest;
use domain::document::Document;
use domain::event::Event;
use domain::ids::{DemoId, EventId, MethodId, RequestId, RunId, SubscriptionId, TenantId};
use domain::invoice::{CreditNoteId, DebitNoteId, InvoiceId};
use domain::ledger::{Book, Entry};
use domain::method::PaymentMethod;
use domain::onboarding::{Application, Tenant};
use domain::plan::Plan;
use domain::run::Run;
use domain::seal::Seal;
use domain::settlement::SettlementRow;
use domain::statistics::Statistic;
use domain::subscription::Subscription;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Application(RequestId),
    Tenant(TenantId),
    Plan {
        code: String,
        version: u32,
    },
    Method {
        tenant: TenantId,
        id: MethodId,
    },
    Subscription(SubscriptionId),
    Cycle {
        subscription: SubscriptionId,
        index: u32,
        seq: u32,
    },
    Invoice(InvoiceId),
    CreditNote {
        invoice: InvoiceId,
        id: CreditNoteId,
    },
    DebitNote {
        invoice: InvoiceId,
        id: DebitNoteId,
    },
    TaxDocument(InvoiceId),
    /// Of a series of document numbers.
    Counter(String),
    Posting {
        /// `YYYY-MM`.
        month: String,
        id: String,
    },
    /// A row of a gateway's settlement.
    Settlement {
        gateway: GatewayName,
        /// Seoul day of the movement.
        day: Date,
        id: String,
    },
    /// What every entry of a month (`YYYY-MM`) passes.
    Gate(String),
    MonthClose(String),
    /// Of a payment in quarantine.
    Suspense(String),
    /// Of an operator, by name.
    Account(String),
    EndedSession(String),
    /// Of passwords.
    Tries(String),
    Run(RunId),
    /// A civil day (Seoul), or the levels.
    Statistic(String),
    Control(String),
    /// Caller, route and key, joined by `#`.
    Idempotency(String),
    /// Gateway and event id, joined by `#`.
    Inbox(String),
    Event(EventId),
    Forwarded {
        day: Date,
        id: String,
    },
    /// Of a UTC day.
    Seal(Date),
    Demo(DemoId),
}

/// One row of any table.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Application(Application),
    Tenant(Tenant),
    Plan(Plan),
    Method(PaymentMethod),
    Subscription(Subscription),
    Cycle(Cycle),
    Document(Document),
    Posting(Entry),
    Settlement(SettlementRow),
    Book(Book),
    Access(Access),
    Run(Run),
    Statistic(Statistic),
    Control(Control),
    Idempotency(IdempotencyRow),
    Inbox(InboxRow),
    /// Read only: events are written through `Commit::events`.
    Event(Event),
    Forwarded(ForwardedRow),
    Seal(Seal),
    Demo(DemoRequest),
}

/// A switch or lease: gateway pause, runner lease, the travelled clock. Never a record of what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub name: String,
    pub value: Value,
    pub version: u64,
}

/// A request already answered under an Idempotency-Key, or a counter that expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyRow {
    pub key: String,
    /// Hash of the request body.
    pub request_hash: String,
    /// What the answer is rebuilt from: ids, never a credential.
    pub result: Value,
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires_at: Timestamp,
    pub version: u64,
}

/// A signed gateway event, received once; or that unsigned ones of a type came on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InboxRow {
    pub key: String,
    pub kind: String,
    pub outcome: String,
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires_at: Timestamp,
    pub version: u64,
}

/// Events of one UTC day that their consumers' queues took together: a saving of the nightly seal, which sends again what
/// has no mark. A lost mark costs a message, never an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedRow {
    pub day: Date,
    /// Random: what comes twice is marked twice.
    pub id: String,
    pub events: Vec<EventId>,
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires_at: Timestamp,
    pub version: u64,
}

impl Record {
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Record::Application(a) => Key::Application(a.id.clone()),
            Record::Tenant(t) => Key::Tenant(t.id.clone()),
            Record::Plan(p) => Key::Plan { code: p.code.clone(), version: p.version },
            Record::Method(m) => Key::Method { tenant: m.tenant_id.clone(), id: m.id.clone() },
            Record::Subscription(s) => Key::Subscription(s.id.clone()),
            Record::Cycle(c) => Key::Cycle { subscription: c.subscription_id.clone(), index: c.index, seq: c.seq },
            Record::Document(Document::Invoice(d)) => Key::Invoice(d.id.clone()),
            Record::Document(Document::CreditNote(d)) => {
                Key::CreditNote { invoice: d.invoice_id.clone(), id: d.id.clone() }
            }
            Record::Document(Document::DebitNote(d)) => {
                Key::DebitNote { invoice: d.invoice_id.clone(), id: d.id.clone() }
            }
            Record::Document(Document::Tax(d)) => Key::TaxDocument(d.invoice_id.clone()),
            Record::Document(Document::Counter(d)) => Key::Counter(d.id.clone()),
            Record::Posting(e) => Key::Posting { month: e.month.clone(), id: e.id.clone() },
            Record::Settlement(r) => Key::Settlement { gateway: r.gateway, day: r.day, id: r.id.clone() },
            Record::Book(Book::Gate(b)) => Key::Gate(b.month.clone()),
            Record::Book(Book::Close(b)) => Key::MonthClose(b.month.clone()),
            Record::Book(Book::Suspense(b)) => Key::Suspense(b.id.clone()),
            Record::Access(Access::Account(a)) => Key::Account(a.id.clone()),
            Record::Access(Access::Ended(a)) => Key::EndedSession(a.id.clone()),
            Record::Access(Access::Tries(a)) => Key::Tries(a.id.clone()),
            Record::Run(r) => Key::Run(r.id.clone()),
            Record::Statistic(s) => Key::Statistic(s.name.clone()),
            Record::Control(c) => Key::Control(c.name.clone()),
            Record::Idempotency(i) => Key::Idempotency(i.key.clone()),
            Record::Inbox(i) => Key::Inbox(i.key.clone()),
            Record::Event(e) => Key::Event(e.id.clone()),
            Record::Forwarded(f) => Key::Forwarded { day: f.day, id: f.id.clone() },
            Record::Seal(s) => Key::Seal(s.day),
            Record::Demo(d) => Key::Demo(d.id.clone()),
        }
    }
}
