//! From events to documents: each paid cycle has one invoice and each refund one credit note, however often, in whatever
//! order and by however many writers the events are heard; numbers have no gap; the ledger ties.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::charge::GatewayName;
use domain::document::{Document, File};
use domain::event::{Actor, Event, Fact};
use domain::ids::SubscriptionId;
use domain::invoice::{InvoiceId, Supplier};
use domain::ledger::Entry;
use domain::money::Money;
use domain::tax::{Rail, TaxKind, TaxStatus};
use serde_json::Value;
use shared::ports::{Consumer, Context, Outbox, QueueUnavailable, Random, TaxIssuer, TaxIssuerError, TaxOrder};
use shared::store::memory::{Call, Fault};
use shared::store::{Key, MemoryStore, Query, Write, typed};
use shared::tax_sandbox::TaxSandbox;
use shared::usecase::forward_events::{Forwarded, Streamed, Unreadable, forward};
use shared::usecase::issue_tax_document::{IssueError, issue};
use shared::usecase::month_summary::summarise;
use shared::usecase::write_documents::{Desk, DocumentError, Written, write};
use shared::usecase::{explain_invoice::explain_invoice, stamp};

use super::world::World;
use crate::store_samples;

fn supplier() -> Supplier {
    let text = |text: &str| text.to_owned();
    Supplier {
        name: text("마음정원"),
        registration_number: text("0000000000"),
        representative: text("정원"),
        address: text("서울"),
    }
}

pub async fn hear(world: &World, event: &Event) -> Result<Written, DocumentError> {
    let (random, supplier) = (world.charging.random.as_ref(), supplier());
    let desk = Desk { store: &world.store, random, supplier: &supplier };
    write(&desk, &system(world).await, event).await
}

async fn system(world: &World) -> Context {
    Context { actor: Actor::System("write_documents".to_owned()), ..world.context().await }
}

/// The events about a subscription of one kind, oldest first.
async fn events(world: &World, id: &SubscriptionId, kind: &str) -> Vec<Event> {
    let query = Query::EventsOf { subject: id.to_string() };
    let (mut found, _) = typed::list::<Event>(&world.store, &query, 100, None).await.unwrap();
    found.reverse();
    found.retain(|event| event.kind == kind);
    found
}

pub async fn captured(world: &World, id: &SubscriptionId) -> Event {
    events(world, id, "payment.captured").await.remove(0)
}

pub fn invoice_id(id: &SubscriptionId, index: u32) -> InvoiceId {
    InvoiceId::of(&domain::charge::Billable { subscription: id.clone(), index, seq: 0 })
}

pub async fn file(world: &World, id: &SubscriptionId) -> Option<File> {
    typed::file(&world.store, &invoice_id(id, 0)).await.unwrap()
}

/// A refund of a subscription's first payment that went through, as the event says it.
pub async fn refund(world: &World, id: &SubscriptionId, refund_id: &str, amount: i64, before: i64) -> Event {
    let payment = captured(world, id).await.changes["paymentId"].clone();
    let vat = Money::krw(amount).refund_vat(Money::krw(before)).unwrap().amount;
    let fact = Fact::new("refund.succeeded", id.as_str())
        .with("index", 0)
        .with("seq", 0)
        .with("refundId", refund_id)
        .with("amount", amount)
        .with("vat", vat)
        .with("refunded", before + amount)
        .with("currency", "KRW")
        .with("gateway", "toss")
        .with("paymentId", payment)
        .with("origin", "operator");
    stamp::event(world.charging.random.as_ref(), &world.context().await, fact, None)
}

pub fn rows(store: &MemoryStore, table: &str) -> usize {
    store.dump().iter().filter(|(name, _)| *name == table).count()
}

/// Values of `number` of the documents of a series, in order.
fn numbers(store: &MemoryStore, series: &str) -> Vec<String> {
    let mut numbers: Vec<String> = store
        .dump()
        .into_iter()
        .filter_map(|(_, item)| item.get("number").and_then(Value::as_str).map(str::to_owned))
        .filter(|number| number.starts_with(series))
        .collect();
    numbers.sort();
    numbers
}

