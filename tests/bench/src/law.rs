//! Latencies of a gateway: lognormal, given by median and 99th percentile, drawn from a seed.

use std::time::Duration;

/// The standard normal's 99th percentile.
const Z99: f64 = 2.326_347_874;

pub struct Law {
    mu: f64,
    sigma: f64,
    state: u64,
}

impl Law {
    /// Percentiles in seconds.
    pub fn new(p50: f64, p99: f64, seed: u64) -> Law {
        Law { mu: p50.ln(), sigma: (p99 / p50).ln() / Z99, state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    pub fn draw(&mut self) -> Duration {
        let (a, b) = (self.unit().max(f64::MIN_POSITIVE), self.unit());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        Duration::from_secs_f64((self.mu + self.sigma * normal).exp())
    }

    /// Uniform in [0, 1): splitmix64.
    pub fn unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_what_was_asked_for() {
        let mut law = Law::new(0.8, 6.0, 3);
        let mut drawn: Vec<f64> = (0..100_000).map(|_| law.draw().as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((drawn[50_000] - 0.8).abs() < 0.02, "{}", drawn[50_000]);
        assert!((drawn[99_000] - 6.0).abs() < 0.3, "{}", drawn[99_000]);
    }
}
