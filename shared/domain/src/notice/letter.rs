//! What a customer is told, and whether it still stands.
//!
//! Invariants: a letter is decided on present rows only, the event says what to look at; a failed payment is told for the
//! newest attempt and while no other is in flight; a receipt is told while the money was not given back; what one letter
//! says no second one repeats.

use jiff::{SignedDuration, Timestamp, civil::Date};

use super::{Dropped, Rows, number, text, while_};
use crate::calendar::{Period, plus_days, seoul_date};
use crate::charge::Trigger;
use crate::cycle::{Attempt, Cycle, Outcome, State};
use crate::event::Event;
use crate::ids::RequestId;
use crate::method;
use crate::money::Money;
use crate::onboarding::{Application, Status as Decision};
use crate::refund;
use crate::subscription::{Status, Subscription, UNPAID_DAYS};

/// Who asked for a link waits for it this long; later it would only lie about.
pub const LINK_AWAITED: SignedDuration = SignedDuration::from_hours(24);

/// A message to a business. Dates are in Seoul, amounts VAT-inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    ApplicationReceived {
        card_registered: bool,
    },
    Approved,
    Rejected {
        note: Option<String>,
    },
    OnHold {
        note: Option<String>,
    },
    /// Nobody went on with the application for a month.
    Expired,
    Withdrawn,
    FirstPayment(Paid),
    Receipt(Paid),
    /// Paid after it had failed.
    Recovered(Paid),
    /// A charge is coming (facts/billing-practice.md §b.10: seven days ahead).
    Upcoming {
        amount: Money,
        period: Period,
        /// Whether the registered card can be charged as things are.
        card_usable: bool,
    },
    PaymentFailed {
        amount: Money,
        period: Period,
        /// How many scheduled retries were declined before.
        step: u32,
        retry_on: Date,
        /// The service stops then.
        deadline: Date,
    },
    CardNeeded {
        amount: Money,
        why: CardNeeded,
        /// Last day to supply one.
        by: Date,
    },
    Suspended {
        amount: Money,
        /// The subscription ends then.
        ends_on: Date,
    },
    CancelScheduled {
        /// Last day of use.
        last_day: Date,
    },
    Cancelled {
        /// Last day on which the data can be reached; none when it is over already.
        access_until: Option<Date>,
    },
    /// Approved and never paid.
    Lapsed,
    Refunded {
        amount: Money,
        /// What was paid, and what of it is left.
        paid: Money,
        left: Money,
        on: Date,
    },
    CardExpiring {
        brand: Option<String>,
        /// Last day of its last month.
        last_day: Date,
    },
    /// An unsigned event says that the card's registration is gone.
    CardSuspect,
    /// How to pay while the gateway is paused. The link is made when it is sent.
    Guide {
        amount: Money,
    },
    /// The applicant lost the way to the application. The token is made when it is sent.
    Link {
        application: RequestId,
    },
}

/// What the money wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardNeeded {
    FirstPayment,
    Renewal,
    /// The service is stopped already.
    Suspended,
}

/// A payment that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    pub amount: Money,
    pub period: Period,
    pub on: Date,
    /// The next charge, if one is to come.
    pub next_on: Option<Date>,
}

impl Letter {
    /// A stable name: the mail's tag.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Letter::ApplicationReceived { .. } => "application_received",
            Letter::Approved => "application_approved",
            Letter::Rejected { .. } => "application_rejected",
            Letter::OnHold { .. } => "application_on_hold",
            Letter::Expired => "application_expired",
            Letter::Withdrawn => "application_withdrawn",
            Letter::FirstPayment(_) => "first_payment",
            Letter::Receipt(_) => "receipt",
            Letter::Recovered(_) => "recovered",
            Letter::Upcoming { .. } => "upcoming_charge",
            Letter::PaymentFailed { .. } => "payment_failed",
            Letter::CardNeeded { .. } => "card_needed",
            Letter::Suspended { .. } => "suspended",
            Letter::CancelScheduled { .. } => "cancel_scheduled",
            Letter::Cancelled { .. } => "cancelled",
            Letter::Lapsed => "lapsed",
            Letter::Refunded { .. } => "refunded",
            Letter::CardExpiring { .. } => "card_expiring",
            Letter::CardSuspect => "card_suspect",
            Letter::Guide { .. } => "payment_guide",
            Letter::Link { .. } => "application_link",
        }
    }

    /// Whether it is left until the quiet hours end. What somebody asked for a moment ago is not.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        !matches!(self, Letter::Link { .. })
    }
}

