//! Virtual time: milliseconds since the seed's world began, taken from tokio's paused clock, which jumps over every
//! stretch in which nothing happens.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use shared::ports::Clock;
use tokio::time::Instant;

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// When the world began, on tokio's clock and on the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    start: Instant,
    begin: i64,
}

impl Time {
    #[must_use]
    pub fn beginning(at: Timestamp) -> Time {
        Time { start: Instant::now(), begin: at.as_millisecond() }
    }

    /// Milliseconds since the beginning.
    #[must_use]
    pub fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    #[must_use]
    pub fn instant(&self, at: i64) -> Instant {
        self.start + duration(at)
    }

    /// The calendar's name of a moment.
    #[must_use]
    pub fn stamp(&self, at: i64) -> Timestamp {
        Timestamp::from_millisecond(self.begin + at).unwrap()
    }

    /// The moment of a calendar instant; negative before the beginning.
    #[must_use]
    pub fn moment(&self, at: Timestamp) -> i64 {
        at.as_millisecond() - self.begin
    }
}

#[must_use]
pub fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms.max(0)).unwrap())
}

/// Sleeps for virtual milliseconds.
pub async fn sleep(ms: i64) {
    tokio::time::sleep(duration(ms)).await;
}

/// The clock of one process, a little off.
pub struct ProcessClock {
    pub time: Time,
    pub skew: i64,
}

#[async_trait]
impl Clock for ProcessClock {
    async fn now(&self) -> Timestamp {
        self.time.stamp(self.time.now() + self.skew)
    }
}
