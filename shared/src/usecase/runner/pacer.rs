//! The runner's [`Allowance`]: an even pace below the account's rate, and as many calls at once as that pace and the
//! measured latency need.
//!
//! Invariants: no window of one second sees more calls than the rate; a turn is taken directly before sending, so a slow
//! store cannot bunch calls up; a pause of the process is caught up by a tenth of a second's calls at most; being told to
//! slow down takes three eighths off the pace at most once a second, and every second in which nobody says so gives a
//! tenth of the rate back; time is the runtime's own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::GatewayName;
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::usecase::allowance::{Allowance, Said};

const SECOND: Duration = Duration::from_secs(1);
/// What arrival may differ from sending without two neighbouring windows meeting.
const SLACK: Duration = Duration::from_millis(10);
/// Before anything was measured.
const FIRST_LATENCY: Duration = Duration::from_secs(1);
/// Sockets of one process (Lambda allows 1,024 files).
const FLYING_MAX: u64 = 900;

pub struct Pacer {
    toss: Lane,
    stripe: Lane,
}

struct Lane {
    state: Mutex<State>,
    /// A turn was taken or an answer came: the loop may have room for another.
    moved: Notify,
}

struct State {
    rate: u64,
    /// Present pace in thousandths of a call per second; `rate` thousand when nobody complains.
    pace: u64,
    /// Since when nobody complains, as far as the pace has not yet recovered for it.
    quiet: Instant,
    /// When the pace was last reduced.
    slowed: Option<Instant>,
    /// The next even slot.
    next: Instant,
    /// The last `rate` turns.
    taken: VecDeque<Instant>,
    latency: Duration,
    calling: u64,
    /// Pieces of work begun that have not sent anything yet.
    unsent: u64,
    said: Vec<Said>,
}

/// A piece of work's own [`Allowance`]: until its first turn, or its end, the pacer knows that a call is still to come.
pub(super) struct Ticket {
    pacer: Arc<Pacer>,
    gateway: GatewayName,
    unsent: AtomicBool,
}

impl Ticket {
    pub(super) fn new(pacer: &Arc<Pacer>, gateway: GatewayName) -> Ticket {
        let mut state = pacer.lane(gateway).lock();
        state.unsent = state.unsent.saturating_add(1);
        Ticket { pacer: Arc::clone(pacer), gateway, unsent: AtomicBool::new(true) }
    }

    fn used(&self) {
        if self.unsent.swap(false, Ordering::Relaxed) {
            let lane = self.pacer.lane(self.gateway);
            let mut state = lane.lock();
            state.unsent = state.unsent.saturating_sub(1);
            drop(state);
            lane.moved.notify_one();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.used();
    }
}

#[async_trait]
impl Allowance for Ticket {
    async fn turn(&self, gateway: GatewayName) {
        self.pacer.turn(gateway).await;
        self.used();
    }

    fn heard(&self, gateway: GatewayName, said: Said, took: Duration) {
        self.pacer.heard(gateway, said, took);
    }
}

impl Pacer {
    /// Rates in calls per second.
    #[must_use]
    pub fn new(toss: u32, stripe: u32) -> Pacer {
        Pacer { toss: Lane::new(toss), stripe: Lane::new(stripe) }
    }

    fn lane(&self, gateway: GatewayName) -> &Lane {
        match gateway {
            GatewayName::Toss => &self.toss,
            GatewayName::Stripe => &self.stripe,
        }
    }

    /// Takes over from a runner whose last call counts as sent `ago` (negative: not yet).
    pub fn continue_after(&self, gateway: GatewayName, ago: SignedDuration) {
        let mut state = self.lane(gateway).lock();
        let (now, gap) = (Instant::now(), state.gap());
        state.next = match Duration::try_from(ago) {
            Ok(ago) => now + gap.saturating_sub(ago),
            Err(_) => now + gap + ago.unsigned_abs(),
        };
    }

    /// How long ago the last call counts as sent, if one was: a successor that keeps an even pace from then on meets no
    /// window of one second that is full. Later than it was sent when the calls before it were bunched, even in the
    /// future.
    #[must_use]
    pub fn last_sent(&self, gateway: GatewayName) -> Option<SignedDuration> {
        let last = self.lane(gateway).lock().counts_as_sent()?;
        let now = Instant::now();
        let (past, future) = (now.saturating_duration_since(last), last.saturating_duration_since(now));
        Some(SignedDuration::try_from(past).ok()? - SignedDuration::try_from(future).ok()?)
    }

    /// Whether another piece of work may begin while `begun` are under way: few enough wait for their turn, and few
    /// enough wait for an answer.
    #[must_use]
    pub fn has_room(&self, gateway: GatewayName, begun: usize) -> bool {
        let state = self.lane(gateway).lock();
        let begun = u64::try_from(begun).unwrap_or(u64::MAX);
        let waiting = begun.saturating_sub(state.calling);
        begun < state.flying_max() && waiting < (state.rate / 8).max(4)
    }

