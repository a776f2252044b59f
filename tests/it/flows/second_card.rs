//! A card supplied while the old one's answer is open, and pages that are loaded twice.

use domain::charge::GatewayName;
use domain::subscription::Status;
use jiff::SignedDuration;
use shared::usecase::charge_subscription::ChargeResult;

use super::adverse::{Act, card, onboard, run, world};

fn declined(result: &Option<ChargeResult>) -> bool {
    matches!(result, Some(ChargeResult::Declined { .. }))
}

/// The first payment's answer is lost; the applicant, told nothing, supplies another card. Whatever became of the old
/// one, the new card is not forgotten.
#[tokio::test]
async fn a_card_registered_while_an_answer_is_open_is_charged_next() {
    for name in GatewayName::ALL {
        let (world, gateway) = world(name).await;
        gateway.then(&[Act::Silence, Act::Hard]);
        let id = onboard(&world, name).await;
        let second = card(&world, &id.request(), name, "second").await.unwrap();
        let _ = second.charge;
        for _ in 0..4 {
            world.wait(SignedDuration::from_mins(10));
            run(&world).await;
        }
        let subscription = world.subscription(&id).await;
        assert_eq!(subscription.method_id, second.method.id, "{name:?}: the new card is the subscription's");
        assert_eq!((subscription.status, gateway.captures()), (Status::Active, 1), "{name:?}: and it pays");
    }
}

/// The same in dunning: the old card's decline does not end the schedule of the new one.
#[tokio::test]
async fn a_card_registered_during_an_open_retry_keeps_its_schedule() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[Act::Soft]);
    run(&world).await;
    let next = world.subscription(&id).await.dunning.unwrap().next_at.unwrap();
    world.travel(next);
    gateway.then(&[Act::Silence, Act::Silence, Act::Hard]);
    let subscription = world.subscription(&id).await;
    let context = world.context().await;
    let patience = std::time::Duration::from_secs(5);
    let trigger = domain::charge::Trigger::Dunning;
    shared::usecase::charge_subscription::charge(&world.charging, &context, subscription, trigger, patience)
        .await
        .unwrap();
    assert!(world.subscription(&id).await.live.is_some());
    let second = card(&world, &id.request(), GatewayName::Toss, "second").await.unwrap();
    assert_eq!(second.charge, Some(ChargeResult::Pending));
    for _ in 0..3 {
        world.wait(SignedDuration::from_hours(24));
        run(&world).await;
    }
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.paid, subscription.method_id), (Some(1), second.method.id));
    assert_eq!(gateway.captures(), 2);
}

/// Toss sends the browser back with the key in the address: reloading that page registers "again".
#[tokio::test]
async fn a_reloaded_page_charges_a_declined_card_once() {
    let (world, gateway) = world(GatewayName::Toss).await;
    gateway.always(Act::Soft);
    let id = onboard(&world, GatewayName::Toss).await.request();
    assert!(declined(&card(&world, &id, GatewayName::Toss, "second").await.unwrap().charge));
    let sent = gateway.sent();
    for _ in 0..3 {
        let again = card(&world, &id, GatewayName::Toss, "second").await.unwrap();
        assert!(declined(&again.charge), "the same answer");
    }
    assert_eq!(gateway.sent(), sent, "the card was tried again");
}

#[tokio::test]
async fn an_old_registration_does_not_bring_an_old_card_back() {
    let (world, gateway) = world(GatewayName::Toss).await;
    gateway.then(&[Act::Hard, Act::Soft]);
    let id = world.apply().await;
    card(&world, &id, GatewayName::Toss, "first").await.unwrap();
    world.approve(&id).await;
    let second = card(&world, &id, GatewayName::Toss, "second").await.unwrap();
    assert!(declined(&second.charge));
    let sent = gateway.sent();
    card(&world, &id, GatewayName::Toss, "first").await.unwrap();
    let subscription = world.subscription(&id.subscription()).await;
    assert_eq!(subscription.method_id, second.method.id, "the dead card came back");
    assert_eq!(gateway.sent(), sent);
}

/// A card for a cycle whose ceiling is reached cannot pay it; nobody is told to wait for what never comes.
#[tokio::test]
async fn a_card_that_may_not_be_charged_is_not_pending() {
    let (world, gateway) = world(GatewayName::Toss).await;
    gateway.always(Act::Soft);
    let id = onboard(&world, GatewayName::Toss).await.request();
    let context = world.context().await;
    let patience = std::time::Duration::from_secs(5);
    for _ in 0..7 {
        shared::usecase::activate_subscription::activate(&world.charging, &context, &id.subscription(), patience)
            .await
            .unwrap();
    }
    let ninth = card(&world, &id, GatewayName::Toss, "ninth").await.unwrap();
    assert_eq!((ninth.charge, gateway.sent()), (None, 8));
}
