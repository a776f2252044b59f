//! One subscription: first payment, lost answers, declines, new cards, suspension and the end.

use std::time::Duration;

use domain::cycle::State;
use domain::subscription::Status;
use jiff::SignedDuration;
use shared::store::memory::{Call, Fault};
use shared::store::{Key, Store, typed};
use shared::usecase::activate_subscription::{activate, retry};
use shared::usecase::charge_subscription::ChargeResult;

use super::world::{Script, World};

#[tokio::test]
async fn approval_takes_the_first_payment_once() {
    let world = World::new().await;
    let id = world.onboard().await;
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.status, subscription.paid, subscription.amount.amount), (Status::Active, Some(0), 44_000));
    world.run().await;
    assert_eq!(world.gateway.captures(), 1);
    let charged = activate(&world.charging, &world.context().await, &id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(charged.result, ChargeResult::Captured);
    assert_eq!(world.gateway.captures(), 1);
}

#[tokio::test]
async fn an_answer_lost_after_capture_is_found_and_settled() {
    let world = World::new().await;
    world.gateway.then(&[Script::CaptureThenSilence]);
    let id = world.onboard().await;
    assert!(world.subscription(&id).await.live.unwrap().unknown.is_some());
    assert_eq!(world.hints.0.lock().unwrap().len(), 1);
    world.run().await;
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.status, subscription.live), (Status::Active, None));
    assert_eq!((world.gateway.captures(), world.gateway.calls.load(std::sync::atomic::Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn silence_before_the_effect_is_resent_under_the_same_key() {
    let world = World::new().await;
    world.gateway.then(&[Script::Silence, Script::Silence]);
    let id = world.onboard().await;
    world.run().await;
    let subscription = world.subscription(&id).await;
    assert_eq!(subscription.status, Status::Active);
    let cycle = typed::cycle(&world.store, &id, 0, 0).await.unwrap().unwrap();
    assert_eq!(cycle.attempts.len(), 1, "one attempt, sent three times");
    assert_eq!(world.gateway.captures(), 1);
}

#[tokio::test]
async fn an_error_answer_needs_two_empty_lookups_an_hour_apart() {
    let world = World::new().await;
    world.gateway.then(&[Script::Error]);
    let id = world.onboard().await;
    world.run().await;
    assert!(world.subscription(&id).await.live.is_some(), "not yet proved absent");
    world.wait(SignedDuration::from_mins(61));
    world.run().await;
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.status, subscription.live), (Status::Active, None));
    let cycle = typed::cycle(&world.store, &id, 0, 0).await.unwrap().unwrap();
    assert_eq!(cycle.attempts.iter().map(|a| a.n).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.gateway.captures(), 1);
}

/// Every commit of approval fails in every way, one at a time; the next runs finish what was begun.
#[tokio::test]
async fn a_crash_between_any_two_steps_of_approval_is_finished() {
    for crash_at in 0..4 {
        for fault in [Fault::Unavailable, Fault::AnswerLost, Fault::Conflict] {
            let world = World::new().await;
            let id = world.apply().await;
            world.register(&id, "auth").await;
            let seen = std::sync::atomic::AtomicU32::new(0);
            world.store.inject(move |call| {
                let hit = matches!(call, Call::Commit(_))
                    && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == crash_at;
                hit.then_some(fault)
            });
            let ruling = shared::usecase::decide_application::Ruling {
                id: id.clone(),
                verdict: domain::onboarding::Verdict::Approved,
                note: None,
                by: "ops".to_owned(),
            };
            let context = world.context().await;
            let _ = shared::usecase::decide_application::decide(
                &world.charging,
                &context,
                ruling,
                Duration::from_secs(5),
                Vec::new(),
            )
            .await;
            world.store.heal();
            if typed::tenant(&world.store, &id.tenant()).await.unwrap().is_none() {
                world.approve(&id).await;
            }
            for _ in 0..4 {
                world.wait(SignedDuration::from_mins(10));
                world.run().await;
            }
            let subscription = world.subscription(&id.subscription()).await;
            assert_eq!(subscription.status, Status::Active, "crash at commit {crash_at}, {fault:?}");
            assert_eq!(world.gateway.captures(), 1, "crash at commit {crash_at}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_declined_first_payment_waits_for_a_card() {
    let world = World::new().await;
    world.gateway.then(&[Script::Hard]);
    let id = world.apply().await;
    world.register(&id, "first").await;
    let decided = world.approve(&id).await;
    assert!(matches!(decided.payment, Some(ChargeResult::Declined { .. })));
    world.wait(SignedDuration::from_hours(48));
    world.run().await;
    let subscription = world.subscription(&id.subscription()).await;
    assert_eq!((subscription.status, subscription.dunning), (Status::PendingActivation, None));
    let old = typed::method(&world.store, &id.tenant(), &subscription.method_id).await.unwrap().unwrap();
    assert_eq!(old.status, domain::method::Status::Invalid, "a hard decline ends the card");
    assert_eq!(world.register(&id, "second").await, Some(ChargeResult::Captured));
    assert_eq!(world.subscription(&id.subscription()).await.status, Status::Active);
}

#[tokio::test]
async fn an_unpaid_approval_lapses_after_thirty_days() {
    let world = World::new().await;
    world.gateway.then(&[Script::Soft]);
    let id = world.onboard().await;
    world.wait(SignedDuration::from_hours(24 * 30 + 1));
    world.run().await;
    assert_eq!(world.subscription(&id).await.status, Status::Cancelled);
    assert_eq!(world.gateway.captures(), 0);
}

#[tokio::test]
async fn dunning_runs_its_course_and_ends() {
    let world = World::new().await;
    let id = world.onboard().await;
    *world.gateway.habit.lock().unwrap() = Some(Script::Soft);
    let due = world.subscription(&id).await.due_at.unwrap();
    world.travel(due);
    world.run().await;
    for (days, step) in [(1, 1), (3, 2)] {
        world.travel(due + SignedDuration::from_hours(24 * days));
        world.run().await;
        assert_eq!(world.subscription(&id).await.dunning.unwrap().step, step);
    }
    let refused = retry(&world.charging, &world.context().await, &id, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(refused.result, ChargeResult::Declined { .. }));
    assert_eq!(world.subscription(&id).await.dunning.unwrap().step, 2, "a manual retry consumes no step");
    world.travel(due + SignedDuration::from_hours(24 * 7));
    world.run().await;
    assert_eq!(world.subscription(&id).await.status, Status::Suspended);
    world.travel(due + SignedDuration::from_hours(24 * 37 + 1));
    world.run().await;
    assert_eq!(world.subscription(&id).await.status, Status::Terminated);
    let cycle = typed::cycle(&world.store, &id, 1, 0).await.unwrap().unwrap();
    assert_eq!(cycle.state, State::Uncollectible);
    world.wait(SignedDuration::from_hours(24 * 365));
    world.run().await;
    assert_eq!(world.gateway.captures(), 1, "only the first payment was ever taken");
}

#[tokio::test]
async fn paying_restores_a_suspended_subscription_without_moving_the_anchor() {
    let world = World::new().await;
    let id = world.onboard().await;
    let anchor = world.subscription(&id).await.anchor;
    let due = world.subscription(&id).await.due_at.unwrap();
    *world.gateway.habit.lock().unwrap() = Some(Script::Hard);
    world.travel(due);
    world.run().await;
    world.travel(due + SignedDuration::from_hours(24 * 7));
    world.run().await;
    assert_eq!(world.subscription(&id).await.status, Status::Suspended);
    *world.gateway.habit.lock().unwrap() = Some(Script::Capture);
    // The tenant registers a new card: the debt is charged at once.
    let owner = shared::usecase::owner::Owner::Tenant(id.request().tenant());
    let key = typed::application(&world.store, &id.request()).await.unwrap().unwrap().customer_key;
    let input = shared::usecase::register_method::Input {
        gateway: domain::charge::GatewayName::Toss,
        result: shared::usecase::register_method::OwnedResult::Toss { auth_key: "new".to_owned(), customer_key: key },
        holder_name: None,
        address: "127.0.0.1".to_owned(),
        per_address: 1_000,
    };
    let context = world.context().await;
    let registered =
        shared::usecase::register_method::register(&world.charging, &context, &owner, input, Duration::from_secs(5))
            .await
            .unwrap();
    assert_eq!(registered.charge, Some(ChargeResult::Captured));
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.status, subscription.anchor, subscription.paid), (Status::Active, anchor, Some(1)));
}

#[tokio::test]
async fn a_misconfigured_gateway_consumes_nothing() {
    let world = World::new().await;
    let id = world.onboard().await;
    let due = world.subscription(&id).await.due_at.unwrap();
    world.gateway.then(&[Script::Misconfigured]);
    world.travel(due);
    world.run().await;
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.dunning, subscription.paid), (None, Some(0)));
    world.wait(SignedDuration::from_mins(10));
    world.run().await;
    assert_eq!(world.subscription(&id).await.paid, Some(1));
    assert_eq!(world.captured(&id).into_values().collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn rows_of_an_ordinary_renewal_stay_small() {
    let world = World::new().await;
    let id = world.onboard().await;
    let record = world.store.get(&Key::Subscription(id)).await.unwrap().unwrap();
    assert!(matches!(record, shared::store::Record::Subscription(_)));
    for row in world.store.dump() {
        let text = format!("{row:?}");
        assert!(text.len() < 3_000, "{text}");
    }
}
