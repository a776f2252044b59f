//! A signed decline may be about an attempt long over. It never speaks for the one in flight: that one is looked up.

use domain::charge::{Answer, Billable, Decline, DeclineClass, GatewayName};
use domain::subscription::Status;
use jiff::SignedDuration;
use shared::usecase::receive_webhook::{SignedEvent, receive_signed};

use super::adverse::{Act, onboard, run, world};

fn event(id: &str, billable: &Billable, charge_id: Option<&str>) -> SignedEvent {
    let intent = billable.order_id(GatewayName::Stripe, 1);
    let decline = Decline {
        class: DeclineClass::Auth,
        code: "authentication_required".to_owned(),
        intent: Some(format!("pi_{intent}")),
        charge_id: charge_id.map(str::to_owned),
    };
    SignedEvent {
        report: Some((billable.clone(), Answer::Declined(decline))),
        ..SignedEvent::stored(GatewayName::Stripe, id, "payment_intent.payment_failed")
    }
}

/// Attempt 1 came to nothing that we could see; attempt 2 took the money and its answer is lost. The event of attempt 1
/// arrives now. Its charge was never recorded, or it names none.
#[tokio::test]
async fn a_decline_of_an_earlier_attempt_does_not_settle_the_one_in_flight() {
    for charge_id in [None, Some("ch_never_heard_of")] {
        let (world, gateway) = world(GatewayName::Stripe).await;
        gateway.then(&[Act::KeyRefused, Act::TakeUnheard]);
        let id = onboard(&world, GatewayName::Stripe).await;
        world.wait(SignedDuration::from_mins(30));
        let context = world.context().await;
        let subscription = world.subscription(&id).await;
        let patience = std::time::Duration::from_secs(5);
        let trigger = domain::charge::Trigger::First;
        shared::usecase::charge_subscription::charge(&world.charging, &context, subscription, trigger, patience)
            .await
            .unwrap();
        let live = world.subscription(&id).await.live.unwrap();
        assert_eq!(live.n, 2);
        let billable = Billable { subscription: id.clone(), index: 0, seq: 0 };
        receive_signed(&world.charging, context.now, event("evt_1", &billable, charge_id)).await.unwrap();
        let after = world.subscription(&id).await;
        assert_eq!(after.first_decline, None, "{charge_id:?}: the attempt in flight was not declined");
        for _ in 0..3 {
            world.wait(SignedDuration::from_mins(10));
            run(&world).await;
        }
        assert_eq!((world.subscription(&id).await.status, gateway.captures()), (Status::Active, 1), "{charge_id:?}");
    }
}

/// While the worker that sent it still waits for the answer, an event about the cycle changes nothing.
#[tokio::test]
async fn a_decline_event_waits_for_the_worker_that_holds_the_claim() {
    let (world, gateway) = world(GatewayName::Stripe).await;
    let id = onboard(&world, GatewayName::Stripe).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    let context = world.context().await;
    let billable = Billable { subscription: id.clone(), index: 1, seq: 0 };
    *gateway.charge_takes.lock().unwrap() = std::time::Duration::from_millis(100);
    let subscription = world.subscription(&id).await;
    let charging = shared::usecase::charge_subscription::charge(
        &world.charging,
        &context,
        subscription,
        domain::charge::Trigger::Renewal,
        std::time::Duration::from_secs(5),
    );
    let meanwhile = async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        receive_signed(&world.charging, context.now, event("evt_1", &billable, Some("ch_x"))).await.unwrap();
        assert!(world.subscription(&id).await.live.is_some(), "the call in flight decides");
    };
    let (charged, ()) = futures::join!(charging, meanwhile);
    charged.unwrap();
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.paid, subscription.dunning, gateway.captures()), (Some(1), None, 2));
}
