//! Saying ahead that a charge is coming and that a card is about to expire (domain: [`domain::reminder`]). What is said
//! becomes an event, which is the proof that it was, and from which the notifier writes.
//!
//! Invariants: only the due index is read; each reminder and its mark are one transaction, so a job that is stopped,
//! repeated or runs twice at once says nothing twice; what was not reached today is still ahead tomorrow.

use std::collections::BTreeSet;

use domain::charge::GatewayName;
use domain::method::PaymentMethod;
use domain::reminder::{AHEAD, Reminder};
use domain::subscription::{Subscription, due_partitions};
use futures::{StreamExt, stream};
use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::Instant;

use super::stamp;
use crate::ports::{Context, Random};
use crate::store::{IdempotencyRow, Key, Query, Record, Store, StoreError, Write, typed};

/// Longer than a period's reminder can come up again, and than a card is looked at after its last day.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(400 * 24);
const PAGE: u32 = 100;
/// Writes under way at a time.
const IN_FLIGHT: usize = 8;

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reminded {
    /// Subscriptions with a charge ahead.
    pub seen: u32,
    /// Reminders said now.
    pub said: u32,
    /// Whether everything was looked at before the deadline.
    pub finished: bool,
}

/// Says what is to be said now, until `deadline`.
///
/// # Errors
/// When the store fails; what was said stays said.
pub async fn remind(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    deadline: Instant,
) -> Result<Reminded, StoreError> {
    let mut done = Reminded::default();
    let until = context.now.saturating_add(AHEAD).unwrap_or(context.now);
    for partition in GatewayName::ALL.into_iter().flat_map(due_partitions) {
        let query = Query::SubscriptionsDue { partition, until };
        let mut cursor: Option<String> = None;
        loop {
            if Instant::now() >= deadline {
                return Ok(done);
            }
            let page = store.query(&query, PAGE, cursor.as_deref()).await?;
            for id in &page.damaged {
                tracing::error!(subscription = id, "a subscription does not read");
            }
            let due: Vec<Subscription> = page.records.into_iter().map(typed::row).collect::<Result<_, _>>()?;
            say_all(store, random, context, due, &mut done).await?;
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    done.finished = true;
    Ok(done)
}

async fn say_all(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    due: Vec<Subscription>,
    done: &mut Reminded,
) -> Result<(), StoreError> {
    let coming: Vec<Subscription> = due.into_iter().filter(|s| s.coming_charge(context.now).is_some()).collect();
    done.seen = done.seen.saturating_add(u32::try_from(coming.len()).unwrap_or(u32::MAX));
    let cards: Vec<Key> =
        coming.iter().map(|s| Key::Method { tenant: s.tenant_id.clone(), id: s.method_id.clone() }).collect();
    let cards: Vec<PaymentMethod> = typed::get_many(store, &cards).await?;
    let card = |s: &Subscription| cards.iter().find(|c| c.tenant_id == s.tenant_id && c.id == s.method_id);
    let all: Vec<Reminder> = coming.iter().flat_map(|s| s.reminders(card(s), context.now)).collect();
    let marks: Vec<Key> = all.iter().map(|reminder| Key::Idempotency(mark_of(reminder))).collect();
    let known: Vec<IdempotencyRow> = typed::get_many(store, &marks).await?;
    let known: BTreeSet<String> = known.into_iter().map(|row| row.key).collect();
    let new = all.into_iter().filter(|reminder| !known.contains(&mark_of(reminder)));
    let said = stream::iter(new.map(|reminder| say(store, random, context, reminder))).buffer_unordered(IN_FLIGHT);
    for one in said.collect::<Vec<_>>().await {
        done.said = done.said.saturating_add(u32::from(one?));
    }
    Ok(())
}

/// Whether it was said now, and not by somebody else meanwhile.
async fn say(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    reminder: Reminder,
) -> Result<bool, StoreError> {
    let mark = IdempotencyRow {
        key: mark_of(&reminder),
        request_hash: String::new(),
        result: Value::Null,
        expires_at: context.now.saturating_add(REMEMBERED).unwrap_or(context.now),
        version: 0,
    };
    let writes = vec![Write::New(Record::Idempotency(mark))];
    match store.commit(&stamp::commit(random, context, writes, vec![reminder.fact])).await {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn mark_of(reminder: &Reminder) -> String {
    format!("reminder#{}", reminder.once)
}
