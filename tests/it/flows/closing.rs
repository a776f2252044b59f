//! The ledger's edges: months are closed once and nothing slips into a closed one; refunds that come back and money in
//! quarantine are booked, whatever is heard first and however often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::event::{Event, Fact};
use domain::ids::SubscriptionId;
use domain::ledger::{Account, Book, Close, Entry, Month, Payout, Reason, Suspense, paid_out};
use domain::money::{Currency, Money};
use serde_json::Value;
use shared::ports::Context;
use shared::store::memory::Call;
use shared::store::schema::Table;
use shared::store::{Key, MemoryStore, Query, Record, Store, StoreError, Write, typed};
use shared::usecase::book_entries::{book, gate};
use shared::usecase::close_month::{CloseError, Closing, OpenQuestions, SettlementRows, close_month};
use shared::usecase::explain_invoice::explain_invoice;
use shared::usecase::month_summary::summarise;
use shared::usecase::stamp;
use shared::usecase::write_documents::{DocumentError, Written};
use tokio::time::Instant;

use super::documents::{captured, file, hear, invoice_id, refund, rows};
use super::world::World;
use crate::store_samples::{at, commit, day};

/// So many rows are not explained.
struct Questions(u64);

#[async_trait]
impl OpenQuestions for Questions {
    async fn of_month(&self, _: &dyn Store, _: &str) -> Result<u64, StoreError> {
        Ok(self.0)
    }
}

async fn close_on(
    world: &World,
    store: &MemoryStore,
    month: &str,
    now: &str,
    questions: &dyn OpenQuestions,
    patience: u64,
) -> Result<Close, CloseError> {
    let deadline = Instant::now() + Duration::from_secs(patience);
    let closing = Closing { store, random: world.charging.random.as_ref(), questions, deadline };
    let context = Context { now: at(now), ..world.context().await };
    close_month(&closing, &context, month, Vec::new()).await
}

async fn close(world: &World, month: &str, now: &str) -> Result<Close, CloseError> {
    close_on(world, &world.store, month, now, &SettlementRows, 60).await
}

fn reasons(result: Result<Close, CloseError>) -> Vec<Reason> {
    match result {
        Err(CloseError::Refused(reasons)) => reasons,
        other => panic!("{other:?}"),
    }
}

async fn month(world: &World, month: &str) -> Month {
    let summary = summarise(&world.store, month).await.unwrap();
    assert!(summary.complete && summary.month.balanced() && summary.month.ties(), "{summary:?}");
    summary.month
}

fn net(month: &Month, account: Account) -> i128 {
    month.accounts.get(&(Currency::KRW, account)).map_or(0, |balance| balance.net())
}

#[tokio::test]
async fn a_month_is_closed_once_when_it_is_over_and_ties() {
    let world = World::new().await;
    for n in 0..3 {
        let id = world.onboard().await;
        hear(&world, &captured(&world, &id).await).await.unwrap();
        if n == 0 {
            hear(&world, &refund(&world, &id, "rfd_1", 5_000, 0).await).await.unwrap();
        }
    }
    let early = close(&world, "2026-12", "2026-12-31T14:59:59.999Z").await;
    assert!(matches!(early, Err(CloseError::NotOver)), "{early:?}");
    assert!(matches!(close(&world, "2027-01", "2027-01-01T00:00:00Z").await, Err(CloseError::NotOver)));
    let closed = close(&world, "2026-12", "2026-12-31T15:00:00Z").await.unwrap();
    assert_eq!((closed.entries, closed.closed_by.as_str(), closed.version), (7, "ops", 1));
    let revenue = closed.accounts.iter().find(|sum| sum.account == Account::Revenue).unwrap();
    assert_eq!((revenue.debit, revenue.credit), (0, 120_000));
    assert_eq!((closed.invoices[0].count, closed.invoices[0].total, closed.credit_notes[0].total), (3, 132_000, 5_000));
    let before = world.store.dump();
    assert_eq!(close(&world, "2026-12", "2027-02-01T00:00:00Z").await.unwrap(), closed, "the same answer");
    assert_eq!(world.store.dump(), before, "and nothing is written");
    let about = Query::EventsOf { subject: "month#2026-12".to_owned() };
    let events = typed::list::<Event>(&world.store, &about, 10, None).await.unwrap().0;
    assert_eq!((events.len(), events[0].kind.as_str()), (1, "month.closed"));
    let replaced = commit(vec![Write::Replace(Record::Book(Book::Close(closed)))], vec![]);
    assert!(matches!(world.store.commit(&replaced).await, Err(StoreError::Corrupt(_))), "a close is never changed");
    let empty = close(&world, "2026-11", "2026-12-31T15:00:00Z").await.unwrap();
    assert_eq!((empty.entries, empty.accounts.len()), (0, 0), "a month without entries has nothing against it");
}

