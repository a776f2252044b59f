//! An operator asks about one attempt: open ones are looked up, settled ones shown, strangers' do not exist.

use domain::charge::{Billable, GatewayName};
use domain::ids::SubscriptionId;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::api::operations::PlacedBody;
use shared::usecase::charge_subscription::HTTP_PATIENCE;
use shared::usecase::resolve_order::{Placed, ResolveOrderError, resolve_order};

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
    let placed = ask(&world, &order(&id, 0, GatewayName::Toss, 1)).await.unwrap();
    assert!(placed.open());
    assert_eq!(shown(&placed), json!([0, 1, "UNKNOWN", "OPEN"]));
    world.wait(SignedDuration::from_hours(2));
    let placed = ask(&world, &order(&id, 0, GatewayName::Toss, 1)).await.unwrap();
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
    let writes = vec![shared::store::Write::Replace(shared::store::Record::Subscription(claimed))];
    let commit = shared::store::Commit { id: "claim".to_owned(), writes, events: Vec::new() };
    shared::store::Store::commit(&world.store, &commit).await.unwrap();
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
