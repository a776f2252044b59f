//! The use cases against a gateway worse than both of ours, through outages: judged by its ledger.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::charge::{GatewayName, Profile, Trigger};
use domain::money::{Currency, Money};
use domain::subscription::{Status, Subscription};
use jiff::SignedDuration;
use shared::gateway::Gateways;
use shared::store::{Commit, Record, Store, Write};
use shared::usecase::change_method::{ChangeError, change};
use shared::usecase::charge_subscription::{ChargeError, charge};

use super::adverse::{Act, Adverse, card, onboard, run, world};
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

fn windows() -> [SignedDuration; 4] {
    let minute = SignedDuration::from_mins;
    [SignedDuration::ZERO, minute(5), minute(20 * 60), minute(13 * 24 * 60)]
}

fn outages() -> [SignedDuration; 4] {
    [1, 6 * 60, 25 * 60, 4 * 24 * 60].map(SignedDuration::from_mins)
}

/// A renewal meets `act`; then nobody is there for `outage`; then all is well.
async fn through(name: GatewayName, window: SignedDuration, outage: SignedDuration, act: Act) {
    let what = format!("{name:?}, keys {window}, away {outage}, {act:?}");
    let (world, gateway) = world(name).await;
    let id = onboard(&world, name).await;
    *gateway.keeps.lock().unwrap() = Some((world.clock.clone(), window));
    let margin = SignedDuration::from_mins(3);
    let key_window = if window > margin { window - margin } else { SignedDuration::ZERO };
    *gateway.profile.lock().unwrap() = Profile { key_window, replays_errors: false, ..name.profile() };
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[act]);
    let (subscription, context) = (world.subscription(&id).await, world.context().await);
    let _ = charge(&world.charging, &context, subscription, Trigger::Renewal, PATIENCE).await;
    gateway.away.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        world.wait(outage / 5);
        run(&world).await;
    }
    gateway.away.store(false, Ordering::SeqCst);
    for _ in 0..8 {
        world.wait(SignedDuration::from_mins(61));
        run(&world).await;
    }
    let subscription = world.subscription(&id).await;
    assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 2), "{what}: {subscription:?}");
    assert_eq!((subscription.live, subscription.dunning, subscription.status), (None, None, Status::Active), "{what}");
}

#[tokio::test]
async fn no_outage_doubles_or_forgets_a_renewal_whatever_becomes_of_keys() {
    for name in GatewayName::ALL {
        for window in windows() {
            for outage in outages() {
                for act in [Act::TakeUnheard, Act::TakeThenError, Act::Silence, Act::Error, Act::Strange] {
                    through(name, window, outage, act).await;
                }
            }
        }
    }
}

/// It cannot be asked by our id: while it keeps the key, the same send is the question.
#[tokio::test]
async fn one_that_cannot_be_asked_hears_the_same_send_again() {
    for act in [Act::TakeUnheard, Act::Silence] {
        let (world, gateway) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        gateway.profile.lock().unwrap().finds = false;
        world.travel(world.subscription(&id).await.due_at.unwrap());
        gateway.then(&[act]);
        run(&world).await;
        let paid = world.subscription(&id).await.paid;
        assert_eq!((paid, gateway.captures(), gateway.sent()), (Some(1), 2, 3), "{act:?}");
    }
}

async fn put(world: &World, row: Subscription) {
    let commit = Commit {
        id: format!("put {}", row.version),
        writes: vec![Write::Replace(Record::Subscription(row))],
        events: vec![],
    };
    world.store.commit(&commit).await.unwrap();
}

/// A subscription in dollars on a gateway that bills in won: its own trouble, and nobody else's.
#[tokio::test]
async fn a_currency_a_gateway_does_not_take_stops_one_subscription_and_no_run() {
    let mut world = World::new().await;
    let (toss, stripe) = (Adverse::new(GatewayName::Toss), Adverse::new(GatewayName::Stripe));
    world.charging.gateways = Gateways { toss: toss.clone(), stripe: stripe.clone() };
    let odd = onboard(&world, GatewayName::Toss).await;
    let other = onboard(&world, GatewayName::Toss).await;
    let row = world.subscription(&odd).await;
    put(&world, Subscription { amount: Money::new(3_000, Currency::USD), ..row }).await;
    world.travel(world.subscription(&odd).await.due_at.unwrap());
    run(&world).await;
    let (odd, other) = (world.subscription(&odd).await, world.subscription(&other).await);
    assert_eq!((other.paid, toss.captures()), (Some(1), 3), "the others are charged");
    assert_eq!((odd.paid, odd.live.is_some()), (Some(0), false), "and this one is not");
    assert!(odd.waits_for_card() && odd.dunning.unwrap().next_at.is_none(), "it is asked for another card");
}

#[tokio::test]
async fn a_card_of_a_gateway_that_does_not_take_the_currency_is_not_put_on_a_subscription() {
    let mut world = World::new().await;
    let (toss, stripe) = (Adverse::new(GatewayName::Toss), Adverse::new(GatewayName::Stripe));
    world.charging.gateways = Gateways { toss: toss.clone(), stripe: stripe.clone() };
    let id = onboard(&world, GatewayName::Stripe).await;
    let row = world.subscription(&id).await;
    put(&world, Subscription { amount: Money::new(3_000, Currency::USD), ..row.clone() }).await;
    stripe.then(&[Act::Soft]);
    world.travel(row.due_at.unwrap());
    run(&world).await;
    let spare = card(&world, &id.request(), GatewayName::Toss, "spare").await.unwrap();
    assert_eq!(spare.charge, None);
    let context = world.context().await;
    let refused = change(&world.charging, &context, &id, &spare.method.id, PATIENCE).await;
    assert!(matches!(refused, Err(ChangeError::Charge(ChargeError::MethodUnusable))));
    assert_eq!((world.subscription(&id).await.method_id, toss.sent()), (row.method_id, 0));
}
