//! What a second send of the same attempt may prove, and what it may not.

use std::sync::atomic::Ordering;

use domain::charge::GatewayName;
use domain::subscription::Status;
use jiff::SignedDuration;

use super::adverse::{Act, onboard, run, world};

/// The first send captured and nobody heard; the first look-up is too early; then our API key is refused. The refusal is
/// about the second send alone: closing the attempt would charge the card again under a new key.
#[tokio::test]
async fn a_refused_resend_proves_nothing_about_the_first_send() {
    for name in GatewayName::ALL {
        let (world, gateway) = world(name).await;
        gateway.then(&[Act::TakeUnheard, Act::KeyRefused]);
        gateway.blind.store(1, Ordering::SeqCst);
        let id = onboard(&world, name).await;
        for _ in 0..4 {
            world.wait(SignedDuration::from_mins(10));
            run(&world).await;
        }
        assert_eq!(gateway.captures(), 1, "{name:?}: the card was charged again");
        let subscription = world.subscription(&id).await;
        assert_eq!((subscription.status, subscription.live), (Status::Active, None));
    }
}

/// A resend that is turned away at the door says nothing of the first send either: the short delay after a 4xx is for an
/// attempt that was answered, not for one of whose sends nothing was heard.
#[tokio::test]
async fn a_resend_turned_away_does_not_shorten_the_proof_of_absence() {
    let (world, gateway) = world(GatewayName::Toss).await;
    gateway.then(&[Act::TakeUnheard, Act::Limited]);
    gateway.blind.store(3, Ordering::SeqCst);
    let id = onboard(&world, GatewayName::Toss).await;
    run(&world).await;
    // An hour later the gateway shows what it took.
    gateway.blind.store(0, Ordering::SeqCst);
    world.wait(SignedDuration::from_mins(61));
    run(&world).await;
    assert_eq!((world.subscription(&id).await.status, gateway.captures()), (Status::Active, 1));
}