#[tokio::test]
async fn what_comes_late_is_dated_to_the_next_open_month_and_booked_once() {
    let world = World::new().await;
    let id = world.onboard().await;
    hear(&world, &captured(&world, &id).await).await.unwrap();
    let late = |event: Event, on: &str| Event { at: at(on), ..event };
    let first = late(refund(&world, &id, "rfd_1", 5_000, 0).await, "2026-12-20T00:00:00Z");
    let second = late(refund(&world, &id, "rfd_2", 6_000, 5_000).await, "2026-12-21T00:00:00Z");
    close(&world, "2026-12", "2027-01-02T00:00:00Z").await.unwrap();
    let december = summarise(&world.store, "2026-12").await.unwrap();
    hear(&world, &first).await.unwrap();
    assert_eq!(summarise(&world.store, "2026-12").await.unwrap(), december, "the closed month stays as it is");
    let key = Key::Posting { month: "2027-01".to_owned(), id: "2027-01-01#refunded#crn_rfd_1".to_owned() };
    let entry: Entry = typed::get(&world.store, &key).await.unwrap().unwrap();
    assert_eq!((entry.on, entry.dated), (day("2027-01-01"), Some(day("2026-12-20"))));
    assert_eq!(file(&world, &id).await.unwrap().notes[0].on, day("2026-12-20"), "the document keeps its date");
    assert_eq!(month(&world, "2027-01").await.credit_notes[&Currency::KRW].total, 5_000);
    close(&world, "2027-01", "2027-02-01T00:00:00Z").await.unwrap();
    hear(&world, &second).await.unwrap();
    assert_eq!(net(&month(&world, "2027-02").await, Account::Refunds), 5_455, "past two closed months");
    let before = world.store.dump();
    for event in [&first, &second] {
        assert_eq!(hear(&world, event).await.unwrap(), Written::Known);
    }
    // Who books by the entry's id alone finds it as well, wherever it went.
    let own = Entry { version: 0, ..Entry { dated: None, ..entry.moved_to(day("2026-12-20")) } };
    assert_eq!((own.id.as_str(), own.month.as_str()), ("2026-12-20#refunded#crn_rfd_1", "2026-12"));
    assert_eq!(book(&world.store, vec![own]).await.unwrap(), vec![]);
    assert_eq!(world.store.dump(), before);
}

/// Copies a store but for some rows.
fn without(store: &MemoryStore, gone: impl Fn(&str, &str) -> bool) -> MemoryStore {
    let copy = MemoryStore::new();
    for (name, item) in store.dump() {
        let table = Table::ALL.into_iter().find(|table| table.name() == name).unwrap();
        if !gone(name, item.get("sk").and_then(Value::as_str).unwrap_or_default()) {
            copy.put_raw(table, item).unwrap();
        }
    }
    copy
}

