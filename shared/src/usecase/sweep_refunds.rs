//! Looks after refunds nobody is waiting for: those to be sent (owed back, approved, or left by a dead process) and those
//! whose outcome is open. The index says where to look, the row decides.

use std::time::Duration;

use domain::cycle::Cycle;
use domain::refund::due_partitions;
use tokio::time::Instant;

use super::Charging;
use super::send_refund::{Place, SendError, advance};
use crate::ports::Context;
use crate::store::{Query, Record, StoreError};

/// Longest wait for one gateway answer.
const PATIENCE: Duration = Duration::from_secs(20);
const PAGE: u32 = 25;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Refunds it worked on.
    pub seen: u32,
    /// Of these, those it could not bring forward because the store failed or somebody else was at it.
    pub failed: u32,
}

/// Works on everything due, oldest first, one call at a time, until `deadline`. What is left is due for the next.
///
/// # Errors
/// When the index does not answer; one refund's trouble is logged and counted.
pub async fn sweep(charging: &Charging, context: &Context, deadline: Instant) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    for partition in due_partitions() {
        let query = Query::RefundsDue { partition, until: context.now };
        let mut cursor = None;
        loop {
            let page = charging.store.query(&query, PAGE, cursor.as_deref()).await?;
            for key in &page.damaged {
                tracing::error!(subscription = key, "a cycle with a refund does not read");
            }
            for record in page.records {
                let Record::Cycle(cycle) = record else { continue };
                if Instant::now() + PATIENCE > deadline {
                    return Ok(swept);
                }
                work(charging, context, &cycle, &mut swept).await;
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(swept)
}

async fn work(charging: &Charging, context: &Context, cycle: &Cycle, swept: &mut Swept) {
    let due = cycle.refunds.iter().filter(|r| r.status.live() && r.due_at.is_some_and(|at| at <= context.now));
    for refund in due {
        swept.seen = swept.seen.saturating_add(1);
        let now = charging.clock.now().await.max(context.now);
        let context = Context { now, actor: context.actor.clone() };
        match advance(charging, &context, &Place::of(cycle), &refund.id, PATIENCE).await {
            Ok(_) | Err(SendError::Store(StoreError::Conflict { .. })) => {}
            Err(error) => {
                swept.failed = swept.failed.saturating_add(1);
                tracing::warn!(refund = %refund.id, %error, "a refund was left for the next sweep");
            }
        }
    }
}
