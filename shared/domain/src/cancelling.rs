//! Cancellation: at the end of the period that is paid for, or now.
//!
//! Invariants: a cancellation for the period's end charges nothing any more and takes effect at that instant, however
//! late the run comes; where no paid period runs it takes effect at once; it overtakes an attempt in flight, whose
//! capture is then owed back; the case is closed in the same value, the open cycle in the same commit; once ended, asking
//! again changes nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::{OutOfRange, seoul_midnight};
use crate::cycle::Cycle;
use crate::event::Fact;
use crate::statistics::{dunning_moved, worth};
use crate::subscription::{StartRefused, Status, Subscription};

/// When a cancellation is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CancelAt {
    PeriodEnd,
    Now,
}

impl Subscription {
    /// Cancels, at once or for the end of the paid period. `None` when nothing changes: it has ended, or that end is set
    /// already. The status says which it was; what becomes of the open cycle, [`Subscription::closing`].
    ///
    /// # Errors
    /// When its status cannot become cancelled, or past the range of instants.
    pub fn cancelled(&self, at: CancelAt, now: Timestamp) -> Result<Option<(Subscription, Fact)>, StartRefused> {
        match self.status {
            Status::Cancelled | Status::Terminated => return Ok(None),
            Status::Draft => return Err(StartRefused::Illegal),
            Status::PendingActivation | Status::Active | Status::Suspended => {}
        }
        match self.runs_until(now)?.filter(|_| at == CancelAt::PeriodEnd) {
            Some(_) if self.cancel_at.is_some() => Ok(None),
            Some(end) => Ok(Some(self.cancelled_for(end))),
            None => self.cancelled_as_of(now).map(Some),
        }
    }

    /// The end of the paid period, while it runs and nothing after it was begun.
    fn runs_until(&self, now: Timestamp) -> Result<Option<Timestamp>, OutOfRange> {
        // The next period's attempt or case says that this one is over, whatever this clock says.
        let next_begun = self.live.as_ref().is_some_and(|live| self.owes_next(live.index, live.seq));
        if self.status != Status::Active || self.dunning.is_some() || next_begun {
            return Ok(None);
        }
        let Some(period) = self.current_period()? else { return Ok(None) };
        Ok(Some(seoul_midnight(period.end)?).filter(|end| *end > now))
    }

    fn cancelled_for(&self, end: Timestamp) -> (Subscription, Fact) {
        let fact = Fact::new("subscription.cancel_scheduled", self.id.as_str()).with("cancelAt", end.to_string());
        // Parked or not: nothing is charged for it, and the end must not be missed. An attempt in flight is looked up first.
        let due_at = if self.live.is_some() { self.due_at } else { Some(end) };
        (Subscription { cancel_at: Some(end), due_at, ..self.clone() }, fact)
    }

    /// It is over, as of `at` or the end that was set for it, if that is earlier. A live attempt stays due, so that it is
    /// looked up.
    ///
    /// # Errors
    /// When its status cannot become cancelled, or past the range of instants.
    pub fn cancelled_as_of(&self, at: Timestamp) -> Result<(Subscription, Fact), StartRefused> {
        if !self.status.may_become(Status::Cancelled) {
            return Err(StartRefused::Illegal);
        }
        let at = self.cancel_at.map_or(at, |end| end.min(at));
        let fact = Fact::new("subscription.cancelled", self.id.as_str())
            .with("status", Status::Cancelled.as_str())
            .with("from", self.status.as_str())
            .with("at", at.to_string());
        let fact = if self.status == Status::Active { worth(fact, self) } else { fact };
        let stopped = Subscription {
            status: Status::Cancelled,
            stopped_at: Some(at),
            cancel_at: None,
            dunning: None,
            parked: false,
            ..self.clone()
        };
        let due_at = if stopped.live.is_some() { stopped.due_at } else { stopped.ends_at()? };
        Ok((Subscription { due_at, ..stopped.clone() }, dunning_moved(fact, self, &stopped)))
    }

    /// What becomes of its open cycle when this subscription enters `to`: what was cancelled nobody owes; what stayed
    /// unpaid through suspension is given up. `None` when the cycle stays as it is, also while an attempt on it is in
    /// flight: its answer decides, and termination waits for it.
    #[must_use]
    pub fn closing(&self, to: Status, cycle: &Cycle) -> Option<(Cycle, Fact)> {
        match (self.status, to) {
            _ if self.live.is_some() => None,
            (_, Status::Cancelled) | (Status::Cancelled, Status::Terminated) => cycle.voided(),
            (_, Status::Terminated) => cycle.uncollectible(),
            (_, Status::Draft | Status::PendingActivation | Status::Active | Status::Suspended) => None,
        }
    }
}
