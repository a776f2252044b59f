//! A subscription: status, anchor, what is due and when, and the one live attempt.
//!
//! Invariants: `PENDING_ACTIVATION -> ACTIVE <-> SUSPENDED`, `ACTIVE | SUSPENDED -> CANCELLED -> TERMINATED`,
//! `SUSPENDED -> TERMINATED`, `PENDING_ACTIVATION -> CANCELLED`; at most one live attempt; at most one open cycle,
//! the one after the last paid; the anchor is set once, by the first capture; starting an attempt leaves `due_at`
//! alone, so a dead worker's attempt is found again by the index.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::calendar::{Interval, OutOfRange, Period, next_seoul_day, period, plus_days, seoul_date, seoul_midnight};
use crate::charge::{Billable, GatewayName, LiveAttempt, Trigger};
use crate::dunning::DunningCase;
use crate::ids::{MethodId, SubscriptionId, TenantId};
use crate::money::Money;
use crate::plan::PlanSnapshot;

/// An approved but unpaid subscription lapses after this many days.
pub const UNPAID_DAYS: u32 = 30;
/// Access of a cancelled subscription ends after this many days.
pub const CANCELLED_DAYS: u32 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SubscriptionStatus))]
pub enum Status {
    Draft,
    PendingActivation,
    Active,
    Suspended,
    Cancelled,
    Terminated,
}

