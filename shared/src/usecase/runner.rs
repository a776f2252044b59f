//! One runner of a billing run: holds the lease of its share, pages the due index oldest first, and moves whatever is
//! due, charging with bounded concurrency at the account's rate (design.md §6).
//!
//! Invariants: overlapping messages, double delivery and a dead runner are normal, because claims, not the lease,
//! prevent a double charge; nothing is claimed that could not be answered before the function ends; at most one new
//! charge per subscription per run, because a payment is never due again on the day it was made.

use std::collections::HashMap;
use std::time::Duration;

use domain::calendar::ChargeWindow;
use domain::charge::{GatewayName, Trigger};
use domain::ids::MethodId;
use domain::method::PaymentMethod;
use domain::run::{Forecast, Progress};
use domain::subscription::{Due, Subscription, due_partitions};
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::charge_subscription::{ChargeError, ChargeResult, Charged, RUN_PATIENCE, charge_with};
use super::resolve_attempt::resolve;
use super::runner_lease::{self, Asked};
use super::{Charging, retire};
use crate::ports::{Context, QueueUnavailable, ShardMessage, Shards};
use crate::store::{Key, Query, StoreError, typed};

/// Keys read per page of the due index.
const PAGE: u32 = 100;
/// Open attempts that rest no longer than this are waited for by the run.
const HORIZON: SignedDuration = SignedDuration::from_mins(15);
/// Before a message that found the lease held for another run tries again.
const HELD: Duration = Duration::from_secs(30);
/// Left for settling after the last answer.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Scheduled charges go out within it; `None` is always.
    pub window: Option<ChargeWindow>,
    /// Charges per second, per gateway, for this runner.
    pub toss_rate: u32,
    pub stripe_rate: u32,
    /// Charges in flight at once.
    pub concurrency: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueUnavailable),
}

/// What one subscription came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Charged,
    Declined,
    Unknown,
    /// A state moved without a charge.
    Stepped,
    /// Nothing to do before then.
    Rests(Timestamp),
    /// Not due after all, outside the window, or somebody else is at it.
    Idle,
    /// Our configuration is refused: this gateway's share stops.
    Misconfigured,
}

/// What a pass over the share did.
#[derive(Default)]
struct Pass {
    progress: Progress,
    stepped: u64,
    rests: Option<Timestamp>,
    misconfigured: bool,
    cut_short: bool,
}

pub struct Runner<'a> {
    pub charging: &'a Charging,
    pub shards: &'a dyn Shards,
    pub settings: Settings,
    /// When the function is stopped.
    pub deadline: Instant,
}

