//! The other side: money our own events say moved, looked for among the rows of the gateway. What no row answers becomes a
//! row of ours; it is matched once a row answers after all.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::Date;
use domain::calendar::{seoul_date, seoul_midnight};
use domain::charge::{Billable, GatewayName};
use domain::event::Event;
use domain::ids::{RefundId, SubscriptionId};
use domain::money::{Currency, Money};
use domain::movement::{Kind, Movement};
use domain::settlement::{Bucket, SettlementRow, Side, of_fact};
use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::time::Instant;

use super::{Desk, Outcome, Outcomes, ReconcileError};
use crate::store::schema::LOG_SHARDS;
use crate::store::{Key, PAGE_MAX, Query, StoreError, typed};

/// Most days between an attempt's start and our word about it that are searched.
const SEARCHED_DAYS: i64 = 20;
/// Days whose rows are kept in memory at once.
const DAYS_KEPT: usize = 6;

/// Money one of our events says moved.
struct Moved {
    by: GatewayName,
    of: Billable,
    /// As `answers` of a row would name it.
    fact: String,
    refund: Option<RefundId>,
    movement: Movement,
}

/// What the table has of a gateway's day.
#[derive(Default)]
struct Day {
    /// Row by the fact it answers.
    answers: BTreeMap<String, String>,
    ours: BTreeMap<String, SettlementRow>,
}

type Days = BTreeMap<(GatewayName, Date), Day>;

