//! The guards of the charge protocol, each of which can be taken away in this model's wiring and nowhere else.
//!
//! Every function here calls the production decision. Where a guard lives inside one, its absence is modelled by what
//! goes in or comes out: the decision is shown the world as code without the guard would have seen it.

use domain::calendar::OutOfRange;
use domain::charge::{Answer, LiveAttempt, Lookup, Profile};
use domain::cycle::Cycle;
use domain::resolve::{Next, after_lookup};
use domain::settle::{Report, Settlement, settle};
use domain::subscription::{Claim, Due, StartRefused, Status, Subscription};
use jiff::{SignedDuration, Timestamp};

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Rows are written whatever version they have meanwhile.
    VersionCondition,
    /// A claim does not mind an attempt in flight. Its number is the same, because nothing was settled.
    OneLiveAttempt,
    /// The next attempt starts beside one that is still open.
    TerminalBeforeNext,
    /// An expired lease means: charge again, under a new key.
    LookUpBeforeResend,
    /// An expired lease means: nothing was found, although nobody asked.
    AskingAtAll,
    /// A capture pays whatever its amount.
    AmountMatch,
    /// A negative answer needs no claim.
    TokenOnNegatives,
    /// Who cancelled is charged as if nothing had happened.
    CancelCheck,
    /// A resend is rendered from what the subscription says now.
    FrozenRequest,
    /// Keys are relied on for ever.
    KeyWindow,
    /// One empty look-up proves absence.
    SecondEmptyLookUp,
    /// Not ours: that a request that was sent arrives soon or never.
    RequestsDie,
}

/// The guards that stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    removed: Option<Guard>,
}

impl Guards {
    #[must_use]
    pub fn without(guard: Guard) -> Self {
        Guards { removed: Some(guard) }
    }

    #[must_use]
    pub fn stands(&self, guard: Guard) -> bool {
        self.removed != Some(guard)
    }

    /// The row as code without the guard would judge it.
    fn seen(&self, row: &Subscription) -> Subscription {
        let mut row = row.clone();
        if !self.stands(Guard::CancelCheck) && row.status == Status::Cancelled {
            row.status = Status::Active;
        }
        if !self.stands(Guard::OneLiveAttempt) {
            row.live = None;
        }
        if !self.stands(Guard::TerminalBeforeNext) {
            row = beside(row);
        }
        row
    }

    /// What the run makes of a row.
    pub fn due(&self, row: &Subscription, now: Timestamp) -> Result<Due, OutOfRange> {
        match self.seen(row).due(now)? {
            Due::Resolve if !self.stands(Guard::LookUpBeforeResend) => beside(row.clone()).due(now),
            due => Ok(due),
        }
    }

    pub fn start(&self, row: &Subscription, claim: Claim) -> Result<Subscription, StartRefused> {
        let mut seen = self.seen(row);
        let expired = row.live.as_ref().is_some_and(|l| l.unknown.is_some() || l.lease_until <= claim.now);
        if !self.stands(Guard::LookUpBeforeResend) && expired {
            seen = beside(seen);
        }
        seen.start(claim).map(|started| Subscription { status: row.status, ..started })
    }

    pub fn may_resend(&self, row: &Subscription) -> bool {
        // One live attempt and its successor are about claims only.
        let status = if self.stands(Guard::CancelCheck) { row.status } else { self.seen(row).status };
        Subscription { status, ..row.clone() }.may_resend()
    }

    fn profile(&self, live: &LiveAttempt) -> Profile {
        let profile = live.gateway.profile();
        let ever = SignedDuration::from_hours(24 * 365);
        let never = SignedDuration::ZERO;
        match self.removed {
            Some(Guard::KeyWindow) => Profile { key_window: ever, ..profile },
            Some(Guard::SecondEmptyLookUp) => {
                Profile { absent_after_refusal: never, absent_after_error: never, ..profile }
            }
            _ => profile,
        }
    }

    pub fn after_lookup(
        &self,
        live: &LiveAttempt,
        lookup: Lookup,
        resendable: bool,
        now: Timestamp,
    ) -> Result<Next, OutOfRange> {
        let profile = self.profile(live);
        let lookup = if self.stands(Guard::AskingAtAll) { lookup } else { Lookup::NotFound };
        let next = after_lookup(live, &profile, lookup.clone(), resendable, now)?;
        match next {
            Next::Look { doubt, .. } if !self.stands(Guard::SecondEmptyLookUp) && lookup == Lookup::NotFound => {
                let looked = LiveAttempt { unknown: Some(doubt), ..live.clone() };
                after_lookup(&looked, &profile, lookup, resendable, now)
            }
            next => Ok(next),
        }
    }

    pub fn settle(
        &self,
        row: &Subscription,
        cycle: Option<&Cycle>,
        report: &Report,
        now: Timestamp,
    ) -> Result<Settlement, OutOfRange> {
        let mut report = report.clone();
        let live = row.live.as_ref().filter(|l| l.index == report.index && report.n.is_none_or(|n| n == l.n));
        match &mut report.answer {
            Answer::Captured(capture) if !self.stands(Guard::AmountMatch) => {
                let frozen = live.map(|l| l.amount).or(cycle.map(|c| c.amount.amount));
                capture.amount.amount = frozen.unwrap_or(row.amount.amount);
            }
            Answer::Captured(_) => {}
            Answer::Declined(_) | Answer::Refused { .. } | Answer::Unknown { .. } => {
                if !self.stands(Guard::TokenOnNegatives) {
                    report.token = live.map(|l| l.token.clone());
                }
            }
        }
        settle(row, cycle, &report, now)
    }
}

/// The row as if the attempt in flight were over and its number used up.
fn beside(row: Subscription) -> Subscription {
    let tries = row.live.as_ref().map_or(row.tries, |live| live.n);
    Subscription { live: None, tries, ..row }
}
