//! Another card for a subscription, because its owner asks: charged at once where something is owed, else from the next
//! renewal on, and never twice for asking twice.

use std::time::Duration;

use domain::charge::{GatewayName, Trigger};
use domain::ids::{MethodId, SubscriptionId};
use domain::method::{PaymentMethod, Status as MethodStatus};
use domain::subscription::{StartRefused, Status};
use jiff::SignedDuration;
use shared::store::memory::{Call, Fault};
use shared::store::{Commit, Record, Store, Write, typed};
use shared::usecase::change_method::{ChangeError, Changed, change};
use shared::usecase::charge_subscription::{ChargeError, ChargeResult, charge};

use super::adverse::{Act, card, onboard, run, world};
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

async fn changed(world: &World, id: &SubscriptionId, method: &MethodId) -> Result<Changed, ChangeError> {
    change(&world.charging, &world.context().await, id, method, PATIENCE).await
}

/// A second card, registered and not in use.
async fn spare(world: &World, id: &SubscriptionId, gateway: GatewayName) -> MethodId {
    let spare = card(world, &id.request(), gateway, "spare").await.unwrap();
    assert_eq!(spare.charge, None, "nothing is owed");
    assert_ne!(world.subscription(id).await.method_id, spare.method.id, "registering alone changes nothing here");
    spare.method.id
}

async fn payer_of(world: &World, id: &SubscriptionId, index: u32) -> MethodId {
    let cycle = typed::cycle(&world.store, id, index, 0).await.unwrap().unwrap();
    cycle.attempts.last().unwrap().method_id.clone()
}

#[tokio::test]
async fn a_healthy_subscription_is_charged_on_the_new_card_from_the_next_renewal() {
    for name in GatewayName::ALL {
        let (world, gateway) = world(name).await;
        let id = onboard(&world, name).await;
        let spare = spare(&world, &id, name).await;
        let before = world.subscription(&id).await;
        for _ in 0..2 {
            let done = changed(&world, &id, &spare).await.unwrap();
            assert_eq!((done.charge, done.subscription.method_id), (None, spare.clone()));
            assert_eq!((done.subscription.due_at, done.subscription.paid), (before.due_at, before.paid));
        }
        assert_eq!(gateway.sent(), 1);
        world.travel(before.due_at.unwrap());
        run(&world).await;
        assert_eq!((gateway.captures(), payer_of(&world, &id, 1).await), (2, spare), "{name:?}");
    }
}

