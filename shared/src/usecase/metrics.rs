//! The figures operators watch: sums of days from the projection, and what is open right now from the due index.
//!
//! Invariants: nothing scans; what could not be read to its end is said to be incomplete.

use domain::Date;
use domain::charge::GatewayName;
use domain::statistics::{LEVELS, Statistic, Sums, add};
use domain::subscription::due_partitions;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::store::{Key, Query, Record, Store, StoreError, typed};

/// Days one question may be about.
pub const DAYS_MAX: i32 = 366;
/// Subscriptions looked at per partition of the due index.
const LOOKED_AT: u32 = 100;
/// The same at every tick.
const LOOKED_AT_TICK: u32 = 5;
/// Partitions asked at the same time.
const AT_ONCE: usize = 8;
/// An open attempt is looked at again within the hour (`domain::resolve::next_look`), so it is due by then.
const LOOK_AHEAD: SignedDuration = SignedDuration::from_hours(1);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub from: Date,
    /// Inclusive.
    pub to: Date,
    /// Days that saw anything, in order.
    pub days: Vec<(String, Sums)>,
    pub total: Sums,
    pub levels: Sums,
    pub open: Open,
}

/// What is open right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Attempts whose outcome is not known.
    pub unknowns: u64,
    /// The oldest instant something was due at and has not been done. An attempt in flight counts.
    pub oldest_due: Option<Timestamp>,
    /// False when more was due than was looked at: `unknowns` is then a lower bound.
    pub complete: bool,
}

/// The figures of the days `from` to `to` (Seoul, both inclusive), and how things stand at `now`.
///
/// # Errors
/// When the store fails.
pub async fn metrics(store: &dyn Store, from: Date, to: Date, now: Timestamp) -> Result<Metrics, StoreError> {
    let dates = from.series(jiff::Span::new().days(1)).take_while(|date| *date <= to);
    let keys: Vec<Key> = dates.map(|date| Key::Statistic(date.to_string())).collect();
    let rows = typed::get_many::<Statistic>(store, &keys).await?;
    let days: Vec<(String, Sums)> = rows.into_iter().map(|row| (row.name, row.sums)).collect();
    let mut total = Sums::new();
    days.iter().for_each(|(_, sums)| add(&mut total, sums));
    let levels = typed::get::<Statistic>(store, &Key::Statistic(LEVELS.to_owned())).await?;
    let open = open(store, now).await?;
    Ok(Metrics { from, to, days, total, levels: levels.map_or_else(Sums::new, |row| row.sums), open })
}

/// How long the oldest thing due has waited at `now`, in whole seconds; 0 when nothing waits. What does not read back is
/// left out: the run says so when it meets it.
///
/// # Errors
/// When the store fails.
pub async fn oldest_age(store: &dyn Store, now: Timestamp) -> Result<i64, StoreError> {
    let partitions = GatewayName::ALL.into_iter().flat_map(due_partitions);
    let oldest: Vec<Option<Timestamp>> = stream::iter(partitions)
        .map(|partition| oldest_in(store, partition, now))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let oldest = oldest.into_iter().flatten().min();
    Ok(oldest.map_or(0, |at| now.duration_since(at).as_secs()))
}

/// The index is a moment behind, so a few rows are looked at: the first may have moved on.
async fn oldest_in(store: &dyn Store, partition: String, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let page = store.query(&Query::SubscriptionsDue { partition, until: now }, LOOKED_AT_TICK, None).await?;
    let due = page.records.into_iter().filter_map(|record| match record {
        Record::Subscription(row) => row.due_at.filter(|at| *at <= now),
        _ => None,
    });
    Ok(due.min())
}

async fn open(store: &dyn Store, now: Timestamp) -> Result<Open, StoreError> {
    let until = now.saturating_add(LOOK_AHEAD).unwrap_or(now);
    let partitions = GatewayName::ALL.into_iter().flat_map(due_partitions);
    let pages: Vec<_> =
        stream::iter(partitions)
            .map(|partition| async move {
                store.query(&Query::SubscriptionsDue { partition, until }, LOOKED_AT, None).await
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
    let mut open = Open { complete: true, ..Open::default() };
    for page in pages {
        open.complete &= page.next.is_none() && page.damaged.is_empty();
        for record in page.records {
            let Record::Subscription(row) = record else { continue };
            let unknown = row.live.as_ref().is_some_and(|live| live.unknown.is_some());
            open.unknowns = open.unknowns.saturating_add(unknown.into());
            let due = row.due_at.filter(|at| *at <= now);
            open.oldest_due = open.oldest_due.into_iter().chain(due).min();
        }
    }
    Ok(open)
}
