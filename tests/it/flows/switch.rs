//! A paused or broken gateway: payments people ask for are refused before anything is claimed, nothing that is owed is
//! lost, and one payment at a time finds out whether the gateway is back.

use domain::breaker::Admission;
use domain::charge::GatewayName;
use domain::ids::SubscriptionId;
use domain::subscription::Status;
use jiff::SignedDuration;
use shared::usecase::activate_subscription::retry;
use shared::usecase::charge_subscription::{ChargeError, ChargeResult, Charged, HTTP_PATIENCE};
use shared::usecase::switch;
use std::sync::atomic::Ordering;

use super::world::{Script, World};

const TOSS: GatewayName = GatewayName::Toss;

async fn pause(world: &World) {
    let random = world.charging.random.as_ref();
    switch::pause(&world.store, random, &world.context().await, TOSS, "maintenance", Vec::new()).await.unwrap();
}

async fn resume(world: &World) {
    let random = world.charging.random.as_ref();
    switch::resume(&world.store, random, &world.context().await, TOSS, "done", Vec::new()).await.unwrap();
}

async fn ask(world: &World, id: &SubscriptionId) -> Result<Charged, ChargeError> {
    retry(&world.charging, &world.context().await, id, HTTP_PATIENCE).await
}

async fn admits(world: &World) -> Admission {
    switch::read(&world.store, TOSS).await.unwrap().admits(world.context().await.now)
}

fn calls(world: &World) -> u64 {
    world.gateway.calls.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_paused_gateway_refuses_before_anything_is_claimed() {
    let world = World::new().await;
    let id = world.onboard().await;
    world.wait(SignedDuration::from_hours(24 * 31));
    pause(&world).await;
    let before = (world.subscription(&id).await, calls(&world));
    let refused = ask(&world, &id).await.unwrap_err();
    assert!(matches!(refused, ChargeError::GatewayPaused(stopped) if stopped.until.is_none()), "{refused:?}");
    assert_eq!((world.subscription(&id).await, calls(&world)), before);
    resume(&world).await;
    assert_eq!(ask(&world, &id).await.unwrap().result, ChargeResult::Captured);
    assert_eq!(world.captured(&id).into_values().collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn approval_stands_and_the_first_payment_waits_for_the_gateway() {
    let world = World::new().await;
    pause(&world).await;
    let request = world.apply().await;
    assert_eq!(world.register(&request, "auth-1").await, None, "nothing is owed before approval");
    let decided = world.approve(&request).await;
    assert_eq!(decided.payment, Some(ChargeResult::Pending));
    let id = request.subscription();
    let waiting = world.subscription(&id).await;
    assert_eq!((waiting.status, waiting.live.as_ref()), (Status::PendingActivation, None));
    assert_eq!(waiting.due_at, Some(world.context().await.now));
    assert_eq!(calls(&world), 0);
    resume(&world).await;
    world.run().await;
    assert_eq!(world.subscription(&id).await.status, Status::Active);
    assert_eq!(world.captured(&id).into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_new_card_supplied_meanwhile_is_charged_afterwards() {
    let world = World::new().await;
    world.gateway.then(&[Script::Hard]);
    let id = world.onboard().await;
    assert!(world.subscription(&id).await.first_decline.is_some());
    pause(&world).await;
    assert_eq!(world.register(&id.request(), "auth-new").await, Some(ChargeResult::Pending));
    resume(&world).await;
    world.run().await;
    assert_eq!(world.subscription(&id).await.status, Status::Active);
    assert_eq!(world.captured(&id).into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_payment_somebody_asks_for_is_the_probe() {
    let world = World::new().await;
    let (first, second) = (world.onboard().await, world.onboard().await);
    world.wait(SignedDuration::from_hours(24 * 31));
    let now = world.context().await.now;
    switch::trip(&world.store, world.charging.random.as_ref(), now, TOSS).await.unwrap();
    assert!(matches!(ask(&world, &first).await, Err(ChargeError::GatewayPaused(s)) if s.wait_s == 10));

    // Still out: the attempt is live and resolved like any other, and nobody else follows it in.
    world.wait(SignedDuration::from_secs(10));
    world.gateway.then(&[Script::Error]);
    assert_eq!(ask(&world, &first).await.unwrap().result, ChargeResult::Pending);
    assert!(matches!(ask(&world, &second).await, Err(ChargeError::GatewayPaused(s)) if s.wait_s == 20));

    // Back: a decline is an answer too.
    world.wait(SignedDuration::from_secs(20));
    world.gateway.then(&[Script::Soft]);
    assert!(matches!(ask(&world, &second).await.unwrap().result, ChargeResult::Declined { .. }));
    assert_eq!(admits(&world).await, Admission::Flows);
}

#[tokio::test]
async fn a_paused_gateway_is_asked_and_sent_nothing() {
    let world = World::new().await;
    world.gateway.then(&[Script::Silence]);
    let id = world.onboard().await;
    assert_eq!(calls(&world), 1);
    pause(&world).await;
    // Long past the lease: without the pause the same bytes would be sent again.
    world.wait(SignedDuration::from_mins(5));
    let looked = ask(&world, &id).await.unwrap();
    assert_eq!((looked.result, calls(&world)), (ChargeResult::Pending, 1));
    let waiting = world.subscription(&id).await;
    assert!(waiting.due_at.unwrap() > world.context().await.now, "looked at again later, not at once");
    resume(&world).await;
    assert_eq!(ask(&world, &id).await.unwrap().result, ChargeResult::Captured);
    assert_eq!((calls(&world), world.captured(&id).into_values().collect::<Vec<_>>()), (2, vec![1]));
}
