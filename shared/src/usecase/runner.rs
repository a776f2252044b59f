//! One runner of a billing run: holds the lease of its share, takes the due index oldest first, and moves whatever is
//! due, charging at the account's rate (design.md §6).
//!
//! Invariants: overlapping messages, double delivery and a dead runner are normal, because claims, not the lease,
//! prevent a double charge; nothing is claimed that could not be answered before the function ends; what is under way
//! when time is up is answered after the next runner was called; at most one new charge per subscription per run, because
//! a payment is never due again on the day it was made.

mod feed;
mod lane;
mod lease;
mod pacer;
mod report;
mod step;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::calendar::ChargeWindow;
use domain::charge::GatewayName;
use domain::run::Run;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use self::lane::{Lane, Stop};
use self::lease::{Asked, Lease, RENEWED};
use self::report::Tally;
use super::Charging;
use super::charge_subscription::RUN_PATIENCE;
use crate::ports::{QueueUnavailable, Random, ShardMessage, Shards};
use crate::store::{Store, StoreError, typed};

pub use self::pacer::Pacer;

/// Open attempts that rest no longer than this are waited for by the run.
pub(crate) const HORIZON: SignedDuration = SignedDuration::from_mins(15);
/// Before a message that found the lease held for another run tries again.
const HELD: Duration = Duration::from_secs(30);
/// Before a share with nothing to do looks again whether recovery has finished too.
const RECOVERING: Duration = Duration::from_secs(3);
/// How long a new run asks again so often whether its other runners have spoken. Later the tick calls them all again; and
/// for a day that is over nobody calls them, so asking would never end.
const NEIGHBOURS: SignedDuration = SignedDuration::from_mins(10);
/// Left for settling after the last answer.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Scheduled charges go out within it; `None` is always.
    pub window: Option<ChargeWindow>,
    /// Calls per second, per gateway, for this runner.
    pub toss_rate: u32,
    pub stripe_rate: u32,
    /// Nothing is claimed when less than this is left before the deadline.
    pub reserve: Duration,
    /// A run is held when its forecast is more than this many times what earlier runs lead to expect; 0 holds none.
    pub hold_factor: u32,
}

impl Settings {
    /// Four fifths of each account's rate, split between the runners; HTTP charges, lookups and re-reads share the rest
    /// (design.md §6).
    #[must_use]
    pub fn of_accounts(toss: u32, stripe: u32, runners: u32) -> Settings {
        let share = |rate: u32| (rate.saturating_mul(4) / 5 / runners.max(1)).max(1);
        let reserve = RUN_PATIENCE + DRAIN_MARGIN;
        Settings { window: None, toss_rate: share(toss), stripe_rate: share(stripe), reserve, hold_factor: 0 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueUnavailable),
}

pub struct Runner<'a> {
    pub charging: &'a Charging,
    pub shards: &'a dyn Shards,
    pub settings: Settings,
    /// When the function is stopped.
    pub deadline: Instant,
}

/// What both lanes of a runner share.
struct Share<'a> {
    charging: Charging,
    pacer: Arc<Pacer>,
    message: &'a ShardMessage,
    settings: Settings,
    /// When nothing is claimed any more.
    closes: Instant,
    /// Whether new charges may start: not while an operator has to look at the run.
    may_charge: bool,
    /// Whether every runner has said what it foresees.
    foreseen: bool,
    /// Until when that is waited for.
    neighbours: Timestamp,
    tally: Tally,
    /// Somebody else has the lease.
    lost: AtomicBool,
}

enum Next {
    Drained,
    HandOn(Duration),
    LeaveToTick,
}

