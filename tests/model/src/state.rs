//! One state of the model: rows, workers, requests on their way, the gateway, the time, and what may still go wrong.
//!
//! Versions are kept as what they are compared for: every copy of a row knows whether the row was written since. Two
//! states that differ in version numbers only are one state.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use domain::charge::Trigger;
use domain::cycle::Cycle;
use domain::subscription::Subscription;
use jiff::Timestamp;

use crate::gateway::{Call, Memory, Said, Seen};
use crate::kept::Kept;

/// Why a charge is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why(pub Trigger);

impl Hash for Why {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(&self.0).hash(state);
    }
}

/// What is stored. One cycle is looked at; the one before it is paid and closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    pub subscription: Kept<Subscription>,
    pub cycle: Option<Kept<Cycle>>,
}

/// A worker's copy of the rows, and whether they are still as they were read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copied {
    pub rows: Rows,
    pub subscription_fresh: bool,
    pub cycle_fresh: bool,
}

/// A report as its bringer holds it: the attempt, the answer, the claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    pub index: u32,
    pub n: Option<u32>,
    pub said: Said,
    pub token: Option<String>,
}

/// Where a worker is. Every value is a point at which it may freeze, die or be overtaken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pc {
    Idle,
    /// The subscription was read and a charge is due; the cycle is read next, if it may exist.
    Chosen {
        copy: Copied,
        at: Timestamp,
        trigger: Why,
    },
    /// The cycle has a PaymentIntent and another gateway is to charge it; the intent is cancelled next.
    Moving {
        copy: Copied,
        at: Timestamp,
        trigger: Why,
    },
    /// All is read; the claim is written next. `moved`: with the cycle, which names its intent no longer.
    Ready {
        copy: Copied,
        at: Timestamp,
        trigger: Why,
        moved: bool,
    },
    /// The claim is written; the request goes out next.
    Claimed {
        copy: Copied,
        claim: u8,
        again: bool,
    },
    /// The request is out.
    Waiting {
        copy: Copied,
        claim: u8,
        again: bool,
    },
    /// There is something to settle.
    Heard {
        copy: Copied,
        told: Told,
    },
    /// A lost race: the rows are read again next.
    Lost {
        told: Told,
    },
    /// A live attempt was read to be looked up; the gateway is asked next.
    Doubting {
        copy: Copied,
        at: Timestamp,
    },
    /// The gateway told what it knows.
    Looked {
        copy: Copied,
        at: Timestamp,
        seen: Seen,
    },
    /// A step of the life cycle is due, or somebody asked for it to end now. `released`: the open cycle's intent is
    /// cancelled.
    Retiring {
        copy: Copied,
        at: Timestamp,
        due: Retire,
        released: bool,
    },
    /// Somebody supplied a card.
    Replacing {
        copy: Copied,
        at: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retire {
    Suspend,
    Terminate,
    Lapse,
    Cancel,
    /// Somebody asked for it to end now.
    CancelNow,
    /// A charge is due and there is no usable card.
    NoCard(Why),
}

impl Pc {
    pub fn copy_mut(&mut self) -> Option<&mut Copied> {
        match self {
            Pc::Idle | Pc::Lost { .. } => None,
            Pc::Chosen { copy, .. }
            | Pc::Moving { copy, .. }
            | Pc::Ready { copy, .. }
            | Pc::Claimed { copy, .. }
            | Pc::Waiting { copy, .. }
            | Pc::Heard { copy, .. }
            | Pc::Doubting { copy, .. }
            | Pc::Looked { copy, .. }
            | Pc::Retiring { copy, .. }
            | Pc::Replacing { copy, .. } => Some(copy),
        }
    }
}

/// How often each kind of trouble may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Steps of time.
    pub waits: u8,
    /// Answers that are lost or replaced by an error, and questions that fail.
    pub faults: u8,
    pub crashes: u8,
    /// Look-ups that do not see what is there.
    pub blind: u8,
    /// Events and hints of the gateway, duplicates included.
    pub events: u8,
    pub cancels: u8,
    pub cards: u8,
    /// Charges a person asks for.
    pub manual: u8,
}

/// Two runners and whoever serves HTTP and webhooks.
pub const WORKERS: usize = 3;
pub const HTTP: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub now: Timestamp,
    pub rows: Rows,
    pub workers: [Pc; WORKERS],
    pub wire: Vec<Call>,
    pub gateway: Arc<Memory>,
    pub left: Left,
    /// Cards the gateway will never charge again.
    pub dead_cards: [bool; 2],
    /// Claims and resends written so far.
    pub claims: u8,
    /// Payments taken when it was cancelled with nothing in flight.
    pub taken_at_end: Option<u8>,
    /// A claim was written while another attempt was open.
    pub overlapped: bool,
    /// One key went out with two requests.
    pub altered: bool,
}

impl State {
    /// A fresh copy of the rows.
    #[must_use]
    pub fn read(&self) -> Copied {
        Copied { rows: self.rows.clone(), subscription_fresh: true, cycle_fresh: true }
    }

    /// Writes rows if they are as `copy` saw them; the other copies are stale from then on. With `force` they are
    /// written whatever they were. Says whether it wrote.
    pub fn commit(
        &mut self,
        who: usize,
        copy: &Copied,
        subscription: Option<Subscription>,
        cycle: Option<Cycle>,
        force: bool,
    ) -> bool {
        let fresh = (subscription.is_none() || copy.subscription_fresh) && (cycle.is_none() || copy.cycle_fresh);
        if !fresh && !force {
            return false;
        }
        for worker in self.workers.iter_mut().enumerate().filter(|(i, _)| *i != who).map(|(_, w)| w) {
            if let Some(other) = worker.copy_mut() {
                other.subscription_fresh &= subscription.is_none();
                other.cycle_fresh &= cycle.is_none();
            }
        }
        if let Some(row) = subscription {
            self.rows.subscription = Kept::new(row);
        }
        if let Some(row) = cycle {
            self.rows.cycle = Some(Kept::new(row));
        }
        true
    }

    /// The two runners are alike: a state and the same with their parts exchanged are one.
    pub fn sort_runners(&mut self) {
        let print = |pc: &Pc| {
            let mut hasher = DefaultHasher::new();
            pc.hash(&mut hasher);
            hasher.finish()
        };
        if print(&self.workers[0]) > print(&self.workers[1]) {
            self.workers.swap(0, 1);
        }
    }

    /// Nothing is on its way and nobody is at work.
    #[must_use]
    pub fn quiet(&self) -> bool {
        self.wire.is_empty() && self.workers.iter().all(|w| *w == Pc::Idle) && self.rows.subscription.live.is_none()
    }
}
