//! A worker frozen for longer than the proof of absence wakes with its request in hand. Where the cycle's PaymentIntent is
//! known, it can take nothing; where none is, no gateway could know better: the second payment is held and told of, and
//! nothing is lost or applied twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::charge::{Answer, Billable, GatewayName, Trigger};
use domain::cycle::Outcome;
use domain::ids::SubscriptionId;
use domain::money::Money;
use jiff::SignedDuration;
use secrecy::SecretString;
use shared::gateway::{Charge, Gateway, REQUEST_VERSION};
use shared::store::typed;
use shared::usecase::charge_subscription::charge;
use shared::usecase::receive_webhook::{SignedEvent, receive_signed};

use super::adverse::{Act, Adverse, onboard, run, world};
use super::cancelling::was_told;
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

/// What the frozen worker sends: the bytes of attempt `n`.
async fn thaw(gateway: &Adverse, id: &SubscriptionId, n: u32) -> Answer {
    let billable = Billable { subscription: id.clone(), index: 1, seq: 0 };
    let (token, customer) = (SecretString::from("token"), SecretString::from("customer"));
    let late = Charge {
        order_id: &billable.order_id(gateway.name, n),
        idempotency_key: &billable.key("charge", n),
        amount: Money::krw(44_000),
        order_name: "late",
        token: &token,
        customer: &customer,
        key_version: "v1",
        request_version: REQUEST_VERSION,
        intent: None,
        known_charges: &[],
    };
    gateway.charge(&late).await
}

/// Attempt 1 was claimed and not sent, answered for by an error, closed as absent; attempt 2 paid.
async fn overtaken(world: &World, gateway: &Adverse, name: GatewayName) -> SubscriptionId {
    let id = onboard(world, name).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[Act::Error]);
    let (subscription, context) = (world.subscription(&id).await, world.context().await);
    charge(&world.charging, &context, subscription, Trigger::Renewal, PATIENCE).await.unwrap();
    for _ in 0..4 {
        world.wait(SignedDuration::from_mins(61));
        run(world).await;
    }
    assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 2));
    id
}

#[tokio::test]
async fn without_a_known_intent_the_second_payment_is_held_and_told_of() {
    for name in GatewayName::ALL {
        let (world, gateway) = world(name).await;
        let id = overtaken(&world, &gateway, name).await;
        let answer = thaw(&gateway, &id, 1).await;
        assert_eq!(gateway.captures(), 3, "{name:?}: no gateway knows that the two keys mean one debt");
        // Its event, or its own report under the claim it lost.
        let billable = Billable { subscription: id.clone(), index: 1, seq: 0 };
        for event in ["evt_1", "evt_2"] {
            let event = SignedEvent {
                report: Some((billable.clone(), answer.clone())),
                ..SignedEvent::stored(name, event, "payment_intent.succeeded")
            };
            receive_signed(&world.charging, world.context().await.now, event).await.unwrap();
        }
        let cycle = typed::cycle(&world.store, &id, 1, 0).await.unwrap().unwrap();
        let of = |outcome| cycle.attempts.iter().filter(|a| a.outcome == outcome).count();
        assert_eq!((of(Outcome::Succeeded), of(Outcome::Quarantined)), (1, 1), "{name:?}: {cycle:?}");
        assert_eq!(was_told(&world, &id, "payment.quarantined"), 1, "{name:?}");
        assert_eq!(world.subscription(&id).await.paid, Some(1));
    }
}

/// Inside the key window the worker sends what was sent already, and hears the same.
#[tokio::test]
async fn under_a_key_that_was_used_it_takes_nothing() {
    let (world, gateway) = world(GatewayName::Stripe).await;
    let id = onboard(&world, GatewayName::Stripe).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[Act::TakeUnheard]);
    gateway.blind.store(1, Ordering::SeqCst);
    run(&world).await;
    assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 2));
    thaw(&gateway, &id, 1).await;
    assert_eq!(gateway.captures(), 2);
}
