//! Reads by type: what use cases call instead of taking [`Record`]s apart. A row of another type than asked for is
//! [`StoreError::Corrupt`], never a panic and never absence.

use domain::access::Access;
use domain::cycle::Cycle;
use domain::demo::DemoRequest;
use domain::document::{Document, File};
use domain::event::Event;
use domain::ids::{EventId, MethodId, RequestId, RunId, SubscriptionId, TenantId};
use domain::invoice::InvoiceId;
use domain::ledger::{Book, Entry};
use domain::method::PaymentMethod;
use domain::onboarding::{Application, Tenant};
use domain::plan::Plan;
use domain::run::Run;
use domain::seal::Seal;
use domain::settlement::SettlementRow;
use domain::statistics::Statistic;
use domain::subscription::Subscription;

use super::{Control, ForwardedRow, IdempotencyRow, InboxRow, Key, Query, Record, Store, StoreError};

/// A type stored as one kind of row.
pub trait Row: Sized {
    /// The record's content when it is of this kind.
    fn of(record: Record) -> Option<Self>;
}

macro_rules! rows {
    ($($variant:ident($type:ty)),+ $(,)?) => {
        $(
            impl Row for $type {
                fn of(record: Record) -> Option<Self> {
                    if let Record::$variant(row) = record { Some(row) } else { None }
                }
            }

            impl From<$type> for Record {
                fn from(row: $type) -> Record {
                    Record::$variant(row)
                }
            }
        )+
    };
}

rows!(
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
    Event(Event),
    Forwarded(ForwardedRow),
    Seal(Seal),
    Demo(DemoRequest),
);

/// A record's content.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is of another kind.
pub fn row<T: Row>(record: Record) -> Result<T, StoreError> {
    T::of(record).ok_or_else(|| StoreError::Corrupt("a row of another kind".to_owned()))
}

/// One row, read consistently.
///
/// # Errors
/// As [`Store::get`].
pub async fn get<T: Row>(store: &dyn Store, key: &Key) -> Result<Option<T>, StoreError> {
    store.get(key).await?.map(row).transpose()
}

/// Many rows of one kind, read consistently, in the order of the keys; absent ones are left out.
///
/// # Errors
/// As [`Store::get_many`].
pub async fn get_many<T: Row>(store: &dyn Store, keys: &[Key]) -> Result<Vec<T>, StoreError> {
    store.get_many(keys).await?.into_iter().map(row).collect()
}

/// One page of a query, and the cursor of the next.
///
/// # Errors
/// As [`Store::query`].
pub async fn list<T: Row>(
    store: &dyn Store,
    query: &Query,
    limit: u32,
    cursor: Option<&str>,
) -> Result<(Vec<T>, Option<String>), StoreError> {
    let page = store.query(query, limit, cursor).await?;
    let rows = page.records.into_iter().map(row).collect::<Result<_, _>>()?;
    Ok((rows, page.next))
}

/// # Errors
/// As [`Store::get`].
pub async fn application(store: &dyn Store, id: &RequestId) -> Result<Option<Application>, StoreError> {
    get(store, &Key::Application(id.clone())).await
}

/// # Errors
/// As [`Store::get`].
pub async fn tenant(store: &dyn Store, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
    get(store, &Key::Tenant(id.clone())).await
}

/// One immutable version of a plan, on sale or not.
///
/// # Errors
/// As [`Store::get`].
pub async fn plan(store: &dyn Store, code: &str, version: u32) -> Result<Option<Plan>, StoreError> {
    get(store, &Key::Plan { code: code.to_owned(), version }).await
}

/// The newest version of a plan, on sale or not: look at [`Plan::on_sale`] before selling it.
///
/// # Errors
/// As [`Store::query`].
pub async fn latest_plan(store: &dyn Store, code: &str) -> Result<Option<Plan>, StoreError> {
    let (plans, _) = list(store, &Query::PlanVersions { code: code.to_owned() }, 1, None).await?;
    Ok(plans.into_iter().next())
}

/// # Errors
/// As [`Store::get`].
pub async fn method(store: &dyn Store, tenant: &TenantId, id: &MethodId) -> Result<Option<PaymentMethod>, StoreError> {
    get(store, &Key::Method { tenant: tenant.clone(), id: id.clone() }).await
}

/// # Errors
/// As [`Store::get`].
pub async fn subscription(store: &dyn Store, id: &SubscriptionId) -> Result<Option<Subscription>, StoreError> {
    get(store, &Key::Subscription(id.clone())).await
}

/// # Errors
/// As [`Store::get`].
pub async fn cycle(
    store: &dyn Store,
    subscription: &SubscriptionId,
    index: u32,
    seq: u32,
) -> Result<Option<Cycle>, StoreError> {
    get(store, &Key::Cycle { subscription: subscription.clone(), index, seq }).await
}

/// An invoice with its credit notes and its tax document, as one consistent read sees them; none without the invoice.
///
/// # Errors
/// As [`Store::query`].
pub async fn file(store: &dyn Store, invoice: &InvoiceId) -> Result<Option<File>, StoreError> {
    let query = Query::DocumentsOf { invoice: invoice.clone() };
    let (mut documents, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let (page, next) = list::<Document>(store, &query, super::PAGE_MAX, cursor.as_deref()).await?;
        documents.extend(page);
        cursor = next;
        if cursor.is_none() {
            return Ok(File::of(documents));
        }
    }
}

/// # Errors
/// As [`Store::get`].
pub async fn run(store: &dyn Store, id: &RunId) -> Result<Option<Run>, StoreError> {
    get(store, &Key::Run(id.clone())).await
}

/// # Errors
/// As [`Store::get`].
pub async fn control(store: &dyn Store, name: &str) -> Result<Option<Control>, StoreError> {
    get(store, &Key::Control(name.to_owned())).await
}

/// `key` is caller, route and key joined by `#`. A row past its `expires_at` may still be there: compare it.
///
/// # Errors
/// As [`Store::get`].
pub async fn idempotency(store: &dyn Store, key: &str) -> Result<Option<IdempotencyRow>, StoreError> {
    get(store, &Key::Idempotency(key.to_owned())).await
}

/// `key` is gateway and event id joined by `#`. A row past its `expires_at` may still be there.
///
/// # Errors
/// As [`Store::get`].
pub async fn inbox(store: &dyn Store, key: &str) -> Result<Option<InboxRow>, StoreError> {
    get(store, &Key::Inbox(key.to_owned())).await
}

/// # Errors
/// As [`Store::get`].
pub async fn event(store: &dyn Store, id: &EventId) -> Result<Option<Event>, StoreError> {
    get(store, &Key::Event(id.clone())).await
}