fn counted(series: &str, count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("{series}{n:06}")).collect()
}

#[tokio::test]
async fn a_paid_cycle_is_invoiced_once_however_often_it_is_heard() {
    let world = World::new().await;
    let id = world.onboard().await;
    let event = captured(&world, &id).await;
    assert_eq!(hear(&world, &event).await.unwrap(), Written::Invoice(invoice_id(&id, 0)));
    let File { invoice, .. } = file(&world, &id).await.unwrap();
    assert_eq!((invoice.total, invoice.supply, invoice.vat), (44_000, 40_000, 4_000));
    assert_eq!(invoice.lines.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["Starter", "SMS"]);
    assert_eq!((invoice.buyer.name.as_str(), invoice.number.as_str()), ("봄날", "MG-2026-000001"));
    assert_eq!(invoice.payment.payment_id, event.changes["paymentId"].as_str().unwrap());
    assert_eq!((invoice.payment.rail, invoice.payment.on.to_string()), (Rail::Card, "2026-12-01".to_owned()));
    let before = world.store.dump();
    for _ in 0..3 {
        assert_eq!(hear(&world, &event).await.unwrap(), Written::Known);
    }
    assert_eq!(world.store.dump(), before, "hearing it again changes nothing");
    let about = Query::EventsOf { subject: invoice.id.to_string() };
    let issued = typed::list::<Event>(&world.store, &about, 10, None).await.unwrap().0;
    assert_eq!(issued[0].kind, "invoice.issued");
    let month = summarise(&world.store, "2026-12").await.unwrap();
    assert!(month.complete && month.month.balanced() && month.month.ties(), "{month:?}");
    let explained = explain_invoice(&world.store, &file(&world, &id).await.unwrap()).await.unwrap();
    assert!(explained.matches && explained.steps.iter().any(|s| s.name == "price"), "{explained:?}");
}

