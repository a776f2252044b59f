//! Conformance checks of single rows and commits.

use domain::access::Access;
use domain::ids::EventId;
use domain::subscription::Subscription;
use serde_json::json;
use shared::store::{Control, Key, Record, Store, StoreError, Write, typed};

use crate::store_samples::*;

fn conflict(record: &Record) -> Result<(), StoreError> {
    Err(StoreError::Conflict { key: Some(record.key()) })
}

async fn stored(store: &dyn Store, row: &Subscription) -> Subscription {
    typed::subscription(store, &row.id).await.unwrap().unwrap()
}

pub async fn every_kind_reads_back(store: &dyn Store) {
    let tenant = tenant();
    let subscription = busy_subscription();
    let cycle = cycle(&subscription.id, 3, 0);
    let (control, inbox, idempotency) = (control(&unique("lease")), inbox(), idempotency());
    let (run, plan, method, application) =
        (run(t(1)), plan(&unique("plan"), 2, false), method(&tenant.id), application());
    let records: Vec<Record> = vec![
        tenant.clone().into(),
        subscription.clone().into(),
        cycle.clone().into(),
        control.clone().into(),
        inbox.clone().into(),
        idempotency.clone().into(),
        run.clone().into(),
        plan.clone().into(),
        method.clone().into(),
        application.clone().into(),
    ];
    let access = accesses();
    let records: Vec<Record> = records.into_iter().chain(access.iter().cloned().map(Record::from)).collect();
    let event = event(subscription.id.as_str(), t(2));
    let writes = records.into_iter().map(Write::New).collect();
    store.commit(&commit(writes, vec![event.clone()])).await.unwrap();

    macro_rules! same {
        ($row:ident, $found:expr) => {
            let mut expected = $row.clone();
            expected.version = 1;
            assert_eq!($found.await.unwrap(), Some(expected));
        };
    }
    assert_eq!(typed::plan(store, &plan.code, 2).await.unwrap(), Some(plan.clone()));
    assert_eq!(typed::event(store, &event.id).await.unwrap(), Some(event));
    let keys: Vec<Key> = access.iter().map(|row| Record::from(row.clone()).key()).collect();
    let found: Vec<Access> = typed::get_many(store, &keys).await.unwrap();
    assert_eq!(found, access.map(stored_once));
    same!(cycle, typed::cycle(store, &subscription.id, 3, 0));
    same!(method, typed::method(store, &tenant.id, &method.id));
    same!(tenant, typed::tenant(store, &tenant.id));
    same!(subscription, typed::subscription(store, &subscription.id));
    same!(control, typed::control(store, &control.name));
    same!(inbox, typed::inbox(store, &inbox.key));
    same!(idempotency, typed::idempotency(store, &idempotency.key));
    same!(run, typed::run(store, &run.id));
    same!(application, typed::application(store, &application.id));
}

pub async fn what_was_never_written_is_absent(store: &dyn Store) {
    let keys = [
        Key::Application(request_id()),
        Key::Tenant(request_id().tenant()),
        Key::Plan { code: unique("plan"), version: 1 },
        Key::Subscription(subscription_id()),
        Key::Cycle { subscription: subscription_id(), index: 0, seq: 0 },
        Key::Control(unique("lease")),
        Key::Event(EventId::new(domain::ids::ulid(t(0), rand::random()))),
    ];
    for key in &keys {
        assert_eq!(store.get(key).await.unwrap(), None, "{key:?}");
    }
    assert_eq!(store.get_many(&keys).await.unwrap(), vec![]);
    assert_eq!(store.get_many(&[]).await.unwrap(), vec![]);
    store.commit(&commit(vec![], vec![])).await.unwrap();
    assert_eq!(typed::latest_plan(store, &unique("plan")).await.unwrap(), None);
}

pub async fn an_insert_demands_absence(store: &dyn Store) {
    let row = subscription();
    store.commit(&insert(row.clone())).await.unwrap();
    assert_eq!(stored(store, &row).await.version, 1);
    let other = Subscription { tries: 7, ..row.clone() };
    assert_eq!(store.commit(&insert(other)).await, conflict(&row.clone().into()));
    assert_eq!(stored(store, &row).await, Subscription { version: 1, ..row });
}

