//! One seed: its world, its driver, its end. The driver moves virtual time from one thing that happens to the next:
//! letters as they arrive, ticks of the schedule whenever something is due.
//!
//! Ticks in which nothing is due would change nothing and are left out. Where something is due that no tick can move, as
//! in an outage of days, they become rarer until something moves again; not so in the calm.

use std::sync::Arc;

use domain::calendar::Interval;
use domain::charge::GatewayName;
use domain::money::Money;
use domain::plan::{Plan, RETRY_DAYS};
use jiff::Timestamp;
use shared::store::{Commit, Record, Store, Write};

use crate::books::Violation;
use crate::clock::{DAY, HOUR, MINUTE, SECOND};
use crate::jobs;
use crate::judge;
use crate::mail::Letter;
use crate::operators;
use crate::people::People;
use crate::sim::Sim;
use crate::weather::{Kind, Weather};

/// Between two ticks of the schedule.
pub const TICK: i64 = 10 * MINUTE;
/// From the beginning of the calm until nothing may be in doubt any more: two empty look-ups an hour apart, after a
/// back-off of at most an hour, and the attempt that follows.
pub const SETTLING: i64 = 5 * HOUR;
/// The calm at the end.
pub const CALM: i64 = 5 * DAY;

/// A history that takes more steps than this does not come to rest: work begets work.
const STEPS_MAX: u64 = 4_000_000;

#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub subscriptions: u16,
    /// Days with faults; the calm follows.
    pub days: i64,
    pub faults: bool,
    /// Everybody has a good card and, once approved, does nothing.
    pub quiet: bool,
    /// Days from and to which no ticks happen: the outage drill.
    pub no_ticks: Option<(i64, i64)>,
    /// How much of the trace a finding shows.
    pub lines: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { subscriptions: 20, days: 90, faults: true, quiet: false, no_ticks: None, lines: 60 }
    }
}

/// What came of a seed.
pub struct Outcome {
    pub seed: u64,
    pub hash: u64,
    pub steps: u64,
    pub captures: u64,
    /// Captures after the first of each subscription.
    pub renewals: u64,
    pub faults: Vec<u64>,
    /// Invocations by kind.
    pub jobs: Vec<u64>,
    pub finding: Option<Finding>,
}

/// A broken invariant with everything needed to look into it.
pub struct Finding {
    pub violation: Violation,
    pub when: String,
    pub subscription: String,
    pub trace: String,
}

/// Runs one seed on this thread.
///
/// # Panics
/// When the machine cannot give a runtime, or the harness itself is wrong.
#[must_use]
pub fn run(seed: u64, config: &Config) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(world(seed, config)).0
}

/// Runs one seed and hands its world to `look` before it is gone.
///
/// # Panics
/// As [`run`].
pub fn inspect<T>(seed: u64, config: &Config, look: impl FnOnce(&Outcome, &Sim) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (outcome, sim) = runtime.block_on(world(seed, config));
    look(&outcome, &sim)
}

async fn world(seed: u64, config: &Config) -> (Outcome, Arc<Sim>) {
    let sim = Arc::new(Sim::new(seed, beginning(seed)));
    let calm_from = config.days * DAY;
    let mut weather = if config.faults { Weather::drawn(&sim.rng, calm_from) } else { Weather::fair() };
    weather.calm_from = calm_from;
    if let Some((from, to)) = config.no_ticks {
        weather.stop_ticks(from * DAY, to * DAY);
    }
    *sim.weather.lock().unwrap() = weather;
    if config.lines > Config::default().lines {
        sim.trace.lock().unwrap().keep_all();
    }
    sell_plans(&sim).await;
    // Whatever an operator stopped goes on in the calm.
    GatewayName::ALL.into_iter().for_each(|gateway| sim.post(calm_from + SECOND, Letter::Resume(gateway)));
    let people = Arc::new(People::new(&sim, config, calm_from));
    let mut driver = Driver { sim: Arc::clone(&sim), people, config: *config, last_tick: -TICK, writes: 0, in_vain: 0 };
    driver.run(calm_from + CALM).await;
    if sim.books.lock().unwrap().violation.is_none() {
        judge::at_the_end(&sim, config.subscriptions).await;
    }
    (outcome(seed, &sim, config), sim)
}

/// Somewhere in five years, late in a month, so that anchors fall on its last days.
fn beginning(seed: u64) -> Timestamp {
    let month = i64::try_from(seed % 60).unwrap();
    let first: jiff::civil::Date = "2026-12-01".parse().unwrap();
    let start = first.checked_add(jiff::Span::new().months(month)).unwrap();
    let day = start.last_of_month().checked_sub(jiff::Span::new().days(5)).unwrap();
    day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
}

