//! Conformance checks of queries. On a deployed stack other rows share the constant partitions, so there the checks
//! look at their own rows only.

use std::collections::BTreeSet;

use domain::charge::GatewayName;
use domain::cycle::Cycle;
use domain::demo::DemoRequest;
use domain::event::Event;
use domain::onboarding::{self, Application};
use domain::seal::Seal;
use domain::subscription::{Status, Subscription, due_partitions};
use domain::{Timestamp, plan::Plan};
use shared::store::schema::LOG_SHARDS;
use shared::store::{ForwardedRow, Key, LogPart, Query, Record, Store, StoreError, Write, typed};

use crate::store_samples::*;

/// Every record of a query, page by page.
async fn all(store: &dyn Store, query: &Query, limit: u32) -> Vec<Record> {
    let (mut records, mut cursor) = (Vec::new(), None);
    for _ in 0..10_000 {
        let page = store.query(query, limit, cursor.as_deref()).await.unwrap();
        assert!(page.records.len() <= limit as usize);
        records.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            return records;
        }
    }
    panic!("no last page");
}

async fn keys(store: &dyn Store, query: &Query, limit: u32) -> Vec<Key> {
    all(store, query, limit).await.iter().map(Record::key).collect()
}

/// Those of `keys` that are among `own`, in their order.
fn only(keys: Vec<Key>, own: &[Key]) -> Vec<Key> {
    let own: BTreeSet<&Key> = own.iter().collect();
    keys.into_iter().filter(|key| own.contains(key)).collect()
}

async fn insert_all(store: &dyn Store, records: Vec<Record>) {
    for chunk in records.chunks(100) {
        store.commit(&commit(chunk.iter().cloned().map(Write::New).collect(), vec![])).await.unwrap();
    }
}

