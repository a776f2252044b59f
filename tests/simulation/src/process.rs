//! One invocation of a function: the real use cases over this process's store, clock, queues and gateways, and a life
//! that may end or pause at any await.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use async_trait::async_trait;
use domain::charge::GatewayName;
use domain::event::Actor;
use domain::method::Sealed;
use secrecy::SecretString;
use shared::gateway::Gateways;
use shared::ports::{Context, Random, Vault, VaultError};
use shared::usecase::Charging;
use shared::usecase::allowance::Unpaced;
use tokio::time::{Instant, Sleep};

use crate::clock::{HOUR, MINUTE, ProcessClock, SECOND};
use crate::gateway::Line;
use crate::mail::Queues;
use crate::sim::Sim;
use crate::store::ProcessStore;
use crate::trace::{Job, NOBODY, Step, Who};
use crate::weather::Kind;

/// What one invocation works with.
pub struct Process {
    pub sim: Arc<Sim>,
    pub number: u32,
    pub charging: Charging,
    pub queues: Queues,
}

impl Process {
    #[must_use]
    pub fn new(sim: &Arc<Sim>) -> Process {
        let number = sim.next_process();
        let old_code = sim.strikes(Kind::OldCode, NOBODY);
        let skew = if sim.strikes(Kind::Skewed, NOBODY) { sim.rng.range(-5 * MINUTE, 5 * MINUTE) } else { 0 };
        let line = |name| Arc::new(Line { sim: Arc::clone(sim), name, process: number, old_code });
        let charging = Charging {
            store: Arc::new(ProcessStore { sim: Arc::clone(sim), process: number, old_code }),
            gateways: Gateways { toss: line(GatewayName::Toss), stripe: line(GatewayName::Stripe) },
            vault: Arc::new(OpenVault(Arc::clone(sim))),
            clock: Arc::new(ProcessClock { time: sim.time, skew }),
            random: Arc::new(Chance(Arc::clone(sim))),
            hints: Arc::new(Queues(Arc::clone(sim))),
            allowance: Arc::new(Unpaced),
        };
        Process { sim: Arc::clone(sim), number, charging, queues: Queues(Arc::clone(sim)) }
    }

    pub async fn context(&self, actor: Actor) -> Context {
        Context { now: self.charging.clock.now().await, actor }
    }
}

struct Chance(Arc<Sim>);

impl Random for Chance {
    fn bits(&self) -> u128 {
        self.0.rng.bits()
    }
}

/// Keeps secrets in the clear, bound to their row.
struct OpenVault(Arc<Sim>);

#[async_trait]
impl Vault for OpenVault {
    async fn seal(&self, plain: &str, aad: &str) -> Result<Sealed, VaultError> {
        if self.0.strikes(Kind::VaultClosed, NOBODY) {
            return Err(VaultError::Unavailable);
        }
        Ok(Sealed { kid: "k1".to_owned(), data: format!("{aad}|{plain}") })
    }

    async fn open(&self, sealed: &Sealed, aad: &str) -> Result<SecretString, VaultError> {
        if self.0.strikes(Kind::VaultClosed, NOBODY) {
            return Err(VaultError::Unavailable);
        }
        opened(sealed, aad).ok_or(VaultError::Refused)
    }
}

/// The plain text of what [`OpenVault`] sealed.
#[must_use]
pub fn opened(sealed: &Sealed, aad: &str) -> Option<SecretString> {
    sealed.data.strip_prefix(aad)?.strip_prefix('|').map(SecretString::from)
}

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Well,
    InError,
    /// Killed, or stopped at its time-out.
    Killed,
}