impl Desk<'_> {
    /// Looks for a row for every fact of the days that were read to their end. Says how many rows of ours changed.
    pub(super) async fn look_for_facts(&self, days: &[Date], outcomes: &Outcomes) -> Result<u32, ReconcileError> {
        let mut utc = BTreeSet::new();
        for day in days {
            let from = seoul_midnight(*day)?;
            utc.extend([from, from.saturating_add(jiff::SignedDuration::from_hours(23)).unwrap_or(from)].map(utc_date));
        }
        let (mut changed, mut known) = (0u32, Days::new());
        for day in utc.into_iter().rev() {
            for shard in 0..LOG_SHARDS {
                let (query, mut cursor) = (Query::EventsOn { day, shard }, None::<String>);
                loop {
                    if Instant::now() > self.deadline {
                        return Ok(changed);
                    }
                    let store = self.charging.store.as_ref();
                    let (events, next) = typed::list::<Event>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
                    for moved in events.iter().filter_map(read).filter(|moved| is_complete(moved, outcomes)) {
                        changed = changed.saturating_add(u32::from(self.look_for(&moved, &mut known).await?));
                    }
                    cursor = next;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(changed)
    }

    async fn look_for(&self, moved: &Moved, days: &mut Days) -> Result<bool, ReconcileError> {
        if days.len() > DAYS_KEPT {
            days.clear();
        }
        let on = seoul_date(moved.movement.at);
        let mut stored = self.day(days, moved.by, on).await?.ours.get(&moved.movement.id).cloned();
        if stored.as_ref().is_some_and(|row| row.verdict.bucket == Bucket::Matched) {
            return Ok(false);
        }
        let answered_by = self.answer(moved, on, days).await?;
        if answered_by.is_some() && stored.is_none() {
            return Ok(false);
        }
        for _ in 0..crate::usecase::RACES {
            let by = answered_by.as_deref();
            let row = SettlementRow::ours(moved.by, moved.movement.clone(), stored.as_ref(), by, self.context.now);
            let key = Key::Settlement { gateway: row.gateway, day: row.day, id: row.id.clone() };
            let Some(decided) = row.decide(stored.as_ref())? else { return Ok(false) };
            match self.commit(decided, &BTreeSet::new()).await {
                Ok(()) => return Ok(true),
                Err(StoreError::Conflict { .. }) => stored = typed::get(self.charging.store.as_ref(), &key).await?,
                Err(e) => return Err(e.into()),
            }
        }
        Err(StoreError::Conflict { key: None }.into())
    }

    /// The row that answers a fact: usually of the same day, else of one between the attempt's start and our word.
    async fn answer(&self, moved: &Moved, on: Date, days: &mut Days) -> Result<Option<String>, ReconcileError> {
        if let Some(row) = self.day(days, moved.by, on).await?.answers.get(&moved.fact) {
            return Ok(Some(row.clone()));
        }
        let Billable { subscription, index, seq } = &moved.of;
        let cycle = typed::cycle(self.charging.store.as_ref(), subscription, *index, *seq).await?;
        let begun = cycle.as_ref().and_then(|cycle| match &moved.refund {
            Some(id) => cycle.refund(id).map(|refund| refund.at),
            None => cycle.payment().map(|(payment, _)| payment.at),
        });
        let begun = begun.map_or(on, seoul_date).saturating_sub(1.day());
        let mut day = begun.max(on.saturating_sub(SEARCHED_DAYS.days()));
        while day <= on.saturating_add(1.day()) {
            let found = self.day(days, moved.by, day).await?.answers.get(&moved.fact).cloned();
            if found.is_some() {
                return Ok(found);
            }
            day = day.saturating_add(1.day());
        }
        Ok(None)
    }

    async fn day<'d>(&self, days: &'d mut Days, gateway: GatewayName, day: Date) -> Result<&'d Day, StoreError> {
        match days.entry((gateway, day)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => Ok(unknown.insert(self.load_day(gateway, day).await?)),
        }
    }

    async fn load_day(&self, gateway: GatewayName, day: Date) -> Result<Day, StoreError> {
        let mut found = Day::default();
        let (query, mut cursor) = (Query::SettlementsOf { gateway, day }, None::<String>);
        loop {
            let store = self.charging.store.as_ref();
            let (rows, next) = typed::list::<SettlementRow>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
            for row in rows {
                match (row.side, &row.verdict.answers) {
                    (Side::Ours, _) => drop(found.ours.insert(row.id.clone(), row)),
                    (Side::Gateway, Some(fact)) => drop(found.answers.insert(fact.clone(), row.id)),
                    (Side::Gateway, None) => {}
                }
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }
}

fn utc_date(at: jiff::Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Whether the lists that would show it were read: that of its day, and of the next, where clocks differ at midnight.
fn is_complete(moved: &Moved, outcomes: &Outcomes) -> bool {
    let on = seoul_date(moved.movement.at);
    let read = |day| outcomes.get(&(moved.by, day)).copied();
    let next = read(on.saturating_add(1.day()));
    read(on) == Some(Outcome::Done) && next.is_none_or(|outcome| outcome == Outcome::Done)
}

/// What an event says moved; `None` for one that is about something else or does not say it.
fn read(event: &Event) -> Option<Moved> {
    let text = |field: &str| event.changes.get(field).and_then(Value::as_str);
    let number = |field: &str| event.changes.get(field).and_then(Value::as_i64);
    let amount = Money::new(number("amount")?, Currency::parse(text("currency")?)?);
    let payment_id = text("paymentId")?;
    let (by, of, order_id, fact, refund, kind) = match event.kind.as_str() {
        "payment.captured" => {
            let (of, n) = Billable::parse_order_id(text("orderId")?)?;
            let by = if n.is_some() { GatewayName::Toss } else { GatewayName::Stripe };
            (by, of, text("orderId")?.to_owned(), of_fact("capture", payment_id), None, Kind::Capture)
        }
        "refund.succeeded" => {
            let of = Billable {
                subscription: SubscriptionId::parse(&event.subject).ok()?,
                index: u32::try_from(number("index")?).ok()?,
                seq: u32::try_from(number("seq")?).ok()?,
            };
            let refund = RefundId::parse(text("refundId")?).ok()?;
            // Names the cycle: which attempt was paid is not said.
            let order_id = of.order_id(GatewayName::Stripe, 0);
            let fact = of_fact("refund", refund.as_str());
            (GatewayName::parse(text("gateway")?)?, of, order_id, fact, Some(refund), Kind::Refund)
        }
        _ => return None,
    };
    let signed = if kind == Kind::Refund { amount.amount.checked_neg()? } else { amount.amount };
    let movement = Movement {
        id: format!("ours:{}", event.id),
        kind,
        order_id: Some(order_id),
        payment_id: Some(payment_id.to_owned()),
        charge_id: None,
        about: refund.as_ref().map(ToString::to_string),
        amount: Money { amount: signed, ..amount },
        at: event.at,
        fee: None,
    };
    Some(Moved { by, of, fact, refund, movement })
}
