//! A run comes to rest, whatever one account does.

use domain::charge::GatewayName;
use domain::run::Status;
use jiff::SignedDuration;
use shared::ports::Context;
use shared::store::{Commit, Control, Record, Store, Write, typed};
use shared::usecase::run_billing::day_run;
use shared::usecase::start_run::{CLOCK, Starter, start_run, travelled};

use super::adverse::{Act, onboard, run, world};

/// An account the gateway refuses in a way nobody knows: each attempt is proved absent after a minute.
#[tokio::test]
async fn an_account_that_is_always_refused_does_not_keep_the_run_awake() {
    for (act, most) in [(Act::Strange, 12), (Act::Silence, 30)] {
        let (world, gateway) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        world.travel(world.subscription(&id).await.due_at.unwrap());
        gateway.always(act);
        let before = gateway.sent();
        // Ticks of six hours; `run` fails when messages go on for ever.
        for _ in 0..36 {
            run(&world).await;
            world.wait(SignedDuration::from_mins(10));
        }
        let sent = gateway.sent() - before;
        assert!(sent <= most, "{act:?}: {sent} sends in six hours");
        gateway.always(Act::Take);
        for _ in 0..3 {
            world.wait(SignedDuration::from_mins(70));
            run(&world).await;
        }
        assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 2), "{act:?}");
    }
}

/// A message that finds the lease held by another run's runner is not the end of its own run.
#[tokio::test]
async fn a_run_that_starts_while_another_works_is_not_forgotten() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    let now = world.context().await.now;
    let other = domain::ids::RunId::new(domain::ids::ulid(now, 9));
    let until = now.as_millisecond() + 20_000;
    let value = serde_json::json!({ "until": until, "run": other.as_str() });
    let held = Write::New(Record::Control(Control { name: "runner#0".to_owned(), value, version: 0 }));
    world.store.commit(&Commit { id: "held".to_owned(), writes: vec![held], events: Vec::new() }).await.unwrap();
    run(&world).await;
    let run = typed::run(&world.store, &day_run(now)).await.unwrap().unwrap();
    assert_eq!((run.status, run.charged, gateway.captures()), (Status::Drained, 1, 2));
}

/// The forecast is what was due when the run began, however many ticks continue it.
#[tokio::test]
async fn ticks_do_not_count_the_forecast_again() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.always(Act::KeyRefused);
    for _ in 0..3 {
        run(&world).await;
    }
    let run = typed::run(&world.store, &day_run(world.context().await.now)).await.unwrap().unwrap();
    assert_eq!((run.forecast.count, run.forecast.amount), (1, 44_000));
}

/// Two operators travel at once: the one who read the clock first, and goes less far, must not take it back.
#[tokio::test]
async fn the_travelled_clock_never_goes_back() {
    let (world, _) = world(GatewayName::Toss).await;
    let context = world.context().await;
    let day = |n: i64| context.now + SignedDuration::from_hours(24 * n);
    let random = world.charging.random.as_ref();
    let starter = Starter { shards: &world.queue, random, runners: 1, time_travel: true, wall: context.now };
    start_run(&world.store, &starter, &context, Some(day(60))).await.unwrap();
    let stale = Context { now: context.now, actor: context.actor.clone() };
    start_run(&world.store, &starter, &stale, Some(day(30))).await.unwrap();
    let row = typed::control(&world.store, CLOCK).await.unwrap().unwrap();
    assert_eq!(travelled(&row, context.now), Some(day(60)));
}