impl Status {
    pub const ALL: [Status; 6] = [
        Status::Draft,
        Status::PendingActivation,
        Status::Active,
        Status::Suspended,
        Status::Cancelled,
        Status::Terminated,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Draft => "DRAFT",
            Status::PendingActivation => "PENDING_ACTIVATION",
            Status::Active => "ACTIVE",
            Status::Suspended => "SUSPENDED",
            Status::Cancelled => "CANCELLED",
            Status::Terminated => "TERMINATED",
        }
    }

    /// Whether `self -> to` is a legal step of the life cycle.
    #[must_use]
    pub fn may_become(self, to: Status) -> bool {
        use Status::{Active, Cancelled, Draft, PendingActivation, Suspended, Terminated};
        matches!(
            (self, to),
            (Draft, PendingActivation)
                | (PendingActivation, Active | Cancelled)
                | (Active, Suspended | Cancelled)
                | (Suspended, Active | Cancelled | Terminated)
                | (Cancelled, Terminated)
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    pub id: SubscriptionId,
    pub tenant_id: TenantId,
    pub plan: PlanSnapshot,
    /// Owed per period, VAT-inclusive.
    pub amount: Money,
    pub gateway: GatewayName,
    pub method_id: MethodId,
    pub status: Status,
    /// Seoul date on which the successful first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Date>,
    /// Index of the last paid cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<u32>,
    /// Attempts started on the open cycle; zero while none was settled yet.
    pub tries: u32,
    /// How many of them were proved absent: they used up a number but never reached the card.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absent: u32,
    /// When to look at it next; none is terminal or parked. Truth for the due index.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub due_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveAttempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dunning: Option<DunningCase>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub approved_at: Option<Timestamp>,
    /// When it entered SUSPENDED or CANCELLED, whichever it is in.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub stopped_at: Option<Timestamp>,
    /// Set on an active subscription that ends with its paid period: that Seoul midnight.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub cancel_at: Option<Timestamp>,
    /// Code of the declined first payment, until a card pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_decline: Option<String>,
    /// Set while an operator must look first: a capture was quarantined or the row could not be billed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub created_at: Timestamp,
    pub version: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What should happen to a subscription at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    /// An attempt is in flight or resting until then.
    Wait(Timestamp),
    /// Ask the gateway about the live attempt.
    Resolve,
    Charge(Trigger),
    Suspend,
    /// The paid period is over and it was cancelled for then.
    Cancel,
    Terminate,
    /// Approved, never paid, time is up.
    Lapse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartRefused {
    #[error("an attempt is still open")]
    LiveAttempt,
    #[error("the subscription is not approved")]
    NotApproved,
    #[error("the subscription has ended")]
    Ended,
    #[error("nothing is owed")]
    NothingOwed,
    #[error("too many tries on this cycle")]
    TooManyTries,
    #[error("an operator must look at it first")]
    Parked,
    #[error("its status does not allow that")]
    Illegal,
    #[error(transparent)]
    Calendar(#[from] OutOfRange),
}

/// Everything an attempt freezes before the gateway is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub trigger: Trigger,
    pub token: String,
    pub now: Timestamp,
    pub lease_until: Timestamp,
    pub secret: String,
    pub request: u16,
    /// The open cycle's PaymentIntent, when it has one.
    pub intent: Option<String>,
}

impl Subscription {
    /// Period `index`, counted from the anchor; before the first payment, from `on`.
    ///
    /// # Errors
    /// Past the year 9999.
    pub fn period(&self, index: u32, on: Date) -> Result<Period, OutOfRange> {
        period(self.anchor.unwrap_or(on), self.interval(), index)
    }

    #[must_use]
    pub fn interval(&self) -> Interval {
        self.plan.interval
    }

    /// Index of the cycle that is or will be owed next.
    #[must_use]
    pub fn next_index(&self) -> u32 {
        self.paid.map_or(0, |k| k.saturating_add(1))
    }

    /// The billable a charge started now would be for.
    #[must_use]
    pub fn next_billable(&self) -> Billable {
        Billable { subscription: self.id.clone(), index: self.next_index(), seq: 0 }
    }

    /// The period paid for, once there is one.
    ///
    /// # Errors
    /// Past the year 9999.
    pub fn current_period(&self) -> Result<Option<Period>, OutOfRange> {
        match (self.anchor, self.paid) {
            (Some(anchor), Some(index)) => period(anchor, self.interval(), index).map(Some),
            (None, _) | (_, None) => Ok(None),
        }
    }

    /// The index partition this subscription is due under: a paused gateway is skipped whole, and no partition is
    /// hot on the first of a month (design.md §4).
    #[must_use]
    pub fn due_partition(&self) -> String {
        format!("{}#{:02}", self.gateway.as_str(), crate::ids::spread(self.id.as_str()) % DUE_PARTITIONS)
    }

    /// What should happen now. Pure: the index only says where to look.
    ///
    /// # Errors
    /// Past the range of the calendar.
    pub fn due(&self, now: Timestamp) -> Result<Due, OutOfRange> {
        let Some(due_at) = self.due_at else { return Ok(Due::Nothing) };
        if let Some(live) = &self.live {
            let until = if live.unknown.is_some() { due_at } else { live.lease_until };
            return Ok(if until <= now { Due::Resolve } else { Due::Wait(until) });
        }
        if due_at > now {
            return Ok(Due::Nothing);
        }
        Ok(match (self.status, &self.dunning) {
            (Status::PendingActivation, _) => self.due_before_activation(now)?,
            // Cancelled for the end of the paid period: nothing is charged any more.
            (Status::Active, _) if self.cancel_at.is_some() => {
                if self.cancel_at.is_some_and(|at| at <= now) {
                    Due::Cancel
                } else {
                    Due::Nothing
                }
            }
            (Status::Active, None) => Due::Charge(Trigger::Renewal),
            (Status::Active, Some(case)) => match case.next_at {
                Some(next) if next <= now && !self.spent() => Due::Charge(Trigger::Dunning),
                Some(_) | None if case.deadline <= now => Due::Suspend,
                Some(_) | None => Due::Nothing,
            },
            (Status::Suspended | Status::Cancelled, _) if self.ends_at()?.is_none_or(|at| at <= now) => Due::Terminate,
            // A new card nobody has tried yet.
            (Status::Suspended, Some(case)) if case.next_at.is_some_and(|at| at <= now) && !self.spent() => {
                Due::Charge(Trigger::Manual)
            }
            (Status::Suspended | Status::Cancelled | Status::Draft | Status::Terminated, _) => Due::Nothing,
        })
    }

    fn due_before_activation(&self, now: Timestamp) -> Result<Due, OutOfRange> {
        let Some(approved_at) = self.approved_at else { return Ok(Due::Nothing) };
        if plus_days(approved_at, UNPAID_DAYS)? <= now {
            return Ok(Due::Lapse);
        }
        let waits = self.first_decline.is_some() || self.spent();
        Ok(if waits { Due::Nothing } else { Due::Charge(Trigger::First) })
    }

    /// Approval: the subscription may be charged and is due now. Once approved, or past approval, nothing changes.
    #[must_use]
    pub fn approved(&self, now: Timestamp) -> Subscription {
        match (self.status, self.approved_at) {
            (Status::PendingActivation, None) => {
                Subscription { approved_at: Some(now), due_at: Some(now), ..self.clone() }
            }
            (_, _) => self.clone(),
        }
    }

    /// Starts an attempt: the claim is written before the gateway is called (design.md §5, step 1).
    ///
    /// # Errors
    /// When the life cycle, the calendar or an earlier attempt forbids it.
    pub fn start(&self, claim: Claim) -> Result<Subscription, StartRefused> {
        self.may_charge(claim.trigger, claim.now)?;
        let live = LiveAttempt {
            index: self.next_index(),
            seq: 0,
            n: self.tries.saturating_add(1),
            trigger: claim.trigger,
            token: claim.token,
            lease_until: claim.lease_until,
            started_at: claim.now,
            amount: self.amount.amount,
            gateway: self.gateway,
            method_id: self.method_id.clone(),
            secret: claim.secret,
            request: claim.request,
            intent: claim.intent,
            unknown: None,
        };
        let due_at = self.due_at.map_or(claim.now, |due| due.min(claim.now));
        Ok(Subscription { live: Some(live), due_at: Some(due_at), parked: false, ..self.clone() })
    }

    /// Whether a charge may start now.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_charge(&self, trigger: Trigger, now: Timestamp) -> Result<(), StartRefused> {
        if self.live.is_some() {
            return Err(StartRefused::LiveAttempt);
        }
        let manual = trigger == Trigger::Manual;
        if self.parked && !manual {
            return Err(StartRefused::Parked);
        }
        match self.status {
            Status::PendingActivation if self.approved_at.is_some() => {}
            Status::PendingActivation | Status::Draft => return Err(StartRefused::NotApproved),
            // Not owed before it begins; begun, and cancelled for then.
            Status::Active | Status::Suspended => {
                self.owes(now)?;
                if self.cancel_at.is_some() {
                    return Err(StartRefused::Ended);
                }
            }
            Status::Cancelled | Status::Terminated => return Err(StartRefused::Ended),
        }
        // A scheduled charge is never early, whoever mistakes the time: retries keep their day.
        let scheduled = matches!(trigger, Trigger::Renewal | Trigger::Dunning);
        if scheduled && self.due_at.is_none_or(|at| at > now) {
            return Err(StartRefused::NothingOwed);
        }
        // The first payment waits for a card rather than for steps; its ceiling is the same.
        if self.spent() {
            return Err(StartRefused::TooManyTries);
        }
        Ok(())
    }

    fn owes(&self, now: Timestamp) -> Result<(), StartRefused> {
        let today = seoul_date(now);
        let begun = self.period(self.next_index(), today)?.start <= today;
        if begun { Ok(()) } else { Err(StartRefused::NothingOwed) }
    }

    /// When the period after `index` is due: at its first Seoul midnight, but never on the civil day of the charge
    /// that paid `index`, so that a subscription far behind is charged at most once per day.
    ///
    /// # Errors
    /// Past the range of the calendar.
    pub fn due_after(&self, index: u32, anchor: Date, started_at: Timestamp) -> Result<Timestamp, OutOfRange> {
        let next = period(anchor, self.interval(), index.saturating_add(1))?;
        Ok(seoul_midnight(next.start)?.max(next_seoul_day(started_at)?))
    }
}

/// Partitions of the due index per gateway. Stored keys depend on it.
pub const DUE_PARTITIONS: u32 = 16;

/// Every partition of the due index of a gateway.
#[must_use]
pub fn due_partitions(gateway: GatewayName) -> Vec<String> {
    (0..DUE_PARTITIONS).map(|shard| format!("{}#{shard:02}", gateway.as_str())).collect()
}