pub async fn two_hundred_and_fifty_rows_come_in_three_pages(store: &dyn Store) {
    let subject = unique("subject");
    let mut events: Vec<Event> = (0..250).map(|n| event(&subject, t(n * 1_000))).collect();
    for chunk in events.chunks(100) {
        store.commit(&commit(vec![], chunk.to_vec())).await.unwrap();
    }
    store.commit(&commit(vec![], vec![event(&unique("other"), t(5))])).await.unwrap();
    events.reverse();
    let query = Query::EventsOf { subject };
    let (mut found, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let (page, next) = typed::list::<Event>(store, &query, 100, cursor.as_deref()).await.unwrap();
        sizes.push(page.len());
        found.extend(page);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((sizes, &found), (vec![100, 100, 50], &events));
    assert_eq!(all(store, &query, 50).await.len(), 250);
    let page = store.query(&query, 100, None).await.unwrap();
    assert_eq!(page, store.query(&query, 100, None).await.unwrap(), "asking again changes nothing");
    let date = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = date(t(0));
    let mut of_day = BTreeSet::new();
    for shard in 0..LOG_SHARDS {
        let page = all(store, &Query::EventsOn { day, shard }, 100).await;
        assert!(page.iter().map(Record::key).is_sorted(), "a shard is in order of ids, which is that of time");
        of_day.extend(page.iter().map(Record::key));
    }
    for event in found {
        assert_eq!(
            of_day.contains(&Key::Event(event.id)),
            date(event.at) == day,
            "a day has its events and no other's"
        );
    }
}

pub async fn cursors_serve_their_own_query_only(store: &dyn Store) {
    let (one, two) = (subscription_id(), subscription_id());
    insert_all(store, (0..3).flat_map(|n| [cycle(&one, n, 0).into(), cycle(&two, n, 0).into()]).collect()).await;
    let of = |id: &domain::ids::SubscriptionId| Query::CyclesOf { subscription: id.clone() };
    let cursor = store.query(&of(&one), 2, None).await.unwrap().next.unwrap();
    let rest = store.query(&of(&one), 2, Some(&cursor)).await.unwrap();
    assert_eq!((rest.records.len(), rest.next), (1, None), "the last page has no successor");
    let full = store.query(&of(&one), 3, None).await.unwrap();
    assert_eq!((full.records.len(), full.next), (3, None), "nor has a page that just fits");

    let due = |until| Query::SubscriptionsDue { partition: "toss#00".into(), until };
    for foreign in [of(&two), Query::Runs, Query::PlanVersions { code: one.to_string() }, due(t(0))] {
        let refused = store.query(&foreign, 2, Some(&cursor)).await;
        assert_eq!(refused, Err(StoreError::BadCursor), "{foreign:?}");
    }
    let damaged = format!("{}A", &cursor[..cursor.len() - 2]);
    for bad in ["", "x", "e30", "bnVsbA", damaged.as_str(), &"A".repeat(100_000)] {
        assert_eq!(store.query(&of(&one), 2, Some(bad)).await, Err(StoreError::BadCursor));
    }
}

pub async fn the_due_index_is_ordered_and_sparse(store: &dyn Store) {
    let mut rows: Vec<Subscription> = (0..40).map(|n| Subscription { due_at: Some(t(n)), ..subscription() }).collect();
    rows.push(Subscription { due_at: None, ..subscription() });
    insert_all(store, rows.iter().rev().cloned().map(Record::from).collect()).await;
    let own: Vec<Key> = rows.iter().map(|row| Key::Subscription(row.id.clone())).collect();
    let due = async |until: Timestamp| {
        let mut found = Vec::new();
        for partition in due_partitions(GatewayName::Toss) {
            let keys =
                only(keys(store, &Query::SubscriptionsDue { partition: partition.clone(), until }, 3).await, &own);
            let expected: Vec<Key> = rows
                .iter()
                .filter(|row| row.due_partition() == partition && row.due_at.is_some_and(|at| at <= until))
                .map(|row| Key::Subscription(row.id.clone()))
                .filter(|key| keys.contains(key))
                .collect();
            assert_eq!(keys, expected, "oldest first");
            found.extend(keys);
        }
        found
    };
    assert_eq!(due(t(-1)).await, vec![]);
    assert_eq!(due(t(19)).await.len(), 20, "up to and including the instant");
    assert_eq!(due(t(1_000)).await.len(), 40, "what has no due time is not in the index");

    let gone = Subscription { version: 1, due_at: None, ..rows[0].clone() };
    let later = Subscription { version: 1, due_at: Some(t(500)), ..rows[1].clone() };
    let moved = Subscription { version: 1, gateway: GatewayName::Stripe, ..rows[2].clone() };
    for row in [&gone, &later, &moved] {
        store.commit(&replace(row.clone())).await.unwrap();
    }
    rows.splice(0..3, []);
    rows.insert(37, later);
    let own: Vec<Key> = rows.iter().map(|row| Key::Subscription(row.id.clone())).collect();
    let mut found = Vec::new();
    for partition in due_partitions(GatewayName::Toss) {
        let query = Query::SubscriptionsDue { partition, until: t(499) };
        found.extend(keys(store, &query, 100).await);
    }
    assert_eq!(only(found.clone(), &own).len(), 37);
    assert_eq!(only(found, &[Key::Subscription(gone.id), Key::Subscription(moved.id.clone())]), vec![]);
    let query = Query::SubscriptionsDue { partition: moved.due_partition(), until: t(2) };
    assert_eq!(only(keys(store, &query, 100).await, &[Key::Subscription(moved.id.clone())]).len(), 1);
}

pub async fn the_index_of_refunds_holds_what_waits_and_nothing_else(store: &dyn Store) {
    let mut rows: Vec<Cycle> = (0..6).map(|n| with_refund(n, Some(t(n * 10)))).collect();
    rows.push(with_refund(9, None));
    insert_all(store, rows.iter().rev().cloned().map(Record::from).collect()).await;
    let key = |row: &Cycle| Record::from(row.clone()).key();
    let own: Vec<Key> = rows.iter().map(key).collect();
    let due = async |until: Timestamp| {
        let mut found = Vec::new();
        for partition in domain::refund::due_partitions() {
            let page = keys(store, &Query::RefundsDue { partition, until }, 2).await;
            found.extend(only(page, &own));
        }
        found.sort();
        found
    };
    let sorted = |rows: &[Cycle]| {
        let mut keys: Vec<Key> = rows.iter().map(key).collect();
        keys.sort();
        keys
    };
    assert_eq!(due(t(29)).await, sorted(&rows[..3]));
    assert_eq!(due(t(1_000)).await, sorted(&rows[..6]), "what nobody needs to look at is not in the index");
    let mut over = Cycle { version: 1, ..rows[0].clone() };
    over.refunds[0].status = domain::refund::Status::Succeeded;
    store.commit(&replace(over)).await.unwrap();
    assert_eq!(due(t(1_000)).await, sorted(&rows[1..6]), "one that is over leaves it");
}

fn with_refund(n: i64, due_at: Option<Timestamp>) -> Cycle {
    let mut row = cycle(&subscription().id, 0, 0);
    row.refunds.push(domain::refund::Refund {
        id: domain::ids::RefundId::named(&format!("{} {n}", row.subscription_id)),
        amount: 11_000,
        status: domain::refund::Status::Requested,
        origin: domain::refund::Origin::Ours,
        reason: "asked".into(),
        requested_by: "OPERATOR:kim".into(),
        approved_by: None,
        gateway_refund_id: None,
        code: None,
        vat: None,
        sending: None,
        due_at,
        stuck: false,
        at: t(n),
    });
    row
}

pub async fn subscriptions_by_tenant_and_status(store: &dyn Store) {
    let (mine, other) = (subscription(), subscription());
    insert_all(store, vec![mine.clone().into(), other.clone().into()]).await;
    let tenant = mine.tenant_id.clone();
    let (found, next) =
        typed::list::<Subscription>(store, &Query::SubscriptionsOfTenant { tenant }, 10, None).await.unwrap();
    assert_eq!((found, next), (vec![Subscription { version: 1, ..mine.clone() }], None));

    let own = [Key::Subscription(mine.id.clone()), Key::Subscription(other.id.clone())];
    let by = async |status| {
        let found = keys(store, &Query::SubscriptionsByStatus { status }, 100).await;
        only(found, &own)
    };
    assert_eq!(by(Status::Active).await.len(), 2);
    let suspended = Subscription { version: 1, status: Status::Suspended, ..mine };
    store.commit(&replace(suspended)).await.unwrap();
    assert_eq!(by(Status::Active).await, own[1..].to_vec());
    assert_eq!(by(Status::Suspended).await, own[..1].to_vec());
}

pub async fn applications_by_status_oldest_first(store: &dyn Store) {
    let rows: Vec<Application> = (0..5).map(|n| Application { submitted_at: t(n * 7), ..application() }).collect();
    insert_all(store, rows.iter().rev().cloned().map(Record::from).collect()).await;
    let own: Vec<Key> = rows.iter().map(|row| Key::Application(row.id.clone())).collect();
    let by = async |status| only(keys(store, &Query::ApplicationsByStatus { status }, 2).await, &own);
    assert_eq!(by(onboarding::Status::Submitted).await, own);
    let decided = Application { version: 1, status: onboarding::Status::Rejected, ..rows[2].clone() };
    store.commit(&replace(decided)).await.unwrap();
    assert_eq!(by(onboarding::Status::Rejected).await, own[2..3].to_vec());
    assert_eq!(by(onboarding::Status::Submitted).await.len(), 4);
}

pub async fn methods_by_tenant_and_token(store: &dyn Store) {
    let (tenant, other) = (tenant(), tenant());
    let rows = [method(&tenant.id), method(&tenant.id), method(&other.id)];
    insert_all(store, rows.iter().cloned().map(Record::from).collect()).await;
    let found = keys(store, &Query::MethodsOfTenant { tenant: tenant.id.clone() }, 1).await;
    let mut expected: Vec<Key> = rows[..2].iter().map(|row| Record::from(row.clone()).key()).collect();
    expected.sort();
    assert_eq!(found, expected);
    let by_token = Query::MethodsByToken { token_hash: rows[2].token_hash.clone() };
    assert_eq!(keys(store, &by_token, 10).await, vec![Record::from(rows[2].clone()).key()]);
    assert_eq!(keys(store, &Query::MethodsByToken { token_hash: unique("hash") }, 10).await, vec![]);
}

pub async fn cycles_in_period_order(store: &dyn Store) {
    let id = subscription_id();
    let numbers = [(0, 0), (1, 0), (1, 1), (1, 12), (2, 0), (9, 0), (10, 0), (100, 0), (100, 2)];
    insert_all(store, numbers.iter().rev().map(|(index, seq)| cycle(&id, *index, *seq).into()).collect()).await;
    let (found, _) =
        typed::list::<Cycle>(store, &Query::CyclesOf { subscription: id.clone() }, 100, None).await.unwrap();
    assert_eq!(found.iter().map(|c| (c.index, c.seq)).collect::<Vec<_>>(), numbers);
    assert_eq!(keys(store, &Query::CyclesOf { subscription: id }, 2).await.len(), numbers.len());
}

pub async fn plan_versions_newest_first_and_on_sale(store: &dyn Store) {
    let code = unique("plan");
    let rows = [(1, false), (2, true), (10, true), (9, false)].map(|(version, on)| plan(&code, version, on));
    insert_all(store, rows.iter().cloned().map(Record::from).collect()).await;
    let versions = Query::PlanVersions { code: code.clone() };
    let (found, _) = typed::list::<Plan>(store, &versions, 100, None).await.unwrap();
    assert_eq!(found.iter().map(|p| p.version).collect::<Vec<_>>(), [10, 9, 2, 1]);
    assert_eq!(typed::latest_plan(store, &code).await.unwrap(), Some(rows[2].clone()));
    let own: Vec<Key> = rows.iter().map(|row| Record::from(row.clone()).key()).collect();
    assert_eq!(only(keys(store, &Query::PlansOnSale, 1).await, &own), own[1..3].to_vec(), "by code and version");
}

pub async fn runs_newest_first(store: &dyn Store) {
    let rows: Vec<_> = [3, 1, 2].map(|n| run(t(n * 86_400))).to_vec();
    insert_all(store, rows.iter().cloned().map(Record::from).collect()).await;
    let own: Vec<Key> = [0, 2, 1].iter().map(|n| Key::Run(rows[*n].id.clone())).collect();
    assert_eq!(only(keys(store, &Query::Runs, 2).await, &own), own);
}

pub async fn limits_are_bounded(store: &dyn Store) {
    let id = subscription_id();
    insert_all(store, (0..103).map(|n| cycle(&id, n, 0).into()).collect()).await;
    let query = Query::CyclesOf { subscription: id };
    assert_eq!(store.query(&query, 0, None).await.unwrap().records.len(), 1);
    assert_eq!(store.query(&query, u32::MAX, None).await.unwrap().records.len(), 100);
}

pub async fn events_below_one_newest_first(store: &dyn Store) {
    let subject = unique("subject");
    let mut events: Vec<Event> = (0..30).map(|n| event(&subject, t(n * 60))).collect();
    store.commit(&commit(vec![], events.clone())).await.unwrap();
    store.commit(&commit(vec![], vec![event(&unique("other"), t(5))])).await.unwrap();
    events.reverse();
    let below = |part: LogPart, below: Option<&Event>| Query::EventsBelow { part, below: below.map(|e| e.id.clone()) };
    let ids = |records: &[Record]| records.iter().map(Record::key).collect::<Vec<_>>();
    let keys = |events: &[Event]| events.iter().map(|e| Key::Event(e.id.clone())).collect::<Vec<_>>();
    let of = LogPart::Subject(subject);
    assert_eq!(ids(&all(store, &below(of.clone(), None), 7).await), keys(&events));
    assert_eq!(ids(&all(store, &below(of.clone(), Some(&events[9])), 7).await), keys(&events[10..]), "not itself");
    assert_eq!(all(store, &below(of.clone(), events.last()), 7).await, vec![]);
    let (one, other) = (below(of.clone(), None), below(of, Some(&events[3])));
    let cursor = store.query(&one, 2, None).await.unwrap().next.unwrap();
    assert_eq!(store.query(&other, 2, Some(&cursor)).await, Err(StoreError::BadCursor));
    let day = t(0).to_zoned(jiff::tz::TimeZone::UTC).date();
    let mut found = 0;
    for shard in 0..LOG_SHARDS {
        let part = LogPart::Day(day, shard);
        let newest = ids(&all(store, &below(part.clone(), None), 100).await);
        let mut oldest = ids(&all(store, &Query::EventsOn { day, shard }, 100).await);
        oldest.reverse();
        assert_eq!(newest, oldest);
        for event in &events {
            let Some(at) = newest.iter().position(|key| *key == Key::Event(event.id.clone())) else { continue };
            found += 1;
            let rest = all(store, &below(part.clone(), Some(event)), 100).await;
            assert_eq!(ids(&rest), newest[at + 1..]);
        }
    }
    assert_eq!(found, events.len());
}

pub async fn seals_newest_first_and_marks_by_day(store: &dyn Store) {
    // Days of its own: on a deployed stack others have been here.
    let start = domain::Date::new(3_000 + i16::from(rand::random::<u8>()) * 20, 1, 1).unwrap();
    let days: Vec<domain::Date> =
        (0..3).map(|n| start + jiff::Span::new().days(i64::from(rand::random::<u8>()) * 3 + n)).collect();
    for day in &days {
        let marks = forwarded(*day);
        let writes = vec![Write::New(seal(*day).into()), Write::New(marks.clone().into())];
        store.commit(&commit(writes, vec![])).await.unwrap();
        assert_eq!(typed::get(store, &Key::Seal(*day)).await.unwrap(), Some(Seal { version: 1, ..seal(*day) }));
        let of_day = typed::list::<ForwardedRow>(store, &Query::ForwardedOn { day: *day }, 10, None).await.unwrap();
        assert!(of_day.0.contains(&ForwardedRow { version: 1, ..marks }), "{of_day:?}");
        let replaced = store.commit(&replace(Seal { version: 1, ..seal(*day) })).await;
        assert!(matches!(replaced, Err(StoreError::Corrupt(_))), "{replaced:?}");
        assert!(matches!(store.commit(&insert(seal(*day))).await, Err(StoreError::Conflict { .. })));
    }
    let listed: Vec<Key> = all(store, &Query::Seals, 2).await.iter().map(Record::key).collect();
    let position = |day: &domain::Date| listed.iter().position(|key| *key == Key::Seal(*day)).unwrap();
    let mut newest = days.clone();
    newest.sort();
    newest.reverse();
    assert!(newest.iter().map(position).is_sorted(), "newest first");
}

pub async fn demo_requests_newest_first_and_never_changed(store: &dyn Store) {
    // Instants of its own: on a deployed stack others have asked.
    let start = 4_000_000_000 + i64::from(rand::random::<u32>());
    let asked: Vec<DemoRequest> =
        (0..3).map(|n| demo_request(domain::Timestamp::from_second(start + n).unwrap())).collect();
    for request in &asked {
        store.commit(&insert(request.clone())).await.unwrap();
        let stored = DemoRequest { version: 1, ..request.clone() };
        assert_eq!(typed::get(store, &Key::Demo(request.id.clone())).await.unwrap(), Some(stored.clone()));
        assert!(matches!(store.commit(&insert(request.clone())).await, Err(StoreError::Conflict { .. })));
        assert!(matches!(store.commit(&replace(stored)).await, Err(StoreError::Corrupt(_))));
    }
    let listed: Vec<Key> = all(store, &Query::DemoRequests, 2).await.iter().map(Record::key).collect();
    let places: Vec<usize> = asked
        .iter()
        .rev()
        .map(|request| listed.iter().position(|key| *key == Key::Demo(request.id.clone())).unwrap())
        .collect();
    assert!(places.is_sorted(), "newest first");
}
