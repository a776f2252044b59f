//! Billing time.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::Wall;
use crate::ports::Clock;
use crate::store::{Control, Store, typed};
use crate::usecase::start_run::{CLOCK, travelled};

/// The wall clock or, with a store to read the travelled clock from, the later of the two. Never goes back: a failed
/// read keeps the travel known so far.
pub struct BillingClock {
    wall: Wall,
    travel: Option<Arc<dyn Store>>,
    known: Mutex<Option<Control>>,
}

impl BillingClock {
    /// `travel` is there only where the stage allows time travel.
    #[must_use]
    pub fn new(wall: Wall, travel: Option<Arc<dyn Store>>) -> BillingClock {
        BillingClock { wall, travel, known: Mutex::new(None) }
    }

    /// The travelled clock's row, read consistently each time: another process may have moved it a moment ago.
    async fn row(&self, store: &dyn Store) -> Option<Control> {
        match typed::control(store, CLOCK).await {
            Ok(row) => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&row);
                row
            }
            Err(error) => {
                tracing::warn!(%error, "the travelled clock is unreadable; keeping what is known");
                self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
            }
        }
    }
}

#[async_trait]
impl Clock for BillingClock {
    async fn now(&self) -> Timestamp {
        let travelled_to = match &self.travel {
            None => None,
            Some(store) => {
                let row = self.row(store.as_ref()).await;
                row.and_then(|row| travelled(&row, (self.wall)()))
            }
        };
        let wall = (self.wall)();
        travelled_to.map_or(wall, |at| at.max(wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Commit, MemoryStore, Record, Write};
    use futures::executor::block_on;
    use serde_json::json;

    fn wall() -> Timestamp {
        "2026-12-01T00:00:10Z".parse().unwrap()
    }

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn travelled_to(as_of: &str) -> Arc<MemoryStore> {
        let store = Arc::new(MemoryStore::default());
        let value = json!({"asOf": millis(as_of), "setAt": millis("2026-12-01T00:00:00Z")});
        let row = Record::Control(Control { name: CLOCK.to_owned(), value, version: 0 });
        block_on(store.commit(&Commit { id: "c".to_owned(), writes: vec![Write::New(row)], events: vec![] })).unwrap();
        store
    }

    #[test]
    fn travel_runs_on_from_where_it_was_set() {
        let ahead = BillingClock::new(wall, Some(travelled_to("2027-01-31T01:00:00Z")));
        assert_eq!(block_on(ahead.now()), "2027-01-31T01:00:10Z".parse().unwrap());
    }

    #[test]
    fn the_later_clock_wins() {
        let behind = BillingClock::new(wall, Some(travelled_to("2026-01-01T00:00:00Z")));
        assert_eq!(block_on(behind.now()), wall());
        let unset = BillingClock::new(wall, Some(Arc::new(MemoryStore::default())));
        assert_eq!(block_on(unset.now()), wall());
    }

    #[test]
    fn without_permission_nothing_is_read() {
        assert_eq!(block_on(BillingClock::new(wall, None).now()), wall());
    }
}