#[tokio::test]
async fn a_month_that_does_not_tie_is_refused_with_its_reasons() {
    let world = World::new().await;
    let id = world.onboard().await;
    hear(&world, &captured(&world, &id).await).await.unwrap();
    let now = "2027-01-02T00:00:00Z";
    let of = async |store: MemoryStore, questions: u64, patience: u64| {
        reasons(close_on(&world, &store, "2026-12", now, &Questions(questions), patience).await)
    };
    let whole = || without(&world.store, |_, _| false);
    assert_eq!(of(whole(), 3, 60).await, [Reason::OpenQuestions(3)]);
    assert_eq!(of(whole(), 0, 0).await, [Reason::Incomplete]);
    // Both sides of a payment are gone: what is left balances and ties, and is not what was booked.
    let lost = without(&world.store, |table, _| table == "posting");
    assert_eq!(of(lost, 0, 60).await, [Reason::Miscounted { booked: 2, found: 0 }]);
    let half = without(&world.store, |table, id| table == "posting" && id.contains("#captured#"));
    assert_eq!(of(half, 0, 60).await, [Reason::Untied(0), Reason::Miscounted { booked: 2, found: 1 }]);
    let undocumented = without(&world.store, |table, id| table == "invoice" && id.starts_with("inv_"));
    assert_eq!(of(undocumented, 1, 60).await, [Reason::Untied(2), Reason::OpenQuestions(1)]);
    assert!(!gate(&world.store, "2026-12").await.unwrap().closed, "nothing was closed");
    close(&world, "2026-12", now).await.unwrap();
}

fn payout(id: &str) -> Entry {
    let gateway = domain::charge::GatewayName::Toss;
    paid_out(&Payout { id: id.to_owned(), gateway, amount: Money::krw(1_000), on: day("2026-12-31") }).unwrap()
}

/// An entry is booked at every moment of a close, by somebody who read the gate before it shut.
#[tokio::test]
async fn no_entry_slips_in_beside_a_close() {
    for moment in ["gate", "entries", "commit"] {
        let world = World::new().await;
        let id = world.onboard().await;
        hear(&world, &captured(&world, &id).await).await.unwrap();
        let prepared = book(&world.store, vec![payout("po_1")]).await.unwrap();
        let (store, once) = (world.store.clone(), Arc::new(AtomicBool::new(false)));
        world.store.inject(move |call| {
            let now = match call {
                Call::Get(Key::Gate(_)) => moment == "gate",
                Call::Query(Query::PostingsOf { .. }) => moment == "entries",
                Call::Commit(commit) => moment == "commit" && commit.events.iter().any(|e| e.kind == "month.closed"),
                Call::Get(_) | Call::GetMany(_) | Call::Query(_) => false,
            };
            if now && !once.swap(true, Ordering::SeqCst) {
                futures::executor::block_on(store.commit(&commit(prepared.clone(), vec![]))).unwrap();
            }
            None
        });
        let closed = close(&world, "2026-12", "2027-01-02T00:00:00Z").await.unwrap();
        world.store.heal();
        assert_eq!(closed.entries, 3, "{moment}: it is in the sum");
        // And who comes after it is refused, and booked into the next month.
        let stale = vec![
            Write::New(Record::Posting(payout("po_2"))),
            Write::New(Record::Book(Book::Gate(domain::ledger::Gate::new("2026-12".to_owned()).passed(1)))),
        ];
        assert!(matches!(world.store.commit(&commit(stale, vec![])).await, Err(StoreError::Conflict { .. })));
        let again = book(&world.store, vec![payout("po_2")]).await.unwrap();
        world.store.commit(&commit(again, vec![])).await.unwrap();
        assert_eq!(month(&world, "2027-01").await.entries, 1);
        assert_eq!(summarise(&world.store, "2026-12").await.unwrap().month.entries, closed.entries);
    }
}

/// A refund that had succeeded came back, as the domain tells it.
async fn back(world: &World, id: &SubscriptionId, refunded: &Event, left: i64) -> Event {
    let mut fact = Fact::new("refund.failed", id.as_str());
    fact.changes = refunded.changes.clone();
    let fact = fact.with("from", "SUCCEEDED").with("code", "card_closed").with("refunded", left);
    stamp::event(world.charging.random.as_ref(), &world.context().await, fact, None)
}

