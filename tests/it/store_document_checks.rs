//! Conformance checks of documents and postings.

use domain::charge::GatewayName;
use domain::document::{Document, File};
use domain::ledger::{Book, Close, Entry, Gate, Month, Summed, Suspense};
use domain::settlement::{Bucket, SettlementRow};
use shared::store::{Key, Query, Record, Store, StoreError, Write, typed};

use crate::store_samples::*;

/// The document as it reads back after its first write.
fn stored(document: &Document) -> Document {
    let mut document = document.clone();
    match &mut document {
        Document::Invoice(d) => d.version = 1,
        Document::CreditNote(d) => d.version = 1,
        Document::DebitNote(d) => d.version = 1,
        Document::Tax(d) => d.version = 1,
        Document::Counter(d) => d.version = 1,
    }
    document
}

pub async fn documents_read_back_and_lie_beside_their_invoice(store: &dyn Store) {
    let invoice = invoice(&subscription_id(), 3, t(10));
    let documents = documents(&invoice);
    let writes = documents.iter().map(|d| Write::New(d.clone().into())).collect();
    store.commit(&commit(writes, vec![])).await.unwrap();
    for document in &documents {
        let key = Record::from(document.clone()).key();
        assert_eq!(typed::get::<Document>(store, &key).await.unwrap(), Some(stored(document)));
    }
    let keys: Vec<Key> = documents.iter().map(|d| Record::from(d.clone()).key()).collect();
    assert_eq!(typed::get_many::<Document>(store, &keys).await.unwrap(), documents.each_ref().map(stored));
    let file = typed::file(store, &invoice.id).await.unwrap().unwrap();
    let expected = File::of(documents[..4].iter().map(stored).collect()).unwrap();
    assert_eq!(file, expected, "all but the counter");
    let other = crate::store_samples::invoice(&subscription_id(), 0, t(0));
    assert_eq!(typed::file(store, &other.id).await.unwrap(), None);
}

pub async fn what_is_final_is_never_replaced(store: &dyn Store) {
    let invoice = invoice(&subscription_id(), 0, t(10));
    let documents = documents(&invoice);
    let posting = entry(&invoice);
    let mut writes: Vec<Write> = documents.iter().map(|d| Write::New(d.clone().into())).collect();
    writes.push(Write::New(posting.clone().into()));
    store.commit(&commit(writes, vec![])).await.unwrap();
    for document in &documents {
        let replaced = store.commit(&replace(stored(document))).await;
        let refused = matches!(replaced, Err(StoreError::Corrupt(_)));
        assert_eq!(refused, document.is_final(), "{replaced:?}");
        assert!(matches!(store.commit(&insert(document.clone())).await, Err(StoreError::Conflict { .. })));
    }
    let again = Entry { version: 1, ..posting.clone() };
    assert!(matches!(store.commit(&replace(again)).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.commit(&insert(posting)).await, Err(StoreError::Conflict { .. })));
}

pub async fn invoices_of_a_tenant_newest_first(store: &dyn Store) {
    let (own, other) = (subscription_id(), subscription_id());
    let invoices: Vec<_> = [2, 0, 1].map(|n| invoice(&own, n, t(i64::from(n) * 86_400))).to_vec();
    let mut writes: Vec<Write> = invoices.iter().map(|i| Write::New(Document::Invoice(i.clone()).into())).collect();
    writes.push(Write::New(Document::CreditNote(credit_note(&invoices[0], &unique("rfd"))).into()));
    writes.push(Write::New(Document::Invoice(invoice(&other, 0, t(1))).into()));
    store.commit(&commit(writes, vec![])).await.unwrap();
    let query = Query::InvoicesOfTenant { tenant: own.request().tenant() };
    for limit in [1, 2, 100] {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let (page, next) = typed::list::<Document>(store, &query, limit, cursor.as_deref()).await.unwrap();
            found.extend(page.into_iter().map(|d| Record::from(d).key()));
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let expected = [0, 2, 1].map(|n: usize| Key::Invoice(invoices[n].id.clone()));
        assert_eq!(found, expected, "the invoices alone");
    }
}

