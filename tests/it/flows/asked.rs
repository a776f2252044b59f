//! What a person who asks is told, and how long that takes.

use std::time::{Duration, Instant};

use domain::charge::GatewayName;
use domain::event::Actor;
use domain::subscription::{StartRefused, Subscription};
use jiff::SignedDuration;
use shared::ports::Context;
use shared::store::{Commit, Record, Store, Write};
use shared::usecase::activate_subscription::retry;
use shared::usecase::charge_subscription::{ChargeError, ChargeResult};
use shared::usecase::recover_charge::recover;

use super::adverse::{Act, onboard, run, world};
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

/// A renewal whose answer never came.
async fn renewal_in_doubt(world: &World, gateway: &super::adverse::Adverse, act: Act) -> domain::ids::SubscriptionId {
    let id = onboard(world, gateway.name).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[act]);
    let (subscription, context) = (world.subscription(&id).await, world.context().await);
    let trigger = domain::charge::Trigger::Renewal;
    shared::usecase::charge_subscription::charge(&world.charging, &context, subscription, trigger, PATIENCE)
        .await
        .unwrap();
    id
}

#[tokio::test]
async fn an_attempt_that_came_to_nothing_is_not_reported_as_paid() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = renewal_in_doubt(&world, &gateway, Act::Strange).await;
    for _ in 0..2 {
        world.wait(SignedDuration::from_mins(2));
        let charged = retry(&world.charging, &world.context().await, &id, PATIENCE).await.unwrap();
        assert_eq!((charged.result, charged.subscription.paid), (ChargeResult::Pending, Some(0)));
    }
    run(&world).await;
    assert_eq!(world.subscription(&id).await.paid, Some(1));
    let charged = retry(&world.charging, &world.context().await, &id, PATIENCE).await.unwrap();
    assert_eq!((charged.result, gateway.captures()), (ChargeResult::Captured, 2));
}

/// The look-up and the send that may follow share one patience: API Gateway cuts at 29 s, recovery is stopped at 60 s.
#[tokio::test]
async fn a_slow_look_up_leaves_less_time_to_send() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = renewal_in_doubt(&world, &gateway, Act::Silence).await;
    *gateway.find_takes.lock().unwrap() = Duration::from_secs(3);
    *gateway.charge_takes.lock().unwrap() = Duration::from_secs(3);
    let begun = Instant::now();
    let context = world.context().await;
    let charged = retry(&world.charging, &context, &id, Duration::from_millis(200)).await.unwrap();
    assert_eq!(charged.result, ChargeResult::Pending);
    assert!(begun.elapsed() < Duration::from_millis(1_500), "waited {:?}", begun.elapsed());
    assert_eq!(gateway.sent(), 2, "and nothing is sent that nobody could hear");
    *gateway.find_takes.lock().unwrap() = Duration::ZERO;
    *gateway.charge_takes.lock().unwrap() = Duration::ZERO;
    world.wait(SignedDuration::from_mins(10));
    recover(&world.charging, &world.context().await, &id).await.unwrap();
    assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 2));
}

/// Money was quarantined: the payer's own retry or a new card must not charge a second time before somebody looked.
#[tokio::test]
async fn only_an_operator_charges_a_parked_subscription() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, gateway.name).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    let parked = Subscription { parked: true, due_at: None, ..world.subscription(&id).await };
    let writes = vec![Write::Replace(Record::Subscription(parked))];
    world.store.commit(&Commit { id: "park".to_owned(), writes, events: Vec::new() }).await.unwrap();
    let operator = world.context().await;
    let tenant = id.request().tenant();
    let payers = [Actor::Tenant(tenant.to_string()), Actor::Applicant(id.request().to_string())];
    for actor in payers {
        let context = Context { actor, ..operator.clone() };
        let refused = retry(&world.charging, &context, &id, PATIENCE).await;
        assert!(matches!(refused, Err(ChargeError::Refused(StartRefused::Parked))));
    }
    assert_eq!(gateway.captures(), 1);
    let charged = retry(&world.charging, &operator, &id, PATIENCE).await.unwrap();
    assert_eq!((charged.result, charged.subscription.parked), (ChargeResult::Captured, false));
    assert_eq!(gateway.captures(), 2);
}
