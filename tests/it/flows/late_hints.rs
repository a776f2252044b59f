//! Toss's unsigned events about attempts that are over: money that came after all is found and settled; everything else is
//! not even asked about.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::cancelling::CancelAt;
use domain::charge::{Billable, GatewayName, Trigger};
use domain::cycle::{Outcome, State};
use domain::ids::SubscriptionId;
use domain::subscription::Status;
use jiff::SignedDuration;
use shared::store::typed;
use shared::usecase::charge_subscription::charge;
use shared::usecase::receive_hint::{Hint, receive_hint};
use shared::usecase::receive_webhook::ReceiveError;
use shared::usecase::rereads::Rereads;
use shared::usecase::resolve_attempt::resolve;

use super::adverse::{Act, Adverse, onboard, run, world};
use super::cancelling::{cancelled, was_told};
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

/// A renewal that took the money, heard an error and was closed as absent, because the gateway showed it too late.
async fn taken_and_closed_as_absent() -> (World, Arc<Adverse>, SubscriptionId) {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[Act::TakeThenError]);
    gateway.blind.store(2, Ordering::SeqCst);
    let (subscription, context) = (world.subscription(&id).await, world.context().await);
    charge(&world.charging, &context, subscription, Trigger::Renewal, PATIENCE).await.unwrap();
    for _ in 0..2 {
        world.wait(SignedDuration::from_mins(62));
        let (subscription, context) = (world.subscription(&id).await, world.context().await);
        resolve(&world.charging, &context, &subscription, PATIENCE).await.unwrap();
    }
    assert_eq!(outcome(&world, &id, 1).await, Some(Outcome::Absent));
    (world, gateway, id)
}

async fn outcome(world: &World, id: &SubscriptionId, n: u32) -> Option<Outcome> {
    let cycle = typed::cycle(&world.store, id, 1, 0).await.unwrap()?;
    cycle.attempt(n).map(|a| a.outcome)
}

async fn hint(world: &World, id: &SubscriptionId, index: u32, n: u32) -> Result<(), ReceiveError> {
    let order = Billable { subscription: id.clone(), index, seq: 0 }.order_id(GatewayName::Toss, n);
    receive_hint(
        &world.charging,
        &Rereads::default(),
        world.context().await.now,
        GatewayName::Toss,
        &Hint::about(&order),
    )
    .await
}

#[tokio::test]
async fn a_late_event_brings_the_money_of_an_attempt_closed_as_absent() {
    let (world, gateway, id) = taken_and_closed_as_absent().await;
    for _ in 0..3 {
        hint(&world, &id, 1, 1).await.unwrap();
    }
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.paid, subscription.status), (Some(1), Status::Active));
    assert_eq!(outcome(&world, &id, 1).await, Some(Outcome::Succeeded));
    run(&world).await;
    assert_eq!((gateway.captures(), was_told(&world, &id, "payment.captured")), (2, 2), "nothing is charged again");
}

#[tokio::test]
async fn when_the_next_attempt_was_faster_the_late_money_is_quarantined() {
    let (world, gateway, id) = taken_and_closed_as_absent().await;
    run(&world).await;
    assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 3), "two keys, two payments");
    for _ in 0..2 {
        hint(&world, &id, 1, 1).await.unwrap();
    }
    assert_eq!(outcome(&world, &id, 2).await, Some(Outcome::Succeeded));
    let cycle = typed::cycle(&world.store, &id, 1, 0).await.unwrap().unwrap();
    assert_eq!(cycle.attempts.iter().filter(|a| a.outcome == Outcome::Quarantined).count(), 1);
    assert_eq!(was_told(&world, &id, "payment.quarantined"), 1, "an operator is told, once");
}

#[tokio::test]
async fn for_a_cycle_closed_unpaid_it_is_attached_and_owed_back() {
    let (world, _, id) = taken_and_closed_as_absent().await;
    assert_eq!(cancelled(&world, &id, CancelAt::Now).await.status, Status::Cancelled);
    assert_eq!(typed::cycle(&world.store, &id, 1, 0).await.unwrap().unwrap().state, State::Void);
    hint(&world, &id, 1, 1).await.unwrap();
    assert!(matches!(typed::cycle(&world.store, &id, 1, 0).await.unwrap().unwrap().state, State::Paid(_)));
    assert_eq!(was_told(&world, &id, "payment.refund_owed"), 1);
    assert_eq!(world.subscription(&id).await.status, Status::Cancelled);
}

#[tokio::test]
async fn a_question_that_fails_is_asked_again_by_the_gateway() {
    let (world, gateway, id) = taken_and_closed_as_absent().await;
    gateway.away.store(true, Ordering::SeqCst);
    assert!(matches!(hint(&world, &id, 1, 1).await, Err(ReceiveError::Unanswered)));
    assert_eq!(world.subscription(&id).await.paid, Some(0));
    gateway.away.store(false, Ordering::SeqCst);
    hint(&world, &id, 1, 1).await.unwrap();
    assert_eq!(world.subscription(&id).await.paid, Some(1));
}

#[tokio::test]
async fn what_cannot_change_is_not_asked_about() {
    let (world, gateway, id) = taken_and_closed_as_absent().await;
    let asked = gateway.asked.load(Ordering::SeqCst);
    // A number never used, a period never begun, one paid long ago, somebody else's order.
    for (index, n) in [(1, 2), (1, 99), (2, 1), (0, 1), (0, 2)] {
        hint(&world, &id, index, n).await.unwrap();
    }
    let (now, foreign) = (world.context().await.now, Hint::about("ORDER-2027-1"));
    receive_hint(&world.charging, &Rereads::default(), now, GatewayName::Toss, &foreign).await.unwrap();
    assert_eq!(gateway.asked.load(Ordering::SeqCst), asked);
}