pub async fn postings_of_a_month_by_day(store: &dyn Store) {
    // A month of its own: on a deployed stack others have been here.
    let year = 3_000 + i16::from(rand::random::<u8>()) * 20 + i16::from(rand::random::<u8>() % 20);
    let days = [9, 30, 1].map(|d| domain::Date::new(year, 4, d).unwrap());
    let invoices = days.map(|on| {
        let mut invoice = invoice(&subscription_id(), 0, t(0));
        invoice.payment.on = on;
        invoice
    });
    let writes = invoices.iter().map(|i| Write::New(entry(i).into())).collect();
    store.commit(&commit(writes, vec![])).await.unwrap();
    let query = Query::PostingsOf { month: format!("{year}-04") };
    let (found, next) = typed::list::<Entry>(store, &query, 10, None).await.unwrap();
    let expected = [2, 0, 1].map(|n: usize| Entry { version: 1, ..entry(&invoices[n]) });
    assert_eq!((found.as_slice(), next), (&expected[..], None));
    let none = Query::PostingsOf { month: format!("{year}-05") };
    assert_eq!(typed::list::<Entry>(store, &none, 10, None).await.unwrap().0, vec![]);
}

pub async fn settlements_of_a_day_are_kept_apart_and_change_bucket(store: &dyn Store) {
    let (on, other) = (day("2026-12-01"), day("2026-12-02"));
    let ids = [unique("a"), unique("b"), unique("c")];
    let rows = ids.each_ref().map(|id| settlement(GatewayName::Toss, on, id));
    let elsewhere = [settlement(GatewayName::Stripe, on, &ids[0]), settlement(GatewayName::Toss, other, &ids[0])];
    let writes = rows.iter().rev().chain(&elsewhere).map(|row| Write::New(row.clone().into())).collect();
    store.commit(&commit(writes, vec![])).await.unwrap();
    let of = async |gateway, day| {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let query = Query::SettlementsOf { gateway, day };
            let (page, next) = typed::list::<SettlementRow>(store, &query, 2, cursor.as_deref()).await.unwrap();
            found.extend(page.into_iter().filter(|row| ids.contains(&row.id)));
            cursor = next;
            if cursor.is_none() {
                return found;
            }
        }
    };
    let stored = |row: &SettlementRow| SettlementRow { version: 1, ..row.clone() };
    assert_eq!(of(GatewayName::Toss, on).await, rows.each_ref().map(stored), "by id");
    assert_eq!(of(GatewayName::Stripe, on).await, [stored(&elsewhere[0])]);
    assert_eq!(of(GatewayName::Toss, other).await, [stored(&elsewhere[1])]);
    let mut changed = stored(&rows[0]);
    (changed.verdict.bucket, changed.verdict.unexplained) = (Bucket::MissingInternal, None);
    (changed.movement, changed.raw) = (None, Some("{".to_owned()));
    store.commit(&replace(changed.clone())).await.unwrap();
    let key = Record::from(changed.clone()).key();
    let read = typed::get::<SettlementRow>(store, &key).await.unwrap();
    assert_eq!(read, Some(SettlementRow { version: 2, ..changed }));
    assert!(matches!(store.commit(&insert(rows[1].clone())).await, Err(StoreError::Conflict { .. })));
}

pub async fn books_read_back_and_a_close_is_never_replaced(store: &dyn Store) {
    // A month of its own, as above.
    let month = format!("{}-07", 3_000 + i16::from(rand::random::<u8>()) * 20 + i16::from(rand::random::<u8>() % 20));
    let gate = Gate::new(month.clone()).passed(2);
    let sums = Month { entries: 2, ..Month::default() };
    let summed = Summed { sums: &sums, complete: true, open_questions: 0 };
    let close = Close::of(&gate, summed, "ops", t(7)).unwrap();
    let (gateway, amount) = (domain::charge::GatewayName::Toss, domain::money::Money::krw(-5));
    let held = Suspense::new(unique("pay"), gateway, amount, day("2026-12-01"));
    let (held, _) = held.release("attached", None, day("2026-12-02")).unwrap();
    let rows = [Book::Gate(gate.clone()), Book::Close(close.clone()), Book::Suspense(held.clone())];
    store.commit(&commit(rows.iter().map(|b| Write::New(b.clone().into())).collect(), vec![])).await.unwrap();
    let stored = [
        Book::Gate(Gate { version: 1, ..gate }),
        Book::Close(Close { version: 1, ..close }),
        Book::Suspense(Suspense { version: 1, ..held }),
    ];
    for (row, stored) in rows.iter().zip(stored) {
        let key = Record::from(row.clone()).key();
        assert_eq!(typed::get::<Book>(store, &key).await.unwrap().as_ref(), Some(&stored));
        let replaced = store.commit(&replace(stored.clone())).await;
        assert_eq!(matches!(replaced, Err(StoreError::Corrupt(_))), stored.is_final(), "{replaced:?}");
        assert!(matches!(store.commit(&insert(row.clone())).await, Err(StoreError::Conflict { .. })));
    }
}
