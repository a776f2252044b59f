//! The steps of a subscription's life that time brings without a charge: suspension, lapse before the first payment,
//! termination.
//!
//! Invariants: a step the life cycle does not know is refused ([`Status::may_become`]); suspension and termination wait
//! for an attempt in flight, cancellation does not; a step that ends dunning closes the case in the same value.

use jiff::Timestamp;

use crate::event::Fact;
use crate::statistics::{dunning_moved, worth};
use crate::subscription::{StartRefused, Status, Subscription};

impl Subscription {
    /// The dunning deadline passed unpaid.
    ///
    /// # Errors
    /// When it is not active, an attempt is live (its answer decides first), or past the range of instants.
    pub fn suspended(&self, at: Timestamp) -> Result<(Subscription, Fact), StartRefused> {
        self.may_step(Status::Suspended)?;
        let (stopped, fact) = self.suspended_unpaid(at);
        Ok((Subscription { due_at: stopped.ends_at()?, ..stopped }, fact))
    }

    /// The same as the last decline's consequence; the caller says when it is due.
    pub(crate) fn suspended_unpaid(&self, at: Timestamp) -> (Subscription, Fact) {
        let fact = Fact::new("subscription.suspended", self.id.as_str()).with("status", Status::Suspended.as_str());
        let fact = worth(fact, self);
        let dunning = self.dunning.as_ref().map(|case| case.tried_next(None));
        (Subscription { status: Status::Suspended, stopped_at: Some(at), dunning, ..self.clone() }, fact)
    }

    /// Suspended or cancelled for long enough: access ends, nothing is due any more. Its open cycle, if it has one,
    /// is closed in the same commit ([`Subscription::closing`]).
    ///
    /// # Errors
    /// When it is neither suspended nor cancelled, or an attempt is live: its answer decides first.
    pub fn terminated(&self) -> Result<(Subscription, Fact), StartRefused> {
        self.may_step(Status::Terminated)?;
        let fact = Fact::new("subscription.terminated", self.id.as_str()).with("status", Status::Terminated.as_str());
        let ended =
            Subscription { status: Status::Terminated, due_at: None, dunning: None, parked: false, ..self.clone() };
        let fact = dunning_moved(fact, self, &ended);
        Ok((ended, fact))
    }

    /// Approved but never paid, or its application ended: it is over before it began ([`Self::cancelled_as_of`]).
    ///
    /// # Errors
    /// When its status cannot become cancelled, or past the range of instants.
    pub fn lapsed(&self, at: Timestamp) -> Result<(Subscription, Fact), StartRefused> {
        self.cancelled_as_of(at)
    }

    /// Whether the life cycle allows this step now. Nothing but a cancellation overtakes an attempt in flight.
    fn may_step(&self, to: Status) -> Result<(), StartRefused> {
        match (self.status.may_become(to), &self.live) {
            (false, _) => Err(StartRefused::Illegal),
            (true, Some(_)) => Err(StartRefused::LiveAttempt),
            (true, None) => Ok(()),
        }
    }
}