/// Starts an invocation. `work` does it, `after` learns how it ended, unless the world is over by then.
pub fn start<F>(
    sim: &Arc<Sim>,
    job: Job,
    who: Who,
    limit: i64,
    work: impl FnOnce(Process) -> F,
    after: impl FnOnce(&Arc<Sim>, End) + Send + 'static,
) where
    F: Future<Output = bool> + Send + 'static,
{
    let process = Process::new(sim);
    let number = process.number;
    sim.step(Step::Begin { process: number, job, who });
    let plan = Plan::drawn(sim, job);
    let limit = Box::pin(tokio::time::sleep(crate::clock::duration(limit)));
    let mortal =
        Mortal { inner: Some(Box::pin(work(process))), limit, sim: Arc::clone(sim), number, plan, frozen: None };
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        let end = match mortal.await {
            Some(true) => End::Well,
            Some(false) => End::InError,
            None => End::Killed,
        };
        match end {
            End::Killed => sim.step(Step::Killed { process: number }),
            End::Well | End::InError => sim.step(Step::End { process: number, ok: end == End::Well }),
        }
        after(&sim, end);
    });
}

/// What fate has in store for an invocation, counted in the times it is woken.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Lives,
    Dies { in_polls: u32 },
    Freezes { in_polls: u32, ms: i64 },
}

impl Plan {
    fn drawn(sim: &Sim, job: Job) -> Plan {
        // A runner lives long: it is struck early in its life as often as late.
        let scale = if job == Job::Runner { *sim.rng.pick(&[4, 12, 40]) } else { 8 };
        let in_polls = u32::try_from(sim.rng.below(scale)).unwrap();
        if sim.likely(Kind::Killed) {
            return Plan::Dies { in_polls };
        }
        if sim.likely(Kind::Frozen) {
            let ms = *sim.rng.pick(&[3 * SECOND, 100 * SECOND, 4 * MINUTE, 20 * MINUTE, 3 * HOUR]);
            return Plan::Freezes { in_polls, ms: ms + sim.rng.range(0, 30 * SECOND) };
        }
        Plan::Lives
    }
}

/// A future that may be dropped, or left alone for a while, at any of its awaits.
struct Mortal<F> {
    inner: Option<Pin<Box<F>>>,
    /// When it is stopped.
    limit: Pin<Box<Sleep>>,
    sim: Arc<Sim>,
    number: u32,
    plan: Plan,
    frozen: Option<Frozen>,
}

/// Since when, and until what.
struct Frozen {
    since: Instant,
    thaws: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<F> Mortal<F> {
    fn freeze(&mut self, thaws: impl Future<Output = ()> + Send + 'static, waker: &mut Poller<'_>) {
        let mut thaws: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(thaws);
        // Registers the waker; it cannot be over yet.
        let _ = thaws.as_mut().poll(waker);
        self.frozen = Some(Frozen { since: Instant::now(), thaws });
    }
}

impl<F: Future> Future for Mortal<F> {
    /// None when killed or stopped.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Poller<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(frozen) = &mut this.frozen {
            match frozen.thaws.as_mut().poll(waker) {
                Poll::Pending => return Poll::Pending,
                // A thawed process goes on as if nothing had been: its time-out did not run either.
                Poll::Ready(()) => {
                    let limit = this.limit.deadline() + frozen.since.elapsed();
                    this.limit.as_mut().reset(limit);
                    this.frozen = None;
                }
            }
        }
        if let Some(resent) = this.sim.held(this.number) {
            this.sim.step(Step::Frozen { process: this.number, ms: 0 });
            this.freeze(resent, waker);
            return Poll::Pending;
        }
        match &mut this.plan {
            Plan::Lives => {}
            Plan::Dies { in_polls: 0 } => {
                this.inner = None;
                this.sim.count(Kind::Killed, NOBODY);
                return Poll::Ready(None);
            }
            Plan::Freezes { in_polls: 0, ms } => {
                let ms = *ms;
                this.plan = Plan::Lives;
                this.sim.count(Kind::Frozen, NOBODY);
                this.sim.step(Step::Frozen { process: this.number, ms });
                this.freeze(tokio::time::sleep(crate::clock::duration(ms)), waker);
                return Poll::Pending;
            }
            Plan::Dies { in_polls } | Plan::Freezes { in_polls, .. } => *in_polls -= 1,
        }
        match &mut this.inner {
            Some(inner) => match inner.as_mut().poll(waker) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => this.limit.as_mut().poll(waker).map(|()| None),
            },
            None => Poll::Ready(None),
        }
    }
}
