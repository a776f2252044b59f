//! The audit log from outside: searched, sealed, verified, and whatever the forwarder missed is sent again.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::Date;
use domain::event::{Actor, Event};
use domain::ids::EventId;
use domain::seal::{Broken, Seal};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::ports::{Context, Random};
use shared::store::schema::{LOG_SHARDS, Table};
use shared::store::{Key, MemoryStore, Query, Record, Store, StoreError, Write, typed};
use shared::usecase::forward_events::{Streamed, forward};
use shared::usecase::forwarded_marks::{keep, of_day};
use shared::usecase::seal_audit::{SealError, Sealer, Sealing, seal_settled};
use shared::usecase::search_audit::{About, Found, LOOKED_AT_MAX, Search, search};
use shared::usecase::verify_audit::{Days, Verified, verify_days};
use tokio::time::Instant;

use super::documents::Boxes;
use crate::store_samples::{at, commit, event, unique};

struct Dice;

impl Random for Dice {
    fn bits(&self) -> u128 {
        rand::random()
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

fn context(now: &str) -> Context {
    Context { now: at(now), actor: Actor::System("test".to_owned()) }
}

async fn seal(store: &MemoryStore, boxes: &Boxes, now: &str) -> Result<Sealing, SealError> {
    seal_settled(&Sealer { store, outbox: boxes, random: &Dice }, &context(now), later()).await
}

async fn verify(store: &MemoryStore, days: Days) -> Verified {
    verify_days(store, &Dice, &context("2026-12-20T00:00:00Z"), days, later()).await.unwrap()
}

const ALL: Days = Days::Range { from: None, to: None };

fn day(n: i8) -> Date {
    jiff::civil::date(2026, 12, n)
}

/// `count` events of a kind over the hours of a day.
async fn happen(store: &MemoryStore, on: i8, count: u32, kind: &str) -> Vec<Event> {
    let midnight = day(on).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let made: Vec<Event> = (0..count)
        .map(|n| {
            let at = midnight + SignedDuration::from_secs(i64::from(n % 1_440) * 60);
            Event { kind: kind.to_owned(), ..event(&format!("sub_{}", n % 3), at) }
        })
        .collect();
    for chunk in made.chunks(100) {
        store.commit(&commit(vec![], chunk.to_vec())).await.unwrap();
    }
    made
}

fn days(sealing: &Sealing) -> Vec<Date> {
    sealing.sealed.iter().map(|seal| seal.day).collect()
}

fn ids(events: &[Event]) -> BTreeSet<EventId> {
    events.iter().map(|event| event.id.clone()).collect()
}

#[tokio::test]
async fn days_are_sealed_once_in_order_when_they_are_settled() {
    let (store, boxes) = (MemoryStore::new(), Boxes::default());
    for on in 1..=6 {
        happen(&store, on, 130, "run.started").await;
    }
    assert_eq!(days(&seal(&store, &boxes, "2026-12-04T01:59:59Z").await.unwrap()), [30, 1, 2].map(before));
    assert_eq!(days(&seal(&store, &boxes, "2026-12-04T02:00:00Z").await.unwrap()), [day(3)]);
    let dump = store.dump();
    assert_eq!(seal(&store, &boxes, "2026-12-04T23:00:00Z").await.unwrap(), Sealing::default());
    assert_eq!(store.dump(), dump, "what is sealed is skipped");
    assert_eq!(days(&seal(&store, &boxes, "2026-12-09T02:30:00Z").await.unwrap()), [4, 5, 6, 7, 8].map(day), "no gap");
    let verified = verify(&store, ALL).await;
    assert_eq!((verified.broken, verified.next), (None, None));
    let events: Vec<u64> = verified.days.iter().map(|checked| checked.events).collect();
    // The seals themselves are events of the day on which they were made: four on the 4th.
    assert_eq!(events, [0, 130, 130, 130, 134, 130, 130, 0, 0]);
}

fn before(n: i8) -> Date {
    if n == 30 { jiff::civil::date(2026, 11, 30) } else { day(n) }
}

#[tokio::test]
async fn a_seal_is_never_replaced() {
    let (store, boxes) = (MemoryStore::new(), Boxes::default());
    seal(&store, &boxes, "2026-12-04T02:00:00Z").await.unwrap();
    let stored: Seal = typed::get(&store, &Key::Seal(day(3))).await.unwrap().unwrap();
    let replaced = store.commit(&commit(vec![Write::Replace(Record::Seal(stored.clone()))], vec![])).await;
    assert!(matches!(replaced, Err(StoreError::Corrupt(_))), "{replaced:?}");
    let again = Write::New(Record::Seal(Seal { version: 0, ..stored }));
    assert!(matches!(store.commit(&commit(vec![again], vec![])).await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn two_sealers_at_once_make_one_seal() {
    let (store, boxes) = (MemoryStore::new(), Boxes::default());
    happen(&store, 1, 10, "run.started").await;
    let now = "2026-12-04T02:00:00Z";
    let both = tokio::join!(seal(&store, &boxes, now), seal(&store, &boxes, now));
    assert_eq!(both.0.unwrap().sealed.len() + both.1.unwrap().sealed.len(), 3);
    assert_eq!(verify(&store, ALL).await.days.len(), 3);
}

/// Five ordinary days, sealed.
async fn sealed() -> (MemoryStore, Vec<Event>) {
    let store = MemoryStore::new();
    let mut made = Vec::new();
    for on in 1..=5 {
        made.extend(happen(&store, on, 40, "run.started").await);
    }
    seal(&store, &Boxes::default(), "2026-12-04T02:00:00Z").await.unwrap();
    seal(&store, &Boxes::default(), "2026-12-07T02:00:00Z").await.unwrap();
    assert_eq!(verify(&store, ALL).await.broken, None);
    (store, made)
}

/// The row of an event, as it is stored.
fn row(store: &MemoryStore, id: &EventId) -> shared::store::rows::Item {
    let rows = store.dump().into_iter().filter(|(table, _)| *table == "ops_audit_log");
    rows.map(|(_, item)| item).find(|item| item["sk"] == id.as_str()).unwrap()
}

async fn broken(store: &MemoryStore, days: Days) -> Option<(Date, Broken)> {
    verify(store, days).await.broken
}

#[tokio::test]
async fn a_changed_event_is_found_and_an_operator_is_told() {
    let (store, made) = sealed().await;
    let changed = &made[95];
    let mut item = row(&store, &changed.id);
    item["changes"]["amount"] = Value::from(131_999);
    store.put_raw(Table::AuditLog, item.clone()).unwrap();
    let (on, found) = broken(&store, ALL).await.unwrap();
    let shard: u32 = item["pk"].as_str().unwrap().rsplit('#').next().unwrap().parse().unwrap();
    assert_eq!((on, found.shard()), (day(3), Some(shard)));
    let about = Query::EventsOf { subject: "audit#2026-12-03".to_owned() };
    let told = typed::list::<Event>(&store, &about, 10, None).await.unwrap().0;
    assert_eq!(told[0].kind, "audit.broken");
    assert_eq!((&told[0].changes["day"], &told[0].changes["shard"]), (&"2026-12-03".into(), &shard.into()));
    assert_eq!(broken(&store, Days::Range { from: Some(day(4)), to: None }).await, None, "the others are as they were");
    assert_eq!(broken(&store, Days::Range { from: None, to: Some(day(2)) }).await, None);
    item["changes"] = Value::from("no event any more");
    store.put_raw(Table::AuditLog, item).unwrap();
    assert_eq!(broken(&store, ALL).await, Some((day(3), Broken::Unreadable { shard })));
}

#[tokio::test]
async fn an_event_that_comes_late_is_found() {
    let (store, _) = sealed().await;
    let late = event("sub_x", at("2026-12-05T23:59:59Z"));
    store.commit(&commit(vec![], vec![late])).await.unwrap();
    let (on, found) = broken(&store, ALL).await.unwrap();
    assert!(on == day(5) && matches!(found, Broken::Shard { .. }), "{found:?}");
}

/// Copies a log but for some rows: what a database without them would hold.
fn without(store: &MemoryStore, gone: impl Fn(&str, &shared::store::rows::Item) -> bool) -> MemoryStore {
    let copy = MemoryStore::new();
    for (name, item) in store.dump() {
        let table = Table::ALL.into_iter().find(|table| table.name() == name).unwrap();
        if !gone(name, &item) {
            copy.put_raw(table, item).unwrap();
        }
    }
    copy
}

#[tokio::test]
async fn events_and_seals_that_are_gone_are_found() {
    let (store, made) = sealed().await;
    let lost = without(&store, |_, item| item["sk"] == made[50].id.as_str());
    assert_eq!(broken(&lost, ALL).await.unwrap().0, day(2));
    let gap = without(&store, |name, item| name == "seal" && item["sk"] == "2026-12-03");
    assert_eq!(broken(&gap, ALL).await, Some((day(3), Broken::Missing)));
    let beheaded = without(&store, |name, item| name == "seal" && item["sk"] == "2026-12-01");
    assert_eq!(broken(&beheaded, ALL).await, Some((day(2), Broken::Previous)));
    // The last seals are gone, and what is sealed next is another log: the log itself tells of the seals that were.
    let cut = without(&store, |name, item| {
        (name == "seal" && item["sk"].as_str() > Some("2026-12-04")) || item["sk"] == made[170].id.as_str()
    });
    assert_eq!(broken(&cut, ALL).await, None, "nothing contradicts it yet");
    assert!(matches!(broken(&cut, Days::Recent(30)).await, Some((on, Broken::Missing)) if on == day(5)));
    seal(&cut, &Boxes::default(), "2026-12-10T02:00:00Z").await.unwrap();
    assert_eq!(broken(&cut, ALL).await, Some((day(5), Broken::Contradicted)));
}

#[tokio::test]
async fn nothing_sealed_is_nothing_to_verify_and_time_is_bounded() {
    let empty = MemoryStore::new();
    assert_eq!(verify(&empty, ALL).await, Verified::default());
    assert_eq!(verify(&empty, Days::Recent(7)).await, Verified::default());
    let (store, _) = sealed().await;
    let now = context("2026-12-20T00:00:00Z");
    let none = verify_days(&store, &Dice, &now, ALL, Instant::now()).await.unwrap();
    assert_eq!((none.days.len(), none.next), (0, Some(day(1))), "it says where to go on");
    let boxes = Boxes::default();
    let sealer = Sealer { store: &store, outbox: &boxes, random: &Dice };
    assert_eq!(seal_settled(&sealer, &now, Instant::now()).await.unwrap(), Sealing::default());
}

#[tokio::test]
async fn what_has_no_mark_is_sent_again_before_its_day_is_sealed() {
    let (store, boxes) = (MemoryStore::new(), Boxes::default());
    let wanted = happen(&store, 3, 250, "payment.captured").await;
    happen(&store, 3, 30, "run.started").await;
    let (sent, missed) = wanted.split_at(150);
    let rows = |events: &[Event]| -> Vec<Streamed> {
        events.iter().map(|event| Streamed { sequence: event.id.to_string(), event: Ok(event.clone()) }).collect()
    };
    for batch in sent.chunks(100) {
        let forwarded = forward(&boxes, &rows(batch)).await;
        keep(&store, &Dice, &forwarded.taken).await;
    }
    assert_eq!(of_day(&store, day(3)).await.unwrap(), ids(sent));
    boxes.sent.lock().unwrap().clear();
    // A queue that refuses: nothing of the day is sealed, and what it took has a mark.
    let full = Boxes { refuses: [5].into(), ..Boxes::default() };
    let refused = seal(&store, &full, "2026-12-04T02:30:00Z").await;
    assert!(matches!(refused, Err(SealError::NotSent(on)) if on == day(3)), "{refused:?}");
    assert!(typed::get::<Seal>(&store, &Key::Seal(day(3))).await.unwrap().is_none());
    let sealing = seal(&store, &boxes, "2026-12-05T02:30:00Z").await.unwrap();
    assert_eq!(sealing.sealed[0].day, day(3));
    let again: Vec<Event> = boxes.sent.lock().unwrap().clone();
    let all: BTreeSet<EventId> = ids(&again).union(&ids(&full.sent.lock().unwrap())).cloned().collect();
    assert_eq!(all, ids(missed), "those without a mark, and no others");
    assert_eq!((sealing.resent, again.len()), (again.len(), again.len()), "each once more");
    assert!(again.len() < missed.len(), "what went before the queue was full has a mark");
    assert_eq!(of_day(&store, day(3)).await.unwrap(), ids(&wanted));
}

#[tokio::test]
async fn a_mark_that_cannot_be_kept_costs_a_message_and_nothing_else() {
    let (store, boxes) = (MemoryStore::new(), Boxes::default());
    let made = happen(&store, 3, 3, "payment.captured").await;
    store.inject(|_| Some(shared::store::memory::Fault::Unavailable));
    keep(&store, &Dice, &ids(&made).into_iter().collect::<Vec<_>>()).await;
    store.heal();
    assert_eq!(seal(&store, &boxes, "2026-12-04T02:30:00Z").await.unwrap().resent, 3);
}

fn by_day(on: i8, kind: Option<&str>) -> Search {
    Search { about: About::Day(day(on)), kind: kind.map(str::to_owned) }
}

/// All pages of a search.
async fn pages(store: &dyn Store, what: &Search, limit: u32) -> (Vec<EventId>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let Found { events, next } = search(store, what, limit, after.as_ref()).await.unwrap();
        assert!(events.len() <= usize::try_from(limit).unwrap());
        found.extend(events.into_iter().map(|event| event.id));
        (after, pages) = (next, pages + 1);
        if after.is_none() {
            return (found, pages);
        }
    }
}

#[tokio::test]
async fn a_day_is_searched_newest_first_across_its_shards() {
    let store = MemoryStore::new();
    happen(&store, 2, 20, "run.started").await;
    let made = happen(&store, 3, 333, "run.started").await;
    happen(&store, 4, 20, "run.started").await;
    let mut expected: Vec<EventId> = ids(&made).into_iter().collect();
    expected.reverse();
    for limit in [1, 7, 100] {
        let (found, count) = pages(&store, &by_day(3, None), limit).await;
        assert_eq!(found, expected, "limit {limit}");
        assert_eq!(count, 333_usize.div_ceil(usize::try_from(limit).unwrap()), "full pages");
    }
    let shards: BTreeSet<String> = made.iter().map(|e| row(&store, &e.id)["pk"].as_str().unwrap().to_owned()).collect();
    assert_eq!(shards.len(), usize::try_from(LOG_SHARDS).unwrap(), "the test sees all of them");
    // What happens meanwhile is not pushed between the pages.
    let first = search(&store, &by_day(3, None), 10, None).await.unwrap();
    store.commit(&commit(vec![], vec![event("s", at("2026-12-03T23:59:59Z"))])).await.unwrap();
    let second = search(&store, &by_day(3, None), 10, first.next.as_ref()).await.unwrap();
    let seen: Vec<EventId> = first.events.into_iter().chain(second.events).map(|event| event.id).collect();
    assert_eq!(seen, expected[..20]);
}

#[tokio::test]
async fn a_subject_is_searched_newest_first_and_kinds_are_filtered_with_bounded_work() {
    let store = MemoryStore::new();
    let subject = unique("subject");
    let start = at("2026-12-01T00:00:00Z");
    let kind = |n: i64| if n % 700 == 3 { "payment.captured" } else { "run.started" };
    let made: Vec<Event> = (0..2_500_i64)
        .map(|n| Event { kind: kind(n).to_owned(), ..event(&subject, start + SignedDuration::from_secs(n * 60)) })
        .collect();
    for chunk in made.chunks(100) {
        store.commit(&commit(vec![], chunk.to_vec())).await.unwrap();
    }
    happen(&store, 1, 50, "payment.captured").await;
    let about = About::Subject(subject);
    let all: Vec<EventId> = ids(&made).into_iter().rev().collect();
    assert_eq!(pages(&store, &Search { about: about.clone(), kind: None }, 100).await.0, all);
    let rare = Search { about: about.clone(), kind: Some("payment.captured".to_owned()) };
    let expected: Vec<EventId> =
        made.iter().rev().filter(|e| e.kind == "payment.captured").map(|e| e.id.clone()).collect();
    assert_eq!(expected.len(), 4);
    let (found, count) = pages(&store, &rare, 20).await;
    assert_eq!((found, count), (expected.clone(), 2_500_usize.div_ceil(LOOKED_AT_MAX)));
    assert_eq!(pages(&store, &rare, 1).await.0, expected, "a page that is full goes on where it stopped");
    let none = Search { about, kind: Some("no.such".to_owned()) };
    let page = search(&store, &none, 20, None).await.unwrap();
    assert!(page.events.is_empty() && page.next.is_some(), "short, and with a successor");
    assert_eq!(pages(&store, &none, 20).await.0, vec![]);
    let nobody = Search { about: About::Subject("nobody".to_owned()), kind: None };
    assert_eq!(search(&store, &nobody, 20, None).await.unwrap(), Found { events: vec![], next: None });
}

#[test]
fn a_day_is_settled_two_hours_after_its_end() {
    use shared::usecase::seal_audit::last_settled;
    let of = |text: &str| last_settled(at(text)).unwrap();
    assert_eq!(of("2026-12-04T01:59:59.999Z"), day(2));
    assert_eq!(of("2026-12-04T02:00:00Z"), day(3));
    assert_eq!(of("2026-12-04T23:59:59Z"), day(3));
    assert_eq!(last_settled(Timestamp::MIN), None);
}
