//! What a card, or the lack of one, means to a subscription.
//!
//! Invariants: without a usable card nothing is sent, a card is asked for and the clock to the end runs; a new card makes
//! an open case's retries sensible again and moves none of its dates; an attempt in flight keeps the card it froze.

use jiff::Timestamp;

use crate::calendar::{OutOfRange, plus_days};
use crate::charge::{Decline, DeclineClass, GatewayName, Trigger};
use crate::dunning::DunningCase;
use crate::event::Fact;
use crate::ids::MethodId;
use crate::subscription::{StartRefused, Status, Subscription, UNPAID_DAYS};

/// Recorded where a decline code stands when there was no card to charge.
pub const NO_CARD: &str = "no_usable_card";
/// The same when the card was refused too often of late ([`crate::method::PaymentMethod::chargeable_at`]).
pub const CARD_CEILING: &str = "card_ceiling";

impl Subscription {
    /// A charge is due but there is no usable card: nothing is sent, a card is asked for, and the clock to suspension
    /// (or, before the first payment, to lapsing) runs. `code` says why: [`NO_CARD`] or [`CARD_CEILING`].
    ///
    /// # Errors
    /// Past the range of instants.
    pub fn without_card(
        &self,
        trigger: Trigger,
        code: &str,
        now: Timestamp,
    ) -> Result<(Subscription, Fact), OutOfRange> {
        let missing = Decline { class: DeclineClass::Hard, code: code.to_owned(), intent: None, charge_id: None };
        let fact =
            Fact::new("subscription.card_needed", self.id.as_str()).with("index", self.next_index()).with("code", code);
        if self.status == Status::PendingActivation {
            let due_at = Some(plus_days(self.approved_at.unwrap_or(now), UNPAID_DAYS)?);
            return Ok((Subscription { first_decline: Some(missing.code), due_at, ..self.clone() }, fact));
        }
        let days = &self.plan.retry_days;
        let unscheduled = if trigger == Trigger::Dunning { Trigger::Manual } else { trigger };
        let case = match &self.dunning {
            Some(case) => case.declined(days, &missing, unscheduled, now, self.tried())?,
            None => DunningCase::open(days, &missing, now, self.tried())?,
        };
        let (case, due_at) = match self.ends_at()? {
            Some(end) => (case.tried_next(None), end),
            None => (case.clone(), case.due_at()),
        };
        Ok((Subscription { due_at: Some(due_at), dunning: Some(case), ..self.clone() }, fact))
    }

    /// Whether a newly registered card should pay something at once: a first payment or a dunning case is open.
    #[must_use]
    pub fn waits_for_card(&self) -> bool {
        match self.status {
            Status::PendingActivation => self.approved_at.is_some(),
            Status::Active => self.dunning.is_some(),
            Status::Suspended => true,
            Status::Draft | Status::Cancelled | Status::Terminated => false,
        }
    }

    /// Makes a registered method the one that is charged from now on. Refused while an attempt is live: its answer
    /// still belongs to the old card.
    ///
    /// # Errors
    /// While an attempt is live, or past the calendar.
    pub fn with_method(
        &self,
        method: MethodId,
        gateway: GatewayName,
        now: Timestamp,
    ) -> Result<Subscription, StartRefused> {
        if self.live.is_some() {
            return Err(StartRefused::LiveAttempt);
        }
        let dunning = match &self.dunning {
            Some(case) if self.status == Status::Suspended && !self.spent() => Some(case.tried_next(Some(now))),
            Some(case) => Some(case.with_new_card(&self.plan.retry_days, now, self.tried())?),
            None => None,
        };
        let due_at = match (&dunning, self.status) {
            (_, _) if self.parked && self.cancel_at.is_none() => None,
            (Some(case), Status::Active) => Some(case.due_at()),
            // It is owed again: should the caller die before charging, the next run does it.
            (_, Status::PendingActivation) if self.approved_at.is_some() && !self.spent() => Some(now),
            (Some(case), Status::Suspended) if case.next_at.is_some() => self.ends_at()?.map(|end| end.min(now)),
            (Some(_) | None, _) => self.due_at,
        };
        Ok(Subscription { method_id: method, gateway, dunning, due_at, first_decline: None, ..self.clone() })
    }

    /// A card registered while an attempt on the old one is in flight: the attempt keeps the card it froze, whatever
    /// comes after it is charged to the new one.
    #[must_use]
    pub fn with_next_method(&self, method: MethodId, gateway: GatewayName) -> Subscription {
        Subscription { method_id: method, gateway, ..self.clone() }
    }
}
