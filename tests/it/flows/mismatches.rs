//! Planted mismatches between a gateway's lists and our books: each is found, lands in its bucket, is told once, and heals
//! once the lists are right again or the books took the money in. And: wherever a pass dies, the next one ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::charge::{Billable, GatewayName};
use domain::cycle::State;
use domain::ids::SubscriptionId;
use domain::money::{Currency, Money};
use domain::movement::{Kind, Listed, Movement};
use domain::settlement::{Bucket, Reason, Side};
use jiff::SignedDuration;
use shared::gateway::{Charge, REQUEST_VERSION};
use shared::store::memory::Fault;
use shared::store::{Record, typed};

use super::quarter::{Bend, Bent, Trade, written};
use crate::gateway_house::{VERSION, captured};

const TOSS: GatewayName = GatewayName::Toss;
const STRIPE: GatewayName = GatewayName::Stripe;
const PRICE: i64 = 44_000;

/// Changes the rows of one kind.
fn bend(kind: Kind, change: impl Fn(Movement) -> Option<Listed> + Send + Sync + 'static) -> Bend {
    Box::new(move |listed| match listed {
        Listed::Movement(moved) if moved.kind == kind => change(moved).into_iter().collect(),
        other => vec![other],
    })
}

fn as_row(moved: Movement) -> Option<Listed> {
    Some(Listed::Movement(moved))
}

fn straighten(trade: &Trade) {
    for lists in [&trade.toss, &trade.stripe] {
        *lists.movements.lock().unwrap() = None;
        *lists.settled.lock().unwrap() = None;
    }
}

fn lists(trade: &Trade, name: GatewayName) -> &Arc<Bent> {
    match name {
        GatewayName::Toss => &trade.toss,
        GatewayName::Stripe => &trade.stripe,
    }
}

/// The rows that are not at rest, with what is said of them.
async fn open(trade: &Trade) -> Vec<(Bucket, Option<Reason>, Option<i64>)> {
    let rows = trade.rows().await.into_iter().filter(|row| !row.verdict.bucket.at_rest());
    rows.map(|row| (row.verdict.bucket, row.verdict.reason, row.verdict.unexplained)).collect()
}

/// Money taken at a gateway that the books never heard of.
async fn take(trade: &Trade, name: GatewayName, id: &SubscriptionId, index: u32, n: u32) -> String {
    let card = trade.house.card(name).await;
    let of = Billable { subscription: id.clone(), index, seq: 0 };
    let charge = Charge {
        order_id: &of.order_id(name, n),
        idempotency_key: &format!("planted {id} {index} {n}"),
        amount: Money::krw(PRICE),
        order_name: "Starter",
        token: &card.token,
        customer: &card.customer,
        key_version: VERSION,
        request_version: REQUEST_VERSION,
        intent: None,
        known_charges: &[],
    };
    captured(trade.house.gateway(name).charge(&charge).await).payment_id
}

/// A row the list shows otherwise than it is; afterwards it shows it as it is.
async fn planted(name: GatewayName, in_settled: bool, bend: Bend, expected: (Bucket, Reason, Option<i64>)) {
    let trade = Trade::open().await;
    let id = trade.onboard(name).await;
    trade.morning(0, 11).await;
    trade.refund(&id, 0, 4_000).await;
    let lists = lists(&trade, name);
    *(if in_settled { &lists.settled } else { &lists.movements }).lock().unwrap() = Some(bend);
    // A fact of ours waits a day for its row.
    for days in 1..=3 {
        trade.morning(days, 5).await;
        trade.reconcile().await;
    }
    let (bucket, reason, unexplained) = expected;
    assert_eq!(open(&trade).await, [(bucket, Some(reason), unexplained)], "{name:?} {reason:?}");
    assert_eq!(trade.alerts().await, 1, "{reason:?} is told once in three mornings");
    straighten(&trade);
    trade.morning(4, 5).await;
    trade.reconcile().await;
    assert_eq!(open(&trade).await, [], "{name:?} {reason:?} heals");
    let rows = trade.rows().await;
    let matched = rows.iter().filter(|row| row.side == Side::Gateway).all(|row| row.verdict.bucket == Bucket::Matched);
    assert!(matched, "{rows:#?}");
    // Stripe keeps nothing of a refund; Toss gives its share of the fee back.
    let kept = if name == TOSS { 2 } else { 1 };
    assert_eq!((trade.alerts().await, fees(&trade)), (1, kept), "{reason:?}: each fee is booked once");
}

