//! The runner as a piece of machinery: order, hand-on, lease, breaker, parking and the end of a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Billable, GatewayName};
use domain::ids::SubscriptionId;
use domain::run::{Forecast, Run, Status};
use domain::settle::Hint;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::SignedDuration;
use serde_json::json;
use shared::ports::{Hints, QueueUnavailable, ShardMessage, Shards};
use shared::store::rows::Item;
use shared::store::schema::Table;
use shared::store::{Commit, Record, Store, Write, typed};
use shared::usecase::approve_run::approve_run;
use shared::usecase::run_billing::{day_run, tick};
use shared::usecase::runner::Runner;

use super::adverse::{Act, Adverse, onboard, run, world};
use super::world::World;

const TOSS: GatewayName = GatewayName::Toss;

/// `n` subscriptions that fall due one after the other, and a clock after the last of them.
async fn due(n: usize) -> (World, Arc<Adverse>, Vec<SubscriptionId>) {
    let (world, gateway) = world(TOSS).await;
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(onboard(&world, TOSS).await);
    }
    world.wait(SignedDuration::from_hours(24 * 31));
    (world, gateway, ids)
}

async fn message(world: &World) -> ShardMessage {
    let now = world.context().await.now;
    tick(&world.store, &world.queue, world.charging.random.as_ref(), now, 1).await.unwrap();
    world.queue.0.lock().unwrap().pop_front().unwrap().0
}

async fn the_run(world: &World) -> Run {
    typed::run(&world.store, &day_run(world.context().await.now)).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_fell_due_first_is_charged_first_whatever_its_partition() {
    let (world, gateway) = world(TOSS).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(onboard(&world, TOSS).await);
        world.wait(SignedDuration::from_hours(25));
    }
    let message = message(&world).await;
    world.runner().run(&message).await.unwrap();
    let orders = gateway.ledger.lock().unwrap().clone();
    let sold =
        |order: &String| ids.iter().position(|id| *id == Billable::parse_order_id(order).unwrap().0.subscription);
    let sold: Vec<_> = orders[40..].iter().map(|order| sold(order).unwrap()).collect();
    assert!(sold.len() >= 9 && sold.is_sorted(), "{sold:?}");
}

/// Notes how many charges were answered when the next runner was called.
struct Watched<'a> {
    gateway: &'a Adverse,
    answered: Mutex<Vec<usize>>,
}

