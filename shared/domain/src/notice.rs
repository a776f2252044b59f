//! Notices: what people are told because of an event. Mails go to a tenant's (or applicant's) contact, chat messages to
//! the operators.
//!
//! Invariants: nothing here is advertising, so nothing needs a consent of its own; a notice is decided on the rows as they
//! are when it is sent, and a fact that no longer stands is not told ("payment failed" for a cycle that is paid by now);
//! one event is told once per channel; customers are left alone at night unless they asked for the mail just now,
//! operators are not; a notice names the
//! business, amounts and dates, and no other personal data.

pub mod bulletin;
pub mod letter;

use jiff::{SignedDuration, Timestamp, ToSpan, civil::Time};

use crate::breaker::Switch;
use crate::calendar::zone;
use crate::charge::{Billable, GatewayName};
use crate::cycle::Cycle;
use crate::event::Event;
use crate::ids::{MethodId, RequestId, RunId, SubscriptionId, TenantId};
use crate::method::PaymentMethod;
use crate::onboarding::Application;
use crate::run::Run;
use crate::subscription::Subscription;

/// Where a notice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// E-mail to the business.
    Mail,
    /// The operators' chat.
    Chat,
}

impl Channel {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Mail => "mail",
            Channel::Chat => "chat",
        }
    }
}

const MAIL: &[Channel] = &[Channel::Mail];
const CHAT: &[Channel] = &[Channel::Chat];
const BOTH: &[Channel] = &[Channel::Chat, Channel::Mail];

/// Every kind of event somebody is told about, and where.
pub const KINDS: [(&str, &[Channel]); 28] = [
    ("application.decided", MAIL),
    ("application.submitted", BOTH),
    ("application.token_requested", MAIL),
    ("attempt.stuck", CHAT),
    ("demo.requested", CHAT),
    ("dispute.opened", CHAT),
    ("gateway.closed", CHAT),
    ("gateway.opened", CHAT),
    ("gateway.paused", CHAT),
    ("gateway.resumed", CHAT),
    ("payment.captured", MAIL),
    ("payment.declined", MAIL),
    ("payment.quarantined", CHAT),
    ("payment_method.expiring", MAIL),
    ("payment_method.suspect", MAIL),
    ("refund.failed", CHAT),
    ("refund.stuck", CHAT),
    ("refund.succeeded", MAIL),
    ("run.held", CHAT),
    ("settlement.unexplained", CHAT),
    ("subscription.cancel_scheduled", MAIL),
    ("subscription.cancelled", MAIL),
    ("subscription.card_needed", MAIL),
    ("subscription.parked", CHAT),
    ("subscription.payment_guide", MAIL),
    ("subscription.renewal_upcoming", MAIL),
    ("subscription.stuck", CHAT),
    ("subscription.suspended", MAIL),
];

/// Where an event of this kind is told.
#[must_use]
pub fn channels(kind: &str) -> &'static [Channel] {
    KINDS.iter().find(|(known, _)| *known == kind).map_or(&[], |(_, channels)| channels)
}

/// What happened longer ago than this is not told any more: replaying old events writes to nobody. What was told is
/// remembered for longer.
pub const TOO_OLD: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Why nothing is sent, in words for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped(pub &'static str);

/// Whether an event is recent enough to be told.
///
/// # Errors
/// When it is not.
pub fn recent(event: &Event, now: Timestamp) -> Result<(), Dropped> {
    if now.duration_since(event.at) > TOO_OLD { Err(Dropped("it happened too long ago")) } else { Ok(()) }
}

/// Local hours in which customers are not written to, half-open; they may span midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    from: Time,
    to: Time,
}

