//! Payment guides while a gateway is paused: each affected subscription is told once per pause, whatever the batches;
//! nobody who may have paid is told to pay, and nothing that is due moves.

use std::collections::BTreeSet;

use domain::charge::GatewayName;
use domain::event::Event;
use domain::ids::SubscriptionId;
use jiff::SignedDuration;
use shared::store::{Query, typed};
use shared::usecase::payment_guide::{Guide, GuideError, Guided, guide, tell};
use shared::usecase::switch;

use super::world::{Script, World};

const TOSS: GatewayName = GatewayName::Toss;

async fn turn(world: &World, paused: bool) {
    let (random, context) = (world.charging.random.as_ref(), world.context().await);
    let after = if paused {
        switch::pause(&world.store, random, &context, TOSS, "maintenance", Vec::new()).await
    } else {
        switch::resume(&world.store, random, &context, TOSS, "done", Vec::new()).await
    };
    assert_eq!(after.unwrap().paused.is_some(), paused);
}

async fn ask(world: &World, limit: u32, cursor: Option<&str>) -> Result<Guided, GuideError> {
    tell(&world.store, world.charging.random.as_ref(), &world.context().await, TOSS, limit, cursor).await
}

/// All batches of a pause, small ones.
async fn all(world: &World) -> (Vec<SubscriptionId>, u32, u32) {
    let (mut told, mut already, mut open, mut cursor) = (Vec::new(), 0, 0, None::<String>);
    for _ in 0..100 {
        let batch = ask(world, 3, cursor.as_deref()).await.unwrap();
        assert!(batch.told.len() <= 3);
        told.extend(batch.told);
        (already, open, cursor) = (already + batch.already, open + batch.open, batch.next);
        if cursor.is_none() {
            return (told, already, open);
        }
    }
    panic!("the list does not end");
}

async fn events(world: &World, id: &SubscriptionId) -> usize {
    let query = Query::EventsOf { subject: id.to_string() };
    let (events, _) = typed::list::<Event>(&world.store, &query, 100, None).await.unwrap();
    events.iter().filter(|e| e.kind == "subscription.payment_guide").count()
}

#[tokio::test]
async fn everybody_affected_is_told_once_per_pause() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.onboard().await);
    }
    assert!(matches!(ask(&world, 10, None).await, Err(GuideError::NotPaused)));
    turn(&world, true).await;
    assert_eq!(all(&world).await, (Vec::new(), 0, 0), "nothing is due yet");
    world.wait(SignedDuration::from_hours(24 * 31));
    let before: Vec<_> = world.store.dump().into_iter().filter(|row| format!("{row:?}").contains("sub_")).collect();
    let (told, already, open) = all(&world).await;
    assert_eq!((told.iter().collect::<BTreeSet<_>>(), told.len()), (ids.iter().collect(), 20));
    assert_eq!((already, open), (0, 0));
    assert_eq!(all(&world).await, (Vec::new(), 20, 0), "asked again, nobody is told again");
    for row in before {
        assert!(world.store.dump().contains(&row), "what is due is not touched");
    }
    turn(&world, false).await;
    world.wait(SignedDuration::from_secs(1));
    turn(&world, true).await;
    assert_eq!(all(&world).await.0.len(), 20, "another pause is another guide");
    for id in &ids {
        assert_eq!(events(&world, id).await, 2);
    }
}

#[tokio::test]
async fn nobody_who_may_have_paid_is_told_to_pay() {
    let world = World::new().await;
    let (sure, unsure) = (world.onboard().await, world.onboard().await);
    let page = async |id: &SubscriptionId| guide(&world.store, world.context().await.now, id).await.unwrap().unwrap();
    assert_eq!(page(&sure).await, Guide::Nothing, "paid");
    world.wait(SignedDuration::from_hours(24 * 31));
    assert_eq!(page(&sure).await, Guide::Nothing, "the card is charged by itself");
    // One attempt falls silent, then the gateway is paused.
    world.gateway.then(&[Script::CaptureThenSilence]);
    let context = world.context().await;
    shared::usecase::activate_subscription::retry(
        &world.charging,
        &context,
        &unsure,
        std::time::Duration::from_secs(5),
    )
    .await
    .unwrap();
    turn(&world, true).await;
    world.wait(SignedDuration::from_hours(2));
    let (told, _, open) = all(&world).await;
    assert_eq!((told, open), (vec![sure.clone()], 1));
    assert_eq!(page(&unsure).await, Guide::Wait);
    let Guide::Pay { amount, period, reference } = page(&sure).await else { panic!("told to pay") };
    assert_eq!((amount.amount, period.start.to_string()), (44_000, "2027-01-01".to_owned()));
    assert!(reference.starts_with("MG") && reference.ends_with("-1") && reference.len() <= 16, "{reference}");
    turn(&world, false).await;
    assert_eq!(page(&sure).await, Guide::Nothing, "an old link asks for nothing");
}

#[tokio::test]
async fn a_cursor_of_something_else_is_refused() {
    let world = World::new().await;
    turn(&world, true).await;
    for bad in ["", "x", "1", "1.2", "-1.0.", "0.99999999999999999.", "0.4102444800000."] {
        assert!(matches!(ask(&world, 10, Some(bad)).await, Err(GuideError::BadCursor)), "{bad}");
    }
    let past = format!("0.{}.nonsense", world.context().await.now.as_millisecond());
    let refused = ask(&world, 10, Some(&past)).await;
    assert!(matches!(refused, Err(GuideError::Store(shared::store::StoreError::BadCursor))));
}