#[async_trait]
impl Shards for Watched<'_> {
    async fn send(&self, _: &ShardMessage, _: Duration) -> Result<(), QueueUnavailable> {
        self.answered.lock().unwrap().push(self.gateway.captures());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_runner_is_called_before_the_last_answers_are_in() {
    let (world, gateway, ids) = due(30).await;
    *gateway.charge_takes.lock().unwrap() = Duration::from_secs(5);
    let message = message(&world).await;
    let watched = Watched { gateway: &gateway, answered: Mutex::default() };
    let settings = shared::usecase::runner::Settings { toss_rate: 10, ..world.runner().settings };
    // Time for about ten claims.
    let deadline = tokio::time::Instant::now() + settings.reserve + Duration::from_secs(1);
    let runner = Runner { shards: &watched, settings, deadline, ..world.runner() };
    runner.run(&message).await.unwrap();
    let taken = gateway.captures() - ids.len();
    assert_eq!(*watched.answered.lock().unwrap(), [ids.len()], "none of this run's charges had been answered");
    assert!((8..=14).contains(&taken), "{taken} were claimed in time, and all of them were heard out");
    *gateway.charge_takes.lock().unwrap() = Duration::ZERO;
    world.runner().run(&ShardMessage { continued: true, ..message }).await.unwrap();
    assert_eq!(gateway.captures(), 60);
    assert_eq!(the_run(&world).await.charged, 30);
}

/// Passes messages to the next runner, which is already there.
struct Relay(tokio::sync::mpsc::UnboundedSender<ShardMessage>);

#[async_trait]
impl Shards for Relay {
    async fn send(&self, message: &ShardMessage, _: Duration) -> Result<(), QueueUnavailable> {
        self.0.send(message.clone()).map_err(|_| QueueUnavailable)
    }
}

#[tokio::test(start_paused = true)]
async fn runners_that_follow_each_other_keep_one_rate() {
    let (world, gateway, ids) = due(60).await;
    *gateway.charge_takes.lock().unwrap() = Duration::from_secs(5);
    let (first, mut queue) = (message(&world).await, tokio::sync::mpsc::unbounded_channel());
    let relay = Relay(queue.0);
    let settings = shared::usecase::runner::Settings { toss_rate: 10, ..world.runner().settings };
    let run = |message: ShardMessage| {
        // Time for about ten claims each.
        let deadline = tokio::time::Instant::now() + settings.reserve + Duration::from_secs(1);
        let runner = Runner { shards: &relay, settings, deadline, ..world.runner() };
        async move { runner.run(&message).await.unwrap() }
    };
    let mut running = FuturesUnordered::from_iter([run(first)]);
    let mut hand_ons = 0;
    while gateway.sent() < 2 * ids.len() {
        tokio::select! {
            Some(message) = queue.1.recv() => {
                hand_ons += 1;
                running.push(run(message));
            }
            Some(()) = running.next() => {}
        }
    }
    let sent: Vec<_> = gateway.sends.lock().unwrap().iter().skip(ids.len()).map(|(_, at)| *at).collect();
    assert!(hand_ons >= 4, "{hand_ons}");
    for (first, over) in sent.iter().zip(sent.iter().skip(10)) {
        assert!(*over - *first >= Duration::from_secs(1), "eleven calls in {:?}", *over - *first);
    }
}

#[tokio::test]
async fn a_dead_runner_delays_its_share_by_a_minute() {
    let (world, gateway, _) = due(3).await;
    let message = message(&world).await;
    gateway.charge_takes.lock().unwrap().clone_from(&Duration::from_secs(3_600));
    let dead = tokio::time::timeout(Duration::from_millis(300), world.runner().run(&message)).await;
    assert!(dead.is_err(), "it died at work");
    *gateway.charge_takes.lock().unwrap() = Duration::ZERO;
    world.runner().run(&message).await.unwrap();
    assert!(the_run(&world).await.drained.is_empty(), "its lease still stands");
    world.wait(SignedDuration::from_secs(61));
    world.runner().run(&message).await.unwrap();
    world.wait(SignedDuration::from_mins(70));
    run(&world).await;
    assert_eq!(gateway.captures(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_out_is_left_alone_probed_and_taken_up_again() {
    let (world, gateway, _) = due(120).await;
    gateway.always(Act::Error);
    let before = gateway.sent();
    let shard = message(&world).await;
    let paced = || {
        let settings = shared::usecase::runner::Settings { toss_rate: 50, ..world.runner().settings };
        Runner { settings, ..world.runner() }
    };
    paced().run(&shard).await.unwrap();
    let sent = gateway.sent() - before;
    assert!((20..60).contains(&sent), "{sent} sends before it is found to be out");
    let (next, delay) = world.queue.0.lock().unwrap().pop_front().expect("it is probed again soon");
    assert!(delay <= Duration::from_secs(11), "{delay:?}");
    let mut probes = 0;
    for _ in 0..10 {
        world.wait(SignedDuration::from_secs(61));
        paced().run(&next).await.unwrap();
        probes += 1;
    }
    let probed = gateway.sent() - before - sent;
    assert!(probed <= probes, "{probed} sends in {probes} probes");
    world.queue.0.lock().unwrap().clear();
    gateway.always(Act::Take);
    for _ in 0..4 {
        world.wait(SignedDuration::from_mins(70));
        run(&world).await;
    }
    assert_eq!(gateway.captures(), 240, "all are charged, once");
}

#[tokio::test]
async fn an_account_that_cannot_be_billed_is_parked_and_the_others_go_on() {
    let (world, gateway, ids) = due(10).await;
    gateway.then(&[Act::Soft]);
    run(&world).await;
    let sad =
        ids.iter().find(|id| gateway.ledger.lock().unwrap().iter().filter(|o| o.contains(id.ulid())).count() == 1);
    let sad = sad.unwrap();
    let open = |(table, item): &(&str, Item)| *table == "subscription_cycle" && item["pk"] == sad.as_str();
    let (_, mut row) = world.store.dump().into_iter().rfind(open).unwrap();
    row.insert("lines".to_owned(), json!("damaged"));
    world.store.put_raw(Table::Cycle, row).unwrap();
    world.wait(SignedDuration::from_hours(24));
    run(&world).await;
    let parked = world.subscription(sad).await;
    assert!(parked.parked && parked.due_at.is_none());
    assert_eq!(the_run(&world).await.status, Status::Drained);
}

#[tokio::test]
async fn a_row_that_does_not_read_back_is_skipped() {
    let (world, gateway, ids) = due(10).await;
    let (_, whole) = world
        .store
        .dump()
        .into_iter()
        .find(|(table, i)| *table == "subscription" && i["pk"] == ids[4].as_str())
        .unwrap();
    let mut broken = whole.clone();
    broken.insert("amount".to_owned(), json!("much"));
    world.store.put_raw(Table::Subscription, broken).unwrap();
    run(&world).await;
    assert_eq!((gateway.captures(), the_run(&world).await.status), (19, Status::Drained));
    world.store.put_raw(Table::Subscription, whole).unwrap();
    run(&world).await;
    assert_eq!(gateway.captures(), 20, "repaired, it is due as before");
}

struct Busy(AtomicBool);

#[async_trait]
impl Hints for Busy {
    async fn send(&self, _: &SubscriptionId, _: &str, _: Hint) {}

    async fn idle(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_run_is_over_when_recovery_is() {
    let (mut world, _, _) = due(2).await;
    let hints = Arc::new(Busy(AtomicBool::new(true)));
    world.charging.hints = hints.clone();
    let shard = message(&world).await;
    world.runner().run(&shard).await.unwrap();
    assert_eq!((the_run(&world).await.status, the_run(&world).await.charged), (Status::Running, 2));
    hints.0.store(false, Ordering::SeqCst);
    let (next, _) = world.queue.0.lock().unwrap().pop_front().unwrap();
    world.runner().run(&next).await.unwrap();
    assert_eq!(the_run(&world).await.status, Status::Drained);
}

/// Seven ordinary days of two charges each, and then forty are due.
#[tokio::test]
async fn a_run_that_jumps_is_held_until_an_operator_lets_it_go_on() {
    let (world, gateway, _) = due(40).await;
    let today = world.context().await.now;
    for day in 1..=8 {
        let at = today - SignedDuration::from_hours(24 * day);
        let forecast = Forecast { count: 2, amount: 88_000 };
        let run = Run { forecast, charged: 20, foreseen: vec![0], ..Run::new(day_run(at), None, 1, at) };
        let writes = vec![Write::New(Record::Run(run))];
        world.store.commit(&Commit { id: format!("day-{day}"), writes, events: Vec::new() }).await.unwrap();
    }
    let shard = message(&world).await;
    let watchful = || {
        let settings = shared::usecase::runner::Settings { hold_factor: 3, ..world.runner().settings };
        Runner { settings, ..world.runner() }
    };
    watchful().run(&shard).await.unwrap();
    assert_eq!((the_run(&world).await.status, gateway.captures()), (Status::Held, 40), "only first payments so far");
    watchful().run(&message(&world).await).await.unwrap();
    assert_eq!(the_run(&world).await.status, Status::Held, "a tick does not approve it");
    let random = world.charging.random.as_ref();
    let id = day_run(today);
    let approved = approve_run(&world.store, &world.queue, random, &world.context().await, &id).await.unwrap();
    assert_eq!(approved.status, Status::Running);
    let (shard, _) = world.queue.0.lock().unwrap().pop_front().unwrap();
    watchful().run(&shard).await.unwrap();
    assert_eq!((the_run(&world).await.status, gateway.captures()), (Status::Drained, 80));
}

#[tokio::test]
async fn nobody_charges_before_every_runner_has_said_what_it_foresees() {
    let (world, gateway, _) = due(20).await;
    let now = world.context().await.now;
    tick(&world.store, &world.queue, world.charging.random.as_ref(), now, 2).await.unwrap();
    let messages: Vec<ShardMessage> = world.queue.0.lock().unwrap().drain(..).map(|(m, _)| m).collect();
    world.runner().run(&messages[0]).await.unwrap();
    assert_eq!(gateway.captures(), 20);
    let (first, delay) = world.queue.0.lock().unwrap().pop_front().expect("it asks again soon");
    assert!(delay < Duration::from_secs(10));
    world.runner().run(&messages[1]).await.unwrap();
    world.runner().run(&first).await.unwrap();
    assert_eq!((the_run(&world).await.status, gateway.captures()), (Status::Drained, 40));
}

/// The neighbour's message is lost at the end of a day: nobody calls it any more, and whoever waited for it must not go
/// on asking for ever.
#[tokio::test]
async fn a_neighbour_that_never_speaks_is_not_waited_for_for_ever() {
    let (world, _, _) = due(20).await;
    let now = world.context().await.now;
    tick(&world.store, &world.queue, world.charging.random.as_ref(), now, 2).await.unwrap();
    let (mut message, _) = world.queue.0.lock().unwrap().drain(..).next().unwrap();
    for asked in 0.. {
        world.runner().run(&message).await.unwrap();
        let Some((again, delay)) = world.queue.0.lock().unwrap().pop_front() else { break };
        assert!(asked < 1_000, "it asks for ever");
        world.wait(SignedDuration::try_from(delay).unwrap());
        message = again;
    }
}
