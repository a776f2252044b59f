//! What is said ahead of a charge: that it is coming, and that its card is about to expire.
//!
//! Invariants: a coming charge is said at least seven days ahead (facts/billing-practice.md §b.10) by a job that runs
//! daily, and once per period; a card's end is said once per card and end; nothing is said of a charge that will not be
//! made as things stand.

use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date};

use crate::calendar::{Period, seoul_date, seoul_midnight};
use crate::event::Fact;
use crate::method::{MaskedCard, PaymentMethod};
use crate::subscription::{Status, Subscription};

/// How far ahead of its due instant a charge is said to come: seven days, and one for the job's own day.
pub const AHEAD: SignedDuration = SignedDuration::from_hours(8 * 24);
/// Days before its last one on which a card is said to expire.
pub const CARD_DAYS: i64 = 30;

/// Something to say, and the name under which it is said once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    pub once: String,
    pub fact: Fact,
}

impl Subscription {
    /// The period that will be charged next by itself, if nothing changes; none when it has begun, or somebody has to do
    /// something first.
    #[must_use]
    pub fn coming_charge(&self, now: Timestamp) -> Option<Period> {
        let undisturbed = self.status == Status::Active
            && self.live.is_none()
            && self.dunning.is_none()
            && self.cancel_at.is_none()
            && !self.parked;
        let anchor = self.anchor.filter(|_| undisturbed)?;
        let period = self.period(self.next_index(), anchor).ok()?;
        seoul_midnight(period.start).is_ok_and(|start| start > now).then_some(period)
    }

    /// What is to be said about its next charge now. `card` is the one it will be charged to.
    #[must_use]
    pub fn reminders(&self, card: Option<&PaymentMethod>, now: Timestamp) -> Vec<Reminder> {
        let due = self.coming_charge(now).and_then(|period| Some((period, seoul_midnight(period.start).ok()?)));
        let Some((period, _)) = due.filter(|(_, start)| start.duration_since(now) <= AHEAD) else { return Vec::new() };
        let index = self.next_index();
        let upcoming = Reminder {
            once: format!("upcoming#{}#{index}", self.id),
            fact: Fact::new("subscription.renewal_upcoming", self.id.as_str())
                .with("index", index)
                .with("amount", self.amount.amount)
                .with("currency", self.amount.currency.code())
                .with("start", period.start.to_string()),
        };
        let expiring = card.filter(|card| card.chargeable()).and_then(|card| card.expiring(now));
        std::iter::once(upcoming).chain(expiring).collect()
    }
}

impl PaymentMethod {
    fn expiring(&self, now: Timestamp) -> Option<Reminder> {
        let last_day = self.card.last_day()?;
        let horizon = seoul_date(now).checked_add(CARD_DAYS.days()).ok()?;
        (last_day <= horizon).then(|| Reminder {
            once: format!("expiring#{}#{last_day}", self.id),
            fact: Fact::new("payment_method.expiring", self.tenant_id.as_str())
                .with("methodId", self.id.as_str())
                .with("lastDay", last_day.to_string()),
        })
    }
}

impl MaskedCard {
    /// The last day of its last month; none when the gateway did not say.
    #[must_use]
    pub fn last_day(&self) -> Option<Date> {
        let (year, month) = (i16::try_from(self.exp_year?).ok()?, i8::try_from(self.exp_month?).ok()?);
        Date::new(year, month, 1).ok().map(|first| first.last_of_month())
    }
}
