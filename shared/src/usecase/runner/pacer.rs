//! The runner's [`Allowance`]: an even pace below the account's rate, and as many calls at once as that pace and the
//! measured latency need.
//!
//! Invariants: no window of one second sees more calls than the rate; a turn is taken directly before sending, so a slow
//! store cannot bunch calls up; a pause of the process is caught up by a tenth of a second's calls at most; being told to
//! slow down halves the pace at most once a second, and it recovers in ten seconds; time is the runtime's own.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::GatewayName;
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
    adjusted: Instant,
    /// The next even slot.
    next: Instant,
    /// The last `rate` turns.
    taken: VecDeque<Instant>,
    latency: Duration,
    calling: u64,
    said: Vec<Said>,
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

    /// Takes over from a runner whose last call was sent `ago`.
    pub fn continue_after(&self, gateway: GatewayName, ago: Duration) {
        let mut state = self.lane(gateway).lock();
        let (now, gap) = (Instant::now(), state.gap());
        state.next = now + gap.saturating_sub(ago);
    }

    /// How long ago the last call was sent, if one was.
    #[must_use]
    pub fn last_sent(&self, gateway: GatewayName) -> Option<Duration> {
        self.lane(gateway).lock().taken.back().map(Instant::elapsed)
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

    /// Resolves when [`Pacer::has_room`] may have changed.
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
            adjusted: now,
            next: now,
            taken: VecDeque::new(),
            latency: FIRST_LATENCY,
            calling: 0,
            said: Vec::new(),
        };
        Lane { state: Mutex::new(state), moved: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change, so a poisoned state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Between two calls, a two-hundredth longer than the pace says: what neighbouring calls may jitter.
    fn gap(&self) -> Duration {
        let even = Duration::from_nanos(1_000_000_000_000 / self.pace.max(1));
        even + even / 200
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

    fn heard(&mut self, said: Said, took: Duration, now: Instant) {
        self.calling = self.calling.saturating_sub(1);
        if said == Said::Unsent {
            return;
        }
        self.latency = (self.latency * 31 + took) / 32;
        self.said.push(said);
        let complains = matches!(said, Said::Slower | Said::Outage);
        if complains && now.duration_since(self.adjusted) >= SECOND {
            self.recover(now);
            self.pace = (self.pace / 2).max(1_000);
            self.adjusted = now;
        }
    }

    /// A tenth of the rate for every whole second nobody complained.
    fn recover(&mut self, now: Instant) {
        let full = self.rate.saturating_mul(1_000);
        if self.pace >= full {
            return;
        }
        let seconds = now.duration_since(self.adjusted).as_secs();
        if seconds > 0 {
            self.pace = self.pace.saturating_add(seconds.saturating_mul(self.rate.saturating_mul(100))).min(full);
            self.adjusted += Duration::from_secs(seconds);
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
