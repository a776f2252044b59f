//! A queue in memory that hides what it gave out, as SQS does.

use std::sync::Mutex;

use async_trait::async_trait;
use domain::event::{Actor, Event};
use futures::executor::block_on;
use serde_json::json;

use super::*;
use crate::secrets::testing::FixedBits;
use crate::store::{MemoryStore, Query, typed};

const QUEUE: DeadQueue = DeadQueue::FailedCharges;

#[derive(Default)]
struct Memory {
    shown: Mutex<Vec<DeadLetter>>,
    hidden: Mutex<Vec<DeadLetter>>,
    sent: Mutex<Vec<String>>,
    /// Bodies the source queue does not take, or that cannot be deleted.
    unsendable: Vec<&'static str>,
    undeletable: Vec<&'static str>,
}

impl Memory {
    fn with(bodies: impl IntoIterator<Item = String>) -> Memory {
        let letter = |(i, body): (usize, String)| {
            let id = format!("m{i}");
            DeadLetter { receipt: id.clone(), id, body, sent_at: None }
        };
        Memory { shown: Mutex::new(bodies.into_iter().enumerate().map(letter).collect()), ..Memory::default() }
    }

    fn of(n: usize) -> Memory {
        Memory::with((0..n).map(|i| format!("body {i}")))
    }

    fn shown(&self) -> usize {
        self.shown.lock().unwrap().len()
    }
}

#[async_trait]
impl DeadLetters for Memory {
    async fn count(&self, _: DeadQueue) -> Result<u64, QueueUnavailable> {
        Ok(u64::try_from(self.shown()).unwrap())
    }

    async fn receive(&self, _: DeadQueue, hidden: Duration) -> Result<Vec<DeadLetter>, QueueUnavailable> {
        assert!(hidden <= Duration::from_secs(60), "nobody may hide letters for long");
        let mut shown = self.shown.lock().unwrap();
        let n = shown.len().min(10);
        let batch: Vec<DeadLetter> = shown.drain(..n).collect();
        self.hidden.lock().unwrap().extend(batch.iter().cloned());
        Ok(batch)
    }

    async fn give_back(&self, _: DeadQueue, letter: &DeadLetter) {
        self.hidden.lock().unwrap().retain(|l| l.id != letter.id);
        self.shown.lock().unwrap().push(letter.clone());
    }

    async fn send_again(&self, _: DeadQueue, letter: &DeadLetter) -> Result<(), QueueUnavailable> {
        if self.unsendable.contains(&letter.body.as_str()) {
            return Err(QueueUnavailable);
        }
        self.sent.lock().unwrap().push(letter.body.clone());
        Ok(())
    }

    async fn delete(&self, _: DeadQueue, letter: &DeadLetter) -> Result<(), QueueUnavailable> {
        if self.undeletable.contains(&letter.body.as_str()) {
            return Err(QueueUnavailable);
        }
        self.hidden.lock().unwrap().retain(|l| l.id != letter.id);
        Ok(())
    }
}

fn drive(queues: &Memory, store: &MemoryStore, max: u32) -> Redriven {
    let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let context = Context { now, actor: Actor::Operator("kim".to_owned()) };
    block_on(redrive(queues, store, &FixedBits(7), &context, QUEUE, max)).unwrap()
}

#[test]
fn looking_takes_nothing_away() {
    let queues = Memory::of(23);
    let listed = block_on(list(&queues, QUEUE)).unwrap();
    let ids: BTreeSet<_> = listed.letters.iter().map(|l| l.id.clone()).collect();
    assert_eq!((ids.len(), listed.total, queues.shown()), (23, 23, 23));
    let many = Memory::of(60);
    let listed = block_on(list(&many, QUEUE)).unwrap();
    assert_eq!((listed.letters.len(), listed.total, many.shown()), (LIST_MAX, 60, 60));
}

#[test]
fn letters_go_back_to_their_queue_and_are_gone() {
    let (queues, store) = (Memory::of(23), MemoryStore::new());
    assert_eq!(drive(&queues, &store, 100), Redriven { sent: 23, undeleted: 0, left: 0 });
    assert_eq!(queues.sent.lock().unwrap().len(), 23);
    assert!(queues.hidden.lock().unwrap().is_empty());
    let query = Query::EventsOf { subject: "queue#failed-charges".to_owned() };
    let (events, _) = block_on(typed::list::<Event>(&store, &query, 10, None)).unwrap();
    assert_eq!(
        events.iter().map(|e| (e.kind.as_str(), &e.changes["sent"])).collect::<Vec<_>>(),
        [("dead_letters.redriven", &json!(23))]
    );
}

#[test]
fn a_redrive_is_bounded_and_shows_the_rest() {
    let (queues, store) = (Memory::of(23), MemoryStore::new());
    assert_eq!(drive(&queues, &store, 15), Redriven { sent: 15, undeleted: 0, left: 8 });
    assert_eq!(queues.shown(), 8);
}

#[test]
fn a_queue_that_takes_nothing_loses_nothing() {
    let mut queues = Memory::of(5);
    queues.unsendable = vec!["body 2"];
    let store = MemoryStore::new();
    assert_eq!(drive(&queues, &store, 100), Redriven { sent: 2, undeleted: 0, left: 3 });
    assert_eq!((queues.shown(), queues.sent.lock().unwrap().len()), (3, 2));
}

#[test]
fn a_letter_that_stays_is_counted_and_sent_once_per_request() {
    let mut queues = Memory::of(3);
    queues.undeletable = vec!["body 1"];
    let store = MemoryStore::new();
    assert_eq!(drive(&queues, &store, 100), Redriven { sent: 3, undeleted: 1, left: 0 });
    assert_eq!(queues.sent.lock().unwrap().len(), 3);
}
