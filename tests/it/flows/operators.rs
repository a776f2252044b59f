//! What operators do: ask about one attempt (open ones are looked up, settled ones shown, strangers' do not exist) and
//! let a held run go on.

use domain::charge::{Billable, GatewayName};
use domain::event::Event;
use domain::ids::{RunId, SubscriptionId, ulid};
use domain::run::{Forecast, Progress, Run, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::api::operations::PlacedBody;
use shared::store::{Commit, Query, Record, Store, Write, typed};
use shared::usecase::approve_run::{ApproveRunError, approve_run};
use shared::usecase::charge_subscription::HTTP_PATIENCE;
use shared::usecase::hold_run::judged;
use shared::usecase::resolve_order::{Placed, ResolveOrderError, resolve_order};
use shared::usecase::run_billing::{self, day_run};
use shared::usecase::stamp;
use shared::usecase::start_run::{Starter, start_run};

use super::adverse::{self, Act};
use super::world::{Script, World};

async fn ask(world: &World, order_id: &str) -> Result<Placed, ResolveOrderError> {
    resolve_order(&world.charging, &world.context().await, order_id, HTTP_PATIENCE).await
}

fn order(id: &SubscriptionId, index: u32, gateway: GatewayName, n: u32) -> String {
    Billable { subscription: id.clone(), index, seq: 0 }.order_id(gateway, n)
}

fn shown(placed: &Placed) -> Value {
    let body = json!(PlacedBody::new(placed).unwrap());
    json!([body["index"], body["n"], body["outcome"], body["status"]])
}

#[tokio::test]
async fn an_attempt_nobody_heard_of_is_looked_up_now() {
    let world = World::new().await;
    world.gateway.then(&[Script::CaptureThenSilence]);
    let id = world.onboard().await;
    let first = order(&id, 0, GatewayName::Toss, 1);
    let placed = ask(&world, &first).await.unwrap();
    assert!(!placed.open());
    assert_eq!(shown(&placed), json!([0, 1, "SUCCEEDED", "PAID"]));
    assert_eq!(shown(&ask(&world, &first).await.unwrap()), json!([0, 1, "SUCCEEDED", "PAID"]));
    assert_eq!(world.gateway.captures(), 1);
}

#[tokio::test]
async fn one_the_gateway_does_not_know_stays_open_and_says_so() {
    let world = World::new().await;
    world.gateway.then(&[Script::Error]);
    let id = world.onboard().await;
    let mut placed = ask(&world, &order(&id, 0, GatewayName::Toss, 1)).await.unwrap();
    assert!(placed.open());
    // While its lease runs the send may still be on its way: that nothing is there proves nothing yet.
    for outcome in ["UNKNOWN", "UNKNOWN", "ABSENT"] {
        assert_eq!(shown(&placed), json!([0, 1, outcome, "OPEN"]));
        world.wait(SignedDuration::from_hours(2));
        placed = ask(&world, &order(&id, 0, GatewayName::Toss, 1)).await.unwrap();
    }
    assert_eq!(shown(&placed), json!([0, 1, "ABSENT", "OPEN"]));
}

#[tokio::test]
async fn one_that_is_being_sent_is_left_alone() {
    let world = World::new().await;
    let id = world.onboard().await;
    world.wait(SignedDuration::from_hours(24 * 31));
    // A worker claimed it and died, or still waits: its lease has not run out.
    let claimed = {
        let row = world.subscription(&id).await;
        let now = world.context().await.now;
        row.start(domain::subscription::Claim {
            trigger: domain::charge::Trigger::Manual,
            token: "t".to_owned(),
            now,
            lease_until: now + SignedDuration::from_secs(90),
            secret: "v1".to_owned(),
            request: shared::gateway::REQUEST_VERSION,
            intent: None,
        })
        .unwrap()
    };
    let until = claimed.live.as_ref().unwrap().lease_until;
    let writes = vec![Write::Replace(Record::Subscription(claimed))];
    world.store.commit(&Commit { id: "claim".to_owned(), writes, events: Vec::new() }).await.unwrap();
    let renewal = order(&id, 1, GatewayName::Toss, 1);
    assert!(matches!(ask(&world, &renewal).await, Err(ResolveOrderError::InFlight { until: u }) if u == until));
    world.wait(SignedDuration::from_secs(91));
    assert_eq!(shown(&ask(&world, &renewal).await.unwrap()), json!([1, 1, "SUCCEEDED", "PAID"]));
    assert_eq!(world.captured(&id).into_values().collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn stripes_order_id_means_the_last_attempt_of_its_cycle() {
    let (world, gateway) = adverse::world(GatewayName::Stripe).await;
    gateway.then(&[Act::Soft, Act::TakeUnheard]);
    let id = adverse::onboard(&world, GatewayName::Stripe).await;
    let cycle = order(&id, 0, GatewayName::Stripe, 1);
    assert_eq!(shown(&ask(&world, &cycle).await.unwrap()), json!([0, 1, "DECLINED", "OPEN"]));
    adverse::card(&world, &id.request(), GatewayName::Stripe, "another").await.unwrap();
    assert_eq!(shown(&ask(&world, &cycle).await.unwrap()), json!([0, 2, "SUCCEEDED", "PAID"]));
}

#[tokio::test]
async fn what_is_not_ours_does_not_exist() {
    let world = World::new().await;
    let id = world.onboard().await;
    let stranger = world.apply().await.subscription();
    let unknown = [
        "".to_owned(),
        "not-an-order".to_owned(),
        order(&stranger, 0, GatewayName::Toss, 1),
        order(&id, 0, GatewayName::Toss, 2),
        order(&id, 1, GatewayName::Toss, 1),
        order(&id, 0, GatewayName::Stripe, 1),
    ];
    for order_id in unknown {
        assert!(matches!(ask(&world, &order_id).await, Err(ResolveOrderError::NotFound)), "{order_id}");
    }
}

#[tokio::test]
async fn a_held_run_goes_on_when_an_operator_says_so() {
    let world = World::new().await;
    let random = world.charging.random.as_ref();
    let context = world.context().await;
    let history = (1..=10).map(|day| past_run(context.now, day));
    let run = Run::new(day_run(context.now), None, 2, context.now);
    let run = (0..2).fold(run, |run, shard| run.progressed(shard, &due(61), context.now));
    let writes = history.map(|run| Write::New(Record::Run(run))).collect();
    let commit = Commit { id: "history".to_owned(), writes, events: Vec::new() };
    world.store.commit(&commit).await.unwrap();

    let (same, facts) = judged(&world.store, run.clone(), 0, context.now).await.unwrap();
    assert_eq!((&same, facts.len()), (&run, 0), "0 holds no run");
    let (held, facts) = judged(&world.store, run, 3, context.now).await.unwrap();
    assert_eq!((held.status, facts[0].kind), (Status::Held, "run.held"));
    let writes = vec![Write::New(Record::Run(held.clone()))];
    world.store.commit(&stamp::commit(random, &context, writes, facts)).await.unwrap();

    // Neither a tick nor starting it again lets it go on.
    run_billing::tick(&world.store, &world.queue, random, context.now, 2).await.unwrap();
    let starter = Starter { shards: &world.queue, random, runners: 2, time_travel: false, wall: context.now };
    assert_eq!(start_run(&world.store, &starter, &context, None).await.unwrap().status, Status::Held);
    world.queue.0.lock().unwrap().clear();

    for _ in 0..2 {
        let run = approve_run(&world.store, &world.queue, random, &context, &held.id).await.unwrap();
        assert_eq!((run.status, run.approved_by.as_deref(), run.may_charge()), (Status::Running, Some("ops"), true));
        let shards: Vec<u32> = world.queue.0.lock().unwrap().drain(..).map(|(m, _)| m.shard).collect();
        assert_eq!(shards, [0, 1], "every runner is called, again if asked again");
    }
    let query = Query::EventsOf { subject: held.id.to_string() };
    let (events, _) = typed::list::<Event>(&world.store, &query, 10, None).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|k| **k == "run.approved").count(), 1, "{kinds:?}");
    let other = past_run(context.now, 3).id;
    let refused = approve_run(&world.store, &world.queue, random, &context, &other).await;
    assert!(matches!(refused, Err(ApproveRunError::NotHeld)));
    let nobody = RunId::new(ulid(context.now, 99));
    let refused = approve_run(&world.store, &world.queue, random, &context, &nobody).await;
    assert!(matches!(refused, Err(ApproveRunError::NotFound)));
}

fn due(count: u64) -> Progress {
    Progress { forecast: Some(Forecast { count, amount: 33_000 }), ..Progress::default() }
}

fn past_run(now: Timestamp, days_ago: i64) -> Run {
    let at = now - SignedDuration::from_hours(24 * days_ago);
    let run = Run::new(day_run(at), None, 1, at).progressed(0, &due(20), at);
    Run { charged: 20, status: Status::Drained, ..run }
}