/// Entries of fees.
fn fees(trade: &Trade) -> usize {
    let postings = trade.world.store.dump().into_iter().filter(|(table, _)| *table == "posting");
    postings.filter(|(_, item)| item["sk"].as_str().unwrap().contains("#fee#")).count()
}

#[tokio::test]
async fn amounts_and_currencies_that_differ() {
    for name in GatewayName::ALL {
        let more = bend(Kind::Capture, |m| {
            let fee = m.fee.clone().map(|fee| domain::movement::Fee { net: fee.net + 1_000, ..fee });
            as_row(Movement { amount: Money::krw(m.amount.amount + 1_000), fee, ..m })
        });
        planted(name, false, more, (Bucket::AmountMismatch, Reason::Amount, Some(1_000))).await;
        let dollars =
            bend(Kind::Capture, |m| as_row(Movement { amount: Money::new(m.amount.amount, Currency::USD), ..m }));
        planted(name, false, dollars, (Bucket::AmountMismatch, Reason::Currency, Some(PRICE))).await;
        let less = bend(Kind::Refund, |m| {
            let fee = m.fee.clone().map(|fee| domain::movement::Fee { net: fee.net + 1, ..fee });
            as_row(Movement { amount: Money::krw(m.amount.amount + 1), fee, ..m })
        });
        planted(name, false, less, (Bucket::AmountMismatch, Reason::Amount, Some(1))).await;
    }
}

#[tokio::test]
async fn a_fee_that_does_not_add_up_is_not_booked() {
    for (name, in_settled) in [(TOSS, true), (STRIPE, false)] {
        let off = bend(Kind::Capture, |m| {
            let fee = m.fee.clone().map(|fee| domain::movement::Fee { net: fee.net - 7, ..fee });
            as_row(Movement { fee, ..m })
        });
        planted(name, in_settled, off, (Bucket::AmountMismatch, Reason::FeeDoesNotAddUp, Some(-7))).await;
    }
}

#[tokio::test]
async fn rows_that_do_not_read_or_are_of_no_known_kind_are_kept_and_told() {
    for name in GatewayName::ALL {
        let torn =
            bend(Kind::Refund, |m| Some(Listed::Unreadable { id: Some(m.id), raw: "{\"amount\":\"?\"".to_owned() }));
        // The fact of ours behind it is missed as well: a row that does not read answers nothing.
        let trade = Trade::open().await;
        let id = trade.onboard(name).await;
        trade.morning(0, 11).await;
        trade.refund(&id, 0, 4_000).await;
        *lists(&trade, name).movements.lock().unwrap() = Some(torn);
        *lists(&trade, name).settled.lock().unwrap() = Some(bend(Kind::Refund, |_| None));
        for days in 1..=3 {
            trade.morning(days, 5).await;
            trade.reconcile().await;
        }
        let raw = trade.rows().await.into_iter().find(|row| row.raw.is_some()).unwrap();
        assert_eq!(raw.raw.as_deref(), Some("{\"amount\":\"?\""), "kept as it came");
        let mut found = open(&trade).await;
        found.sort();
        let unreadable = (Bucket::MissingInternal, Some(Reason::Unreadable), None);
        let unanswered = (Bucket::MissingGateway, Some(Reason::NotListed), Some(4_000));
        assert_eq!(found, [unreadable, unanswered]);
        straighten(&trade);
        trade.morning(4, 5).await;
        trade.reconcile().await;
        assert_eq!((open(&trade).await, trade.alerts().await), (vec![], 2));
    }
}

#[tokio::test]
async fn money_of_nobody_is_told() {
    let trade = Trade::open().await;
    trade.onboard(STRIPE).await;
    let odd = Box::new(|listed: Listed| match listed {
        Listed::Movement(m) => {
            let shop = Movement { id: format!("{}x", m.id), order_id: Some("shop-7".into()), ..m.clone() };
            let strange = Movement { id: format!("{}y", m.id), kind: Kind::Other, ..m.clone() };
            vec![Listed::Movement(m), Listed::Movement(shop), Listed::Movement(strange)]
        }
        other => vec![other],
    });
    *trade.stripe.movements.lock().unwrap() = Some(odd);
    for days in 1..=2 {
        trade.morning(days, 5).await;
        trade.reconcile().await;
    }
    let mut found = open(&trade).await;
    found.sort();
    let lost = |reason| (Bucket::MissingInternal, Some(reason), Some(PRICE));
    assert_eq!(found, [lost(Reason::ForeignOrder), lost(Reason::UnknownKind)]);
    assert_eq!(trade.alerts().await, 2);
}

