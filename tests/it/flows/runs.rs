//! Many subscriptions and several runners: overlap, double delivery, hand-on, catch-up.

use std::time::Duration;

use domain::ids::SubscriptionId;
use domain::run::Status;
use domain::subscription::Status as SubscriptionStatus;
use futures::future::join_all;
use jiff::SignedDuration;
use shared::ports::ShardMessage;
use shared::store::typed;
use shared::usecase::run_billing::day_run;
use shared::usecase::runner::Runner;

use super::world::{Script, World};

async fn population(world: &World, n: usize) -> Vec<SubscriptionId> {
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(world.onboard().await);
        world.wait(SignedDuration::from_secs(7));
    }
    ids
}

#[tokio::test]
async fn a_run_charges_what_is_due_and_drains() {
    let world = World::new().await;
    let ids = population(&world, 40).await;
    world.wait(SignedDuration::from_hours(24 * 31));
    world.run().await;
    let run = typed::run(&world.store, &day_run(shared::ports::Clock::now(world.clock.as_ref()).await))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (run.status, run.charged, run.forecast.count, run.forecast.amount),
        (Status::Drained, 40, 40, 40 * 44_000)
    );
    world.run().await;
    for id in ids {
        assert_eq!(world.captured(&id).into_values().collect::<Vec<_>>(), [1, 1]);
    }
}

#[tokio::test]
async fn ten_overlapping_runners_charge_once() {
    let world = World::new().await;
    let ids = population(&world, 30).await;
    world.wait(SignedDuration::from_hours(24 * 31));
    let now = shared::ports::Clock::now(world.clock.as_ref()).await;
    shared::usecase::run_billing::tick(&world.store, &world.queue, world.charging.random.as_ref(), now, 1)
        .await
        .unwrap();
    let (message, _) = world.queue.0.lock().unwrap().pop_front().unwrap();
    // Different shares on purpose: each takes its own lease, all see the same partitions.
    let runners: Vec<Runner<'_>> = (0..10).map(|_| world.runner()).collect();
    let messages: Vec<ShardMessage> =
        (0..10).map(|shard| ShardMessage { shard: shard % 2, runners: 1 + shard % 2, ..message.clone() }).collect();
    let results = join_all(runners.iter().zip(&messages).map(|(runner, message)| runner.run(message))).await;
    assert!(results.into_iter().all(|r| r.is_ok()));
    world.run().await;
    for id in ids {
        assert_eq!(world.captured(&id).into_values().collect::<Vec<_>>(), [1, 1]);
    }
}

#[tokio::test]
async fn a_runner_short_of_time_hands_on() {
    let world = World::new().await;
    let ids = population(&world, 5).await;
    world.wait(SignedDuration::from_hours(24 * 31));
    let now = shared::ports::Clock::now(world.clock.as_ref()).await;
    shared::usecase::run_billing::tick(&world.store, &world.queue, world.charging.random.as_ref(), now, 1)
        .await
        .unwrap();
    let (message, _) = world.queue.0.lock().unwrap().pop_front().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    Runner { deadline, ..world.runner() }.run(&message).await.unwrap();
    assert_eq!(world.gateway.captures(), 5, "nothing is claimed that could not be answered in time");
    let (next, delay) = world.queue.0.lock().unwrap().pop_front().expect("the rest is handed on at once");
    assert!(next.continued && delay.is_zero());
    world.runner().run(&next).await.unwrap();
    assert!(ids.iter().all(|id| world.captured(id).len() == 2));
}

#[tokio::test]
async fn after_forty_days_of_outage_every_period_is_charged_once_oldest_first() {
    let world = World::new().await;
    let ids = population(&world, 6).await;
    world.wait(SignedDuration::from_hours(24 * 71));
    for _ in 0..4 {
        world.run().await;
        world.wait(SignedDuration::from_hours(24));
    }
    for id in &ids {
        assert_eq!(world.captured(id), [(0, 1), (1, 1), (2, 1)].into());
        assert_eq!(world.subscription(id).await.status, SubscriptionStatus::Active);
    }
    let orders: Vec<String> = world.gateway.ledger.lock().unwrap().iter().map(|(o, _)| o.clone()).collect();
    let index = |o: &String| domain::charge::Billable::parse_order_id(o).unwrap().0.index;
    assert!(
        orders[6..12].iter().all(|o| index(o) == 1) && orders[12..].iter().all(|o| index(o) == 2),
        "one period per run"
    );
}

#[tokio::test]
async fn a_gateway_that_falls_silent_mid_run_loses_nothing() {
    let world = World::new().await;
    let ids = population(&world, 12).await;
    world.wait(SignedDuration::from_hours(24 * 31));
    let scripts = [Script::Capture, Script::CaptureThenSilence, Script::Silence, Script::Error].repeat(3);
    world.gateway.then(&scripts);
    world.run().await;
    world.wait(SignedDuration::from_mins(70));
    world.run().await;
    for id in ids {
        assert_eq!(world.captured(&id), [(0, 1), (1, 1)].into(), "{id}");
        assert_eq!(world.subscription(&id).await.live, None);
    }
}
