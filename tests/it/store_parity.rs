//! The memory store stands in for DynamoDB in the simulation, so both are driven through the same random histories
//! and must answer every call alike.

use aws_sdk_dynamodb::Client;
use domain::charge::GatewayName;
use domain::subscription::{Status, Subscription, due_partitions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use shared::store::schema::LOG_SHARDS;
use shared::store::{Commit, DynamoStore, Key, MemoryStore, Query, Store, Write, typed};

use crate::store_samples::*;
use crate::store_tables::{STAGE, config, embedded};

const HISTORIES: u64 = 12;
const STEPS: usize = 120;

struct History {
    random: StdRng,
    rows: Vec<Subscription>,
    past: Vec<Commit>,
}

impl History {
    fn new(seed: u64) -> History {
        let rows = (0..5).map(|_| subscription()).collect();
        History { random: StdRng::seed_from_u64(seed), rows, past: Vec::new() }
    }

    /// A commit that is sometimes right, sometimes stale, and sometimes an old one again.
    fn next(&mut self, versions: &[u64]) -> Commit {
        if !self.past.is_empty() && self.random.random_bool(0.2) {
            return self.past[self.random.random_range(0..self.past.len())].clone();
        }
        let members = self.random.random_range(1..=3);
        let first = self.random.random_range(0..self.rows.len());
        let writes: Vec<Write> = (0..members).map(|n| self.write((first + n) % self.rows.len(), versions)).collect();
        // The service remembers a request for ten minutes; an event makes both recognise it for ever.
        let events = if members > 1 { vec![event(self.rows[first].id.as_str(), t(1))] } else { vec![] };
        let made = commit(writes, events);
        self.past.push(made.clone());
        made
    }

    fn write(&mut self, row: usize, versions: &[u64]) -> Write {
        let due = self.random.random_range(0..20);
        let stored = versions[row];
        let row = Subscription {
            tries: self.random.random(),
            due_at: (due < 15).then(|| t(due)),
            status: if self.random.random_bool(0.5) { Status::Active } else { Status::Suspended },
            gateway: if self.random.random_bool(0.5) { GatewayName::Toss } else { GatewayName::Stripe },
            ..self.rows[row].clone()
        };
        match self.random.random_range(0..10) {
            0 => Write::Replace(Subscription { version: stored.saturating_sub(1), ..row }.into()),
            1 => Write::New(row.into()),
            _ if stored == 0 => Write::New(row.into()),
            _ => Write::Replace(Subscription { version: stored, ..row }.into()),
        }
    }

    fn queries(&self) -> Vec<Query> {
        let due = GatewayName::ALL.into_iter().flat_map(due_partitions);
        let mut queries: Vec<Query> = due.map(|partition| Query::SubscriptionsDue { partition, until: t(9) }).collect();
        queries.extend([Status::Active, Status::Suspended].map(|status| Query::SubscriptionsByStatus { status }));
        queries.extend(self.rows.iter().map(|row| Query::EventsOf { subject: row.id.to_string() }));
        let day = t(0).to_zoned(jiff::tz::TimeZone::UTC).date();
        queries.extend((0..LOG_SHARDS).map(|shard| Query::EventsOn { day, shard }));
        queries
    }
}

async fn versions(store: &dyn Store, rows: &[Subscription]) -> Vec<u64> {
    let mut versions = Vec::new();
    for row in rows {
        versions.push(typed::subscription(store, &row.id).await.unwrap().map_or(0, |row| row.version));
    }
    versions
}

#[tokio::test]
async fn both_stores_answer_every_history_alike() {
    for seed in 0..HISTORIES {
        let client = Client::from_conf(config(&embedded().await).build());
        let (dynamo, memory) = (DynamoStore::new(client, STAGE), MemoryStore::new());
        let mut history = History::new(seed);
        let (mut won, mut lost) = (0, 0);
        for step in 0..STEPS {
            let commit = history.next(&versions(&memory, &history.rows).await);
            let results = (memory.commit(&commit).await, dynamo.commit(&commit).await);
            assert_eq!(results.0, results.1, "seed {seed}, step {step}: {commit:?}");
            if results.0.is_ok() { won += 1 } else { lost += 1 }
        }
        assert!(won > 20 && lost > 20, "seed {seed}: {won} won, {lost} lost proves little");
        let keys: Vec<Key> = history.rows.iter().map(|row| Key::Subscription(row.id.clone())).collect();
        assert_eq!(memory.get_many(&keys).await, dynamo.get_many(&keys).await, "seed {seed}");
        for query in history.queries() {
            let pages = (memory.query(&query, 3, None).await, dynamo.query(&query, 3, None).await);
            assert_eq!(pages.0, pages.1, "seed {seed}: {query:?}");
        }
    }
}