#[tokio::test]
async fn a_refund_heard_before_its_payment_writes_both_in_order() {
    let world = World::new().await;
    let id = world.onboard().await;
    let (first, second) =
        (refund(&world, &id, "rfd_1", 5_000, 0).await, refund(&world, &id, "rfd_2", 39_000, 5_000).await);
    for event in [&second, &first, &second, &captured(&world, &id).await, &first] {
        hear(&world, event).await.unwrap();
    }
    let file = file(&world, &id).await.unwrap();
    assert_eq!(file.notes.iter().map(|n| n.refund_id.as_str()).collect::<Vec<_>>(), ["rfd_1", "rfd_2"]);
    assert_eq!((file.refunded(), file.notes.iter().map(|n| n.vat).sum::<i64>()), (44_000, file.invoice.vat));
    assert_eq!(numbers(&world.store, "MGC-2026-"), counted("MGC-2026-", 2));
    assert_eq!(rows(&world.store, "posting"), 4, "invoiced, captured, and each refund");
    let month = summarise(&world.store, "2026-12").await.unwrap().month;
    assert!(month.balanced() && month.ties(), "{month:?}");
    assert!(explain_invoice(&world.store, &file).await.unwrap().matches);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_writes_nothing() {
    let world = World::new().await;
    let id = world.onboard().await;
    let paid = captured(&world, &id).await;
    let good = refund(&world, &id, "rfd_1", 5_000, 0).await;
    hear(&world, &paid).await.unwrap();
    let before = world.store.dump();
    for (field, value) in [
        ("vat", Value::from(456)),
        ("refunded", 44_001.into()),
        ("amount", 0.into()),
        ("amount", Value::Null),
        ("amount", "5000".into()),
        ("currency", "EUR".into()),
        ("currency", "USD".into()),
        ("paymentId", "pay_other".into()),
        ("refundId", "a b".into()),
        ("index", 4_294_967_296_i64.into()),
        ("index", 9.into()),
        ("gateway", "paypal".into()),
    ] {
        let mut bad = good.clone();
        bad.changes.insert(field.to_owned(), value.clone());
        assert!(hear(&world, &bad).await.is_err(), "{field} {value}");
    }
    let foreign = Event { subject: world.onboard().await.to_string(), ..paid.clone() };
    assert!(matches!(hear(&world, &foreign).await, Err(DocumentError::Event("orderId"))));
    let nobodys = Event { subject: "sub_x".to_owned(), ..good };
    assert!(hear(&world, &nobodys).await.is_err());
    let other = Event { kind: "payment.declined".to_owned(), ..paid };
    assert_eq!(hear(&world, &other).await.unwrap(), Written::NotOurs);
    let ours = |(table, _): &(&'static str, _)| ["invoice", "posting"].contains(table);
    let after: Vec<_> = world.store.dump().into_iter().filter(ours).collect();
    assert_eq!(after, before.into_iter().filter(ours).collect::<Vec<_>>());
}

/// A commit fails, loses a race or is applied unheard, on its first to third try, then the message comes again.
#[tokio::test]
async fn a_writer_that_fails_or_dies_leaves_no_gap_and_nothing_twice() {
    for fault in [Fault::Unavailable, Fault::Conflict, Fault::AnswerLost] {
        for times in 1..4_usize {
            let world = World::new().await;
            let id = world.onboard().await;
            let heard = [captured(&world, &id).await, refund(&world, &id, "rfd_1", 5_000, 0).await];
            let left = Mutex::new(times);
            world.store.inject(move |call| match call {
                Call::Commit(_) => {
                    let mut left = left.lock().unwrap();
                    let now = left.checked_sub(1)?;
                    *left = now;
                    Some(fault)
                }
                Call::Get(_) | Call::GetMany(_) | Call::Query(_) => None,
            });
            let mut deliveries = 0;
            for event in &heard {
                while hear(&world, event).await.is_err() {
                    deliveries += 1;
                    assert!(deliveries < 10, "{fault:?} {times}");
                }
            }
            world.store.heal();
            assert_eq!(numbers(&world.store, "MG-"), counted("MG-2026-", 1), "{fault:?} {times}");
            assert_eq!(numbers(&world.store, "MGC-"), counted("MGC-2026-", 1));
            assert_eq!(rows(&world.store, "posting"), 3);
            assert!(summarise(&world.store, "2026-12").await.unwrap().month.ties());
        }
    }
}

struct Dice;

impl Random for Dice {
    fn bits(&self) -> u128 {
        rand::random()
    }
}

/// Four writers on four threads hear every event, each in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_have_no_gap_under_concurrent_writers() {
    let world = World::new().await;
    let mut heard = Vec::new();
    for n in 0..40 {
        let id = world.onboard().await;
        heard.push(captured(&world, &id).await);
        if n % 2 == 0 {
            heard.push(refund(&world, &id, &format!("rfd_{n}"), 5_000, 0).await);
        }
    }
    let writers = (0..4_usize).map(|turn| {
        let (store, mut mine, context) = (world.store.clone(), heard.clone(), world.charging.clock.clone());
        mine.rotate_left(turn * 7);
        if turn % 2 == 1 {
            mine.reverse();
        }
        tokio::spawn(async move {
            let supplier = supplier();
            let desk = Desk { store: &store, random: &Dice, supplier: &supplier };
            let context = Context { now: context.now().await, actor: Actor::System("writer".to_owned()) };
            for event in &mine {
                // The queue brings back what lost every race.
                while write(&desk, &context, event).await.is_err() {}
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(numbers(&world.store, "MG-2026-"), counted("MG-2026-", 40));
    assert_eq!(numbers(&world.store, "MGC-2026-"), counted("MGC-2026-", 20));
    assert_eq!(rows(&world.store, "posting"), 100);
    let month = summarise(&world.store, "2026-12").await.unwrap().month;
    assert!(month.balanced() && month.ties());
    assert_eq!(month.invoices.values().map(|sums| sums.count).sum::<u64>(), 40);
}

#[tokio::test]
async fn a_month_says_which_entry_does_not_tie() {
    let world = World::new().await;
    for _ in 0..60 {
        let id = world.onboard().await;
        hear(&world, &captured(&world, &id).await).await.unwrap();
    }
    let whole = summarise(&world.store, "2026-12").await.unwrap();
    assert_eq!((whole.month.entries, whole.complete, whole.month.ties()), (120, true, true), "more than one page");
    assert_eq!(summarise(&world.store, "2026-11").await.unwrap().month.entries, 0);
    let (_, mut item) = world.store.dump().into_iter().find(|(_, item)| item.contains_key("supplier")).unwrap();
    item.insert("total".to_owned(), 45_000.into());
    world.store.put_raw(shared::store::schema::Table::Invoice, item).unwrap();
    let changed = summarise(&world.store, "2026-12").await.unwrap().month;
    assert!(changed.balanced() && !changed.ties());
    assert_eq!(changed.untied.len(), 2, "invoiced and captured: {:?}", changed.untied);
}

/// An issuing service that does not answer the first time, having issued.
#[derive(Default)]
struct Moody {
    inner: TaxSandbox,
    asked: Mutex<u32>,
}

#[async_trait]
impl TaxIssuer for Moody {
    async fn issue(&self, order: &TaxOrder<'_>) -> Result<String, TaxIssuerError> {
        let approval = self.inner.issue(order).await?;
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        if *asked == 1 { Err(TaxIssuerError::Unavailable) } else { Ok(approval) }
    }
}

async fn ask(world: &World, issuer: Option<&dyn TaxIssuer>, id: &InvoiceId) -> Result<File, IssueError> {
    issue(&world.store, world.charging.random.as_ref(), &world.context().await, issuer, id).await
}

#[tokio::test]
async fn a_card_payment_needs_no_tax_document_and_says_so_again() {
    let world = World::new().await;
    let id = world.onboard().await;
    hear(&world, &captured(&world, &id).await).await.unwrap();
    let issuer = TaxSandbox::default();
    let first = ask(&world, Some(&issuer), &invoice_id(&id, 0)).await.unwrap();
    let tax = first.tax.unwrap();
    assert_eq!((tax.kind, tax.status), (TaxKind::CardSlip, TaxStatus::NotRequired));
    world.wait(jiff::SignedDuration::from_hours(1));
    let again = ask(&world, Some(&issuer), &invoice_id(&id, 0)).await.unwrap().tax.unwrap();
    assert_eq!((again.decided_at, again.status), (tax.decided_at, tax.status));
    assert!(issuer.issued().is_empty(), "nobody was asked");
    let nothing = ask(&world, Some(&issuer), &invoice_id(&id, 9)).await;
    assert!(matches!(nothing, Err(IssueError::NotFound)));
}

#[tokio::test]
async fn a_transfer_is_issued_once_though_the_answer_is_lost() {
    let world = World::new().await;
    let mut invoice = store_samples::invoice(&store_samples::subscription_id(), 0, store_samples::t(0));
    invoice.payment.rail = Rail::Transfer;
    let write = vec![Write::New(Document::Invoice(invoice.clone()).into())];
    let commit = stamp::commit(world.charging.random.as_ref(), &world.context().await, write, Vec::new());
    shared::store::Store::commit(&world.store, &commit).await.unwrap();

    let by_hand = ask(&world, None, &invoice.id).await.unwrap().tax.unwrap();
    assert_eq!((by_hand.kind, by_hand.status), (TaxKind::TaxInvoice, TaxStatus::Pending));
    assert_eq!(by_hand.due.unwrap().to_string(), "2027-01-10");
    let issuer = Moody::default();
    let lost = ask(&world, Some(&issuer), &invoice.id).await;
    assert!(matches!(lost, Err(IssueError::Issuer(TaxIssuerError::Unavailable))));
    let issued = ask(&world, Some(&issuer), &invoice.id).await.unwrap().tax.unwrap();
    assert_eq!((issued.status, issued.approval.is_some()), (TaxStatus::Issued, true));
    let again = ask(&world, Some(&issuer), &invoice.id).await.unwrap().tax.unwrap();
    assert_eq!(again.approval, issued.approval);
    let service = issuer.inner.issued();
    assert_eq!((service.len(), *issuer.asked.lock().unwrap()), (1, 2), "one document under our number");
    assert_eq!(service[&invoice.number].total, invoice.total);
    let changed = domain::invoice::Invoice { total: 1, ..invoice };
    let order = TaxOrder { own_number: &changed.number, kind: TaxKind::TaxInvoice, invoice: &changed };
    assert_eq!(issuer.inner.issue(&order).await, Err(TaxIssuerError::Refused), "another document under it");
}

/// A queue that refuses the bodies it is told to.
#[derive(Default)]
pub struct Boxes {
    pub refuses: BTreeSet<usize>,
    pub sent: Mutex<Vec<Event>>,
    pub aside: Mutex<Vec<(String, String)>>,
}

#[async_trait]
impl Outbox for Boxes {
    async fn send(&self, consumer: Consumer, bodies: &[String]) -> Vec<bool> {
        if consumer == Consumer::Notices {
            return vec![true; bodies.len()];
        }
        let taken = |at: &usize| !self.refuses.contains(at);
        let read = |body: &String| serde_json::from_str(body).unwrap();
        self.sent.lock().unwrap().extend((0..bodies.len()).filter(taken).map(|at| read(&bodies[at])));
        (0..bodies.len()).map(|at| taken(&at)).collect()
    }

    async fn set_aside(&self, pk: &str, sk: &str) -> Result<(), QueueUnavailable> {
        self.aside.lock().unwrap().push((pk.to_owned(), sk.to_owned()));
        if pk == "refused" { Err(QueueUnavailable) } else { Ok(()) }
    }
}

fn streamed(kinds: &[&str]) -> Vec<Streamed> {
    let row = |(n, kind): (usize, &&str)| {
        let unreadable = |pk: &str| Err(Unreadable { pk: pk.to_owned(), sk: n.to_string() });
        let event = match *kind {
            "poison" => unreadable("p"),
            "refused" => unreadable("refused"),
            kind => Ok(Event { kind: kind.to_owned(), ..store_samples::event("s", store_samples::t(0)) }),
        };
        Streamed { sequence: n.to_string(), event }
    };
    kinds.iter().enumerate().map(row).collect()
}

#[tokio::test]
async fn only_wanted_events_are_sent_on_and_the_first_left_behind_comes_again() {
    let kinds = ["payment.captured", "run.started", "poison", "refund.succeeded", "payment.captured"];
    for (refuses, again) in [(vec![], None), (vec![2], Some("4")), (vec![0, 2], Some("0")), (vec![1], Some("3"))] {
        let boxes = Boxes { refuses: refuses.iter().copied().collect(), ..Boxes::default() };
        let rows = streamed(&kinds);
        assert_eq!(forward(&boxes, &rows).await.again.as_deref(), again);
        let sent: Vec<String> = boxes.sent.lock().unwrap().iter().map(|e| e.kind.clone()).collect();
        assert_eq!(sent.len(), 3 - refuses.len());
        assert!(!sent.contains(&"run.started".to_owned()));
        assert_eq!(*boxes.aside.lock().unwrap(), [("p".to_owned(), "2".to_owned())], "set aside, and not in the way");
    }
    let rows = streamed(&["run.started", "refused", "payment.captured"]);
    assert_eq!(forward(&Boxes::default(), &rows).await.again.as_deref(), Some("1"), "never lost");
    assert_eq!(forward(&Boxes::default(), &streamed(&["run.started"])).await, Forwarded::default());
}

/// What is sent on is what the writer reads: the event of a real payment through the queue's JSON.
#[tokio::test]
async fn an_event_that_went_through_the_queue_writes_the_same_invoice() {
    let world = World::new().await;
    let id = world.onboard().await;
    let boxes = Boxes::default();
    let event = captured(&world, &id).await;
    assert_eq!(forward(&boxes, &[Streamed { sequence: "1".to_owned(), event: Ok(event.clone()) }]).await.again, None);
    let heard = boxes.sent.lock().unwrap().remove(0);
    assert_eq!(heard, event);
    assert_eq!(hear(&world, &heard).await.unwrap(), Written::Invoice(invoice_id(&id, 0)));
    let key = Key::Posting { month: "2026-12".to_owned(), id: format!("2026-12-01#captured#{}", invoice_id(&id, 0)) };
    let entry = typed::get::<Entry>(&world.store, &key).await.unwrap().unwrap();
    assert_eq!((entry.gateway, entry.debits()), (GatewayName::Toss, 44_000));
}
