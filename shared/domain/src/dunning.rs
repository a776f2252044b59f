//! Dunning: what happens after a renewal was declined.
//!
//! Invariants (product.md, "Dunning"): the step moves only when a scheduled attempt of the case is declined; manual
//! retries, new cards, outages and unknowns never move it; the deadline is fixed when the case opens (first failure +
//! last step) and does not depend on tries; dates derive from attempt starts, never from when an answer arrived.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::{OutOfRange, next_seoul_day, plus_days};
use crate::charge::{Decline, DeclineClass, Trigger};

/// Attempts that may be made on one cycle, whoever asks (product.md, "Ceilings").
pub const TRIES_PER_CYCLE: u32 = 8;
/// A suspended subscription ends this many days later.
pub const SUSPENDED_DAYS: u32 = 30;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DunningCase {
    /// Scheduled retries already declined.
    pub step: u32,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub opened_at: Timestamp,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub deadline: Timestamp,
    /// The next scheduled retry; none when only a new card helps. Of a suspended subscription: when the run tries the new
    /// card, should whoever supplied it not live to.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub next_at: Option<Timestamp>,
    pub class: DeclineClass,
    pub code: String,
}

impl DunningCase {
    /// Opens a case for the first decline of a renewal that started at `started_at`.
    ///
    /// # Errors
    /// Past the range of instants.
    pub fn open(days: &[u32], decline: &Decline, started_at: Timestamp, tries: u32) -> Result<Self, OutOfRange> {
        let case = DunningCase {
            step: 0,
            opened_at: started_at,
            deadline: plus_days(started_at, days.iter().copied().max().unwrap_or(0))?,
            next_at: None,
            class: decline.class,
            code: decline.code.clone(),
        };
        case.scheduled(days, started_at, tries, Trigger::Renewal)
    }

    /// Folds in a further decline. Only [`Trigger::Dunning`] moves the step.
    ///
    /// # Errors
    /// Past the range of instants.
    pub fn declined(
        &self,
        days: &[u32],
        decline: &Decline,
        trigger: Trigger,
        started_at: Timestamp,
        tries: u32,
    ) -> Result<Self, OutOfRange> {
        let moved = u32::from(trigger == Trigger::Dunning);
        let case = DunningCase {
            step: self.step.saturating_add(moved),
            class: decline.class,
            code: decline.code.clone(),
            ..self.clone()
        };
        case.scheduled(days, started_at, tries, trigger)
    }

    /// A new card was supplied: scheduled retries make sense again.
    ///
    /// # Errors
    /// Past the range of instants.
    pub fn with_new_card(&self, days: &[u32], now: Timestamp, tries: u32) -> Result<Self, OutOfRange> {
        DunningCase { class: DeclineClass::Soft, ..self.clone() }.scheduled(days, now, tries, Trigger::Manual)
    }

    /// The suspended subscription's new card is to be tried then, or nothing is ([`crate::card`]).
    #[must_use]
    pub fn tried_next(&self, at: Option<Timestamp>) -> Self {
        DunningCase { next_at: at, ..self.clone() }
    }

    /// When to look at the case next: its next retry, or its deadline.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        self.next_at.map_or(self.deadline, |next| next.min(self.deadline))
    }

    /// Whether the case is over at `started_at` of a declined attempt.
    #[must_use]
    pub fn exhausted(&self, started_at: Timestamp) -> bool {
        started_at >= self.deadline
    }

    /// Sets the next retry after an attempt that started at `after`.
    fn scheduled(mut self, days: &[u32], after: Timestamp, tries: u32, trigger: Trigger) -> Result<Self, OutOfRange> {
        let step = usize::try_from(self.step).unwrap_or(usize::MAX);
        let retry = self.class == DeclineClass::Soft && tries < TRIES_PER_CYCLE;
        // At most one new charge per subscription per civil day, also after an outage swallowed steps.
        let tomorrow = next_seoul_day(after)?;
        // What a person asked for must not cost the last scheduled retry, though both fall on one day.
        let standing = self.next_at.filter(|_| trigger == Trigger::Manual);
        self.next_at = match days.get(step).filter(|_| retry) {
            Some(day) if tomorrow <= self.deadline => Some(plus_days(self.opened_at, *day)?.max(tomorrow)),
            Some(_) => standing,
            None => None,
        };
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soft() -> Decline {
        Decline { class: DeclineClass::Soft, code: "REJECT_CARD_PAYMENT".into(), intent: None, charge_id: None }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_schedule_of_the_brief() {
        let days = crate::plan::RETRY_DAYS;
        let opened = at("2026-12-01T01:00:00Z");
        let case = DunningCase::open(&days, &soft(), opened, 1).unwrap();
        assert_eq!((case.step, case.next_at), (0, Some(at("2026-12-02T01:00:00Z"))));
        assert_eq!(case.deadline, at("2026-12-08T01:00:00Z"));
        let case = case.declined(&days, &soft(), Trigger::Dunning, at("2026-12-02T01:05:00Z"), 2).unwrap();
        assert_eq!(
            (case.step, case.next_at),
            (1, Some(at("2026-12-04T01:00:00Z"))),
            "from the first failure, not the last"
        );
        let manual = case.declined(&days, &soft(), Trigger::Manual, at("2026-12-02T05:00:00Z"), 3).unwrap();
        assert_eq!((manual.step, manual.next_at), (1, case.next_at), "a manual retry consumes no step");
        let case = case.declined(&days, &soft(), Trigger::Dunning, at("2026-12-04T01:00:00Z"), 4).unwrap();
        let case = case.declined(&days, &soft(), Trigger::Dunning, at("2026-12-08T01:00:00Z"), 5).unwrap();
        assert_eq!((case.step, case.next_at), (3, None));
        assert!(case.exhausted(at("2026-12-08T01:00:00Z")));
    }

    #[test]
    fn hard_declines_wait_for_a_card_until_the_deadline() {
        let days = crate::plan::RETRY_DAYS;
        let hard = Decline { class: DeclineClass::Hard, ..soft() };
        let case = DunningCase::open(&days, &hard, at("2026-12-01T01:00:00Z"), 1).unwrap();
        assert_eq!((case.next_at, case.due_at()), (None, case.deadline));
        let again = case.with_new_card(&days, at("2026-12-02T03:00:00Z"), 1).unwrap();
        assert!(again.next_at.is_some());
    }

    #[test]
    fn ceilings_stop_scheduled_retries() {
        let case =
            DunningCase::open(&crate::plan::RETRY_DAYS, &soft(), at("2026-12-01T01:00:00Z"), TRIES_PER_CYCLE).unwrap();
        assert_eq!(case.next_at, None);
    }
}