impl Runner<'_> {
    /// Works on one share until nothing due can move, or time is nearly up and the rest is handed on.
    ///
    /// # Errors
    /// When the store or the queue fails; the message is delivered again.
    pub async fn run(&self, message: &ShardMessage) -> Result<(), RunnerError> {
        let mut lease = match lease::acquire(self.charging, message.shard, &message.run_id).await? {
            Asked::Taken(lease) => lease,
            Asked::Held { for_run } if for_run.as_deref() == Some(message.run_id.as_str()) => {
                tracing::info!(shard = message.shard, "another runner of this run holds the lease");
                return Ok(());
            }
            // The holder works for another run and will not say that this one is drained.
            Asked::Held { .. } => return Ok(self.shards.send(message, HELD).await?),
        };
        let pacer = Arc::new(Pacer::new(self.settings.toss_rate, self.settings.stripe_rate));
        lease.hand_over(&pacer, self.charging.clock.now().await);
        let result = self.work(message, &mut lease, &pacer).await;
        if result.is_err() {
            // Best effort: an error here must not hide the first, and the lease is short.
            let _ = lease.release(self.charging, &pacer).await;
        }
        result
    }

    async fn work(&self, message: &ShardMessage, lease: &mut Lease, pacer: &Arc<Pacer>) -> Result<(), RunnerError> {
        let Some(run) = self.foreseen(message).await? else { return Ok(()) };
        let share = Share {
            charging: Charging { allowance: pacer.clone(), ..self.charging.clone() },
            pacer: pacer.clone(),
            message,
            settings: self.settings,
            closes: self.deadline.checked_sub(self.settings.reserve).unwrap_or_else(Instant::now),
            may_charge: run.may_charge(),
            foreseen: run.is_foreseen(),
            neighbours: run.started_at.saturating_add(NEIGHBOURS).unwrap_or(run.started_at),
            tally: Tally::default(),
            lost: AtomicBool::new(false),
        };
        let [mut toss, mut stripe] = GatewayName::ALL.map(|gateway| Lane::new(&share, gateway));
        let stopped = tokio::select! {
            biased;
            stopped = async { tokio::join!(toss.work(), stripe.work()) } => stopped,
            never = share.keep(lease) => never,
        };
        lease.release(self.charging, pacer).await?;
        let next = match stopped {
            (Ok(toss), Ok(stripe)) => Ok(self.next(&share, &[toss, stripe]).await),
            (Err(e), _) | (_, Err(e)) => Err(e),
        };
        // The next runner is called before the last answers of this one are in.
        let handed_on = match &next {
            Ok(Next::HandOn(delay)) => {
                self.shards.send(&ShardMessage { continued: true, ..message.clone() }, *delay).await
            }
            Ok(Next::Drained | Next::LeaveToTick) | Err(_) => Ok(()),
        };
        tokio::join!(toss.drain(), stripe.drain());
        share.tally.report(&share.charging, message, matches!(next, Ok(Next::Drained))).await?;
        next?;
        Ok(handed_on?)
    }

    /// The run this message belongs to, with this share in its forecast; none when there is no such run.
    async fn foreseen(&self, message: &ShardMessage) -> Result<Option<Run>, StoreError> {
        let store = self.charging.store.as_ref();
        let Some(run) = typed::run(store, &message.run_id).await? else { return Ok(None) };
        if run.foreseen.contains(&message.shard) {
            return Ok(Some(run));
        }
        let forecast = report::forecast(self.charging, message).await?;
        report::foresee(self.charging, message, forecast, self.settings.hold_factor).await
    }

    /// What follows when neither lane can go on.
    async fn next(&self, share: &Share<'_>, stops: &[Stop]) -> Next {
        if stops.iter().any(|s| matches!(s, Stop::Lost)) {
            return Next::LeaveToTick;
        }
        if stops.iter().any(|s| matches!(s, Stop::Cut)) {
            return Next::HandOn(Duration::ZERO);
        }
        if let Some(wake) = stops.iter().filter_map(Stop::wakes).min() {
            let wait = wake.duration_since(self.charging.clock.now().await);
            let wait = wait.max(SignedDuration::from_secs(1)).min(HORIZON);
            return Next::HandOn(Duration::try_from(wait).unwrap_or(RECOVERING));
        }
        if !share.foreseen {
            let young = self.charging.clock.now().await < share.neighbours;
            return if young { Next::HandOn(RECOVERING) } else { Next::LeaveToTick };
        }
        if !share.may_charge || stops.iter().any(Stop::waits_for_tick) {
            return Next::LeaveToTick;
        }
        // A run is over when recovery is (design.md §6).
        if self.charging.hints.idle().await { Next::Drained } else { Next::HandOn(RECOVERING) }
    }
}

impl Share<'_> {
    /// Renews the lease and reports progress for as long as the lanes work. Never resolves: a lost lease is a flag.
    async fn keep<T>(&self, lease: &mut Lease) -> T {
        loop {
            tokio::time::sleep(RENEWED).await;
            if let Err(StoreError::Conflict { .. }) = lease.renew(&self.charging, &self.pacer).await {
                tracing::warn!(shard = self.message.shard, "the lease went to somebody else");
                self.lost.store(true, Ordering::Relaxed);
                return std::future::pending().await;
            }
            if let Err(error) = self.tally.report(&self.charging, self.message, false).await {
                tracing::warn!(%error, "progress is reported later");
            }
        }
    }

    fn ports(&self) -> (&dyn Store, &dyn Random) {
        (self.charging.store.as_ref(), self.charging.random.as_ref())
    }

    async fn now(&self) -> Timestamp {
        self.charging.clock.now().await
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}