#[tokio::test]
async fn a_refund_that_came_back_is_booked_back_and_noted() {
    let world = World::new().await;
    let id = world.onboard().await;
    hear(&world, &captured(&world, &id).await).await.unwrap();
    // Amounts at which VAT rounds: 5 has none, 10 and 11 have one.
    let (first, second) = (refund(&world, &id, "rfd_1", 5, 0).await, refund(&world, &id, "rfd_2", 5, 5).await);
    let failed = back(&world, &id, &first, 5).await;
    let early = hear(&world, &failed).await;
    assert!(matches!(early, Err(DocumentError::Missing("credit note"))), "before its refund it has to come again");
    let plain = Event { changes: [("from".to_owned(), "STARTED".into())].into_iter().collect(), ..failed.clone() };
    assert_eq!(hear(&world, &plain).await.unwrap(), Written::NotOurs, "nothing had gone back");
    for event in [&first, &second] {
        hear(&world, event).await.unwrap();
    }
    // The refund after it makes good what rounding left: it carries no VAT although 6 alone would.
    let mut third = refund(&world, &id, "rfd_3", 6, 5).await;
    third.changes.insert("vat".to_owned(), 0.into());
    assert!(hear(&world, &third).await.is_err(), "not before the one that came back");
    assert!(matches!(hear(&world, &failed).await.unwrap(), Written::DebitNote(_)));
    assert_eq!(hear(&world, &failed).await.unwrap(), Written::Known);
    assert!(matches!(hear(&world, &third).await.unwrap(), Written::CreditNote(_)));
    let file = file(&world, &id).await.unwrap();
    assert_eq!((file.notes.len(), file.returns.len(), file.refunded(), file.vat_refunded()), (3, 1, 11, 1));
    assert_eq!((file.returns[0].number.as_str(), file.returns[0].code.as_str()), ("MGD-2026-000001", "card_closed"));
    let month = month(&world, "2026-12").await;
    assert_eq!((month.entries, net(&month, Account::GatewayClearing)), (6, 44_000 - 11));
    assert_eq!((net(&month, Account::Refunds), net(&month, Account::VatPayable)), (10, -4_000 + 1));
    assert_eq!(month.debit_notes[&Currency::KRW].count, 1);
    let explained = explain_invoice(&world.store, &file).await.unwrap();
    assert!(explained.matches, "{explained:?}");
    let mut forged = file.clone();
    forged.returns[0].vat += 1;
    assert!(!explain_invoice(&world.store, &forged).await.unwrap().matches);
    for (field, value) in [("amount", Value::from(4)), ("vat", 2.into()), ("paymentId", "other".into())] {
        let other = refund(&world, &id, "rfd_4", 7, 11).await;
        hear(&world, &other).await.unwrap();
        let mut bad = back(&world, &id, &other, 11).await;
        bad.changes.insert(field.to_owned(), value);
        assert!(hear(&world, &bad).await.is_err(), "{field}");
    }
}

/// Money that could not be applied, as settling tells it.
async fn quarantined(world: &World, id: &SubscriptionId, payment: &str, amount: i64) -> Event {
    let fact = Fact::new("payment.quarantined", id.as_str())
        .with("index", 0)
        .with("amount", amount)
        .with("currency", "KRW")
        .with("orderId", format!("{}-0-0-1", id.ulid()))
        .with("paymentId", payment);
    stamp::event(world.charging.random.as_ref(), &world.context().await, fact, None)
}

async fn given_back(world: &World, id: &SubscriptionId, payment: &str, refund: &str, amount: i64) -> Event {
    let fact = Fact::new("quarantine.refunded", id.as_str())
        .with("amount", amount)
        .with("currency", "KRW")
        .with("paymentId", payment)
        .with("refundId", refund);
    stamp::event(world.charging.random.as_ref(), &world.context().await, fact, None)
}

