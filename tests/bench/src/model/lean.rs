//! A store for half a million customers that holds almost none of them: rows are made from their number when read, and
//! only those with an attempt under way are kept. Versions are conditions as everywhere; a paid row leaves the index.
//!
//! It answers exactly what an ordinary run asks and panics at anything else, so that no figure rests on a guess.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use domain::charge::GatewayName;
use domain::ids::{MethodId, SubscriptionId};
use domain::method::{PaymentMethod, Sealed};
use domain::run::Run;
use domain::subscription::Subscription;
use jiff::Timestamp;
use shared::store::{Commit, Control, Key, Page, Query, Record, Store, StoreError, Write};

use crate::seed;

pub struct Lean {
    now: Timestamp,
    state: Mutex<State>,
}

struct State {
    /// Numbers by partition, in the order of the index.
    partitions: HashMap<String, Vec<u32>>,
    /// Claimed and not settled.
    open: HashMap<u32, Subscription>,
    paid: Vec<bool>,
    run: Option<Run>,
    control: HashMap<String, Control>,
}

impl Lean {
    /// `customers` that owe one renewal at `now`.
    pub fn new(customers: u32, now: Timestamp) -> Lean {
        let mut partitions: HashMap<String, Vec<u32>> = HashMap::new();
        for number in 0..customers {
            let row = seed::subscription(number, GatewayName::Toss, now);
            partitions.entry(row.due_partition()).or_default().push(number);
        }
        let paid = vec![false; usize::try_from(customers).expect("fits")];
        let state = State { partitions, open: HashMap::new(), paid, run: None, control: HashMap::new() };
        Lean { now, state: Mutex::new(state) }
    }

    fn row(&self, state: &State, number: u32) -> Subscription {
        state.open.get(&number).cloned().unwrap_or_else(|| seed::subscription(number, GatewayName::Toss, self.now))
    }

    fn method(&self, id: &MethodId) -> PaymentMethod {
        let sealed = |text: &str| Sealed { kid: "k".to_owned(), data: text.to_owned() };
        let number = seed::number(id.ulid()).expect("a card of ours");
        seed::method(number, GatewayName::Toss, sealed("billing-key"), sealed("customer"), self.now)
    }
}

fn number(id: &SubscriptionId) -> u32 {
    seed::number(id.ulid()).expect("a customer of ours")
}

fn place(number: u32) -> usize {
    usize::try_from(number).expect("fits")
}

fn lost(key: Key) -> StoreError {
    StoreError::Conflict { key: Some(key) }
}

impl State {
    /// Checks a write's condition; nothing is changed.
    fn admits(&self, lean: &Lean, write: &Write) -> bool {
        match write {
            Write::Replace(Record::Subscription(row)) => {
                let number = number(&row.id);
                !self.paid[place(number)] && lean.row(self, number).version == row.version
            }
            Write::New(Record::Cycle(row)) => !self.paid[place(number(&row.subscription_id))],
            Write::New(Record::Run(_)) => self.run.is_none(),
            Write::Replace(Record::Run(row)) => self.run.as_ref().is_some_and(|run| run.version == row.version),
            Write::New(Record::Control(row)) => !self.control.contains_key(&row.name),
            Write::Replace(Record::Control(row)) => {
                self.control.get(&row.name).is_some_and(|known| known.version == row.version)
            }
            other => panic!("an ordinary run does not write {other:?}"),
        }
    }

    fn apply(&mut self, write: &Write) {
        let (Write::New(record) | Write::Replace(record)) = write;
        match record {
            Record::Subscription(row) => {
                let (number, row) = (number(&row.id), Subscription { version: row.version + 1, ..row.clone() });
                if row.paid == Some(1) {
                    assert!(row.live.is_none(), "a paid attempt is not live");
                    self.open.remove(&number);
                    self.paid[place(number)] = true;
                } else {
                    self.open.insert(number, row);
                }
            }
            Record::Run(row) => self.run = Some(Run { version: row.version + 1, ..row.clone() }),
            Record::Control(row) => {
                self.control.insert(row.name.clone(), Control { version: row.version + 1, ..row.clone() });
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Store for Lean {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let state = self.state.lock().expect("whole");
        Ok(match key {
            Key::Run(_) => state.run.clone().map(Record::Run),
            Key::Control(name) => state.control.get(name).cloned().map(Record::Control),
            Key::Subscription(id) => Some(Record::Subscription(self.row(&state, number(id)))),
            other => panic!("an ordinary run does not read {other:?}"),
        })
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        let card = |key: &Key| match key {
            Key::Method { id, .. } => Record::Method(self.method(id)),
            other => panic!("an ordinary run does not read many of {other:?}"),
        };
        Ok(keys.iter().map(card).collect())
    }

    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError> {
        let Query::SubscriptionsDue { partition, until } = query else {
            panic!("an ordinary run does not ask {query:?}")
        };
        let state = self.state.lock().expect("whole");
        let numbers = state.partitions.get(partition).map_or(&[][..], Vec::as_slice);
        let after: Option<u32> = cursor.map(|c| c.parse().map_err(|_| StoreError::BadCursor)).transpose()?;
        let from = after.map_or(0, |after| numbers.partition_point(|n| *n <= after));
        let mut due = numbers[from..].iter().copied().filter(|n| !state.paid[place(*n)]);
        let rows: Vec<Subscription> =
            due.by_ref().take(usize::try_from(limit).expect("fits")).map(|n| self.row(&state, n)).collect();
        let next = rows.last().filter(|_| due.next().is_some()).map(|row| number(&row.id).to_string());
        assert!(rows.iter().all(|row| row.due_at.is_some_and(|at| at <= *until)), "all fell due at midnight");
        Ok(Page { records: rows.into_iter().map(Record::Subscription).collect(), damaged: Vec::new(), next })
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut state = self.state.lock().expect("whole");
        for write in &commit.writes {
            if !state.admits(self, write) {
                let (Write::New(record) | Write::Replace(record)) = write;
                return Err(lost(record.key()));
            }
        }
        commit.writes.iter().for_each(|write| state.apply(write));
        Ok(())
    }
}