/// The letter an event calls for.
///
/// # Errors
/// When there is nothing to tell, or no longer.
pub fn letter(event: &Event, rows: &Rows, now: Timestamp) -> Result<Letter, Dropped> {
    super::recent(event, now)?;
    match event.kind.as_str() {
        "application.submitted" => received(rows),
        "application.decided" => decided(event, rows),
        "application.token_requested" => link(event, rows, now),
        "payment.captured" => captured(event, rows),
        "payment.declined" => declined(event, rows),
        "payment_method.expiring" => expiring(event, rows, now),
        "payment_method.suspect" => suspect(rows),
        "refund.succeeded" => refunded(event, rows),
        "subscription.cancel_scheduled" => cancel_scheduled(event, rows),
        "subscription.cancelled" => cancelled(event, rows, now),
        "subscription.card_needed" => card_needed(event, rows),
        "subscription.payment_guide" => guide(event, rows, now),
        "subscription.renewal_upcoming" => upcoming(event, rows, now),
        "subscription.suspended" => suspended(rows),
        _ => Err(Dropped("nobody is written to about this")),
    }
}

fn received(rows: &Rows) -> Result<Letter, Dropped> {
    let application = rows.application()?;
    while_(application.status.undecided(), "it was decided meanwhile")?;
    Ok(Letter::ApplicationReceived { card_registered: application.method_id.is_some() })
}

fn decided(event: &Event, rows: &Rows) -> Result<Letter, Dropped> {
    let application = rows.application()?;
    let decision = application.decision.as_ref().ok_or(Dropped("there is no decision"))?;
    let same = decision.at == event.at && text(event, "status") == Some(application.status.as_str());
    while_(same, "it was decided again")?;
    let note = decision.note.clone();
    match application.status {
        Decision::Approved => Ok(Letter::Approved),
        Decision::Rejected => Ok(Letter::Rejected { note }),
        Decision::OnHold => Ok(Letter::OnHold { note }),
        Decision::Expired => Ok(Letter::Expired),
        Decision::Withdrawn => Ok(Letter::Withdrawn),
        Decision::Submitted | Decision::InReview => Err(Dropped("that a review began is no news")),
    }
}

fn link(event: &Event, rows: &Rows, now: Timestamp) -> Result<Letter, Dropped> {
    while_(now.duration_since(event.at) <= LINK_AWAITED, "nobody waits for it any more")?;
    let application = rows.application()?;
    let subscription = rows.subscription.as_ref().map(|s| s.status);
    while_(application.token_lives(subscription), "the application takes no token any more")?;
    Ok(Letter::Link { application: application.id.clone() })
}

fn captured(event: &Event, rows: &Rows) -> Result<Letter, Dropped> {
    let (subscription, cycle) = (rows.subscription()?, rows.cycle()?);
    let State::Paid(payment) = &cycle.state else { return Err(Dropped("the cycle is not paid")) };
    while_(text(event, "paymentId") == Some(&payment.payment_id), "another payment paid the cycle")?;
    let goes_back = |r: &&refund::Refund| r.status.live() || r.status == refund::Status::Succeeded;
    let back = cycle.refunds.iter().filter(goes_back).fold(0_i64, |sum, r| sum.saturating_add(r.amount));
    while_(back < cycle.amount.amount, "the payment goes back")?;
    let goes_on = subscription.status == Status::Active
        && subscription.cancel_at.is_none()
        && subscription.paid == Some(cycle.index);
    let paid = Paid {
        amount: cycle.amount,
        period: cycle.period,
        on: seoul_date(payment.at),
        next_on: goes_on.then_some(cycle.period.end),
    };
    let failed_before = cycle.attempts.iter().any(|a| a.outcome == Outcome::Declined);
    Ok(match (cycle.index, failed_before) {
        (0, _) => Letter::FirstPayment(paid),
        (_, true) => Letter::Recovered(paid),
        (_, false) => Letter::Receipt(paid),
    })
}

