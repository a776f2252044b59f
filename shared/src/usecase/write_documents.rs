//! Writing the documents of money that moved: the invoice of a captured payment, the credit note of a refund, each in
//! one transaction with its number, its ledger entries and its event.
//!
//! Invariants: a document is found by its id before it is made, and inserted only where none is, so an event heard twice
//! or by two writers changes nothing; a number is given out by the commit that uses it, so a series has no gap; a refund
//! heard before its payment writes the invoice first. Nothing here is on the way of a charge.

use domain::charge::{Billable, GatewayName};
use domain::cycle::Cycle;
use domain::document::Document;
use domain::event::{Event, Fact};
use domain::ids::SubscriptionId;
use domain::invoice::{
    Buyer, Counter, CreditNoteId, Invoice, InvoiceError, InvoiceId, Particulars, Refunded, Supplier, credit_note,
    credit_series, invoice, invoice_series, paid_on, paid_with,
};
use domain::ledger::{LedgerError, captured, invoiced, refunded};
use domain::method::{MaskedCard, PaymentMethod};
use domain::money::{Currency, Money};
use domain::subscription::Subscription;

use super::stamp;
use crate::ports::{Context, Random};
use crate::store::{Key, Record, Store, StoreError, Write, typed};

/// How often a lost race for a number is run again before the message comes back. More than elsewhere: every document of
/// a year wants the same counter.
const NUMBER_RACES: u32 = 25;

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The event does not say what its kind must say.
    #[error("the event says no {0}")]
    Event(&'static str),
    /// What the event is about is not in the tables.
    #[error("there is no {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Invoice(InvoiceId),
    CreditNote(CreditNoteId),
    /// The document is there already.
    Known,
    /// Not an event that makes a document.
    NotOurs,
}

/// What a writer works with.
pub struct Desk<'a> {
    pub store: &'a dyn Store,
    pub random: &'a dyn Random,
    pub supplier: &'a Supplier,
}

/// Writes what an event calls for.
///
/// # Errors
/// When the event or what it is about does not fit together, or the store fails: the message comes back.
pub async fn write(desk: &Desk<'_>, context: &Context, event: &Event) -> Result<Written, DocumentError> {
    match event.kind.as_str() {
        "payment.captured" => {
            let billable = captured_billable(event)?;
            let (invoice, new) = ensure_invoice(desk, context, &billable).await?;
            Ok(if new { Written::Invoice(invoice.id) } else { Written::Known })
        }
        "refund.succeeded" => {
            let (billable, refund) = refund_of(event)?;
            ensure_credit_note(desk, context, &billable, &refund).await
        }
        _ => Ok(Written::NotOurs),
    }
}