impl QuietHours {
    /// Reads `"21:00-08:00"`; `None` when it is not two different times.
    #[must_use]
    pub fn parse(text: &str) -> Option<QuietHours> {
        let (from, to) = text.split_once('-')?;
        let time = |t: &str| {
            let (h, m) = t.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
            Time::new(h.parse().ok()?, m.parse().ok()?, 0, 0).ok()
        };
        let hours = QuietHours { from: time(from)?, to: time(to)? };
        (hours.from != hours.to).then_some(hours)
    }

    /// When the quiet hours end in which `at` falls; none when it falls in none.
    #[must_use]
    pub fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let local = at.to_zoned(zone());
        let (time, over_midnight) = (local.time(), self.from > self.to);
        let quiet =
            if over_midnight { time >= self.from || time < self.to } else { time >= self.from && time < self.to };
        if !quiet {
            return None;
        }
        let day =
            if over_midnight && time >= self.from { local.date().checked_add(1.day()).ok()? } else { local.date() };
        day.to_datetime(self.to).to_zoned(zone()).ok().map(|end| end.timestamp())
    }
}

/// The rows an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub application: Option<RequestId>,
    pub subscription: Option<SubscriptionId>,
    /// Index and seq of a cycle of that subscription.
    pub cycle: Option<(u32, u32)>,
    /// A payment method of that subscription's tenant; its present one where the event names none.
    pub method: Option<MethodId>,
    pub gateway: Option<GatewayName>,
    pub run: Option<RunId>,
}

impl Named {
    /// What an event names, as far as it can be read.
    #[must_use]
    pub fn of(event: &Event) -> Named {
        let subject = event.subject.as_str();
        let tenant = TenantId::parse(subject).ok();
        let application = RequestId::parse(subject).ok().or_else(|| tenant.map(|id| id.request()));
        let subscription = SubscriptionId::parse(subject).ok();
        let application = application.or_else(|| subscription.as_ref().and_then(application_of));
        let ordered = text(event, "orderId").and_then(Billable::parse_order_id).map(|(billable, _)| billable.seq);
        let seq = ordered.or_else(|| number(event, "seq")).unwrap_or(0);
        let gateway = subject.strip_prefix("gateway#").or_else(|| text(event, "gateway"));
        Named {
            cycle: number(event, "index").map(|index| (index, seq)),
            method: text(event, "methodId").and_then(|id| MethodId::parse(id).ok()),
            gateway: gateway.and_then(GatewayName::parse),
            run: RunId::parse(subject).ok(),
            subscription: application.as_ref().map(RequestId::subscription),
            application,
        }
    }
}

/// A subscription reuses the ULID of its application.
fn application_of(id: &SubscriptionId) -> Option<RequestId> {
    RequestId::parse(&format!("req_{}", id.ulid())).ok()
}

/// The rows an event names, as they are now.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub application: Option<Application>,
    pub subscription: Option<Subscription>,
    pub cycle: Option<Cycle>,
    pub method: Option<PaymentMethod>,
    pub switch: Switch,
    pub run: Option<Run>,
}

impl Rows {
    fn application(&self) -> Result<&Application, Dropped> {
        self.application.as_ref().ok_or(Dropped("there is no such application"))
    }

    fn subscription(&self) -> Result<&Subscription, Dropped> {
        self.subscription.as_ref().ok_or(Dropped("there is no such subscription"))
    }

    fn cycle(&self) -> Result<&Cycle, Dropped> {
        self.cycle.as_ref().ok_or(Dropped("there is no such cycle"))
    }
}

fn text<'a>(event: &'a Event, field: &str) -> Option<&'a str> {
    event.changes.get(field).and_then(|v| v.as_str())
}

fn number<T: TryFrom<i64>>(event: &Event, field: &str) -> Option<T> {
    event.changes.get(field).and_then(serde_json::Value::as_i64).and_then(|n| T::try_from(n).ok())
}

/// `Ok` while `stands`.
fn while_(stands: bool, otherwise: &'static str) -> Result<(), Dropped> {
    if stands { Ok(()) } else { Err(Dropped(otherwise)) }
}
