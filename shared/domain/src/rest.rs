//! When a subscription is due while nothing is in flight, and what still holds for an attempt that is.
//!
//! Invariants: `due_at` is there unless the subscription is terminated, parked or not yet approved; while an attempt is
//! in flight it stays as it is, so that the index brings the attempt back; where it rests depends on state and attempt
//! starts only, never on when an answer arrived.

use jiff::Timestamp;

use crate::calendar::{OutOfRange, plus_days, seoul_date};
use crate::charge::LiveAttempt;
use crate::cycle::{Cycle, State};
use crate::dunning::{SUSPENDED_DAYS, TRIES_PER_CYCLE};
use crate::subscription::{CANCELLED_DAYS, Status, Subscription, UNPAID_DAYS};

impl Subscription {
    /// Attempts on the open cycle that count against the ceiling: one proved absent never reached the card.
    #[must_use]
    pub fn tried(&self) -> u32 {
        self.tries.saturating_sub(self.absent)
    }

    /// Whether the open cycle may not be charged again (product.md, "Ceilings").
    #[must_use]
    pub fn spent(&self) -> bool {
        self.tried() >= TRIES_PER_CYCLE
    }

    /// Whether this billable is the renewal that is owed next.
    #[must_use]
    pub fn owes_next(&self, index: u32, seq: u32) -> bool {
        index == self.next_index() && seq == 0
    }

    /// Whether the attempt in flight may be sent again. Not once a late capture of an earlier attempt paid its cycle,
    /// a payment was quarantined or the subscription ended: then it is looked up and closed, but a resend could take
    /// money nobody owes.
    #[must_use]
    pub fn may_resend(&self) -> bool {
        let ended = matches!(self.status, Status::Draft | Status::Cancelled | Status::Terminated);
        let owed = |live: &LiveAttempt| live.seq > 0 || self.owes_next(live.index, live.seq);
        !ended && !self.parked && self.live.as_ref().is_some_and(owed)
    }

    /// When a suspended or cancelled subscription ends; none in another status.
    ///
    /// # Errors
    /// Past the range of instants.
    pub fn ends_at(&self) -> Result<Option<Timestamp>, OutOfRange> {
        let days = match self.status {
            Status::Suspended => SUSPENDED_DAYS,
            Status::Cancelled => CANCELLED_DAYS,
            Status::Draft | Status::PendingActivation | Status::Active | Status::Terminated => return Ok(None),
        };
        self.stopped_at.map(|at| plus_days(at, days)).transpose()
    }

    /// The subscription once `live` is no longer in flight. Its number is used up; the numbers of the open cycle are
    /// not touched by an attempt that a late capture overtook.
    pub(crate) fn without_live(&self, live: &LiveAttempt) -> Subscription {
        let tries = if self.owes_next(live.index, live.seq) { live.n } else { self.tries };
        Subscription { live: None, tries, ..self.clone() }
    }

    /// The subscription, due when its state says, after an attempt on `cycle` that started at `started_at`.
    pub(crate) fn rested(self, cycle: &Cycle, started_at: Timestamp) -> Result<Subscription, OutOfRange> {
        if self.live.is_some() {
            return Ok(self);
        }
        let held = self.parked && self.cancel_at.is_none();
        let due_at = if held { None } else { self.rests_until(cycle, started_at)? };
        Ok(Subscription { due_at, ..self })
    }

    fn rests_until(&self, cycle: &Cycle, started_at: Timestamp) -> Result<Option<Timestamp>, OutOfRange> {
        match (self.status, &self.dunning) {
            (Status::Terminated, _) => Ok(None),
            (Status::Suspended, Some(case)) if case.next_at.is_some() && !self.spent() => Ok(case.next_at),
            (Status::Suspended | Status::Cancelled, _) => Ok(self.ends_at()?.or(self.due_at)),
            (Status::PendingActivation, _) => match self.approved_at {
                Some(at) if self.first_decline.is_some() => plus_days(at, UNPAID_DAYS).map(Some),
                Some(_) | None => Ok(Some(started_at)),
            },
            (Status::Active, _) if self.cancel_at.is_some() => Ok(self.cancel_at),
            (Status::Active, Some(case)) => Ok(Some(case.due_at())),
            // Still owed and nothing was tried: due again at once.
            (Status::Active, None) if self.owes_next(cycle.index, cycle.seq) && cycle.state == State::Open => {
                Ok(Some(started_at))
            }
            (Status::Active, None) => match (self.paid, self.anchor) {
                (Some(paid), anchor) => {
                    let last = cycle.last_start().map_or(started_at, |at| at.max(started_at));
                    self.due_after(paid, anchor.unwrap_or_else(|| seoul_date(started_at)), last).map(Some)
                }
                (None, _) => Ok(Some(started_at)),
            },
            (Status::Draft, _) => Ok(self.due_at),
        }
    }
}
