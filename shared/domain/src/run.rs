//! A billing run: one civil day, or one `asOf` instant, continued by ticks until nothing due at its time can still
//! move.
//!
//! Invariants: nothing new is charged before every runner has said what it foresees; a run whose forecast jumps against
//! history is held until an operator approves it, and an approved one is never held again; a run that was held and not
//! approved is no history, so that a jump does not become the measure of the next day. Attempts in flight are looked
//! up whatever the status.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Fact;
use crate::ids::RunId;

/// A forecast is compared once there are this many earlier runs,
pub const RUNS_KNOWN: usize = 7;
/// and they charged this often.
pub const CHARGES_KNOWN: u64 = 100;
/// Hours in a day, for counting days between instants.
const DAY_H: i64 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RunStatus))]
pub enum Status {
    Running,
    Held,
    Drained,
}

/// What was due when the run began: count and minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    pub count: u64,
    pub amount: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub id: RunId,
    /// Time travel, where the stage allows it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub as_of: Option<Timestamp>,
    pub status: Status,
    pub forecast: Forecast,
    pub charged: u64,
    pub declined: u64,
    pub unknown: u64,
    /// Runners whose share is in the forecast: ticks continue a run, they do not begin it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreseen: Vec<u32>,
    /// Runners that have found nothing more to do.
    pub drained: Vec<u32>,
    pub runners: u32,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub started_at: Timestamp,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub ended_at: Option<Timestamp>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub held_at: Option<Timestamp>,
    /// The operator who let a held run go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    pub version: u64,
}

/// What a runner did since it last reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub forecast: Option<Forecast>,
    pub charged: u64,
    pub declined: u64,
    pub unknown: u64,
    pub drained: bool,
}

impl Run {
    #[must_use]
    pub fn new(id: RunId, as_of: Option<Timestamp>, runners: u32, now: Timestamp) -> Run {
        Run {
            id,
            as_of,
            status: Status::Running,
            forecast: Forecast::default(),
            charged: 0,
            declined: 0,
            unknown: 0,
            foreseen: Vec::new(),
            drained: Vec::new(),
            runners,
            started_at: now,
            ended_at: None,
            held_at: None,
            approved_by: None,
            version: 0,
        }
    }

    /// The instant the run is about.
    #[must_use]
    pub fn instant(&self) -> Timestamp {
        self.as_of.unwrap_or(self.started_at)
    }

    /// Whether every runner's share is in the forecast.
    #[must_use]
    pub fn is_foreseen(&self) -> bool {
        usize::try_from(self.runners).is_ok_and(|runners| self.foreseen.len() >= runners)
    }

    /// Whether new charges may start. Something may fall due after a run was drained, so that does not end it; looking
    /// attempts up never waits for this.
    #[must_use]
    pub fn may_charge(&self) -> bool {
        self.status != Status::Held && (self.approved_by.is_some() || self.is_foreseen())
    }

    /// The run, held, when its whole forecast jumps against earlier runs: count or amount above `factor` times what they
    /// lead to expect. `None` when it does not, nobody can tell yet, it was approved, or `factor` is 0.
    ///
    /// Expected is the largest forecast so far or, after days on which nothing was charged, their share of an average
    /// day each: the catch-up after an outage is no jump.
    #[must_use]
    pub fn held(&self, history: &[Run], factor: u32, now: Timestamp) -> Option<(Run, Fact)> {
        if factor == 0 || self.status != Status::Running || self.approved_by.is_some() || !self.is_foreseen() {
            return None;
        }
        let expected = self.expected(history)?;
        let above = |foreseen: u128, expected: u128| foreseen > expected.saturating_mul(u128::from(factor));
        if !above(self.forecast.count.into(), expected.count) && !above(minor(self.forecast.amount), expected.amount) {
            return None;
        }
        let fact = Fact::new("run.held", self.id.as_str())
            .with("count", self.forecast.count)
            .with("amount", self.forecast.amount)
            .with("expectedCount", u64::try_from(expected.count).unwrap_or(u64::MAX))
            .with("expectedAmount", u64::try_from(expected.amount).unwrap_or(u64::MAX))
            .with("factor", factor);
        Some((Run { status: Status::Held, held_at: Some(now), ..self.clone() }, fact))
    }

