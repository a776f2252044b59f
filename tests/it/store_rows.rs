//! The stored form of rows: sizes, samples of what is already in tables, faults of the memory store.

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::charge::GatewayName;
use domain::cycle::{Cycle, Outcome, Payment, State};
use domain::method::PaymentMethod;
use domain::subscription::Subscription;
use serde_json::Value;
use shared::store::memory::{Call, Fault};
use shared::store::rows::{self, Item, size};
use shared::store::schema::Table;
use shared::store::{MemoryStore, Record, Store, StoreError, typed};

use crate::store_samples::*;

/// A commit id as the use cases make it.
const WRITER: &str = "01KBAVXJ7MZQ8R5T2W4Y6A9C1E";

fn stored_size(record: &Record) -> usize {
    size(&rows::encode(record, 12, WRITER).unwrap())
}

#[test]
fn a_subscription_at_its_busiest_stays_under_one_kilobyte() {
    let bytes = stored_size(&busy_subscription().into());
    assert!(bytes < 1_024, "{bytes} bytes");
    let quiet = stored_size(&subscription().into());
    assert!(quiet < 700, "{quiet} bytes");
}

#[test]
fn a_card_at_its_ceiling_stays_under_one_kilobyte_and_says_so_when_read_back() {
    let tenant = subscription().tenant_id;
    let sealed = || domain::method::Sealed { kid: "k-2026-11".into(), data: "x".repeat(120) };
    let card = PaymentMethod { token: sealed(), customer: sealed(), holder_name: Some(sealed()), ..method(&tenant) };
    let card = (0..20).fold(card, |card, n| card.declined(t(n * 86_400)));
    assert!(!card.chargeable_at(t(20 * 86_400)));
    let bytes = stored_size(&card.clone().into());
    assert!(bytes < 1_024, "{bytes} bytes");
    let item = rows::encode(&card.clone().into(), 1, WRITER).unwrap();
    let read = rows::decode(Table::Method, item).unwrap();
    assert_eq!(read, Record::Method(PaymentMethod { version: 1, ..card }));
}

#[test]
fn a_subscription_with_its_end_set_reads_back() {
    let row = Subscription { cancel_at: Some(t(86_400)), due_at: Some(t(86_400)), version: 1, ..subscription() };
    let item = rows::encode(&row.clone().into(), 1, WRITER).unwrap();
    assert_eq!(item["cancelAt"].as_i64(), Some(t(86_400).as_millisecond()));
    assert_eq!(rows::decode(Table::Subscription, item).unwrap(), Record::Subscription(row));
}

#[test]
fn a_cycle_with_three_attempts_stays_under_one_kilobyte() {
    let attempts = [attempt(1, Outcome::Declined), attempt(2, Outcome::Declined), attempt(3, Outcome::Succeeded)];
    let payment = Payment {
        payment_id: "pi_3QAbCdEfGhIjKlMn0123AbCd".into(),
        charge_id: Some("ch_3QAbCdEfGhIjKlMn0123AbC3".into()),
        at: t(3 * 86_400),
    };
    let open = cycle(&subscription_id(), 101, 0);
    let intent = Some(payment.payment_id.clone());
    let paid = Cycle { attempts: attempts.to_vec(), state: State::Paid(payment), intent, ..open };
    let bytes = stored_size(&paid.into());
    assert!(bytes < 1_024, "{bytes} bytes");
}

#[test]
fn no_value_is_stored_twice() {
    let item = rows::encode(&subscription().into(), 1, WRITER).unwrap();
    for field in ["id", "tenantId", "status", "dueAt", "version"] {
        assert!(!item.contains_key(field), "{field}");
    }
}

fn golden(name: &str) -> Item {
    let text = match name {
        "subscription" => include_str!("store_golden/subscription.json"),
        "subscription_minimal" => include_str!("store_golden/subscription_minimal.json"),
        "cycle" => include_str!("store_golden/cycle.json"),
        "method" => include_str!("store_golden/method.json"),
        _ => include_str!("store_golden/application.json"),
    };
    serde_json::from_str(text).unwrap()
}

/// Reads a stored sample, and proves that writing it again gives the same item.
fn reread(name: &str, table: Table) -> Record {
    let item = golden(name);
    let record = rows::decode(table, item.clone()).unwrap();
    let again = rows::encode(&record, item["v"].as_u64().unwrap(), item["w"].as_str().unwrap()).unwrap();
    assert_eq!(Value::Object(again), Value::Object(item), "{name}: rows written today must not differ");
    record
}

