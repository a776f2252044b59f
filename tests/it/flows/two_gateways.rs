//! One gateway's trouble is not the other's.

use domain::charge::GatewayName;
use jiff::SignedDuration;
use shared::gateway::Gateways;

use super::adverse::{Act, Adverse, onboard, run};
use super::world::World;

#[tokio::test]
async fn a_gateway_that_refuses_our_key_does_not_stop_the_other() {
    let mut world = World::new().await;
    let (toss, stripe) = (Adverse::new(GatewayName::Toss), Adverse::new(GatewayName::Stripe));
    world.charging.gateways = Gateways { toss: toss.clone(), stripe: stripe.clone() };
    let (ours, other) = (onboard(&world, GatewayName::Toss).await, onboard(&world, GatewayName::Stripe).await);
    world.wait(SignedDuration::from_hours(24 * 31));
    toss.always(Act::KeyRefused);
    run(&world).await;
    assert_eq!(world.subscription(&other).await.paid, Some(1), "the healthy gateway's renewals go on");
    assert_eq!(world.subscription(&ours).await.paid, Some(0));
    toss.always(Act::Take);
    world.wait(SignedDuration::from_hours(2));
    run(&world).await;
    assert_eq!((world.subscription(&ours).await.paid, toss.captures(), stripe.captures()), (Some(1), 2, 2));
}
