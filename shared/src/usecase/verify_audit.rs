//! Verifying the audit log: every seal of a range of days is computed again from the events and compared, each with the
//! seal of the day before it, and with what the log itself tells of seals.
//!
//! Invariants: it changes nothing but to say that it found something; it stops at the first broken day; a range too long
//! for one call is continued from the day it names.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Date;
use domain::event::Event;
use domain::seal::{Broken, Chain, Hash, Head, Seal, told, verify};
use jiff::Timestamp;
use tokio::time::Instant;

use super::seal_audit::last_settled;
use super::stamp;
use crate::ports::{Context, Random};
use crate::store::schema::LOG_SHARDS;
use crate::store::{PAGE_MAX, Query, Store, StoreError, typed};

/// No other day is begun with less time than this left.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which days to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// From and to, both included; none means the first and the last day that were sealed.
    Range { from: Option<Date>, to: Option<Date> },
    /// So many up to the last day that should be sealed by now: a seal that was not made is found too.
    Recent(u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub day: Date,
    pub events: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Days found as they were sealed, in order.
    pub days: Vec<Checked>,
    pub broken: Option<(Date, Broken)>,
    /// Where to go on, when time ran out.
    pub next: Option<Date>,
}

/// Verifies days in order, and tells an operator of the first broken one.
///
/// # Errors
/// When the store fails. A row that does not read is a finding, not a failure.
pub async fn verify_days(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    days: Days,
    deadline: Instant,
) -> Result<Verified, StoreError> {
    let verified = look(store, context.now, days, deadline).await?;
    if let Some((day, broken)) = &verified.broken {
        store.commit(&stamp::commit(random, context, Vec::new(), vec![broken.fact(*day)])).await?;
    }
    Ok(verified)
}

async fn look(store: &dyn Store, now: Timestamp, days: Days, deadline: Instant) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    let seals = seals(store).await?;
    let Some((mut day, to)) = range(&seals, days, now) else { return Ok(verified) };
    while day <= to {
        if Instant::now() + PATIENCE > deadline {
            verified.next = Some(day);
            break;
        }
        match one(store, &seals, day).await? {
            Ok(checked) => verified.days.push(checked),
            Err(broken) => {
                verified.broken = Some(broken);
                break;
            }
        }
        let Ok(tomorrow) = day.tomorrow() else { break };
        day = tomorrow;
    }
    Ok(verified)
}

/// The first and last day to look at; none when nothing was ever sealed.
fn range(seals: &BTreeMap<Date, Seal>, days: Days, now: Timestamp) -> Option<(Date, Date)> {
    let (first, last) = (*seals.keys().next()?, *seals.keys().next_back()?);
    match days {
        Days::Range { from, to } => {
            Some((from.map_or(first, |day| day.max(first)), to.map_or(last, |day| day.min(last))))
        }
        Days::Recent(count) => {
            let to = last_settled(now).map_or(last, |settled| settled.max(last));
            let back = jiff::Span::new().days(i64::from(count.saturating_sub(1)));
            Some((to.checked_sub(back).map_or(first, |day| day.max(first)), to))
        }
    }
}

async fn seals(store: &dyn Store) -> Result<BTreeMap<Date, Seal>, StoreError> {
    let (mut seals, mut cursor) = (BTreeMap::new(), None::<String>);
    loop {
        let (page, next) = typed::list::<Seal>(store, &Query::Seals, PAGE_MAX, cursor.as_deref()).await?;
        seals.extend(page.into_iter().map(|seal| (seal.day, seal)));
        cursor = next;
        if cursor.is_none() {
            return Ok(seals);
        }
    }
}

type Finding = Result<Checked, (Date, Broken)>;

async fn one(store: &dyn Store, seals: &BTreeMap<Date, Seal>, day: Date) -> Result<Finding, StoreError> {
    let Some(seal) = seals.get(&day) else { return Ok(Err((day, Broken::Missing))) };
    let previous = day.yesterday().ok().and_then(|before| seals.get(&before)).map(|before| before.seal);
    let (mut heads, mut tales) = (Vec::new(), Vec::new());
    for shard in 0..LOG_SHARDS {
        match head(store, day, shard, &mut tales).await {
            Ok(head) => heads.push(head),
            Err(StoreError::Corrupt(_)) => return Ok(Err((day, Broken::Unreadable { shard }))),
            Err(e) => return Err(e),
        }
    }
    if let Err(broken) = verify(seal, previous, &heads) {
        return Ok(Err((day, broken)));
    }
    tales.sort_by_key(|(about, _)| *about);
    for (about, told) in tales {
        if seals.get(&about).is_none_or(|seal| seal.seal != told) {
            return Ok(Err((about, Broken::Contradicted)));
        }
    }
    Ok(Ok(Checked { day, events: seal.events() }))
}

async fn head(store: &dyn Store, day: Date, shard: u32, tales: &mut Vec<(Date, Hash)>) -> Result<Head, StoreError> {
    let (query, mut chain, mut cursor) = (Query::EventsOn { day, shard }, Chain::new(day, shard), None::<String>);
    loop {
        let (events, next) = typed::list::<Event>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
        for event in &events {
            chain.add(event).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            tales.extend(told(event));
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(chain.head());
        }
    }
}