    /// A held run goes on, because `by` looked at it. `None` when it is not held.
    #[must_use]
    pub fn approved(&self, by: &str) -> Option<(Run, Fact)> {
        if self.status != Status::Held {
            return None;
        }
        let fact = Fact::new("run.approved", self.id.as_str())
            .with("count", self.forecast.count)
            .with("amount", self.forecast.amount);
        Some((Run { status: Status::Running, approved_by: Some(by.to_owned()), ..self.clone() }, fact))
    }

    /// A run asked for again: something may be due by now. A held one stays held.
    #[must_use]
    pub fn reopened(&self) -> Run {
        let status = if self.status == Status::Held { Status::Held } else { Status::Running };
        Run { status, drained: Vec::new(), ended_at: None, ..self.clone() }
    }

    /// What earlier runs of the same kind lead to expect; none while they are too few to tell.
    fn expected(&self, history: &[Run]) -> Option<Expected> {
        let earlier = |r: &&Run| {
            let same_kind = r.as_of.is_some() == self.as_of.is_some();
            r.id != self.id && same_kind && r.instant() < self.instant()
        };
        let known: Vec<&Run> =
            history.iter().filter(earlier).filter(|r| r.status != Status::Held && r.is_foreseen()).collect();
        let charged = known.iter().fold(0_u64, |sum, r| sum.saturating_add(r.charged));
        if known.len() < RUNS_KNOWN || charged < CHARGES_KNOWN {
            return None;
        }
        let first = known.iter().map(|r| r.instant()).min()?;
        let latest = known.iter().map(|r| r.instant()).max()?;
        let charging = known.iter().filter(|r| r.charged > 0).map(|r| r.instant()).max()?;
        // While an earlier run is held nobody charges, and that is no outage: the wait for an operator must not wear
        // the jump down.
        let held = history.iter().filter(earlier).filter(|r| r.status == Status::Held && r.instant() > charging);
        let until = held.map(|r| r.instant()).min().unwrap_or(self.instant());
        let (quiet, span) = (days(charging, until), days(first, latest).saturating_add(1));
        let expect = |size: fn(&Run) -> u128| {
            let largest = known.iter().map(|r| size(r)).max().unwrap_or(0);
            let sum = known.iter().fold(0_u128, |sum, r| sum.saturating_add(size(r)));
            largest.max(sum.saturating_mul(quiet).checked_div(span).unwrap_or(0))
        };
        Some(Expected { count: expect(|r| r.forecast.count.into()), amount: expect(|r| minor(r.forecast.amount)) })
    }

    /// Folds in what runner `shard` did; the run ends when every runner is drained.
    #[must_use]
    pub fn progressed(&self, shard: u32, progress: &Progress, now: Timestamp) -> Run {
        let mut after = self.clone();
        if let Some(forecast) = progress.forecast.filter(|_| !after.foreseen.contains(&shard)) {
            after.foreseen.push(shard);
            after.forecast.count = after.forecast.count.saturating_add(forecast.count);
            after.forecast.amount = after.forecast.amount.saturating_add(forecast.amount);
        }
        after.charged = after.charged.saturating_add(progress.charged);
        after.declined = after.declined.saturating_add(progress.declined);
        after.unknown = after.unknown.saturating_add(progress.unknown);
        if progress.drained && !after.drained.contains(&shard) {
            after.drained.push(shard);
        }
        if u32::try_from(after.drained.len()).is_ok_and(|n| n >= after.runners) && after.status == Status::Running {
            after.status = Status::Drained;
            after.ended_at = Some(now);
        }
        after
    }
}

struct Expected {
    count: u128,
    amount: u128,
}

fn minor(amount: i64) -> u128 {
    u128::try_from(amount).unwrap_or(0)
}

/// Days from one instant to a later one, rounded up.
fn days(from: Timestamp, to: Timestamp) -> u128 {
    let hours = to.duration_since(from).as_hours().max(0).saturating_add(DAY_H.saturating_sub(1));
    u128::try_from(hours.checked_div(DAY_H).unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
