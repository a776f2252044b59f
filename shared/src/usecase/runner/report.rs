//! What a runner tells the run row: what is due when it begins, and what it has done since it last said.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::charge::GatewayName;
use domain::event::Actor;
use domain::run::{Forecast, Progress, Run};
use domain::subscription::{Due, Subscription};
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;

use super::feed::share;
use crate::ports::{Context, ShardMessage};
use crate::store::{Query, Record, Store, StoreError, Write, typed};
use crate::usecase::{Charging, RACES, hold_run, stamp};

/// Keys read per page.
const PAGE: u32 = 100;

/// Counts of both lanes since the last report.
#[derive(Default)]
pub(super) struct Tally(Mutex<Progress>);

impl Tally {
    pub(super) fn lock(&self) -> MutexGuard<'_, Progress> {
        // A counter is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the run row. What could not be told is kept for the next time.
    ///
    /// # Errors
    /// When the store fails or races persist.
    pub(super) async fn report(
        &self,
        charging: &Charging,
        message: &ShardMessage,
        drained: bool,
    ) -> Result<(), StoreError> {
        let done = Progress { drained, ..std::mem::take(&mut *self.lock()) };
        let told = fold(charging, message, &done, 0).await;
        if told.is_err() {
            let mut kept = self.lock();
            kept.charged = kept.charged.saturating_add(done.charged);
            kept.declined = kept.declined.saturating_add(done.declined);
            kept.unknown = kept.unknown.saturating_add(done.unknown);
        }
        told.map(|_| ())
    }
}

/// Adds a share's forecast to the run; the last share's decides in the same commit whether the run is held.
///
/// # Errors
/// When the store fails or races persist.
pub(super) async fn foresee(
    charging: &Charging,
    message: &ShardMessage,
    forecast: Forecast,
    hold_factor: u32,
) -> Result<Option<Run>, StoreError> {
    fold(charging, message, &Progress { forecast: Some(forecast), ..Progress::default() }, hold_factor).await
}

/// Folds what a runner did into the run row.
async fn fold(
    charging: &Charging,
    message: &ShardMessage,
    progress: &Progress,
    hold_factor: u32,
) -> Result<Option<Run>, StoreError> {
    let store = charging.store.as_ref();
    let now = charging.clock.now().await;
    if *progress == Progress::default() {
        return Ok(None);
    }
    for _ in 0..RACES {
        let Some(run) = typed::run(store, &message.run_id).await? else { return Ok(None) };
        let after = run.progressed(message.shard, progress, now);
        if after == run {
            return Ok(Some(run));
        }
        let factor = if progress.forecast.is_some() { hold_factor } else { 0 };
        let (after, facts) = hold_run::judged(store, after, factor, now).await?;
        let context = Context { now, actor: Actor::System("billing_run".to_owned()) };
        let writes = vec![Write::Replace(Record::Run(after.clone()))];
        match store.commit(&stamp::commit(charging.random.as_ref(), &context, writes, facts)).await {
            Ok(()) => return Ok(Some(after)),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Err(StoreError::Conflict { key: None })
}

/// What is due in a share now: count and sum. All partitions are read at once.
///
/// # Errors
/// When the store fails.
pub(super) async fn forecast(charging: &Charging, message: &ShardMessage) -> Result<Forecast, StoreError> {
    let (store, now) = (charging.store.as_ref(), charging.clock.now().await);
    let partitions = GatewayName::ALL.into_iter().flat_map(|gateway| share(gateway, message));
    let mut reads: FuturesUnordered<_> = partitions.map(|partition| due_in(store, partition, now)).collect();
    let mut forecast = Forecast::default();
    while let Some(part) = reads.next().await {
        let part = part?;
        forecast.count = forecast.count.saturating_add(part.count);
        forecast.amount = forecast.amount.saturating_add(part.amount);
    }
    Ok(forecast)
}

async fn due_in(store: &dyn Store, partition: String, until: Timestamp) -> Result<Forecast, StoreError> {
    let (query, mut forecast, mut cursor) =
        (Query::SubscriptionsDue { partition, until }, Forecast::default(), None::<String>);
    loop {
        let (page, next) = typed::list::<Subscription>(store, &query, PAGE, cursor.as_deref()).await?;
        for due in page.iter().filter(|s| matches!(s.due(until), Ok(Due::Charge(_)))) {
            forecast.count = forecast.count.saturating_add(1);
            forecast.amount = forecast.amount.saturating_add(due.amount.amount);
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(forecast);
        }
    }
}