async fn held(world: &World, id: &str) -> Suspense {
    match typed::get::<Book>(&world.store, &Key::Suspense(id.to_owned())).await.unwrap() {
        Some(Book::Suspense(held)) => held,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn money_in_quarantine_stands_on_suspense_until_it_is_given_back() {
    let world = World::new().await;
    let id = world.onboard().await;
    let event = quarantined(&world, &id, "pay_x", 7_000).await;
    let unknown = hear(&world, &given_back(&world, &id, "pay_x", "r1", 1_000).await).await;
    assert!(matches!(unknown, Err(DocumentError::Missing(_))), "it has to come again");
    assert_eq!(hear(&world, &event).await.unwrap(), Written::Suspense);
    assert_eq!(hear(&world, &quarantined(&world, &id, "pay_x", 7_000).await).await.unwrap(), Written::Known);
    let sums = month(&world, "2026-12").await;
    assert_eq!((net(&sums, Account::GatewayClearing), net(&sums, Account::Suspense)), (7_000, -7_000));
    for (refund, amount, written) in [
        ("r1", 1_000, Written::Suspense),
        ("r1", 1_000, Written::Known),
        ("r2", 7_000, Written::Known),
        ("r3", 6_000, Written::Suspense),
        ("r4", 1, Written::Known),
    ] {
        let event = given_back(&world, &id, "pay_x", refund, amount).await;
        assert_eq!(hear(&world, &event).await.unwrap(), written, "{refund} {amount}");
    }
    let sums = month(&world, "2026-12").await;
    assert_eq!((net(&sums, Account::GatewayClearing), net(&sums, Account::Suspense)), (0, 0));
    assert_eq!((held(&world, "pay_x").await.left(), rows(&world.store, "posting")), (0, 3));
}

#[tokio::test]
async fn money_that_turns_out_to_be_a_cycles_is_booked_once_whatever_is_heard_first() {
    for quarantine_first in [true, false] {
        let world = World::new().await;
        let id = world.onboard().await;
        let paid = captured(&world, &id).await;
        let payment = paid.changes["paymentId"].as_str().unwrap().to_owned();
        let mut event = quarantined(&world, &id, &payment, 44_000).await;
        event.changes.insert("orderId".to_owned(), paid.changes["orderId"].clone());
        let order = if quarantine_first { [&event, &paid] } else { [&paid, &event] };
        for event in order.into_iter().chain(order) {
            hear(&world, event).await.unwrap();
        }
        let sums = month(&world, "2026-12").await;
        assert_eq!((net(&sums, Account::GatewayClearing), net(&sums, Account::Suspense)), (44_000, 0));
        assert_eq!((sums.entries, held(&world, &payment).await.released.len()), (4, 1));
        close(&world, "2026-12", "2027-01-02T00:00:00Z").await.unwrap();
    }
}

/// A refund beyond what was paid went out at the gateway: the same account, the other side.
#[tokio::test]
async fn money_that_went_out_unasked_is_on_the_other_side() {
    let world = World::new().await;
    let id = world.onboard().await;
    hear(&world, &captured(&world, &id).await).await.unwrap();
    let mut event = refund(&world, &id, "rf_over", 9_000, 0).await;
    event.kind = "payment.quarantined".to_owned();
    assert_eq!(hear(&world, &event).await.unwrap(), Written::Suspense);
    assert_eq!(hear(&world, &event).await.unwrap(), Written::Known);
    let sums = month(&world, "2026-12").await;
    assert_eq!((net(&sums, Account::GatewayClearing), net(&sums, Account::Suspense)), (35_000, 9_000));
    let nobodys = Event { subject: "x".to_owned(), ..quarantined(&world, &id, "pay_y", 1).await };
    assert!(hear(&world, &nobodys).await.is_err());
    assert!(typed::get::<Book>(&world.store, &Key::Suspense("pay_y".to_owned())).await.unwrap().is_none());
    assert!(typed::file(&world.store, &invoice_id(&id, 0)).await.unwrap().is_some());
}
