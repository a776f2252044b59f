//! The only source of chance: one small generator per seed, so that a seed is a whole history.

use std::sync::Mutex;

use shared::ports::Random;

/// SplitMix64: every seed is good, and the sequence is the same everywhere.
#[derive(Debug)]
pub struct Rng(Mutex<u64>);

impl Rng {
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng(Mutex::new(seed))
    }

    #[must_use]
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is at least 1.
    #[must_use]
    pub fn below(&self, n: u64) -> u64 {
        // The high bits times n: no division, and the bias is far below anything a test could see.
        u64::try_from((u128::from(self.next()) * u128::from(n)) >> 64).unwrap()
    }

    /// A number from `low` up to, not including, `high`.
    #[must_use]
    pub fn range(&self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(u64::try_from((high - low).max(1)).unwrap())).unwrap()
    }

    /// True `n` times in ten thousand.
    #[must_use]
    pub fn chance(&self, n: u32) -> bool {
        n > 0 && self.below(10_000) < u64::from(n)
    }

    #[must_use]
    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

impl Random for Rng {
    fn bits(&self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }
}
