//! Applications that end without an operator's word, and what becomes of the cards of whoever has come to an end.

use std::sync::atomic::Ordering;

use domain::cancelling::CancelAt;
use domain::event::Event;
use domain::ids::RequestId;
use domain::method::{PaymentMethod, Status as MethodStatus};
use domain::onboarding::{Application, DecideError, Status, Verdict};
use domain::subscription::Status as SubscriptionStatus;
use jiff::SignedDuration;
use shared::store::{Query, typed};
use shared::usecase::decide_application::{Ruling, decide};
use shared::usecase::delete_method::{ENDING, ForgetError, ended, forget_all};
use shared::usecase::end_application::{EndError, expire, withdraw};
use tokio::time::Instant;

use super::cancelling::cancelled;
use super::world::World;

const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn application(world: &World, id: &RequestId) -> Application {
    typed::application(&world.store, id).await.unwrap().unwrap()
}

async fn expired(world: &World) -> u32 {
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    let random = world.charging.random.as_ref();
    expire(&world.store, random, &world.context().await, deadline).await.unwrap()
}

async fn withdrawn(world: &World, id: &RequestId) -> Result<Application, EndError> {
    let random = world.charging.random.as_ref();
    withdraw(&world.store, random, &world.context().await, id, id.as_str(), &[]).await
}

async fn said(world: &World, id: &RequestId, verdict: Verdict) -> bool {
    let ruling = Ruling { id: id.clone(), verdict, note: Some("because".to_owned()), by: "ops".to_owned() };
    let patience = std::time::Duration::from_secs(5);
    decide(&world.charging, &world.context().await, ruling, patience, Vec::new()).await.is_ok()
}

async fn cards(world: &World, id: &RequestId) -> Vec<MethodStatus> {
    let query = Query::MethodsOfTenant { tenant: id.tenant() };
    let (cards, _) = typed::list::<PaymentMethod>(&world.store, &query, 10, None).await.unwrap();
    cards.into_iter().map(|card| card.status).collect()
}

/// The newest event about a subject of the kinds that may end somebody.
async fn ending(world: &World, subject: &str) -> Event {
    let query = Query::EventsOf { subject: subject.to_owned() };
    let (events, _) = typed::list::<Event>(&world.store, &query, 50, None).await.unwrap();
    events.into_iter().find(|event| ENDING.contains(&event.kind.as_str())).expect("an ending")
}

#[tokio::test]
async fn an_application_nobody_goes_on_with_expires_with_its_subscription() {
    let world = World::new().await;
    let (idle, seen) = (world.apply().await, world.apply().await);
    world.register(&idle, "auth-1").await;
    world.wait(DAY * 29);
    assert!(said(&world, &seen, Verdict::OnHold).await);
    assert_eq!(expired(&world).await, 0, "a day is left");
    world.wait(DAY);
    let young = world.apply().await;
    assert_eq!(expired(&world).await, 1);
    assert_eq!(application(&world, &idle).await.status, Status::Expired);
    assert_eq!(application(&world, &seen).await.status, Status::OnHold, "somebody said something yesterday");
    world.wait(DAY * 29);
    assert_eq!((expired(&world).await, expired(&world).await), (1, 0), "a month after the last word");
    assert_eq!(application(&world, &young).await.status, Status::Submitted);
    assert!(!said(&world, &idle, Verdict::Approved).await, "it is over");
    assert_eq!(ended(&ending(&world, idle.as_str()).await), Some(idle.tenant()));
}

#[tokio::test]
async fn an_applicant_withdraws_until_somebody_has_decided() {
    let world = World::new().await;
    let id = world.apply().await;
    world.register(&id, "auth-1").await;
    for _ in 0..2 {
        assert_eq!(withdrawn(&world, &id).await.unwrap().status, Status::Withdrawn, "and again");
    }
    assert!(!said(&world, &id, Verdict::Approved).await);
    let approved = world.apply().await;
    world.register(&approved, "auth-2").await;
    world.approve(&approved).await;
    assert!(matches!(withdrawn(&world, &approved).await, Err(EndError::Refused(DecideError::AlreadyDecided))));
    let unknown = RequestId::new(domain::ids::ulid(world.context().await.now, 7));
    assert!(matches!(withdrawn(&world, &unknown).await, Err(EndError::NotFound)));
}

#[tokio::test]
async fn cards_go_when_their_owner_does_and_the_gateway_is_asked_until_it_obeys() {
    let world = World::new().await;
    let id = world.apply().await;
    world.register(&id, "auth-1").await;
    withdrawn(&world, &id).await.unwrap();
    let owner = ended(&ending(&world, id.as_str()).await).unwrap();
    world.gateway.keeps.store(true, Ordering::SeqCst);
    let context = world.context().await;
    assert!(matches!(forget_all(&world.charging, &context, &owner).await, Err(ForgetError::Gateway)));
    assert_eq!(cards(&world, &id).await, [MethodStatus::Deleted], "ours goes first: it is never charged again");
    world.gateway.keeps.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(forget_all(&world.charging, &context, &owner).await.unwrap(), 1, "the message may come twice");
    }
    assert!(world.gateway.forgotten.lock().unwrap().iter().all(|token| token.starts_with("billing-")));
}

#[tokio::test]
async fn a_terminated_subscription_leaves_no_card_and_a_living_one_keeps_it() {
    let world = World::new().await;
    let id = world.onboard().await;
    let (context, tenant) = (world.context().await, id.request().tenant());
    assert_eq!(ended(&ending(&world, id.request().as_str()).await), None, "an approval ends nobody");
    assert!(matches!(forget_all(&world.charging, &context, &tenant).await, Err(ForgetError::Method(_))), "in use");
    assert_eq!(cards(&world, &id.request()).await, [MethodStatus::Active]);
    cancelled(&world, &id, CancelAt::Now).await;
    world.wait(DAY * 31);
    world.run().await;
    assert_eq!(world.subscription(&id).await.status, SubscriptionStatus::Terminated);
    let owner = ended(&ending(&world, id.as_str()).await).unwrap();
    assert_eq!(owner, tenant);
    assert_eq!(forget_all(&world.charging, &world.context().await, &owner).await.unwrap(), 1);
    assert_eq!(cards(&world, &id.request()).await, [MethodStatus::Deleted]);
    assert_eq!(world.gateway.forgotten.lock().unwrap().len(), 1);
}
