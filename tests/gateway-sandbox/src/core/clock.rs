//! The sandbox's own time: real time plus an offset that only grows.
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Core;

/// How far ahead of real time the sandbox is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Clock {
    #[serde(default)]
    ahead_ms: i64,
}

impl Clock {
    pub(super) fn read(&self) -> Timestamp {
        let real = real_time();
        real.checked_add(SignedDuration::from_millis(self.ahead_ms)).unwrap_or(real)
    }

    fn set(&mut self, instant: Timestamp) -> Timestamp {
        let now = self.read();
        if instant > now {
            // A millisecond more than the whole ones between, so that the clock does not stop short of `instant`.
            let jump = instant.duration_since(now).as_millis() + 1;
            self.ahead_ms = self.ahead_ms.saturating_add(i64::try_from(jump).unwrap_or(0));
        }
        self.read()
    }
}

impl Core {
    /// The present instant by the sandbox's own clock.
    pub fn now(&self) -> Timestamp {
        self.state().clock.read()
    }

    /// Moves the clock forward to `instant`; an earlier one is ignored. Answers with the present instant.
    pub fn set_clock(&self, instant: Timestamp) -> Timestamp {
        self.state().clock.set(instant)
    }
}

#[expect(clippy::disallowed_methods, reason = "the sandbox stands for an outside system, which has its own clock")]
fn real_time() -> Timestamp {
    Timestamp::now()
}