pub async fn a_replace_demands_the_version_read(store: &dyn Store) {
    let row = subscription();
    assert_eq!(store.commit(&replace(row.clone())).await, conflict(&row.clone().into()), "never inserted");
    store.commit(&insert(row.clone())).await.unwrap();
    for version in 1..4 {
        let read = stored(store, &row).await;
        assert_eq!(read.version, version);
        store.commit(&replace(Subscription { tries: 5, ..read })).await.unwrap();
    }
    for stale in [0, 1, 3, 5] {
        let lost = Subscription { version: stale, ..row.clone() };
        assert_eq!(store.commit(&replace(lost)).await, conflict(&row.clone().into()), "version {stale}");
    }
    assert_eq!(stored(store, &row).await, Subscription { version: 4, tries: 5, ..row });
}

pub async fn a_commit_is_all_or_nothing(store: &dyn Store) {
    let (old, fresh) = (subscription(), application());
    store.commit(&insert(old.clone())).await.unwrap();
    let event = event(old.id.as_str(), t(3));
    let writes = vec![Write::New(fresh.clone().into()), Write::New(old.clone().into())];
    let lost = store.commit(&commit(writes, vec![event.clone()])).await;
    assert_eq!(lost, conflict(&old.clone().into()));
    assert_eq!(typed::application(store, &fresh.id).await.unwrap(), None);
    assert_eq!(typed::event(store, &event.id).await.unwrap(), None);
    assert_eq!(stored(store, &old).await.version, 1);

    let old = Subscription { version: 1, tries: 2, ..old };
    let writes = vec![Write::New(fresh.clone().into()), Write::Replace(old.clone().into())];
    store.commit(&commit(writes, vec![event.clone()])).await.unwrap();
    assert_eq!(typed::application(store, &fresh.id).await.unwrap().unwrap().version, 1);
    assert_eq!(typed::event(store, &event.id).await.unwrap(), Some(event));
    assert_eq!(stored(store, &old).await, Subscription { version: 2, ..old });
}

pub async fn a_conflict_names_its_row(store: &dyn Store) {
    let taken = control(&unique("lease"));
    store.commit(&insert(taken.clone())).await.unwrap();
    for at in 0..3 {
        let mut writes: Vec<Write> = (0..2).map(|_| Write::New(control(&unique("lease")).into())).collect();
        writes.insert(at, Write::New(taken.clone().into()));
        assert_eq!(store.commit(&commit(writes, vec![])).await, conflict(&taken.clone().into()), "member {at}");
    }
    let event = event("subject", t(0));
    store.commit(&commit(vec![], vec![event.clone()])).await.unwrap();
    let writes = vec![Write::New(control(&unique("lease")).into())];
    let lost = store.commit(&commit(writes, vec![event.clone()])).await;
    assert_eq!(lost, conflict(&Record::Event(event)));
}

pub async fn a_repeated_commit_is_recognised(store: &dyn Store) {
    let row = subscription();
    let first = insert(row.clone());
    store.commit(&first).await.unwrap();
    store.commit(&first).await.expect("our own insert, seen again");
    let second = replace(Subscription { version: 1, tries: 1, ..row.clone() });
    store.commit(&second).await.unwrap();
    store.commit(&second).await.expect("our own replace, seen again");
    assert_eq!(stored(store, &row).await.version, 2);

    let writes = vec![
        Write::Replace(Subscription { version: 2, tries: 2, ..row.clone() }.into()),
        Write::New(cycle(&row.id, 1, 0).into()),
    ];
    let both = commit(writes, vec![event(row.id.as_str(), t(1))]);
    store.commit(&both).await.unwrap();
    store.commit(&both).await.expect("our own transaction, seen again");
    assert_eq!(stored(store, &row).await.version, 3);
    store.commit(&replace(Subscription { version: 3, tries: 9, ..row.clone() })).await.unwrap();
    store.commit(&both).await.expect("seen again after another writer changed one of its rows");
    assert_eq!(stored(store, &row).await, Subscription { version: 4, tries: 9, ..row });
}

pub async fn somebody_elses_write_is_not_ours(store: &dyn Store) {
    let row = subscription();
    let first = insert(row.clone());
    store.commit(&first).await.unwrap();
    store.commit(&replace(Subscription { version: 1, ..row.clone() })).await.unwrap();
    assert_eq!(store.commit(&first).await, conflict(&row.clone().into()), "its only row has moved on");
    let same_state_other_commit = replace(Subscription { version: 1, ..row.clone() });
    assert_eq!(store.commit(&same_state_other_commit).await, conflict(&row.into()));
}