fn declined(event: &Event, rows: &Rows) -> Result<Letter, Dropped> {
    let (subscription, cycle) = (rows.subscription()?, rows.cycle()?);
    owed(subscription, cycle)?;
    let newest = cycle.attempts.iter().map(|a| a.n).max();
    while_(newest.is_some() && newest == number(event, "attempt"), "a later attempt says more")?;
    let this = |a: &&Attempt| Some(a.n) == newest && Some(a.at) == subscription.stopped_at;
    let stopped_it = subscription.status == Status::Suspended && cycle.attempts.iter().any(|a| this(&a));
    while_(!stopped_it, "the suspension says it")?;
    unpaid(subscription, cycle.period)
}

fn card_needed(event: &Event, rows: &Rows) -> Result<Letter, Dropped> {
    let subscription = rows.subscription()?;
    while_(number(event, "index") == Some(subscription.next_index()), "the period was paid")?;
    while_(subscription.live.is_none(), "an attempt is in flight")?;
    let period = rows.cycle.as_ref().map(|c| c.period).or_else(|| next_period(subscription));
    let period = period.ok_or(Dropped("past the calendar"))?;
    let letter = unpaid(subscription, period)?;
    while_(matches!(letter, Letter::CardNeeded { .. }), "a card was supplied")?;
    Ok(letter)
}

/// A cycle somebody owes, and nobody is charging right now.
fn owed(subscription: &Subscription, cycle: &Cycle) -> Result<(), Dropped> {
    let owed = cycle.state == State::Open && subscription.owes_next(cycle.index, cycle.seq);
    while_(owed, "nobody owes it any more")?;
    while_(subscription.live.is_none(), "an attempt is in flight")
}

/// What an owed period means to the customer now.
fn unpaid(subscription: &Subscription, period: Period) -> Result<Letter, Dropped> {
    let amount = subscription.amount;
    let needed = |why, by: Timestamp| Letter::CardNeeded { amount, why, by: seoul_date(by) };
    match (subscription.status, &subscription.dunning) {
        (Status::PendingActivation, _) => {
            while_(subscription.first_decline.is_some(), "another card was supplied")?;
            let approved = subscription.approved_at.ok_or(Dropped("nobody approved it"))?;
            let by = plus_days(approved, UNPAID_DAYS).map_err(|_| Dropped("past the calendar"))?;
            Ok(needed(CardNeeded::FirstPayment, by))
        }
        (Status::Active, Some(case)) => Ok(match case.next_at {
            Some(retry) => Letter::PaymentFailed {
                amount,
                period,
                step: case.step,
                retry_on: seoul_date(retry),
                deadline: seoul_date(case.deadline),
            },
            None => needed(CardNeeded::Renewal, case.deadline),
        }),
        (Status::Active, None) => Err(Dropped("nothing is open")),
        (Status::Suspended, _) => Ok(needed(CardNeeded::Suspended, ends_at(subscription)?)),
        (Status::Cancelled | Status::Terminated | Status::Draft, _) => Err(Dropped("the subscription ended")),
    }
}

fn ends_at(subscription: &Subscription) -> Result<Timestamp, Dropped> {
    subscription.ends_at().ok().flatten().ok_or(Dropped("nothing ends"))
}

fn next_period(subscription: &Subscription) -> Option<Period> {
    let anchor = subscription.anchor.unwrap_or_else(|| seoul_date(subscription.created_at));
    subscription.period(subscription.next_index(), anchor).ok()
}

fn suspended(rows: &Rows) -> Result<Letter, Dropped> {
    let subscription = rows.subscription()?;
    while_(subscription.status == Status::Suspended, "it is suspended no more")?;
    Ok(Letter::Suspended { amount: subscription.amount, ends_on: seoul_date(ends_at(subscription)?) })
}

fn cancel_scheduled(event: &Event, rows: &Rows) -> Result<Letter, Dropped> {
    let subscription = rows.subscription()?;
    let told = text(event, "cancelAt").and_then(|at| at.parse::<Timestamp>().ok());
    while_(told.is_some() && subscription.cancel_at == told, "that end is set no more")?;
    let end = told.ok_or(Dropped("no end is named"))?;
    let last_day = seoul_date(end).yesterday().map_err(|_| Dropped("past the calendar"))?;
    Ok(Letter::CancelScheduled { last_day })
}

