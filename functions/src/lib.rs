//! The edge of the system: the only place that reads a clock and makes randomness. Handlers live in `src/bin/`.

use jiff::Timestamp;
use rand::TryRngCore;
use rand::rngs::OsRng;
use shared::ports::Random;

/// The wall clock in whole milliseconds, which is what rows keep.
#[must_use]
pub fn wall() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let now = Timestamp::now();
    // Truncating an instant in range stays in range; the fallback keeps the signature total.
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Randomness of the operating system, asked every time: a copy of a frozen process never repeats it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn bits(&self) -> u128 {
        let mut bytes = [0; 16];
        #[expect(clippy::expect_used, reason = "a process without randomness must stop, not make guessable tokens")]
        OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives randomness");
        u128::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_has_whole_milliseconds() {
        assert_eq!(wall().subsec_nanosecond() % 1_000_000, 0);
    }

    #[test]
    fn randomness_does_not_repeat() {
        assert_ne!(SystemRandom.bits(), SystemRandom.bits());
    }
}