#[tokio::test]
async fn our_own_captures_and_refunds_that_the_gateway_does_not_list() {
    for name in GatewayName::ALL {
        for (kind, unexplained) in [(Kind::Capture, -PRICE), (Kind::Refund, 4_000)] {
            let trade = Trade::open().await;
            let id = trade.onboard(name).await;
            trade.morning(0, 11).await;
            trade.refund(&id, 0, 4_000).await;
            *lists(&trade, name).movements.lock().unwrap() = Some(bend(kind, |_| None));
            *lists(&trade, name).settled.lock().unwrap() = Some(bend(kind, |_| None));
            trade.morning(1, 5).await;
            trade.reconcile().await;
            let ours =
                || async { trade.rows().await.into_iter().filter(|row| row.side == Side::Ours).collect::<Vec<_>>() };
            let [young] = &ours().await[..] else { panic!("one fact of ours") };
            assert_eq!((young.verdict.bucket, young.verdict.reason), (Bucket::Timing, Some(Reason::Young)));
            for days in 2..=3 {
                trade.morning(days, 5).await;
                trade.reconcile().await;
            }
            let missing = (Bucket::MissingGateway, Some(Reason::NotListed), Some(unexplained));
            assert_eq!((open(&trade).await, trade.alerts().await), (vec![missing], 1));
            straighten(&trade);
            trade.morning(4, 5).await;
            trade.reconcile().await;
            let [came] = &ours().await[..] else { panic!("one fact of ours") };
            assert!(came.verdict.bucket == Bucket::Matched && came.answered_by.is_some(), "{came:?}");
            assert_eq!(open(&trade).await, []);
        }
    }
}

#[tokio::test]
async fn a_lost_capture_is_attached_and_a_second_one_quarantined_until_it_goes_back() {
    for name in GatewayName::ALL {
        let trade = Trade::open().await;
        let id = trade.onboard(name).await;
        // The next cycle was paid and nobody heard of it.
        trade.morning(31, 9).await;
        let lost = take(&trade, name, &id, 1, 1).await;
        trade.morning(32, 5).await;
        trade.reconcile().await;
        let cycle = typed::cycle(&trade.world.store, &id, 1, 0).await.unwrap().unwrap();
        assert!(matches!(&cycle.state, State::Paid(payment) if payment.payment_id == lost), "{cycle:?}");
        trade.morning(33, 5).await;
        trade.reconcile().await;
        assert_eq!((open(&trade).await, trade.alerts().await), (vec![], 0));
        // And it was paid once more.
        let doubled = take(&trade, name, &id, 1, 2).await;
        for days in 34..=35 {
            trade.morning(days, 5).await;
            trade.reconcile().await;
            let held = (Bucket::MissingInternal, Some(Reason::Quarantined), Some(PRICE));
            assert_eq!(open(&trade).await, [held], "{name:?}");
        }
        let told = trade.events().await.iter().filter(|event| event.kind == "payment.quarantined").count();
        assert_eq!((told, trade.alerts().await), (1, 0), "quarantine tells by itself");
        trade.by_hand(&doubled, 10_000).await;
        trade.morning(36, 5).await;
        trade.reconcile().await;
        assert_eq!(open(&trade).await, [(Bucket::MissingInternal, Some(Reason::Quarantined), Some(PRICE - 10_000))]);
        trade.by_hand(&doubled, PRICE - 10_000).await;
        for days in 37..=38 {
            trade.morning(days, 5).await;
            trade.reconcile().await;
        }
        assert_eq!(open(&trade).await, [], "{name:?}: it went back");
    }
}

