//! Deleting a card and putting it to use must not both succeed, whatever an index shows.

use std::time::Duration;

use domain::charge::GatewayName;
use domain::ids::{MethodId, SubscriptionId};
use domain::method::Status as MethodStatus;
use shared::store::memory::{Call, Fault};
use shared::store::{Record, Write, typed};
use shared::usecase::change_method::{ChangeError, change};
use shared::usecase::charge_subscription::ChargeError;
use shared::usecase::delete_method::{DeleteError, delete};

use super::adverse::{card, onboard, world};
use super::cancelling::cancelled;
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

async fn deleted(world: &World, id: &SubscriptionId, method: &MethodId) -> Result<(), DeleteError> {
    let tenant = world.subscription(id).await.tenant_id;
    delete(&world.charging, &world.context().await, &tenant, method).await
}

/// The index that lists a tenant's subscriptions lags, or is down: the guard does not depend on it.
#[tokio::test]
async fn the_guard_needs_no_index() {
    let (world, _) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    let spare = card(&world, &id.request(), GatewayName::Toss, "spare").await.unwrap().method.id;
    let used = world.subscription(&id).await.method_id;
    world.store.inject(|call| matches!(call, Call::Query(_)).then_some(Fault::Unavailable));
    assert!(matches!(deleted(&world, &id, &used).await, Err(DeleteError::InUse)));
    for _ in 0..2 {
        assert!(deleted(&world, &id, &spare).await.is_ok(), "nothing uses it; deleting again succeeds");
    }
    world.store.heal();
    cancelled(&world, &id, domain::cancelling::CancelAt::Now).await;
    assert!(deleted(&world, &id, &used).await.is_ok(), "once it is over the card may go");
}

/// Between the guard's read and its commit, somebody puts the card to use; or the other way round.
#[tokio::test]
async fn of_deleting_and_using_a_card_at_once_one_loses() {
    for deletes_first in [false, true] {
        let (world, _) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        let spare = card(&world, &id.request(), GatewayName::Toss, "spare").await.unwrap().method.id;
        let tenant = world.subscription(&id).await.tenant_id;
        let context = world.context().await;
        let (charging, racing) = (world.charging.clone(), std::sync::atomic::AtomicBool::new(false));
        let (inner, other, card_id, owner) = (charging.clone(), id.clone(), spare.clone(), tenant.clone());
        let now = context.clone();
        world.store.inject(move |call| {
            let Call::Commit(commit) = call else { return None };
            // The outer one is about to write the card's row.
            let writes_card = commit.writes.iter().any(|w| matches!(w, Write::Replace(Record::Method(_))));
            if !writes_card || racing.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return None;
            }
            let (inner, other, card_id, owner, now) =
                (inner.clone(), other.clone(), card_id.clone(), owner.clone(), now.clone());
            let raced = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    if deletes_first {
                        delete(&inner, &now, &owner, &card_id).await.is_ok()
                    } else {
                        change(&inner, &now, &other, &card_id, PATIENCE).await.is_ok()
                    }
                })
            });
            assert!(raced.join().unwrap(), "the faster one succeeds");
            None
        });
        if deletes_first {
            let lost = change(&charging, &context, &id, &spare, PATIENCE).await;
            assert!(matches!(lost, Err(ChangeError::Charge(ChargeError::MethodUnusable))));
        } else {
            assert!(matches!(delete(&charging, &context, &tenant, &spare).await, Err(DeleteError::InUse)));
        }
        world.store.heal();
        let method = typed::method(&world.store, &tenant, &spare).await.unwrap().unwrap();
        let in_use = world.subscription(&id).await.method_id == spare;
        assert_eq!((method.status == MethodStatus::Deleted, in_use), (deletes_first, !deletes_first));
    }
}
