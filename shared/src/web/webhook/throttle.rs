//! How many deliveries one address, and everybody together, may make: token buckets in this process's memory, asked
//! before anything is verified or read.
//!
//! Invariants: memory is bounded however many addresses call; what an address may not send does not use up what
//! everybody may; a delivery that was refused costs its address [`REFUSED`] times as much as one that was taken, because
//! a gateway is not refused. Losing a bucket (a new process, too many addresses) only ever lets more through, and never more
//! than the bucket of everybody allows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time since some fixed moment of this process; never goes back.
pub type Ticks = std::sync::Arc<dyn Fn() -> Duration + Send + Sync>;

/// A bucket holds this many seconds of its rate.
const BURST: u64 = 2;
/// What a refused delivery costs its address, in deliveries.
const REFUSED: u64 = 10;
/// Addresses remembered, in each of two generations.
const REMEMBERED: usize = 4_096;
/// Tokens are counted in parts so small that one microsecond of any rate is a whole number of them.
const PART: u64 = 1_000_000;

/// Deliveries a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub per_address: u32,
    /// For all addresses together.
    pub per_process: u32,
}

pub struct Throttle {
    rates: Rates,
    ticks: Ticks,
    state: Mutex<State>,
}

struct State {
    all: Bucket,
    young: HashMap<Source, Bucket>,
    old: HashMap<Source, Bucket>,
}

/// Who is counted as one sender: an IPv4 address, or the network half of an IPv6 address, of which one owner has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u16; 4]),
    Unknown,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// In [`PART`]s of a delivery.
    tokens: u64,
    filled: Duration,
}

impl Throttle {
    #[must_use]
    pub fn new(rates: Rates, ticks: Ticks) -> Throttle {
        let all = Bucket::full(rates.per_process, ticks());
        let state = State { all, young: HashMap::new(), old: HashMap::new() };
        Throttle { rates, ticks, state: Mutex::new(state) }
    }

    /// Counts one delivery.
    ///
    /// # Errors
    /// Whole seconds to wait, at least one, when the address or everybody has sent too many.
    pub fn enter(&self, address: &str) -> Result<(), u32> {
        let now = (self.ticks)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bucket(Source::of(address), self.rates, now).take(self.rates.per_address)?;
        state.all.fill(self.rates.per_process, now);
        state.all.take(self.rates.per_process)
    }

    /// What that delivery turned out to be is refused: the rest of its price.
    pub fn refused(&self, address: &str) {
        let now = (self.ticks)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = state.bucket(Source::of(address), self.rates, now);
        bucket.tokens = bucket.tokens.saturating_sub((REFUSED - 1) * PART);
    }
}

impl State {
    /// The bucket of an address, filled up to now.
    fn bucket(&mut self, source: Source, rates: Rates, now: Duration) -> &mut Bucket {
        if self.young.len() >= REMEMBERED && !self.young.contains_key(&source) {
            self.old = std::mem::take(&mut self.young);
        }
        let known = self.old.remove(&source);
        let bucket =
            self.young.entry(source).or_insert_with(|| known.unwrap_or_else(|| Bucket::full(rates.per_address, now)));
        bucket.fill(rates.per_address, now);
        bucket
    }
}

impl Source {
    fn of(address: &str) -> Source {
        match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(IpAddr::V4(ip)) => Source::V4(ip.octets()),
            Ok(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Source::V6([a, b, c, d])
            }
            Err(_) => Source::Unknown,
        }
    }
}

impl Bucket {
    fn full(rate: u32, now: Duration) -> Bucket {
        Bucket { tokens: Bucket::size(rate), filled: now }
    }

    fn size(rate: u32) -> u64 {
        u64::from(rate).saturating_mul(BURST).saturating_mul(PART)
    }

