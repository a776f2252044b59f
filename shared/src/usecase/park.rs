//! Takes a subscription that cannot be billed out of the due index until an operator has looked: one bad account must
//! neither stop a run nor keep it awake (design.md §6). A retry by an operator puts it back.

use domain::event::Fact;
use domain::ids::SubscriptionId;
use domain::subscription::Subscription;

use super::{Charging, RACES, stamp};
use crate::ports::Context;
use crate::store::{Record, StoreError, Write, typed};

/// Parks a subscription and says why; whether anything changed: parked or gone already, nothing does. An end that is set
/// still comes, because nothing is charged for it.
///
/// # Errors
/// When the store fails or races persist.
pub async fn park(
    charging: &Charging,
    context: &Context,
    id: &SubscriptionId,
    why: &'static str,
) -> Result<bool, StoreError> {
    let store = charging.store.as_ref();
    for _ in 0..RACES {
        let Some(row) = typed::subscription(store, id).await?.filter(|s| !s.parked) else { return Ok(false) };
        let parked = Subscription { parked: true, due_at: row.cancel_at, ..row };
        let fact = Fact::new("subscription.parked", id.as_str()).with("why", why);
        let writes = vec![Write::Replace(Record::Subscription(parked))];
        match store.commit(&stamp::commit(charging.random.as_ref(), context, writes, vec![fact])).await {
            Ok(()) => return Ok(true),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Err(StoreError::Conflict { key: None })
}