#[tokio::test]
async fn refunds_and_disputes_nobody_told_us_of_are_taken_in() {
    for name in GatewayName::ALL {
        let trade = Trade::open().await;
        let id = trade.onboard(name).await;
        let payment = trade.payment(&id, 0).await;
        trade.by_hand(&payment, 3_000).await;
        trade.morning(1, 5).await;
        trade.reconcile().await;
        let cycle = typed::cycle(&trade.world.store, &id, 0, 0).await.unwrap().unwrap();
        assert_eq!((cycle.refunded, open(&trade).await), (3_000, vec![]), "{name:?}");
    }
    let trade = Trade::open().await;
    let id = trade.onboard(STRIPE).await;
    trade.dispute(&trade.payment(&id, 0).await, "needs_response").await;
    trade.morning(1, 5).await;
    trade.reconcile().await;
    let cycle = typed::cycle(&trade.world.store, &id, 0, 0).await.unwrap().unwrap();
    assert!(cycle.dispute.is_some_and(|dispute| dispute.holds_money()));
    let postings = trade.world.store.dump().into_iter().filter(|(table, _)| *table == "posting");
    let taken = postings.filter(|(_, item)| item["sk"].as_str().unwrap().contains("#disputed#")).count();
    assert_eq!((open(&trade).await, taken), (vec![], 1), "the ledger knows that it is gone");
}

/// A trade with something of everything to do: a lost capture, a refund in the console, fees, a dispute.
async fn busy() -> Trade {
    let trade = Trade::open().await;
    let (t, s) = (trade.onboard(TOSS).await, trade.onboard(STRIPE).await);
    trade.morning(31, 9).await;
    take(&trade, TOSS, &t, 1, 1).await;
    take(&trade, STRIPE, &s, 1, 1).await;
    trade.by_hand(&trade.payment(&t, 0).await, 1_000).await;
    trade.dispute(&trade.payment(&s, 0).await, "needs_response").await;
    trade.morning(32, 5).await;
    trade
}

#[tokio::test]
async fn wherever_a_pass_dies_the_next_one_ends_it() {
    let trade = busy().await;
    let mut calls = 0;
    for fault in [Fault::Unavailable, Fault::AnswerLost] {
        for at in 0..60 {
            let n = AtomicU32::new(0);
            // From there on nothing is heard any more: a process that died.
            trade.world.store.inject(move |_| match n.fetch_add(1, Ordering::SeqCst) {
                before if before < at => None,
                now if now == at => Some(fault),
                _ => Some(Fault::Unavailable),
            });
            let died = trade.try_reconcile().await.is_err();
            trade.world.store.heal();
            calls += u32::from(died);
        }
    }
    assert!(calls > 40, "{calls} passes died");
    trade.reconcile().await;
    assert_eq!(open(&trade).await, []);
    let before = written(&trade);
    trade.world.wait(SignedDuration::from_mins(1));
    trade.reconcile().await;
    assert_eq!(written(&trade), before);
    let calm = busy().await;
    calm.reconcile().await;
    assert_eq!(written(&calm).len(), before.len(), "as many rows and entries as without a death");
    assert_eq!((trade.alerts().await, calm.alerts().await), (0, 0));
    let once = |kind: &str, events: &[domain::event::Event]| events.iter().filter(|event| event.kind == kind).count();
    let events = trade.events().await;
    assert_eq!(["payment.captured", "refund.succeeded", "dispute.opened"].map(|kind| once(kind, &events)), [4, 1, 1]);
}

#[tokio::test]
async fn two_workers_at_once_book_once() {
    let trade = busy().await;
    let (one, two) = tokio::join!(trade.try_reconcile(), trade.try_reconcile());
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
    trade.reconcile().await;
    assert_eq!((open(&trade).await, trade.alerts().await), (vec![], 0));
    let calm = busy().await;
    calm.reconcile().await;
    assert_eq!(written(&trade).len(), written(&calm).len());
    // An entry that is there although its row says nothing of it is not made again.
    let rows = trade.rows().await;
    let forgetful = rows.iter().find(|row| row.booked.fee.is_some()).unwrap().clone();
    let mut item = shared::store::rows::encode(&Record::Settlement(forgetful), 7, "restored").unwrap();
    item.insert("booked".to_owned(), serde_json::json!({}));
    item.insert("bucket".to_owned(), "timing".into());
    trade.world.store.put_raw(shared::store::schema::Table::Settlement, item).unwrap();
    let postings = |trade: &Trade| trade.world.store.dump().iter().filter(|(table, _)| *table == "posting").count();
    let before = postings(&trade);
    trade.reconcile().await;
    assert_eq!((open(&trade).await, postings(&trade)), (vec![], before));
}