async fn sell_plans(sim: &Sim) {
    let plan = |code: &str, price| Plan {
        code: code.to_owned(),
        version: 1,
        name: code.to_owned(),
        description: String::new(),
        price: Money::krw(price),
        interval: Interval::Month,
        addons: Vec::new(),
        on_sale: true,
        retry_days: RETRY_DAYS.to_vec(),
    };
    let writes = [plan("starter", 33_000), plan("standard", 55_000)].map(|plan| Write::New(Record::Plan(plan)));
    let commit = Commit { id: "plans".to_owned(), writes: writes.to_vec(), events: Vec::new() };
    sim.store.commit(&commit).await.unwrap();
}

struct Driver {
    sim: Arc<Sim>,
    people: Arc<People>,
    config: Config,
    last_tick: i64,
    /// Writes of subscriptions when the last tick fired, and how many ticks had moved nothing by then.
    writes: u64,
    in_vain: u32,
}

impl Driver {
    async fn run(&mut self, end: i64) {
        let sim = Arc::clone(&self.sim);
        loop {
            let now = sim.now();
            if now >= end || sim.books.lock().unwrap().violation.is_some() {
                return;
            }
            loop {
                let letter = sim.mail.lock().unwrap().take(now);
                let Some(letter) = letter else { break };
                self.deliver(letter);
            }
            if self.next_tick(now) <= now {
                self.tick(now);
            }
            if sim.trace.lock().unwrap().steps > STEPS_MAX {
                sim.broken("bounded work", None, format!("more than {STEPS_MAX} steps"));
            }
            let letter = sim.mail.lock().unwrap().next_at().unwrap_or(end);
            let next = letter.min(self.next_tick(now)).min(end);
            tokio::select! {
                biased;
                () = sim.wake.notified() => {}
                () = tokio::time::sleep_until(sim.time.instant(next)) => {}
            }
        }
    }

    fn deliver(&mut self, letter: Letter) {
        let sim = &self.sim;
        match letter {
            Letter::Shard { message, received } => jobs::runner(sim, message, received),
            Letter::Hint { id, received } => jobs::recovery(sim, id, received),
            Letter::Hook { who, hook, tries } => jobs::webhook(sim, who, hook, tries),
            Letter::Person(who) => self.people.act(sim, who),
            Letter::Operators => operators::round(sim, self.config.subscriptions),
            Letter::Resume(gateway) => operators::resume(sim, gateway),
            Letter::Approve(run) => operators::approve(sim, run),
            Letter::TickAgain => jobs::tick(sim),
        }
    }

    fn tick(&mut self, now: i64) {
        self.last_tick = now;
        let writes = self.sim.books.lock().unwrap().writes;
        self.in_vain = if writes == self.writes && !self.sim.calm() { self.in_vain + 1 } else { 0 };
        self.writes = writes;
        judge::alive(&self.sim, now);
        self.sim.weather.lock().unwrap().gather(now, &self.sim.rng);
        operators::look_at_runs(&self.sim);
        jobs::tick(&self.sim);
        if self.sim.strikes(Kind::TickTwice, crate::trace::NOBODY) {
            self.sim.post(self.sim.rng.range(0, 20 * SECOND), Letter::TickAgain);
        }
    }

    /// When the first subscription may be moved.
    fn first_due(&self) -> Option<i64> {
        let books = self.sim.books.lock().unwrap();
        let mut first: Option<i64> = None;
        for (at, who) in &books.due {
            if first.is_some_and(|first| first <= *at) {
                break;
            }
            let movable = books.row(*who).map_or(*at, |row| self.sim.movable(row, *at));
            first = Some(first.map_or(movable, |first| first.min(movable)));
        }
        first
    }

    /// The next moment of the schedule at which something is due.
    fn next_tick(&self, now: i64) -> i64 {
        let Some(due) = self.first_due() else { return i64::MAX };
        let pause = TICK << self.in_vain.saturating_sub(2).min(4);
        let mut at = on_schedule(due.max(self.last_tick + pause).max(now));
        while let Some(until) = self.sim.weather.lock().unwrap().no_ticks_until(at) {
            at = on_schedule(until);
        }
        at
    }
}

fn on_schedule(at: i64) -> i64 {
    at.div_euclid(TICK) * TICK + if at.rem_euclid(TICK) == 0 { 0 } else { TICK }
}

fn outcome(seed: u64, sim: &Sim, config: &Config) -> Outcome {
    let books = sim.books.lock().unwrap();
    let trace = sim.trace.lock().unwrap();
    let captures = books.payments.len() as u64;
    let renewals = books.payments.iter().filter(|p| p.index > 0).count() as u64;
    let stamp = |at| sim.time.stamp(at).to_string();
    let finding = books.violation.clone().map(|violation| Finding {
        when: stamp(violation.at),
        subscription: violation.who.and_then(|who| books.row(who)).map_or(String::new(), |row| format!("{row:#?}")),
        trace: trace.tail(violation.who, config.lines, stamp),
        violation,
    });
    let faults = sim.weather.lock().unwrap().counts().to_vec();
    Outcome {
        seed,
        hash: trace.hash(),
        steps: trace.steps,
        jobs: trace.jobs.to_vec(),
        captures,
        renewals,
        faults,
        finding,
    }
}
