//! The rate of a runner: calls leave evenly spaced, and never more in a second than the rate.

use std::time::Duration;

use domain::charge::GatewayName;
use jiff::SignedDuration;
use shared::usecase::runner::{Runner, Settings};

use super::adverse::{onboard, world};

#[tokio::test]
async fn calls_leave_evenly_and_as_soon_as_they_are_claimed() {
    let (world, gateway) = world(GatewayName::Toss).await;
    // Several to a partition, so that a page holds more than one.
    for _ in 0..64 {
        onboard(&world, GatewayName::Toss).await;
    }
    world.wait(SignedDuration::from_hours(24 * 31));
    let now = world.context().await.now;
    let random = world.charging.random.as_ref();
    shared::usecase::run_billing::tick(&world.store, &world.queue, random, now, 1).await.unwrap();
    let (message, _) = world.queue.0.lock().unwrap().pop_front().unwrap();
    let settings = Settings { toss_rate: 50, stripe_rate: 50, ..world.runner().settings };
    Runner { settings, ..world.runner() }.run(&message).await.unwrap();
    let sends: Vec<_> = gateway.sends.lock().unwrap().iter().skip(64).map(|(_, at)| *at).collect();
    assert_eq!(sends.len(), 64);
    let second = Duration::from_secs(1);
    let within =
        |at: &tokio::time::Instant| sends.iter().filter(|s| *s >= at && s.duration_since(*at) < second).count();
    let worst = sends.iter().map(within).max().unwrap();
    assert!(worst <= 50, "{worst} calls within one second");
    let together = |pair: &&[tokio::time::Instant]| pair[1].duration_since(pair[0]) < Duration::from_millis(5);
    let bursts = sends.windows(2).filter(together).count();
    assert!(bursts <= 12, "{bursts} calls at fifty a second left with the one before");
}
