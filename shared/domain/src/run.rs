//! A billing run: one civil day, or one `asOf` instant, continued by ticks until nothing due at its time can still
//! move.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::RunId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Running,
    Held,
    Drained,
}

/// What was due when the run began: count and minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
            version: 0,
        }
    }

    /// Whether new charges may start; looking attempts up never waits.
    #[must_use]
    pub fn may_charge(&self) -> bool {
        self.status != Status::Held
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