/// The invoice of a paid billable, written if it is not there yet; and whether this call wrote it.
async fn ensure_invoice(
    desk: &Desk<'_>,
    context: &Context,
    billable: &Billable,
) -> Result<(Invoice, bool), DocumentError> {
    let id = InvoiceId::of(billable);
    for _ in 0..NUMBER_RACES {
        if let Some(Document::Invoice(found)) = typed::get(desk.store, &Key::Invoice(id.clone())).await? {
            return Ok((found, false));
        }
        let source = load(desk.store, billable).await?;
        let series = invoice_series(paid_on(&source.cycle)?);
        let counter = counter(desk.store, series).await?;
        let (invoice, after) = make(desk, context, &source, &counter).await?;
        let entries = [invoiced(&invoice)?, captured(&invoice)?];
        let mut writes = vec![new(Document::Invoice(invoice.clone())), counted(after)];
        writes.extend(entries.map(|entry| Write::New(Record::Posting(entry))));
        if commit(desk, context, writes, invoice.issued()).await? {
            return Ok((invoice, true));
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

async fn ensure_credit_note(
    desk: &Desk<'_>,
    context: &Context,
    billable: &Billable,
    refund: &Refunded,
) -> Result<Written, DocumentError> {
    let (invoice, _) = ensure_invoice(desk, context, billable).await?;
    let id = CreditNoteId::of(&refund.refund_id).map_err(|_| DocumentError::Event("refundId"))?;
    let key = Key::CreditNote { invoice: invoice.id.clone(), id: id.clone() };
    for _ in 0..NUMBER_RACES {
        if desk.store.get(&key).await?.is_some() {
            return Ok(Written::Known);
        }
        let counter = counter(desk.store, credit_series(domain::calendar::seoul_date(refund.at))).await?;
        let (note, after) = credit_note(&invoice, refund, &counter, context.now)?;
        let entry = Write::New(Record::Posting(refunded(&note)?));
        let fact = note.issued();
        if commit(desk, context, vec![new(Document::CreditNote(note)), counted(after), entry], fact).await? {
            return Ok(Written::CreditNote(id));
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// Whether it went through; a lost race is decided again.
async fn commit(desk: &Desk<'_>, context: &Context, writes: Vec<Write>, fact: Fact) -> Result<bool, StoreError> {
    match desk.store.commit(&stamp::commit(desk.random, context, writes, vec![fact])).await {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

fn new(document: Document) -> Write {
    Write::New(Record::Document(document))
}

/// The counter of a series after a number was given out: inserted with its first one.
fn counted(counter: Counter) -> Write {
    let first = counter.version == 0;
    let record = Record::Document(Document::Counter(counter));
    if first { Write::New(record) } else { Write::Replace(record) }
}

async fn counter(store: &dyn Store, series: String) -> Result<Counter, StoreError> {
    match typed::get(store, &Key::Counter(series.clone())).await? {
        Some(Document::Counter(counter)) => Ok(counter),
        Some(_) | None => Ok(Counter::new(series)),
    }
}

/// What an invoice is made from.
struct Paid {
    subscription: Subscription,
    cycle: Cycle,
}

async fn load(store: &dyn Store, billable: &Billable) -> Result<Paid, DocumentError> {
    let Billable { subscription, index, seq } = billable;
    let cycle = typed::cycle(store, subscription, *index, *seq).await?.ok_or(DocumentError::Missing("cycle"))?;
    let found = typed::subscription(store, subscription).await?;
    Ok(Paid { subscription: found.ok_or(DocumentError::Missing("subscription"))?, cycle })
}

async fn make(
    desk: &Desk<'_>,
    context: &Context,
    paid: &Paid,
    counter: &Counter,
) -> Result<(Invoice, Counter), DocumentError> {
    let Paid { subscription, cycle } = paid;
    let (_, method) = paid_with(cycle)?;
    let tenant = &subscription.tenant_id;
    // The lines freeze with the cycle; the subscription's plan names them only while they are the same.
    let plan = match &subscription.plan {
        sold if sold.lines == cycle.lines => typed::plan(desk.store, &sold.code, sold.version).await?,
        _ => None,
    };
    let key = Key::Method { tenant: tenant.clone(), id: method.clone() };
    let card = typed::get::<PaymentMethod>(desk.store, &key).await?;
    let particulars = Particulars {
        tenant_id: tenant,
        supplier: desk.supplier,
        buyer: buyer(desk.store, tenant).await?,
        plan: plan.as_ref(),
        card: card.map_or_else(MaskedCard::default, |method| method.card),
        issued_at: context.now,
    };
    Ok(invoice(cycle, particulars, counter)?)
}

/// The business as it is known today: its name as a tenant, its registration number from its application.
async fn buyer(store: &dyn Store, tenant: &domain::ids::TenantId) -> Result<Buyer, DocumentError> {
    let application = typed::application(store, &tenant.request()).await?;
    let application = application.ok_or(DocumentError::Missing("application"))?;
    let name = typed::tenant(store, tenant).await?.map_or(application.business_name, |tenant| tenant.business_name);
    Ok(Buyer { name, registration_number: application.business_number })
}

fn text<'a>(event: &'a Event, field: &'static str) -> Result<&'a str, DocumentError> {
    event.changes.get(field).and_then(|v| v.as_str()).ok_or(DocumentError::Event(field))
}

fn number<T: TryFrom<i64>>(event: &Event, field: &'static str) -> Result<T, DocumentError> {
    let value = event.changes.get(field).and_then(serde_json::Value::as_i64);
    value.and_then(|n| T::try_from(n).ok()).ok_or(DocumentError::Event(field))
}

fn subject(event: &Event) -> Result<SubscriptionId, DocumentError> {
    SubscriptionId::parse(&event.subject).map_err(|_| DocumentError::Event("subscription"))
}

/// What a captured payment paid: its order id names it.
fn captured_billable(event: &Event) -> Result<Billable, DocumentError> {
    let named = Billable::parse_order_id(text(event, "orderId")?).map(|(billable, _)| billable);
    let subscription = subject(event)?;
    named.filter(|billable| billable.subscription == subscription).ok_or(DocumentError::Event("orderId"))
}

fn refund_of(event: &Event) -> Result<(Billable, Refunded), DocumentError> {
    let billable =
        Billable { subscription: subject(event)?, index: number(event, "index")?, seq: number(event, "seq")? };
    let currency = Currency::parse(text(event, "currency")?).ok_or(DocumentError::Event("currency"))?;
    let gateway = GatewayName::parse(text(event, "gateway")?).ok_or(DocumentError::Event("gateway"))?;
    let refund = Refunded {
        refund_id: text(event, "refundId")?.to_owned(),
        amount: Money::new(number(event, "amount")?, currency),
        vat: number(event, "vat")?,
        refunded: number(event, "refunded")?,
        gateway,
        payment_id: text(event, "paymentId")?.to_owned(),
        origin: text(event, "origin")?.to_owned(),
        at: event.at,
    };
    Ok((billable, refund))
}