#[test]
fn rows_already_stored_still_read() {
    let Record::Subscription(row) = reread("subscription", Table::Subscription) else { panic!("kind") };
    assert_eq!((row.version, row.due_at, row.tries), (9, Some(at("2026-12-04T01:00:00Z")), 2));
    assert_eq!(row.live.unwrap().unknown.unwrap().looks, 1);
    assert_eq!(row.dunning.unwrap().deadline, at("2026-12-08T01:00:00Z"));

    let Record::Subscription(row) = reread("subscription_minimal", Table::Subscription) else { panic!("kind") };
    assert_eq!((row.version, row.due_at, row.paid, row.live), (1, None, None, None));

    let Record::Cycle(row) = reread("cycle", Table::Cycle) else { panic!("kind") };
    assert_eq!((row.index, row.seq, row.version, row.attempts.len()), (3, 0, 2, 2));
    assert!(matches!(row.state, State::Paid(payment) if payment.payment_id == "tviva20261201abc"));

    let Record::Method(row) = reread("method", Table::Method) else { panic!("kind") };
    assert_eq!((row.version, row.declined_at.len(), row.chargeable_at(t(0))), (1, 0, true));

    let Record::Application(row) = reread("application", Table::Application) else { panic!("kind") };
    assert_eq!((row.version, row.contact), (3, contact()));
    assert_eq!(row.decision.unwrap().by, "admin");
}

#[tokio::test]
async fn a_damaged_row_is_corrupt_and_the_error_quotes_nothing_of_it() {
    for (field, value) in [("businessName", Value::Null), ("contact", "010-9876-5432".into()), ("v", Value::Null)] {
        let mut item = golden("application");
        item.insert(field.to_owned(), value);
        let error = rows::decode(Table::Application, item).unwrap_err();
        assert_eq!(error, StoreError::Corrupt("onboarding_request: unreadable row".into()), "{field}");
    }
    let store = MemoryStore::new();
    let mut moved = golden("cycle");
    moved.insert("sk".into(), "000004#0000".into());
    store.put_raw(Table::Cycle, moved).unwrap();
    let Record::Cycle(row) = reread("cycle", Table::Cycle) else { panic!("kind") };
    let read = typed::cycle(&store, &row.subscription_id, 4, 0).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "content of another key");
}

#[tokio::test]
async fn the_memory_store_fails_as_told() {
    let store = MemoryStore::new();
    let row = subscription();
    let commit = insert(row.clone());
    let untouched = store.dump();
    let commits = AtomicUsize::new(0);
    store.inject(move |call| match call {
        Call::Commit(_) => match commits.fetch_add(1, Ordering::Relaxed) {
            0 => Some(Fault::Unavailable),
            1 => Some(Fault::Conflict),
            2 => Some(Fault::AnswerLost),
            _ => None,
        },
        Call::Query(_) => Some(Fault::Unavailable),
        Call::Get(_) | Call::GetMany(_) => None,
    });
    assert!(matches!(store.commit(&commit).await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.commit(&commit).await, Err(StoreError::Conflict { key: None }));
    assert_eq!(store.dump(), untouched);
    assert!(matches!(store.commit(&commit).await, Err(StoreError::Unavailable(_))));
    assert_eq!(typed::subscription(&store, &row.id).await.unwrap().unwrap().version, 1, "it was applied");
    store.commit(&commit).await.expect("and is recognised");
    let query = shared::store::Query::Runs;
    assert!(store.query(&query, 1, None).await.is_err());
    store.heal();
    assert!(store.query(&query, 1, None).await.is_ok());
    let (table, item) = store.dump().remove(0);
    assert_eq!((table, item["pk"].as_str()), ("subscription", Some(row.id.as_str())));
    let shared = store.clone();
    shared.commit(&replace(Subscription { version: 1, ..row })).await.unwrap();
    assert_ne!(store.dump(), untouched, "clones share the rows");
}

#[test]
fn the_due_partition_is_the_domains() {
    for gateway in GatewayName::ALL {
        let row = Subscription { gateway, ..busy_subscription() };
        let item = rows::encode(&row.clone().into(), 1, WRITER).unwrap();
        assert_eq!(item["due_pk"].as_str(), Some(row.due_partition().as_str()));
    }
}

#[test]
fn sizes_count_names_and_utf8() {
    let item = |value: Value| Item::from_iter([("name".to_owned(), value)]);
    for (value, bytes) in [
        ("가나".into(), 10),
        (Value::Null, 5),
        (true.into(), 5),
        (12_345.into(), 8),
        (serde_json::json!([1, "a"]), 4 + 3 + (1 + 2) + (1 + 1)),
        (serde_json::json!({"k": "v"}), 4 + 3 + 1 + 1 + 1),
    ] {
        assert_eq!(size(&item(value.clone())), bytes, "{value}");
    }
}
