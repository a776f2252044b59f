//! Money in quarantine in the ledger: in when it is heard of, out when it turns out to be a cycle's payment or is given
//! back.
//!
//! Invariants: one row for one payment, so the same news twice books nothing; both who invoices a payment and who books it
//! into quarantine look for the other after their own commit, so money that was both is released whatever came first.

use domain::calendar::seoul_date;
use domain::charge::{Billable, GatewayName};
use domain::document::Document;
use domain::event::{Event, Fact};
use domain::ids::SubscriptionId;
use domain::invoice::{Invoice, InvoiceId};
use domain::ledger::{Book, Suspense, quarantined, released};
use domain::money::Money;
use jiff::civil::Date;

use super::RACES;
use super::book_entries::book;
use super::write_documents::{Desk, DocumentError, Written, commit, money, text};
use crate::ports::Context;
use crate::store::{Key, Record, StoreError, Write, typed};

/// How a payment that was attached to a cycle left quarantine.
const ATTACHED: &str = "attached";

/// Books what an event says about money in quarantine.
///
/// # Errors
/// When the event does not say enough, or the store fails: it comes again.
pub async fn hear(desk: &Desk<'_>, context: &Context, event: &Event) -> Result<Written, DocumentError> {
    let (amount, on) = (money(event)?, seoul_date(event.at));
    if event.kind == "quarantine.refunded" {
        let (payment, refund) = (text(event, "paymentId")?, text(event, "refundId")?);
        let left = release(desk, context, payment, refund, Some(amount), on).await?;
        return left.ok_or(DocumentError::Missing("payment in quarantine"));
    }
    // A refund beyond what was paid is money that went out unasked: the refund names it, not the payment.
    let (id, amount) = match text(event, "refundId") {
        Ok(refund) => (refund, Money::new(amount.amount.saturating_neg(), amount.currency)),
        Err(_) => (text(event, "paymentId")?, amount),
    };
    let held = Suspense::new(id.to_owned(), gateway(desk, event).await?, amount, on);
    let new = ensure(desk, context, held).await?;
    if let Some(invoice) = invoice_of(desk, event).await? {
        attach(desk, context, &invoice).await?;
    }
    Ok(if new { Written::Suspense } else { Written::Known })
}

/// Releases the payment of an invoice from quarantine. Says whether it was there.
///
/// # Errors
/// When the store fails.
pub async fn attach(desk: &Desk<'_>, context: &Context, invoice: &Invoice) -> Result<bool, DocumentError> {
    let on = invoice.payment.on;
    let done = release(desk, context, &invoice.payment.payment_id, ATTACHED, None, on).await?;
    Ok(done == Some(Written::Suspense))
}

/// Whether it was not there before.
async fn ensure(desk: &Desk<'_>, context: &Context, held: Suspense) -> Result<bool, DocumentError> {
    let key = Key::Suspense(held.id.clone());
    for _ in 0..RACES {
        if desk.store.get(&key).await?.is_some() {
            return Ok(false);
        }
        let mut writes = book(desk.store, vec![quarantined(&held)?]).await?;
        writes.push(Write::New(Record::Book(Book::Suspense(held.clone()))));
        if commit(desk, context, writes, fact("suspense.booked", &held, held.amount)).await? {
            return Ok(true);
        }
    }
    Err(StoreError::Conflict { key: Some(key) }.into())
}

/// None when no such money is in quarantine; known when it left this way before, or nothing is left.
async fn release(
    desk: &Desk<'_>,
    context: &Context,
    id: &str,
    by: &str,
    amount: Option<Money>,
    on: Date,
) -> Result<Option<Written>, DocumentError> {
    let key = Key::Suspense(id.to_owned());
    for _ in 0..RACES {
        let Some(Book::Suspense(held)) = typed::get::<Book>(desk.store, &key).await? else { return Ok(None) };
        if amount.is_some_and(|amount| amount.currency != held.currency) {
            return Err(DocumentError::Event("currency"));
        }
        // It cannot leave before it came.
        let on = on.max(held.on);
        let Some((after, release)) = held.release(by, amount.map(|amount| amount.amount), on) else {
            return Ok(Some(Written::Known));
        };
        let mut writes = book(desk.store, vec![released(&held, &release)?]).await?;
        let fact = fact("suspense.released", &held, release.amount).with("by", by);
        writes.push(Write::Replace(Record::Book(Book::Suspense(after))));
        if commit(desk, context, writes, fact).await? {
            return Ok(Some(Written::Suspense));
        }
    }
    Err(StoreError::Conflict { key: Some(key) }.into())
}

fn fact(kind: &'static str, held: &Suspense, amount: i64) -> Fact {
    Fact::new(kind, format!("suspense#{}", held.id))
        .with("amount", amount)
        .with("currency", held.currency.code())
        .with("gateway", held.gateway.as_str())
}

/// Where the money is: as the event says, or where its subscription is charged.
async fn gateway(desk: &Desk<'_>, event: &Event) -> Result<GatewayName, DocumentError> {
    if let Ok(name) = text(event, "gateway") {
        return GatewayName::parse(name).ok_or(DocumentError::Event("gateway"));
    }
    let id = SubscriptionId::parse(&event.subject).map_err(|_| DocumentError::Event("subject"))?;
    let subscription = typed::subscription(desk.store, &id).await?.ok_or(DocumentError::Missing("subscription"))?;
    Ok(subscription.gateway)
}

/// The invoice of the billable the payment was made for, when this very payment paid it.
async fn invoice_of(desk: &Desk<'_>, event: &Event) -> Result<Option<Invoice>, DocumentError> {
    let Some((billable, _)) = text(event, "orderId").ok().and_then(Billable::parse_order_id) else { return Ok(None) };
    let found = typed::get(desk.store, &Key::Invoice(InvoiceId::of(&billable))).await?;
    let Some(Document::Invoice(invoice)) = found else { return Ok(None) };
    Ok(text(event, "paymentId").is_ok_and(|id| id == invoice.payment.payment_id).then_some(invoice))
}