#[tokio::test]
async fn in_dunning_it_pays_at_once_and_asking_again_charges_nothing() {
    for (act, result) in [(Act::Take, "captured"), (Act::Soft, "declined")] {
        let (world, gateway) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        let spare = spare(&world, &id, GatewayName::Toss).await;
        world.travel(world.subscription(&id).await.due_at.unwrap());
        gateway.then(&[Act::Soft]);
        run(&world).await;
        gateway.then(&[act]);
        for ask in 0..3 {
            let done = changed(&world, &id, &spare).await.unwrap();
            match (&done.charge, result) {
                (Some(ChargeResult::Captured), "captured") => assert_eq!(done.subscription.paid, Some(1)),
                (None, "captured") => assert!(ask > 0, "paid: nothing is owed any more"),
                (Some(ChargeResult::Declined { .. }), "declined") => {
                    let step = done.subscription.dunning.unwrap().step;
                    assert_eq!(step, 0, "what a person asks for consumes no step");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(gateway.sent(), 3, "{result}: first payment, renewal, new card");
    }
}

/// The process dies between the change and the charge.
#[tokio::test]
async fn a_card_that_was_not_tried_is_charged_when_asked_again() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    let spare = spare(&world, &id, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[Act::Soft]);
    run(&world).await;
    let commits = std::sync::atomic::AtomicU32::new(0);
    world.store.inject(move |call| {
        let commit = matches!(call, Call::Commit(_));
        let n = commits.fetch_add(u32::from(commit), std::sync::atomic::Ordering::SeqCst);
        (commit && n > 0).then_some(Fault::Unavailable)
    });
    let first = changed(&world, &id, &spare).await.unwrap();
    assert_eq!((first.charge, gateway.sent()), (Some(ChargeResult::Pending), 2), "adopted, not charged");
    world.store.heal();
    assert_eq!(changed(&world, &id, &spare).await.unwrap().charge, Some(ChargeResult::Captured));
    assert_eq!((gateway.captures(), world.subscription(&id).await.paid), (2, Some(1)));
}

#[tokio::test]
async fn an_attempt_in_flight_keeps_its_card_and_the_next_one_takes_the_new() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    let old = world.subscription(&id).await.method_id;
    let spare = spare(&world, &id, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[Act::Silence, Act::Soft]);
    let (subscription, context) = (world.subscription(&id).await, world.context().await);
    charge(&world.charging, &context, subscription, Trigger::Renewal, PATIENCE).await.unwrap();
    let done = changed(&world, &id, &spare).await.unwrap();
    let live = done.subscription.live.as_ref().map(|l| l.method_id.clone());
    assert_eq!((live, done.subscription.method_id.clone()), (Some(old.clone()), spare.clone()));
    for _ in 0..3 {
        world.wait(SignedDuration::from_hours(24));
        run(&world).await;
    }
    let cycle = typed::cycle(&world.store, &id, 1, 0).await.unwrap().unwrap();
    let cards: Vec<_> = cycle.attempts.iter().map(|a| a.method_id.clone()).collect();
    assert_eq!((cards, world.subscription(&id).await.paid), (vec![old, spare], Some(1)));
    assert_eq!(gateway.captures(), 2);
}

#[tokio::test]
async fn what_is_foreign_dead_or_over_is_refused_and_changes_nothing() {
    let (world, _) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    let spare = spare(&world, &id, GatewayName::Toss).await;
    let other = onboard(&world, GatewayName::Toss).await;
    let foreign = world.subscription(&other).await.method_id;
    let before = world.subscription(&id).await;
    assert!(matches!(changed(&world, &id, &foreign).await, Err(ChangeError::UnknownMethod)));
    for status in [MethodStatus::Invalid, MethodStatus::Deleted] {
        let method = typed::method(&world.store, &before.tenant_id, &spare).await.unwrap().unwrap();
        let dead = Write::Replace(Record::Method(PaymentMethod { status, ..method }));
        world.store.commit(&Commit { id: format!("{status:?}"), writes: vec![dead], events: vec![] }).await.unwrap();
        let refused = changed(&world, &id, &spare).await;
        assert!(matches!(refused, Err(ChangeError::Charge(ChargeError::MethodUnusable))), "{status:?}");
    }
    assert_eq!(world.subscription(&id).await, before);
    let own = before.method_id.clone();
    super::cancelling::cancelled(&world, &id, domain::cancelling::CancelAt::Now).await;
    let refused = changed(&world, &id, &own).await;
    assert!(matches!(refused, Err(ChangeError::Charge(ChargeError::Refused(StartRefused::Ended)))));
    assert_eq!(world.subscription(&id).await.status, Status::Cancelled);
}

/// A suspended subscription gets a card, and the request that brought it dies before charging: the run does it, once.
#[tokio::test]
async fn a_suspended_subscriptions_new_card_is_tried_by_the_run() {
    for (act, restored) in [(Act::Take, true), (Act::Soft, false)] {
        let (world, gateway) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        world.travel(world.subscription(&id).await.due_at.unwrap());
        gateway.then(&[Act::Hard]);
        run(&world).await;
        world.travel(world.subscription(&id).await.due_at.unwrap());
        run(&world).await;
        let suspended = world.subscription(&id).await;
        assert_eq!(suspended.status, Status::Suspended);
        let end = suspended.due_at;
        world.wait(SignedDuration::from_hours(50));
        let commits = std::sync::atomic::AtomicU32::new(0);
        world.store.inject(move |call| {
            // The card's row, the limits' rows and the switch are written; the claim is not.
            let Call::Commit(commit) = call else { return None };
            let switch = commit.writes.iter().any(|w| matches!(w, Write::Replace(Record::Subscription(_))));
            let n = commits.fetch_add(u32::from(switch), std::sync::atomic::Ordering::SeqCst);
            (switch && n > 0).then_some(Fault::Unavailable)
        });
        let second = card(&world, &id.request(), GatewayName::Toss, "second").await.unwrap();
        world.store.heal();
        assert_eq!((second.charge, gateway.sent()), (Some(ChargeResult::Pending), 2));
        gateway.then(&[act]);
        run(&world).await;
        let after = world.subscription(&id).await;
        assert_eq!((gateway.sent(), after.paid == Some(1), after.method_id), (3, restored, second.method.id));
        assert_eq!((after.status == Status::Active, after.due_at == end), (restored, !restored));
        run(&world).await;
        assert_eq!(gateway.sent(), 3, "tried once");
    }
}
