//! A run comes to rest, whatever one account does.

use domain::charge::GatewayName;
use jiff::SignedDuration;

use super::adverse::{Act, onboard, run, world};

/// An account the gateway refuses in a way nobody knows: each attempt is proved absent after a minute.
#[tokio::test]
async fn an_account_that_is_always_refused_does_not_keep_the_run_awake() {
    for (act, most) in [(Act::Strange, 12), (Act::Silence, 30)] {
        let (world, gateway) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        world.travel(world.subscription(&id).await.due_at.unwrap());
        gateway.always(act);
        let before = gateway.sent();
        // Ticks of six hours; `run` fails when messages go on for ever.
        for _ in 0..36 {
            run(&world).await;
            world.wait(SignedDuration::from_mins(10));
        }
        let sent = gateway.sent() - before;
        assert!(sent <= most, "{act:?}: {sent} sends in six hours");
        gateway.always(Act::Take);
        for _ in 0..3 {
            world.wait(SignedDuration::from_mins(70));
            run(&world).await;
        }
        assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 2), "{act:?}");
    }
}