fn cancelled(event: &Event, rows: &Rows, now: Timestamp) -> Result<Letter, Dropped> {
    let subscription = rows.subscription()?;
    let ended = matches!(subscription.status, Status::Cancelled | Status::Terminated);
    while_(ended, "it is cancelled no more")?;
    if text(event, "from") == Some(Status::PendingActivation.as_str()) {
        let told = |a: &Application| matches!(a.status, Decision::Rejected | Decision::Expired | Decision::Withdrawn);
        while_(!rows.application.as_ref().is_some_and(told), "the decision says it")?;
        return Ok(Letter::Lapsed);
    }
    let end = subscription.ends_at().ok().flatten().filter(|end| *end > now);
    Ok(Letter::Cancelled { access_until: end.map(seoul_date) })
}

fn refunded(event: &Event, rows: &Rows) -> Result<Letter, Dropped> {
    let cycle = rows.cycle()?;
    let id = text(event, "refundId");
    let refund = cycle.refunds.iter().find(|r| Some(r.id.as_str()) == id);
    let refund = refund.filter(|r| r.status == refund::Status::Succeeded);
    let refund = refund.ok_or(Dropped("the refund did not last"))?;
    let money = |amount| Money { amount, ..cycle.amount };
    Ok(Letter::Refunded {
        amount: money(refund.amount),
        paid: cycle.amount,
        left: money(cycle.amount.amount.saturating_sub(cycle.refunded)),
        on: seoul_date(event.at),
    })
}

fn upcoming(event: &Event, rows: &Rows, now: Timestamp) -> Result<Letter, Dropped> {
    let subscription = rows.subscription()?;
    let index: u32 = number(event, "index").ok_or(Dropped("no period is named"))?;
    let period = subscription.coming_charge(now).filter(|_| subscription.next_index() == index);
    let period = period.ok_or(Dropped("that charge is not to come"))?;
    let card_usable = rows.method.as_ref().is_some_and(|card| card.chargeable_at(now));
    Ok(Letter::Upcoming { amount: subscription.amount, period, card_usable })
}

fn expiring(event: &Event, rows: &Rows, now: Timestamp) -> Result<Letter, Dropped> {
    let (subscription, card) = (rows.subscription()?, rows.method.as_ref().ok_or(Dropped("there is no such card"))?);
    let charged = subscription.method_id == card.id && card.chargeable() && subscription.cancel_at.is_none();
    while_(charged, "another card is charged")?;
    while_(subscription.coming_charge(now).is_some(), "no charge is to come")?;
    let last_day = card.card.last_day().ok_or(Dropped("nobody knows when it expires"))?;
    while_(text(event, "lastDay") == Some(last_day.to_string().as_str()), "the card was renewed")?;
    Ok(Letter::CardExpiring { brand: card.card.brand.clone(), last_day })
}

fn suspect(rows: &Rows) -> Result<Letter, Dropped> {
    let (subscription, card) = (rows.subscription()?, rows.method.as_ref().ok_or(Dropped("there is no such card"))?);
    while_(card.status == method::Status::Suspect, "the card is known to work or to be gone")?;
    let goes_on = matches!(subscription.status, Status::PendingActivation | Status::Active | Status::Suspended);
    while_(goes_on && subscription.method_id == card.id, "another card is charged")?;
    Ok(Letter::CardSuspect)
}

fn guide(event: &Event, rows: &Rows, now: Timestamp) -> Result<Letter, Dropped> {
    let subscription = rows.subscription()?;
    let paused = rows.switch.paused.is_some() && text(event, "gateway") == Some(subscription.gateway.as_str());
    while_(paused, "the gateway is paused no more")?;
    while_(subscription.live.is_none(), "the money may have moved")?;
    let owed = !subscription.parked && subscription.may_charge(Trigger::Manual, now).is_ok();
    while_(owed, "nothing is owed")?;
    Ok(Letter::Guide { amount: subscription.amount })
}
