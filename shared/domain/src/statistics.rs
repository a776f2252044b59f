//! What events add to the figures operators watch: what a day saw, and how things stand.
//!
//! Invariants: an event's effect depends on the event alone, so that figures can be counted in any order and again from the
//! log; every effect is a sum of whole numbers; levels (recurring revenue, active subscriptions, open dunning) move by
//! what events say begins and ends, so that each beginning has one end (a law of `tests/laws/books.rs`).

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::calendar::{Interval, seoul_date};
use crate::event::{Event, Fact};
use crate::money::{Currency, Money};
use crate::subscription::Subscription;

/// Name of the row that says how things stand.
pub const LEVELS: &str = "levels";

/// Recurring revenue per month, in minor units; by currency.
pub const MRR: &str = "mrr";
/// Subscriptions that are active.
pub const ACTIVE: &str = "active";
/// Dunning cases that are open, those of suspended subscriptions included.
pub const DUNNING: &str = "dunning";
/// Of a fact: whether a dunning case was opened or closed with it.
const MOVED: &str = "dunning";

/// Named sums. Names have parts, joined by `.`: `captured.KRW.amount`, `declined.SOFT.REJECT_CARD_PAYMENT`.
pub type Sums = BTreeMap<String, i64>;

/// The figures of a civil day (Seoul), or [`LEVELS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistic {
    pub name: String,
    pub sums: Sums,
    pub version: u64,
}

impl Statistic {
    #[must_use]
    pub fn new(name: impl Into<String>) -> Statistic {
        Statistic { name: name.into(), sums: Sums::new(), version: 0 }
    }

    /// The row after some effects; sums that come to nothing are left out.
    #[must_use]
    pub fn plus(&self, effects: &Sums) -> Statistic {
        let mut sums = self.sums.clone();
        add(&mut sums, effects);
        Statistic { sums, ..self.clone() }
    }
}

/// Adds sums to others.
pub fn add(sums: &mut Sums, more: &Sums) {
    for (name, by) in more {
        let sum = sums.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*by);
    }
    sums.retain(|_, sum| *sum != 0);
}

/// What an event adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    pub day: Sums,
    pub levels: Sums,
}

impl Effect {
    fn counted(mut self, name: impl Into<String>, by: i64) -> Effect {
        add(&mut self.day, &Sums::from([(name.into(), by)]));
        self
    }

    fn moved(mut self, name: impl Into<String>, by: i64) -> Effect {
        add(&mut self.levels, &Sums::from([(name.into(), by)]));
        self
    }

    /// A dunning case began or ended with this event.
    fn dunning(self, event: &Event) -> Effect {
        match moved(event) {
            Some(Moved::Opened) => self.moved(DUNNING, 1),
            Some(Moved::Closed) => self.moved(DUNNING, -1),
            None => self,
        }
    }
}

/// The kinds that have an effect. Whoever forwards events needs no others.
pub const COUNTED: [&str; 10] = [
    "attempt.absent",
    "attempt.unknown",
    "payment.captured",
    "payment.declined",
    "payment.quarantined",
    "refund.succeeded",
    "subscription.activated",
    "subscription.cancelled",
    "subscription.suspended",
    "subscription.terminated",
];

/// What an event adds to the figures of its day and to the levels. Nothing, for kinds that are not [`COUNTED`] and for
/// fields that are not there.
#[must_use]
pub fn effect(event: &Event) -> Effect {
    let none = Effect::default();
    match event.kind.as_str() {
        "payment.captured" => {
            let paid = money(event, "captured", none).dunning(event);
            if moved(event) == Some(Moved::Closed) { paid.counted("recovered", 1) } else { paid }
        }
        "payment.declined" => {
            let (class, code) = (text(event, "class"), text(event, "code"));
            none.counted(format!("declined.{class}.{code}"), 1).dunning(event)
        }
        "payment.quarantined" => none.counted("quarantined", 1),
        "refund.succeeded" => money(event, "refunded", none),
        "attempt.absent" => none.counted("absent", 1),
        "attempt.unknown" => none.counted("unknown", 1),
        "subscription.activated" => recurring(event, none, 1).counted("activated", 1),
        "subscription.suspended" => recurring(event, none, -1).counted("suspended", 1),
        "subscription.cancelled" => recurring(event, none, -1).counted("cancelled", 1).dunning(event),
        "subscription.terminated" => none.counted("terminated", 1).dunning(event),
        _ => none,
    }
}