pub async fn one_of_many_writers_wins(store: &dyn Store) {
    let row = subscription();
    store.commit(&insert(row.clone())).await.unwrap();
    for (version, events) in [(1, false), (2, true)] {
        let commits: Vec<_> = (0..16)
            .map(|n| {
                let events = if events { vec![event(row.id.as_str(), t(n))] } else { vec![] };
                let tries = u32::try_from(n).unwrap();
                commit(vec![Write::Replace(Subscription { version, tries, ..row.clone() }.into())], events)
            })
            .collect();
        let results = futures::future::join_all(commits.iter().map(|commit| store.commit(commit))).await;
        let winners: Vec<usize> = (0..16).filter(|n| results[*n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        assert!(results.iter().filter(|r| r.is_err()).all(|r| *r == conflict(&row.clone().into())), "{results:?}");
        let after = stored(store, &row).await;
        assert_eq!((after.version, after.tries as usize), (version + 1, winners[0]));
    }
}

pub async fn too_much_is_refused(store: &dyn Store) {
    let big = |name: &str, bytes: usize| Control { value: json!("x".repeat(bytes)), ..control(name) };
    let name = unique("big");
    assert_eq!(store.commit(&insert(big(&name, 400 << 10))).await, Err(StoreError::TooLarge));
    store.commit(&insert(big(&name, (400 << 10) - 500))).await.expect("just under the limit of a row");
    let many = |count: usize, bytes: usize| {
        let names: Vec<String> = (0..count).map(|_| unique("part")).collect();
        (names.clone(), commit(names.iter().map(|n| Write::New(big(n, bytes).into())).collect(), vec![]))
    };
    for (names, commit) in [many(101, 1), many(14, 300 << 10)] {
        assert_eq!(store.commit(&commit).await, Err(StoreError::TooLarge));
        assert_eq!(typed::control(store, &names[0]).await.unwrap(), None);
    }
    let (names, hundred) = many(100, 10);
    store.commit(&hundred).await.expect("a hundred rows fit");
    assert_eq!(typed::control(store, &names[99]).await.unwrap().unwrap().version, 1);
    assert_eq!(store.commit(&insert(control(&"k".repeat(2049)))).await, Err(StoreError::TooLarge));
}

pub async fn nonsense_is_refused(store: &dyn Store) {
    let row = subscription();
    let refused = async |writes: Vec<Write>| {
        let result = store.commit(&commit(writes, vec![])).await;
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    };
    refused(vec![Write::New(row.clone().into()), Write::Replace(row.clone().into())]).await;
    refused(vec![Write::New(Subscription { version: 1, ..row.clone() }.into())]).await;
    refused(vec![Write::New(event("subject", t(0)).into())]).await;
    refused(vec![Write::Replace(plan("starter", 1, true).into())]).await;
    refused(vec![Write::New(Control { value: json!({"rate": 0.5}), ..control(&unique("rate")) }.into())]).await;
    refused(vec![Write::New(control("").into())]).await;
    assert_eq!(store.get(&Key::Subscription(row.id)).await.unwrap(), None);
}

pub async fn events_are_found_by_id_and_never_change(store: &dyn Store) {
    let midnight = [event("s", at("2026-12-31T23:59:59.999Z")), event("s", at("2027-01-01T00:00:00Z"))];
    store.commit(&commit(vec![], midnight.to_vec())).await.unwrap();
    for event in &midnight {
        assert_eq!(typed::event(store, &event.id).await.unwrap().as_ref(), Some(event));
        let mut forged = event.clone();
        forged.kind = "cycle.voided".into();
        assert_eq!(store.commit(&commit(vec![], vec![forged])).await, conflict(&Record::Event(event.clone())));
    }
}

pub async fn many_rows_come_in_the_order_of_their_keys(store: &dyn Store) {
    let rows: Vec<Control> = (0..250).map(|n| control(&unique(&format!("row-{n}")))).collect();
    for chunk in rows.chunks(100) {
        let writes = chunk.iter().map(|row| Write::New(row.clone().into())).collect();
        store.commit(&commit(writes, vec![])).await.unwrap();
    }
    let other = tenant();
    store.commit(&insert(other.clone())).await.unwrap();
    let mut keys: Vec<Key> = rows.iter().rev().map(|row| Key::Control(row.name.clone())).collect();
    keys.insert(7, Key::Tenant(other.id.clone()));
    keys.insert(9, Key::Control(unique("absent")));
    keys.push(keys[0].clone());
    let found: Vec<Key> = store.get_many(&keys).await.unwrap().iter().map(Record::key).collect();
    keys.remove(9);
    assert_eq!(found, keys);
}