    fn fill(&mut self, rate: u32, now: Duration) {
        let passed = u64::try_from(now.saturating_sub(self.filled).as_micros()).unwrap_or(u64::MAX);
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(u64::from(rate))).min(Bucket::size(rate));
        self.filled = self.filled.max(now);
    }

    fn take(&mut self, rate: u32) -> Result<(), u32> {
        match self.tokens.checked_sub(PART) {
            Some(left) => {
                self.tokens = left;
                Ok(())
            }
            None => {
                let missing = PART.saturating_sub(self.tokens);
                let seconds = missing.div_ceil(u64::from(rate.max(1)).saturating_mul(PART));
                Err(u32::try_from(seconds).unwrap_or(u32::MAX).max(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const RATES: Rates = Rates { per_address: 5, per_process: 20 };

    fn throttle() -> (Throttle, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&clock);
        let ticks: Ticks = Arc::new(move || Duration::from_millis(read.load(Ordering::SeqCst)));
        (Throttle::new(RATES, ticks), clock)
    }

    fn entered(throttle: &Throttle, address: &str, times: u32) -> usize {
        (0..times).filter(|_| throttle.enter(address).is_ok()).count()
    }

    #[test]
    fn an_address_has_a_burst_and_then_its_rate() {
        let (throttle, clock) = throttle();
        assert_eq!(entered(&throttle, "192.0.2.1", 100), 10);
        assert_eq!(throttle.enter("192.0.2.1"), Err(1));
        assert_eq!(entered(&throttle, "192.0.2.2", 1), 1, "others are not touched by what was turned away");
        clock.store(199, Ordering::SeqCst);
        assert_eq!(entered(&throttle, "192.0.2.1", 1), 0);
        clock.store(200, Ordering::SeqCst);
        assert_eq!(entered(&throttle, "192.0.2.1", 5), 1);
        clock.store(3_600_000, Ordering::SeqCst);
        assert_eq!(entered(&throttle, "192.0.2.1", 100), 10, "an idle hour saves up no more than a burst");
    }

    #[test]
    fn everybody_together_has_a_limit_too() {
        let (throttle, clock) = throttle();
        let all: usize = (0..=255).map(|n| entered(&throttle, &format!("192.0.2.{n}"), 1)).sum();
        assert_eq!(all, 40);
        clock.store(1_000, Ordering::SeqCst);
        assert_eq!(entered(&throttle, "198.51.100.1", 100), 10, "what was saved for the address");
    }

    #[test]
    fn what_is_refused_costs_its_address_ten_and_others_nothing() {
        let (throttle, _) = throttle();
        assert!(throttle.enter("192.0.2.1").is_ok());
        throttle.refused("192.0.2.1");
        assert_eq!(throttle.enter("192.0.2.1"), Err(1));
        throttle.refused("192.0.2.1");
        assert_eq!(entered(&throttle, "192.0.2.2", 100), 10);
    }

    #[test]
    fn one_network_is_one_sender_and_what_is_no_address_is_one_too() {
        let (throttle, _) = throttle();
        assert_eq!(entered(&throttle, "2001:db8:1:2::1", 5) + entered(&throttle, "2001:db8:1:2:ffff::9", 100), 10);
        assert_eq!(entered(&throttle, "::ffff:192.0.2.1", 5) + entered(&throttle, "192.0.2.1", 100), 10);
        assert_eq!(entered(&throttle, "", 5) + entered(&throttle, "nobody", 100), 10);
    }

    #[test]
    fn memory_is_bounded_and_a_busy_address_is_not_forgotten_for_idle_ones() {
        let (throttle, _) = throttle();
        let throttle = Throttle { rates: Rates { per_process: 1_000_000, ..RATES }, ..throttle };
        throttle.state.lock().unwrap().all = Bucket::full(1_000_000, Duration::ZERO);
        assert_eq!(entered(&throttle, "192.0.2.1", 100), 10);
        for n in 0..100_000u32 {
            let [a, b, c, _] = n.to_be_bytes();
            let _ = throttle.enter(&format!("10.{a}.{b}.{c}"));
            let _ = throttle.enter(&IpAddr::from(n.to_be_bytes()).to_string());
            if n % 1_000 == 0 {
                assert!(throttle.enter("192.0.2.1").is_err(), "it calls all the time and is remembered");
            }
        }
        let state = throttle.state.lock().unwrap();
        assert!(state.young.len() <= REMEMBERED && state.old.len() <= REMEMBERED);
    }
}
