//! A card that was refused too often of late is left alone: no charge, a card is asked for, the deadline runs.

use std::time::Duration;

use domain::card::CARD_CEILING;
use domain::charge::GatewayName;
use domain::ids::SubscriptionId;
use domain::method::{PaymentMethod, TRIES_PER_CARD};
use domain::subscription::Status;
use jiff::SignedDuration;
use shared::store::memory::{Call, Fault};
use shared::store::{Commit, Record, Store, Write, typed};
use shared::usecase::activate_subscription::{activate, retry};
use shared::usecase::charge_subscription::{ChargeError, ChargeResult};

use super::adverse::{Act, card, onboard, run, world};
use super::cancelling::told;
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

async fn card_of(world: &World, id: &SubscriptionId) -> PaymentMethod {
    let subscription = world.subscription(id).await;
    typed::method(&world.store, &subscription.tenant_id, &subscription.method_id).await.unwrap().unwrap()
}

/// Refused this often during the last days, elsewhere in its life.
async fn refused_before(world: &World, id: &SubscriptionId, times: usize) {
    let now = world.context().await.now;
    let hours = (1..=i64::try_from(times).unwrap()).map(SignedDuration::from_hours);
    let spent = hours.fold(card_of(world, id).await, |card, ago| card.declined(now - ago));
    let write = Write::Replace(Record::Method(spent));
    world.store.commit(&Commit { id: "spent".to_owned(), writes: vec![write], events: vec![] }).await.unwrap();
}

#[tokio::test]
async fn every_decline_is_counted_once_on_its_card_whoever_brings_it() {
    for name in GatewayName::ALL {
        let (world, gateway) = world(name).await;
        gateway.always(Act::Soft);
        // The commit that settles the first decline is applied, and its answer lost.
        let commits = std::sync::atomic::AtomicU32::new(0);
        world.store.inject(move |call| {
            let commit = matches!(call, Call::Commit(_));
            let n = commits.fetch_add(u32::from(commit), std::sync::atomic::Ordering::SeqCst);
            (commit && n % 4 == 3).then_some(Fault::Conflict)
        });
        let id = onboard(&world, name).await;
        for _ in 0..3 {
            world.wait(SignedDuration::from_hours(1));
            let context = world.context().await;
            let answer = activate(&world.charging, &context, &id, PATIENCE).await.unwrap();
            assert!(matches!(answer.result, ChargeResult::Declined { .. } | ChargeResult::Pending), "{answer:?}");
        }
        world.store.heal();
        let cycle = typed::cycle(&world.store, &id, 0, 0).await.unwrap().unwrap();
        let starts: Vec<_> = cycle.attempts.iter().map(|a| a.at).collect();
        assert_eq!(card_of(&world, &id).await.declined_at, starts, "{name:?}");
        assert!(starts.len() >= 3);
        gateway.always(Act::Take);
        world.wait(SignedDuration::from_hours(1));
        activate(&world.charging, &world.context().await, &id, PATIENCE).await.unwrap();
        assert_eq!(card_of(&world, &id).await.declined_at.len(), starts.len(), "a success is no re-attempt");
    }
}

#[tokio::test]
async fn a_card_at_its_ceiling_is_not_charged_and_a_card_is_asked_for() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    refused_before(&world, &id, TRIES_PER_CARD).await;
    let context = world.context().await;
    let asked = retry(&world.charging, &context, &id, PATIENCE).await;
    assert!(matches!(asked, Err(ChargeError::MethodUnusable)), "{asked:?}");
    run(&world).await;
    let subscription = world.subscription(&id).await;
    let case = subscription.dunning.clone().unwrap();
    assert_eq!((case.code.as_str(), case.next_at, gateway.sent()), (CARD_CEILING, None, 1));
    assert_eq!(told(&world, &id).last().map(|(kind, _)| kind.as_str()), Some("subscription.card_needed"));
    let second = card(&world, &id.request(), GatewayName::Toss, "second").await.unwrap();
    assert_eq!(second.charge, Some(ChargeResult::Captured), "another card is not at its ceiling");
}

#[tokio::test]
async fn one_try_below_the_ceiling_is_made_and_the_deadline_runs_from_the_ceiling_on() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    refused_before(&world, &id, TRIES_PER_CARD - 1).await;
    gateway.always(Act::Soft);
    let opened = world.context().await.now;
    run(&world).await;
    assert_eq!(gateway.sent(), 2);
    for day in [1, 2, 4] {
        world.wait(SignedDuration::from_hours(24 * day));
        run(&world).await;
    }
    assert_eq!(gateway.sent(), 2, "the scheduled retries are left out");
    let subscription = world.subscription(&id).await;
    assert_eq!(subscription.status, Status::Suspended);
    let seventh = opened + SignedDuration::from_hours(24 * 7);
    assert!(
        subscription.stopped_at.unwrap() >= seventh
            && subscription.stopped_at.unwrap() < seventh + SignedDuration::from_hours(1)
    );
}