impl Runner<'_> {
    /// Works on one share until nothing due can move, or time is nearly up and the rest is handed on.
    ///
    /// # Errors
    /// When the store or the queue fails; the message is delivered again.
    pub async fn run(&self, message: &ShardMessage) -> Result<(), RunnerError> {
        let store = self.charging.store.as_ref();
        let lease = match runner_lease::acquire(self.charging, message.shard, &message.run_id, self.left()).await? {
            Asked::Taken(lease) => lease,
            Asked::Held { for_run } if for_run.as_deref() == Some(message.run_id.as_str()) => {
                tracing::info!(shard = message.shard, "another runner of this run holds the lease");
                return Ok(());
            }
            // The holder works for another run and will not say that this one is drained.
            Asked::Held { .. } => return Ok(self.shards.send(message, HELD).await?),
        };
        let result = self.passes(message).await;
        runner_lease::release(self.charging, lease).await?;
        match result? {
            Next::Drained => {
                runner_lease::report(store, self.charging, message, &Progress { drained: true, ..Progress::default() })
                    .await?
            }
            Next::HandOn(delay) => {
                let message = ShardMessage { continued: true, ..message.clone() };
                self.shards.send(&message, delay).await?;
            }
            Next::LeaveToTick => {}
        }
        Ok(())
    }

    async fn passes(&self, message: &ShardMessage) -> Result<Next, RunnerError> {
        let store = self.charging.store.as_ref();
        if !message.continued {
            let forecast = self.forecast(message).await?;
            runner_lease::report(
                store,
                self.charging,
                message,
                &Progress { forecast: Some(forecast), ..Progress::default() },
            )
            .await?;
        }
        let mut refused = Vec::new();
        loop {
            let pass = self.pass(message, &mut refused).await?;
            let moved = pass.progress.charged + pass.progress.declined + pass.progress.unknown + pass.stepped;
            if moved > pass.stepped {
                runner_lease::report(store, self.charging, message, &pass.progress).await?;
            }
            if pass.cut_short {
                return Ok(Next::HandOn(Duration::ZERO));
            }
            if moved == 0 && !refused.is_empty() {
                return Ok(Next::LeaveToTick);
            }
            if moved == 0 {
                return Ok(self.after_quiet_pass(pass.rests).await);
            }
        }
    }

    /// Nothing moved: either all is done, or open attempts rest and are looked at again when they wake.
    async fn after_quiet_pass(&self, rests: Option<Timestamp>) -> Next {
        let Some(wake) = rests else { return Next::Drained };
        let wait = wake.duration_since(self.charging.clock.now().await);
        Next::HandOn(
            Duration::try_from(wait.max(SignedDuration::from_secs(1)).min(HORIZON)).unwrap_or(Duration::from_secs(1)),
        )
    }

    /// What is due now: count and sum, for the operator who watches the run.
    async fn forecast(&self, message: &ShardMessage) -> Result<Forecast, RunnerError> {
        let now = self.charging.clock.now().await;
        let mut forecast = Forecast::default();
        for partition in share(message) {
            let mut cursor = None;
            loop {
                let query = Query::SubscriptionsDue { partition: partition.clone(), until: now };
                let (page, next) =
                    typed::list::<Subscription>(self.charging.store.as_ref(), &query, PAGE, cursor.as_deref()).await?;
                for due in page.iter().filter(|s| matches!(s.due(now), Ok(Due::Charge(_)))) {
                    forecast.count += 1;
                    forecast.amount = forecast.amount.saturating_add(due.amount.amount);
                }
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(forecast)
    }

    /// Every due subscription of the share once, oldest first within each partition. A gateway that refuses our
    /// configuration joins `refused` and is left alone; the others go on.
    async fn pass(&self, message: &ShardMessage, refused: &mut Vec<GatewayName>) -> Result<Pass, RunnerError> {
        let mut pass = Pass::default();
        for gateway in GatewayName::ALL {
            if refused.contains(&gateway) {
                continue;
            }
            let mut pace = Pace::new(self.rate(gateway));
            for partition in share(message).into_iter().filter(|p| p.starts_with(gateway.as_str())) {
                self.partition(&partition, &mut pace, &mut pass).await?;
                if pass.cut_short {
                    return Ok(pass);
                }
                if pass.misconfigured {
                    tracing::error!(gateway = gateway.as_str(), "refuses our configuration; its share stops here");
                    refused.push(gateway);
                    pass.misconfigured = false;
                    break;
                }
            }
        }
        Ok(pass)
    }

    async fn partition(&self, partition: &str, pace: &mut Pace, pass: &mut Pass) -> Result<(), RunnerError> {
        let now = self.charging.clock.now().await;
        // Resting attempts that wake soon are part of the run. One bound for all pages: cursors belong to it.
        let until = now.saturating_add(HORIZON).unwrap_or(now);
        let mut cursor: Option<String> = None;
        loop {
            let query = Query::SubscriptionsDue { partition: partition.to_owned(), until };
            let (page, next) =
                typed::list::<Subscription>(self.charging.store.as_ref(), &query, PAGE, cursor.as_deref()).await?;
            let methods = self.methods(&page).await?;
            self.page(page, &methods, pace, pass).await;
            cursor = next;
            if cursor.is_none() || pass.cut_short || pass.misconfigured {
                return Ok(());
            }
        }
    }

    /// The methods of a page, in one batch.
    async fn methods(&self, page: &[Subscription]) -> Result<HashMap<MethodId, PaymentMethod>, StoreError> {
        let keys: Vec<Key> =
            page.iter().map(|s| Key::Method { tenant: s.tenant_id.clone(), id: s.method_id.clone() }).collect();
        let methods = typed::get_many::<PaymentMethod>(self.charging.store.as_ref(), &keys).await?;
        Ok(methods.into_iter().map(|m| (m.id.clone(), m)).collect())
    }

    async fn page(
        &self,
        page: Vec<Subscription>,
        methods: &HashMap<MethodId, PaymentMethod>,
        pace: &mut Pace,
        pass: &mut Pass,
    ) {
        let mut flying = FuturesUnordered::new();
        for subscription in page {
            if self.left() < RUN_PATIENCE + DRAIN_MARGIN {
                pass.cut_short = true;
                break;
            }
            let now = self.charging.clock.now().await;
            let Some(due) = self.due(&subscription, now) else { continue };
            let now = match due {
                Due::Nothing => continue,
                Due::Wait(until) => {
                    pass.rests = Some(pass.rests.map_or(until, |r| r.min(until)));
                    continue;
                }
                Due::Charge(_) | Due::Resolve => {
                    // What is in flight goes on meanwhile: a claim is written and sent when its turn comes, not when
                    // the page is full.
                    loop {
                        tokio::select! {
                            biased;
                            () = pace.wait() => break,
                            Some(moved) = flying.next(), if !flying.is_empty() => pass.count(moved),
                        }
                    }
                    self.charging.clock.now().await
                }
                Due::Suspend | Due::Cancel | Due::Terminate | Due::Lapse => now,
            };
            if pass.misconfigured {
                break;
            }
            let method = methods.get(&subscription.method_id);
            flying.push(self.step(subscription, method, due, now));
            if flying.len() >= self.settings.concurrency
                && let Some(moved) = flying.next().await
            {
                pass.count(moved);
            }
        }
        while let Some(moved) = flying.next().await {
            pass.count(moved);
        }
    }

    /// What is due, if this run may do it now.
    fn due(&self, subscription: &Subscription, now: Timestamp) -> Option<Due> {
        let due = subscription.due(now).ok()?;
        let outside = self.settings.window.is_some_and(|w| !w.contains(now));
        match due {
            Due::Charge(Trigger::Renewal | Trigger::Dunning) if outside => None,
            Due::Wait(until) if until > now.saturating_add(HORIZON).unwrap_or(now) => None,
            _ => Some(due),
        }
    }

    async fn step(
        &self,
        subscription: Subscription,
        method: Option<&PaymentMethod>,
        due: Due,
        now: Timestamp,
    ) -> Moved {
        let context = Context { now, actor: domain::event::Actor::System("billing_run".to_owned()) };
        let id = subscription.id.clone();
        let result = match due {
            Due::Charge(trigger) => match method.filter(|m| m.chargeable()) {
                Some(method) => {
                    let row = subscription.clone();
                    match charge_with(self.charging, &context, row, method, trigger, RUN_PATIENCE).await {
                        // This one card's row does not open: for its owner that is a card that is gone.
                        Err(ChargeError::MethodUnusable) => {
                            retire::without_card(self.charging, &context, subscription, trigger)
                                .await
                                .map(|()| Moved::Stepped)
                        }
                        other => other.map(moved),
                    }
                }
                None => {
                    retire::without_card(self.charging, &context, subscription, trigger).await.map(|()| Moved::Stepped)
                }
            },
            Due::Resolve => resolve(self.charging, &context, &subscription, RUN_PATIENCE).await.map(resolved),
            Due::Suspend | Due::Cancel | Due::Terminate | Due::Lapse => {
                retire::retire(self.charging, &context, subscription, due).await.map(|()| Moved::Stepped)
            }
            Due::Nothing | Due::Wait(_) => Ok(Moved::Idle),
        };
        result.unwrap_or_else(|e| match e {
            // Somebody else moved it first, or the claim is written and the index will bring it back.
            ChargeError::Busy | ChargeError::Refused(_) => Moved::Idle,
            ChargeError::KeysUnavailable => Moved::Misconfigured,
            ChargeError::NotFound
            | ChargeError::MethodUnusable
            | ChargeError::IntentOpen
            | ChargeError::Settle(_)
            | ChargeError::Store(_) => {
                tracing::error!(subscription = %id, error = %e, "left to the next run");
                Moved::Idle
            }
        })
    }

    fn rate(&self, gateway: GatewayName) -> u32 {
        match gateway {
            GatewayName::Toss => self.settings.toss_rate,
            GatewayName::Stripe => self.settings.stripe_rate,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

enum Next {
    Drained,
    HandOn(Duration),
    LeaveToTick,
}

impl Pass {
    fn count(&mut self, moved: Moved) {
        match moved {
            Moved::Charged => self.progress.charged += 1,
            Moved::Declined => self.progress.declined += 1,
            Moved::Unknown => self.progress.unknown += 1,
            Moved::Stepped => self.stepped += 1,
            Moved::Rests(until) => self.rests = Some(self.rests.map_or(until, |r| r.min(until))),
            Moved::Idle => {}
            Moved::Misconfigured => self.misconfigured = true,
        }
    }
}

fn moved(charged: Charged) -> Moved {
    match charged.result {
        ChargeResult::Captured => Moved::Charged,
        ChargeResult::Declined { .. } => Moved::Declined,
        ChargeResult::Pending => Moved::Unknown,
        ChargeResult::Misconfigured => Moved::Misconfigured,
    }
}

/// A look that settled nothing only rests; it was counted as unknown when it became so.
fn resolved(charged: Charged) -> Moved {
    match (&charged.result, &charged.subscription.live) {
        (ChargeResult::Pending, Some(live)) => Moved::Rests(match (&live.unknown, charged.subscription.due_at) {
            (Some(_), Some(due)) => due,
            (Some(_), None) | (None, _) => live.lease_until,
        }),
        (ChargeResult::Pending, None) => Moved::Stepped,
        _ => moved(charged),
    }
}

/// The due partitions of one runner.
fn share(message: &ShardMessage) -> Vec<String> {
    let runners = usize::try_from(message.runners.max(1)).unwrap_or(1);
    let shard = usize::try_from(message.shard).unwrap_or(0);
    GatewayName::ALL
        .into_iter()
        .flat_map(|gateway| due_partitions(gateway).into_iter().enumerate())
        .filter(|(i, _)| i % runners == shard)
        .map(|(_, partition)| partition)
        .collect()
}

/// Spaces calls evenly: no burst, so no window of a second ever sees more than the rate.
struct Pace {
    gap: Duration,
    next: Instant,
}

impl Pace {
    fn new(per_second: u32) -> Self {
        Pace { gap: Duration::from_secs(1) / per_second.max(1), next: Instant::now() }
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        self.next = self.next.max(now);
        tokio::time::sleep_until(self.next).await;
        self.next += self.gap;
    }
}