    /// Whether everything begun has had its first turn: only then is the last turn taken the last.
    pub(super) fn all_sent(&self, gateway: GatewayName) -> bool {
        self.lane(gateway).lock().unsent == 0
    }

    /// Resolves when [`Pacer::has_room`] or [`Pacer::all_sent`] may have changed.
    pub async fn moved(&self, gateway: GatewayName) {
        self.lane(gateway).moved.notified().await;
    }

    /// What was said since this was last asked, oldest first.
    #[must_use]
    pub fn said(&self, gateway: GatewayName) -> Vec<Said> {
        std::mem::take(&mut self.lane(gateway).lock().said)
    }
}

impl Lane {
    fn new(rate: u32) -> Lane {
        let (rate, now) = (u64::from(rate.max(1)), Instant::now());
        let state = State {
            rate,
            pace: rate.saturating_mul(1_000),
            quiet: now,
            slowed: None,
            next: now,
            taken: VecDeque::new(),
            latency: FIRST_LATENCY,
            calling: 0,
            unsent: 0,
            said: Vec::new(),
        };
        Lane { state: Mutex::new(state), moved: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between two calls, a two-hundredth longer than the pace says: what neighbouring calls may jitter.
fn gap(pace: u64) -> Duration {
    let even = Duration::from_nanos(1_000_000_000_000 / pace.max(1));
    even + even / 200
}

impl State {
    fn gap(&self) -> Duration {
        gap(self.pace)
    }

    /// The even slot of the next call.
    fn slot(&mut self, now: Instant) -> Instant {
        self.recover(now);
        let late = now.checked_sub(SECOND / 10).unwrap_or(now);
        let slot = self.next.max(late);
        self.next = slot + self.gap();
        slot
    }

    /// Takes a turn now, or says when to ask again.
    fn take(&mut self, now: Instant) -> Option<Instant> {
        let full = u64::try_from(self.taken.len()).is_ok_and(|n| n >= self.rate);
        if let Some(oldest) = self.taken.front().filter(|_| full) {
            let free = *oldest + SECOND + SLACK;
            if free > now {
                return Some(free);
            }
            self.taken.pop_front();
        }
        self.taken.push_back(now);
        self.calling = self.calling.saturating_add(1);
        None
    }

    /// When the last call would have been sent at the latest by an even pace that leaves room for all taken turns. With n
    /// turns since some call, the pace may go on for `rate` - n more before that call must be a second old.
    fn counts_as_sent(&self) -> Option<Instant> {
        let gap = gap(self.rate.saturating_mul(1_000));
        let turns = u64::try_from(self.taken.len()).unwrap_or(u64::MAX);
        let bound = |(at, before): (&Instant, u64)| {
            let more = self.rate.saturating_add(before).saturating_sub(turns);
            *at + (SECOND + SLACK).saturating_sub(gap.saturating_mul(u32::try_from(more).unwrap_or(u32::MAX)))
        };
        let bounds = self.taken.iter().zip(0_u64..).map(bound).max()?;
        let last = *self.taken.back()?;
        Some(last.max(bounds.checked_sub(gap).unwrap_or(bounds)))
    }

    fn heard(&mut self, said: Said, took: Duration, now: Instant) {
        self.calling = self.calling.saturating_sub(1);
        if said == Said::Unsent {
            return;
        }
        self.latency = (self.latency * 31 + took) / 32;
        self.said.push(said);
        if matches!(said, Said::Slower | Said::Outage) {
            self.recover(now);
            if self.slowed.is_none_or(|at| now.duration_since(at) >= SECOND) {
                self.pace = (self.pace / 8 * 5).max(1_000);
                self.slowed = Some(now);
            }
            self.quiet = now;
        }
    }

    /// A tenth of the rate for every whole second nobody complained.
    fn recover(&mut self, now: Instant) {
        let full = self.rate.saturating_mul(1_000);
        if self.pace >= full {
            return;
        }
        let seconds = now.duration_since(self.quiet).as_secs();
        if seconds > 0 {
            self.pace = self.pace.saturating_add(seconds.saturating_mul(self.rate.saturating_mul(100))).min(full);
            self.quiet += Duration::from_secs(seconds);
        }
    }

    /// Little's law with half as much again, because latencies have long tails.
    fn flying_max(&self) -> u64 {
        let millis = u64::try_from(self.latency.as_millis()).unwrap_or(u64::MAX);
        (self.rate.saturating_mul(millis).saturating_mul(3) / 2_000).saturating_add(16).min(FLYING_MAX)
    }
}

#[async_trait]
impl Allowance for Pacer {
    async fn turn(&self, gateway: GatewayName) {
        let lane = self.lane(gateway);
        let mut at = lane.lock().slot(Instant::now());
        loop {
            tokio::time::sleep_until(at).await;
            let later = lane.lock().take(Instant::now());
            match later {
                Some(later) => at = later,
                None => break,
            }
        }
        lane.moved.notify_one();
    }

    fn heard(&self, gateway: GatewayName, said: Said, took: Duration) {
        let lane = self.lane(gateway);
        lane.lock().heard(said, took, Instant::now());
        lane.moved.notify_one();
    }
}
