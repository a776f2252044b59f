//! Telling those whose payment waits for a paused gateway how to pay meanwhile: one event per subscription and pause,
//! from which the notifier mails a signed link, and the page behind that link.
//!
//! Invariants: what is due stays due, untouched; whoever may have been charged already is never told to pay; the page
//! says what is true when it is read, so an old link to a resumed gateway asks for nothing.

use domain::breaker::row_name;
use domain::calendar::{Period, seoul_date};
use domain::charge::{GatewayName, Trigger};
use domain::event::Fact;
use domain::ids::SubscriptionId;
use domain::money::Money;
use domain::subscription::{Due, Subscription, due_partitions};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{stamp, switch};
use crate::ports::{Context, Random};
use crate::store::{IdempotencyRow, Query, Record, Store, StoreError, Write, typed};

/// Subscriptions looked at by one call, at most.
pub const BATCH_MAX: u32 = 100;
/// No pause is kept up this long; until then nobody is told twice about one.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(180 * 24);

#[derive(Debug, thiserror::Error)]
pub enum GuideError {
    /// Payments flow, or only the breaker is open: nobody has to do anything.
    #[error("the gateway is not paused")]
    NotPaused,
    #[error("not a cursor of this list")]
    BadCursor,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What one call did.
#[derive(Debug, Default)]
pub struct Guided {
    /// Told now.
    pub told: Vec<SubscriptionId>,
    /// Told before, about this same pause.
    pub already: u32,
    /// Not told, because an attempt is open that may have taken the money.
    pub open: u32,
    /// Where to go on; none when everybody was looked at.
    pub next: Option<String>,
}

/// Tells the owners of what is due at a paused gateway, `limit` subscriptions at a time.
///
/// # Errors
/// When the gateway is not paused, the cursor is not ours, or the store fails; calling again tells nobody twice.
pub async fn tell(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    gateway: GatewayName,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Guided, GuideError> {
    let pause = switch::read(store, gateway).await?.paused.ok_or(GuideError::NotPaused)?;
    let mut place = match cursor {
        Some(text) => Place::parse(text).filter(|p| p.until <= context.now).ok_or(GuideError::BadCursor)?,
        None => Place { partition: 0, until: context.now, inner: None },
    };
    let (mut guided, mut left) = (Guided::default(), limit.clamp(1, BATCH_MAX));
    let partitions = due_partitions(gateway);
    while let Some(partition) = partitions.get(place.partition) {
        if left == 0 {
            guided.next = Some(place.text());
            break;
        }
        let query = Query::SubscriptionsDue { partition: partition.clone(), until: place.until };
        let (page, next) = typed::list::<Subscription>(store, &query, left, place.inner.as_deref()).await?;
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(left).max(1));
        for subscription in page {
            tell_one(store, random, context, &pause_name(gateway, pause.at), &subscription, &mut guided).await?;
        }
        place = match next {
            Some(inner) => Place { inner: Some(inner), ..place },
            None => Place { partition: place.partition.saturating_add(1), inner: None, ..place },
        };
    }
    Ok(guided)
}

async fn tell_one(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    pause: &str,
    subscription: &Subscription,
    guided: &mut Guided,
) -> Result<(), StoreError> {
    if subscription.live.is_some() {
        guided.open = guided.open.saturating_add(1);
        return Ok(());
    }
    if !matches!(subscription.due(context.now), Ok(Due::Charge(_))) {
        return Ok(());
    }
    let fact = Fact::new("subscription.payment_guide", subscription.id.as_str())
        .with("gateway", subscription.gateway.as_str())
        .with("index", subscription.next_index())
        .with("amount", subscription.amount.amount)
        .with("currency", subscription.amount.currency.code());
    let mark = IdempotencyRow {
        key: format!("{pause}#{}", subscription.id),
        request_hash: String::new(),
        result: Value::Null,
        expires_at: context.now.saturating_add(REMEMBERED).unwrap_or(context.now),
        version: 0,
    };
    if typed::idempotency(store, &mark.key).await?.is_some() {
        guided.already = guided.already.saturating_add(1);
        return Ok(());
    }
    let writes = vec![Write::New(Record::Idempotency(mark))];
    match store.commit(&stamp::commit(random, context, writes, vec![fact])).await {
        Ok(()) => guided.told.push(subscription.id.clone()),
        // Another call told them first.
        Err(StoreError::Conflict { .. }) => guided.already = guided.already.saturating_add(1),
        Err(e) => return Err(e),
    }
    Ok(())
}

fn pause_name(gateway: GatewayName, at: Timestamp) -> String {
    format!("guide#{}#{}", row_name(gateway), at.as_millisecond())
}

/// Where a list over all partitions stands: partition, instant of the list, and the store's own cursor.
struct Place {
    partition: usize,
    until: Timestamp,
    inner: Option<String>,
}

impl Place {
    fn text(&self) -> String {
        format!("{}.{}.{}", self.partition, self.until.as_millisecond(), self.inner.as_deref().unwrap_or_default())
    }

    fn parse(text: &str) -> Option<Place> {
        let mut parts = text.splitn(3, '.');
        let partition = parts.next()?.parse().ok()?;
        let until = Timestamp::from_millisecond(parts.next()?.parse().ok()?).ok()?;
        let inner = parts.next()?;
        Some(Place { partition, until, inner: (!inner.is_empty()).then(|| inner.to_owned()) })
    }
}

/// What the page behind a link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guide {
    /// Pay this by transfer.
    Pay {
        amount: Money,
        period: Period,
        /// Written on the transfer, so that it is found.
        reference: String,
    },
    /// An attempt is open: the money may have moved.
    Wait,
    /// The card is charged again by itself, or nothing is owed.
    Nothing,
}

/// What a subscription's guide says now; none when there is no such subscription.
///
/// # Errors
/// When the store fails.
pub async fn guide(store: &dyn Store, now: Timestamp, id: &SubscriptionId) -> Result<Option<Guide>, StoreError> {
    let Some(subscription) = typed::subscription(store, id).await? else { return Ok(None) };
    if subscription.live.is_some() {
        return Ok(Some(Guide::Wait));
    }
    let paused = switch::read(store, subscription.gateway).await?.paused.is_some();
    let owed = !subscription.parked && subscription.may_charge(Trigger::Manual, now).is_ok();
    let period = subscription.period(subscription.next_index(), seoul_date(now));
    Ok(Some(match period {
        Ok(period) if paused && owed => {
            Guide::Pay { amount: subscription.amount, period, reference: reference(&subscription) }
        }
        Ok(_) | Err(_) => Guide::Nothing,
    }))
}

/// Short enough for the name field of a transfer; the period keeps two transfers apart.
fn reference(subscription: &Subscription) -> String {
    let ulid = subscription.id.ulid();
    let tail = ulid.get(ulid.len().saturating_sub(8)..).unwrap_or(ulid);
    format!("MG{tail}-{}", subscription.next_index())
}