/// The day an event counts for.
#[must_use]
pub fn day(event: &Event) -> Date {
    seoul_date(event.at)
}

fn money(event: &Event, name: &str, effect: Effect) -> Effect {
    let currency = text(event, "currency");
    effect.counted(format!("{name}.{currency}.count"), 1).counted(format!("{name}.{currency}.amount"), amount(event))
}

/// An active subscription more or less; nothing when it was not active before.
fn recurring(event: &Event, effect: Effect, by: i64) -> Effect {
    let Some(monthly) = event.changes.get("monthly").and_then(Value::as_i64) else { return effect };
    let currency = text(event, "currency");
    effect.moved(ACTIVE, by).moved(format!("{MRR}.{currency}"), monthly.saturating_mul(by))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Moved {
    Opened,
    Closed,
}

fn moved(event: &Event) -> Option<Moved> {
    match event.changes.get(MOVED).and_then(Value::as_str) {
        Some("opened") => Some(Moved::Opened),
        Some("closed") => Some(Moved::Closed),
        Some(_) | None => None,
    }
}

/// Says in a fact whether a dunning case was opened or closed with it.
#[must_use]
pub fn dunning_moved(fact: Fact, before: &Subscription, after: &Subscription) -> Fact {
    match (&before.dunning, &after.dunning) {
        (None, Some(_)) => fact.with(MOVED, "opened"),
        (Some(_), None) => fact.with(MOVED, "closed"),
        (Some(_), Some(_)) | (None, None) => fact,
    }
}

fn amount(event: &Event) -> i64 {
    event.changes.get("amount").and_then(Value::as_i64).unwrap_or(0)
}

/// A field as part of a name; a dot in it would be another part.
fn text<'a>(event: &'a Event, name: &str) -> &'a str {
    event.changes.get(name).and_then(Value::as_str).filter(|text| !text.contains('.')).unwrap_or("other")
}

/// Says in a fact what a subscription is worth per month, for facts about one that becomes active or ceases to be.
#[must_use]
pub fn worth(fact: Fact, subscription: &Subscription) -> Fact {
    fact.with("monthly", monthly(subscription.amount, subscription.interval()))
        .with("currency", subscription.amount.currency.code())
}

/// A price per month in minor units, rounded down: what a year costs is not always twelve times something.
#[must_use]
pub fn monthly(price: Money, interval: Interval) -> i64 {
    match interval {
        Interval::Month => price.amount,
        Interval::Year => price.amount.div_euclid(12),
    }
}

/// A share of a whole in ten-thousandths, rounded down; none of nothing.
#[must_use]
pub fn share(part: i64, whole: i64) -> Option<i64> {
    part.checked_mul(10_000)?.checked_div(whole).filter(|_| whole > 0)
}

/// Sums whose names are `prefix.CURRENCY` or `prefix.CURRENCY.suffix`, by currency.
#[must_use]
pub fn by_currency(sums: &Sums, prefix: &str, suffix: Option<&str>) -> BTreeMap<Currency, i64> {
    let mut found = BTreeMap::new();
    for (name, sum) in sums {
        let mut parts = name.split('.');
        let (first, currency, last) = (parts.next(), parts.next().and_then(Currency::parse), parts.next());
        if let (true, Some(currency)) = (first == Some(prefix) && last == suffix, currency) {
            found.insert(currency, *sum);
        }
    }
    found
}
