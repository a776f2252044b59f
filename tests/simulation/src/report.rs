//! Many seeds over all cores, and their figures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::trace::Job;
use crate::weather::Kind;
use crate::world::{Config, Outcome, run};

/// What a batch of seeds came to.
#[derive(Default)]
pub struct Summary {
    pub seeds: u64,
    pub captures: u64,
    pub renewals: u64,
    pub steps: u64,
    pub faults: Vec<u64>,
    pub jobs: Vec<u64>,
    pub findings: Vec<Outcome>,
    /// Seeds that were run twice, and those of them whose hashes differed.
    pub twice: u64,
    pub diverged: Vec<u64>,
    pub wall_ms: u64,
    /// Time on a core, all threads together: what others do on the machine does not count.
    pub cpu_ms: u64,
    pub threads: u64,
}

/// How a batch is run.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    pub first: u64,
    pub seeds: u64,
    pub threads: u64,
    /// Every so many-th seed runs twice; 0 for none.
    pub again_every: u64,
    /// Stop after so many findings.
    pub most_findings: usize,
}

/// Runs the seeds of a batch; `tell` hears of progress.
///
/// # Panics
/// When the harness itself is wrong.
pub fn run_batch(batch: Batch, config: &Config, tell: impl Fn(u64) + Sync) -> Summary {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Summary {
        faults: vec![0; Kind::ALL.len()],
        jobs: vec![0; Job::ALL.len()],
        threads: batch.threads,
        ..Summary::default()
    });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..batch.threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= batch.seeds {
                        break;
                    }
                    let outcome = run(batch.first + at, config);
                    let twice = batch.again_every > 0 && at.is_multiple_of(batch.again_every);
                    let diverged = twice && run(batch.first + at, config).hash != outcome.hash;
                    let mut total = total.lock().unwrap();
                    total.add(outcome, twice, diverged);
                    if total.findings.len() >= batch.most_findings {
                        stop.store(true, Ordering::Relaxed);
                    }
                    tell(total.seeds);
                }
                total.lock().unwrap().cpu_ms += cpu_ms();
            });
        }
    });
    let mut summary = total.into_inner().unwrap();
    summary.wall_ms = u64::try_from(begun.elapsed().as_millis()).unwrap();
    summary
}

impl Summary {
    fn add(&mut self, outcome: Outcome, twice: bool, diverged: bool) {
        self.seeds += 1;
        self.captures += outcome.captures;
        self.renewals += outcome.renewals;
        self.steps += outcome.steps;
        self.faults.iter_mut().zip(&outcome.faults).for_each(|(sum, n)| *sum += n);
        self.jobs.iter_mut().zip(&outcome.jobs).for_each(|(sum, n)| *sum += n);
        self.twice += u64::from(twice);
        if diverged {
            self.diverged.push(outcome.seed);
        }
        if outcome.finding.is_some() {
            self.findings.push(outcome);
        }
    }

    /// Kinds of faults that never struck.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        Kind::ALL.iter().zip(&self.faults).filter(|(_, n)| **n == 0).map(|(kind, _)| kind.name()).collect()
    }

    /// The figures, several lines.
    #[must_use]
    pub fn figures(&self, config: &Config) -> String {
        let faults: u64 = self.faults.iter().sum();
        let days = self.seeds * u64::from(config.subscriptions) * u64::try_from(config.days).unwrap();
        // In thousandths of a year of 200 subscriptions.
        let system_years = days * 1_000 / (200 * 365);
        let speed = system_years * 1_000 / self.cpu_ms.max(1);
        let mut text = format!(
            "seeds {}, twice {} with {} diverging, captures {}, renewals {}, steps {}, faults {faults}\n\
             {} system-years of 200 subscriptions in {} s on {} threads, {} core-seconds: {} system-years per \
             core-second\n",
            self.seeds,
            self.twice,
            self.diverged.len(),
            self.captures,
            self.renewals,
            self.steps,
            thousandths(system_years),
            thousandths(self.wall_ms),
            self.threads,
            thousandths(self.cpu_ms),
            thousandths(speed),
        );
        for (job, n) in Job::ALL.iter().zip(&self.jobs) {
            text.push_str(&format!("  {n:>9}  {job:?} invocations\n"));
        }
        for (kind, n) in Kind::ALL.iter().zip(&self.faults) {
            text.push_str(&format!("  {n:>9}  {}\n", kind.name()));
        }
        text
    }

    /// Every finding, ready to be replayed.
    #[must_use]
    pub fn findings(&self) -> String {
        let one = |outcome: &Outcome| {
            let Some(finding) = &outcome.finding else { return String::new() };
            format!(
                "seed {}: {}\n  at {}, subscription {:?}\n  {}\n{}\n{}\n",
                outcome.seed,
                finding.violation.rule,
                finding.when,
                finding.violation.who,
                finding.violation.text,
                finding.subscription,
                finding.trace
            )
        };
        self.findings.iter().map(one).collect()
    }
}

/// What this thread has spent on a core so far, by the kernel's count.
fn cpu_ms() -> u64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat");
    let ns = spent.ok().and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    ns.unwrap_or(0) / 1_000_000
}

fn thousandths(n: u64) -> String {
    format!("{}.{:03}", n / 1_000, n % 1_000)
}
