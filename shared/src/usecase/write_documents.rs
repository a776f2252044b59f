//! Writing the documents of money that moved: the invoice of a captured payment, the credit note of a refund, the debit
//! note of one that came back, each in one transaction with its number, its ledger entries and its event; and booking
//! money that is in quarantine.
//!
//! Invariants: a document is found by its id before it is made, and inserted only where none is, so an event heard twice
//! or by two writers changes nothing; a number is given out by the commit that uses it, so a series has no gap; a refund
//! heard before its payment writes the invoice first. Nothing here is on the way of a charge.

use domain::calendar::seoul_date;
use domain::charge::{Billable, GatewayName};
use domain::cycle::Cycle;
use domain::document::Document;
use domain::event::{Event, Fact};
use domain::ids::SubscriptionId;
use domain::invoice::{
    Buyer, Counter, CreditNote, CreditNoteId, DebitNoteId, Invoice, InvoiceError, InvoiceId, Particulars, Refunded,
    Returned, Supplier, credit_note, credit_note_after_returns, credit_series, debit_note, debit_series, invoice,
    invoice_series, paid_on, paid_with,
};
use domain::ledger::{LedgerError, captured, invoiced, refunded, returned};
use domain::method::{MaskedCard, PaymentMethod};
use domain::money::{Currency, Money};
use domain::subscription::Subscription;

use super::book_entries::book;
use super::{stamp, suspense};
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
    DebitNote(DebitNoteId),
    /// Money went into quarantine or out of it.
    Suspense,
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
            // The same money may have been in quarantine before it was known whose it is.
            let released = suspense::attach(desk, context, &invoice).await?;
            Ok(match (new, released) {
                (true, _) => Written::Invoice(invoice.id),
                (false, true) => Written::Suspense,
                (false, false) => Written::Known,
            })
        }
        "refund.succeeded" => {
            let (billable, refund) = refund_of(event)?;
            ensure_credit_note(desk, context, &billable, &refund).await
        }
        "refund.failed" if text(event, "from").is_ok_and(|from| from == "SUCCEEDED") => {
            let (billable, back) = returned_of(event)?;
            ensure_debit_note(desk, context, &InvoiceId::of(&billable), &back).await
        }
        "payment.quarantined" | "quarantine.refunded" => suspense::hear(desk, context, event).await,
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
        writes.extend(book(desk.store, entries.to_vec()).await?);
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
        let counter = counter(desk.store, credit_series(seoul_date(refund.at))).await?;
        let (note, after) = noted(desk, context, &invoice, refund, &counter).await?;
        let mut writes = book(desk.store, vec![refunded(&note)?]).await?;
        let fact = note.issued();
        writes.extend([new(Document::CreditNote(note)), counted(after)]);
        if commit(desk, context, writes, fact).await? {
            return Ok(Written::CreditNote(id));
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// The credit note. Where its VAT does not telescope from the refund alone, another one came back before it.
async fn noted(
    desk: &Desk<'_>,
    context: &Context,
    invoice: &Invoice,
    refund: &Refunded,
    counter: &Counter,
) -> Result<(CreditNote, Counter), DocumentError> {
    let plain = credit_note(invoice, refund, counter, context.now);
    let Err(InvoiceError::RefundDiffers(_)) = &plain else { return Ok(plain?) };
    match typed::file(desk.store, &invoice.id).await?.filter(|file| !file.returns.is_empty()) {
        Some(file) => Ok(credit_note_after_returns(&file, refund, counter, context.now)?),
        None => Ok(plain?),
    }
}

/// The debit note beside the credit note of a refund that came back. Heard before the refund itself, it comes again.
async fn ensure_debit_note(
    desk: &Desk<'_>,
    context: &Context,
    invoice: &InvoiceId,
    back: &Returned,
) -> Result<Written, DocumentError> {
    let credit = CreditNoteId::of(&back.refund_id).map_err(|_| DocumentError::Event("refundId"))?;
    let id = DebitNoteId::of(&back.refund_id).map_err(|_| DocumentError::Event("refundId"))?;
    let credit = typed::get(desk.store, &Key::CreditNote { invoice: invoice.clone(), id: credit }).await?;
    let Some(Document::CreditNote(note)) = credit else { return Err(DocumentError::Missing("credit note")) };
    let key = Key::DebitNote { invoice: invoice.clone(), id: id.clone() };
    for _ in 0..NUMBER_RACES {
        if desk.store.get(&key).await?.is_some() {
            return Ok(Written::Known);
        }
        let counter = counter(desk.store, debit_series(seoul_date(back.at))).await?;
        let (debit, after) = debit_note(&note, back, &counter, context.now)?;
        let mut writes = book(desk.store, vec![returned(&debit)?]).await?;
        let fact = debit.issued();
        writes.extend([new(Document::DebitNote(debit)), counted(after)]);
        if commit(desk, context, writes, fact).await? {
            return Ok(Written::DebitNote(id));
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// Whether it went through; a lost race is decided again.
pub(super) async fn commit(
    desk: &Desk<'_>,
    context: &Context,
    writes: Vec<Write>,
    fact: Fact,
) -> Result<bool, StoreError> {
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

pub(super) fn text<'a>(event: &'a Event, field: &'static str) -> Result<&'a str, DocumentError> {
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

fn returned_of(event: &Event) -> Result<(Billable, Returned), DocumentError> {
    let billable =
        Billable { subscription: subject(event)?, index: number(event, "index")?, seq: number(event, "seq")? };
    let back = Returned {
        refund_id: text(event, "refundId")?.to_owned(),
        amount: money(event)?,
        vat: number(event, "vat")?,
        refunded: number(event, "refunded")?,
        payment_id: text(event, "paymentId")?.to_owned(),
        code: text(event, "code")?.to_owned(),
        at: event.at,
    };
    Ok((billable, back))
}

/// The amount an event is about.
pub(super) fn money(event: &Event) -> Result<Money, DocumentError> {
    let currency = Currency::parse(text(event, "currency")?).ok_or(DocumentError::Event("currency"))?;
    Ok(Money::new(number(event, "amount")?, currency))
}
