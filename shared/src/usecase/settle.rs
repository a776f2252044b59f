//! Brings a report about an attempt into the books: load, decide, commit, again on a lost race.

use domain::calendar::OutOfRange;
use domain::cycle::Cycle;
use domain::method::Status as MethodStatus;
use domain::settle::{Report, Settled, Settlement, settle};
use domain::subscription::Subscription;

use super::{Charging, RACES, stamp};
use crate::ports::Context;
use crate::store::{Key, Record, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error("no such subscription")]
    NotFound,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Calendar(#[from] OutOfRange),
}

/// A subscription with the cycle it owes next, if that row exists yet.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub subscription: Subscription,
    pub cycle: Option<Cycle>,
}

/// Consistent read of a subscription and one of its cycles.
///
/// # Errors
/// When it does not exist or the store fails.
pub async fn load(
    charging: &Charging,
    id: &domain::ids::SubscriptionId,
    index: u32,
    seq: u32,
) -> Result<Loaded, SettleError> {
    let store = charging.store.as_ref();
    // One by one as everywhere: whoever charges needs the right to read rows, and none to read batches.
    let reads = (typed::subscription(store, id), typed::cycle(store, id, index, seq));
    let (subscription, cycle) = futures::future::try_join(reads.0, reads.1).await?;
    Ok(Loaded { subscription: subscription.ok_or(SettleError::NotFound)?, cycle })
}

/// Settles a report. `seen` is what the caller just wrote, so that an ordinary renewal reads nothing twice; `also`
/// joins the same transaction (the inbox row of a signed event) and is committed even when nothing else changes.
///
/// # Errors
/// When the subscription is gone, the store fails, or races persist.
pub async fn settle_report(
    charging: &Charging,
    context: &Context,
    subscription: &domain::ids::SubscriptionId,
    report: &Report,
    seen: Option<Loaded>,
    also: &[Write],
) -> Result<Loaded, SettleError> {
    let mut seen = seen;
    for _ in 0..RACES {
        let before = match seen.take() {
            Some(loaded) => loaded,
            None => load(charging, subscription, report.index, report.seq).await?,
        };
        let settlement = settle(&before.subscription, before.cycle.as_ref(), report, context.now)?;
        match commit(charging, context, &before, settlement, report, also).await {
            Err(SettleError::Store(StoreError::Conflict { key: Some(Key::Inbox(_)) })) => return Ok(before),
            Err(SettleError::Store(StoreError::Conflict { .. })) => {}
            other => return other,
        }
    }
    Err(SettleError::Store(StoreError::Conflict { key: None }))
}

async fn commit(
    charging: &Charging,
    context: &Context,
    before: &Loaded,
    settlement: Settlement,
    report: &Report,
    also: &[Write],
) -> Result<Loaded, SettleError> {
    let settled = match settlement {
        Settlement::Apply(settled) => *settled,
        Settlement::Nothing if also.is_empty() => return Ok(before.clone()),
        Settlement::Nothing => {
            let (invalid_method, declined_method) = (None, None);
            Settled { subscription: None, cycle: None, invalid_method, declined_method, facts: Vec::new(), hint: None }
        }
    };
    let mut writes = also.to_vec();
    let mut after = before.clone();
    if let Some(subscription) = settled.subscription {
        writes.push(Write::Replace(Record::Subscription(subscription.clone())));
        after.subscription = Subscription { version: subscription.version.saturating_add(1), ..subscription };
    }
    if let Some(cycle) = settled.cycle {
        let record = Record::Cycle(cycle.clone());
        writes.push(if before.cycle.is_some() { Write::Replace(record) } else { Write::New(record) });
        after.cycle = Some(Cycle { version: cycle.version.saturating_add(1), ..cycle });
    }
    if let Some((id, at)) = &settled.declined_method {
        let method = typed::method(charging.store.as_ref(), &before.subscription.tenant_id, id).await?;
        if let Some(mut method) = method.map(|m| m.declined(*at)) {
            if settled.invalid_method.as_ref() == Some(id) && method.status != MethodStatus::Deleted {
                method.status = MethodStatus::Invalid;
            }
            writes.push(Write::Replace(Record::Method(method)));
        }
    }
    charging.store.commit(&stamp::commit(charging.random.as_ref(), context, writes, settled.facts)).await?;
    if let Some(hint) = settled.hint {
        let order_id = before.subscription.live.as_ref().map_or(String::new(), |live| {
            live.billable(&before.subscription.id).order_id(live.gateway, report.n.unwrap_or(live.n))
        });
        charging.hints.send(&before.subscription.id, &order_id, hint).await;
    }
    Ok(after)
}
