//! Cancelling through the use case and the run: what is charged afterwards (nothing), what is closed with it, and what
//! happens to money that was already on its way.

use std::time::Duration;

use domain::cancelling::CancelAt;
use domain::charge::{GatewayName, Trigger};
use domain::cycle::State;
use domain::ids::SubscriptionId;
use domain::subscription::{StartRefused, Status, Subscription};
use jiff::SignedDuration;
use serde_json::Value;
use shared::store::memory::{Call, Fault};
use shared::store::typed;
use shared::usecase::activate_subscription::retry;
use shared::usecase::cancel_subscription::cancel;
use shared::usecase::charge_subscription::{ChargeError, charge};

use super::adverse::{Act, Adverse, onboard, run, world};
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

pub async fn cancelled(world: &World, id: &SubscriptionId, at: CancelAt) -> Subscription {
    cancel(&world.charging, &world.context().await, id, at, Some("too dear"), &[]).await.unwrap()
}

/// The events about one subscription, oldest first: (kind, reason).
pub fn told(world: &World, id: &SubscriptionId) -> Vec<(String, Option<String>)> {
    let rows = world.store.dump().into_iter().filter(|(table, _)| *table == "ops_audit_log");
    let mut events: Vec<Value> = rows.map(|(_, item)| Value::Object(item)).collect();
    events.retain(|e| e["by_subject_pk"] == id.as_str());
    events.sort_by_key(|e| e["sk"].as_str().unwrap().to_owned());
    let text = |e: &Value, field: &str| e[field].as_str().map(str::to_owned);
    events.iter().map(|e| (text(e, "kind").unwrap(), text(e, "reason"))).collect()
}

pub fn was_told(world: &World, id: &SubscriptionId, kind: &str) -> usize {
    told(world, id).iter().filter(|(k, _)| k == kind).count()
}

async fn state_of(world: &World, id: &SubscriptionId, index: u32) -> State {
    typed::cycle(&world.store, id, index, 0).await.unwrap().unwrap().state
}

/// To the day of its renewal, which the card refuses.
async fn in_dunning(world: &World, gateway: &Adverse, id: &SubscriptionId) {
    world.travel(world.subscription(id).await.due_at.unwrap());
    gateway.then(&[Act::Soft]);
    run(world).await;
    assert!(world.subscription(id).await.dunning.is_some());
}

#[tokio::test]
async fn a_period_that_is_paid_for_is_used_up_and_never_renewed() {
    for name in GatewayName::ALL {
        let (world, gateway) = world(name).await;
        let id = onboard(&world, name).await;
        let end = world.subscription(&id).await.due_at.unwrap();
        world.wait(SignedDuration::from_hours(24 * 5));
        let after = cancelled(&world, &id, CancelAt::PeriodEnd).await;
        assert_eq!((after.status, after.cancel_at), (Status::Active, Some(end)));
        assert_eq!(after, world.subscription(&id).await, "what is answered is what is stored");
        assert_eq!(cancelled(&world, &id, CancelAt::PeriodEnd).await, after, "asking again changes nothing");
        let scheduled = ("subscription.cancel_scheduled".to_owned(), Some("too dear".to_owned()));
        assert_eq!(told(&world, &id).last(), Some(&scheduled));
        run(&world).await;
        assert_eq!(world.subscription(&id).await.status, Status::Active, "until then it runs");
        // The run comes a day late; a person tries to charge before it.
        world.travel(end + SignedDuration::from_hours(24));
        let context = world.context().await;
        let tried = retry(&world.charging, &context, &id, PATIENCE).await;
        assert!(matches!(tried, Err(ChargeError::Refused(StartRefused::Ended))), "{tried:?}");
        run(&world).await;
        let ended = world.subscription(&id).await;
        assert_eq!((ended.status, ended.stopped_at), (Status::Cancelled, Some(end)));
        world.travel(end + SignedDuration::from_hours(24 * 30));
        run(&world).await;
        assert_eq!(world.subscription(&id).await.status, Status::Terminated);
        assert_eq!((gateway.captures(), gateway.sent()), (1, 1), "{name:?}: the first payment and no other");
    }
}

#[tokio::test]
async fn an_open_case_is_closed_and_its_cycle_void_in_the_same_commit() {
    for at in [CancelAt::PeriodEnd, CancelAt::Now] {
        let (world, gateway) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        in_dunning(&world, &gateway, &id).await;
        let before = world.store.dump();
        // Whatever the commit comes to, nothing is half done.
        world.store.inject(|call| matches!(call, Call::Commit(_)).then_some(Fault::Unavailable));
        let context = world.context().await;
        assert!(cancel(&world.charging, &context, &id, at, None, &[]).await.is_err());
        world.store.heal();
        assert_eq!(world.store.dump(), before);
        let after = cancelled(&world, &id, at).await;
        assert_eq!((after.status, after.dunning), (Status::Cancelled, None), "{at:?}");
        assert_eq!(state_of(&world, &id, 1).await, State::Void);
        assert_eq!((was_told(&world, &id, "cycle.void"), was_told(&world, &id, "subscription.cancelled")), (1, 1));
        for day in [1, 3, 7, 30] {
            world.wait(SignedDuration::from_hours(24 * day));
            run(&world).await;
        }
        assert_eq!((gateway.captures(), gateway.sent()), (1, 2), "nobody is charged after cancelling");
        assert_eq!(world.subscription(&id).await.status, Status::Terminated);
        assert_eq!(was_told(&world, &id, "cycle.uncollectible"), 0);
    }
}

#[tokio::test]
async fn what_was_in_flight_is_paid_and_owed_back_or_void() {
    for (act, money) in [(Act::TakeUnheard, true), (Act::Error, false), (Act::Soft, false)] {
        let (world, gateway) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        in_dunning(&world, &gateway, &id).await;
        // The process that sent it dies with its answer.
        gateway.then(&[act]);
        let calls = std::sync::atomic::AtomicU32::new(0);
        world.store.inject(move |call| {
            let commit = matches!(call, Call::Commit(_));
            let n = calls.fetch_add(u32::from(commit), std::sync::atomic::Ordering::SeqCst);
            (n > 0).then_some(Fault::Unavailable)
        });
        let subscription = world.subscription(&id).await;
        let context = world.context().await;
        assert!(charge(&world.charging, &context, subscription, Trigger::Manual, PATIENCE).await.is_err());
        world.store.heal();
        let after = cancelled(&world, &id, CancelAt::Now).await;
        assert_eq!((after.status, after.live.is_some()), (Status::Cancelled, true));
        assert_eq!(state_of(&world, &id, 1).await, State::Open, "the attempt decides");
        for _ in 0..6 {
            world.wait(SignedDuration::from_mins(70));
            run(&world).await;
        }
        assert_eq!(world.subscription(&id).await.live, None);
        assert_eq!(matches!(state_of(&world, &id, 1).await, State::Paid(_)), money, "{act:?}");
        assert_eq!(was_told(&world, &id, "payment.refund_owed"), usize::from(money), "{act:?}");
        world.wait(SignedDuration::from_hours(24 * 31));
        run(&world).await;
        assert_eq!(world.subscription(&id).await.status, Status::Terminated);
        assert_eq!(
            (state_of(&world, &id, 1).await == State::Void, gateway.captures()),
            (!money, 1 + usize::from(money))
        );
    }
}

/// Somebody moves the row between the read and the commit: decided again, from what is there now.
#[tokio::test]
async fn a_lost_race_is_decided_again() {
    for fault in [Fault::Conflict, Fault::AnswerLost] {
        let (world, _) = world(GatewayName::Toss).await;
        let id = onboard(&world, GatewayName::Toss).await;
        let left = std::sync::atomic::AtomicU32::new(1);
        world.store.inject(move |call| {
            let hit = matches!(call, Call::Commit(_)) && left.swap(0, std::sync::atomic::Ordering::SeqCst) == 1;
            hit.then_some(fault)
        });
        let context = world.context().await;
        let asked = cancel(&world.charging, &context, &id, CancelAt::PeriodEnd, None, &[]).await;
        world.store.heal();
        assert_eq!(asked.is_ok(), fault == Fault::Conflict, "{fault:?}");
        assert!(cancelled(&world, &id, CancelAt::PeriodEnd).await.cancel_at.is_some());
        assert_eq!(was_told(&world, &id, "subscription.cancel_scheduled"), 1, "once, whatever happened");
    }
}

/// An application whose subscription was cancelled before anybody decided cannot be approved into nothing.
#[tokio::test]
async fn what_was_cancelled_is_not_approved() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let request = world.apply().await;
    super::adverse::card(&world, &request, GatewayName::Toss, "first").await.unwrap();
    let context = world.context().await;
    let application = typed::application(&world.store, &request).await.unwrap().unwrap();
    let owner = shared::usecase::owner::Owner::Applicant(request.clone());
    let method_id = application.method_id.clone().unwrap();
    let order = shared::usecase::create_subscription::Order {
        owner: &owner,
        plan_code: &application.plan_code,
        addon_codes: &application.addon_codes,
        method_id: &method_id,
    };
    let random = world.charging.random.as_ref();
    shared::usecase::create_subscription::create(&world.store, random, &context, order, Vec::new()).await.unwrap();
    let id = request.subscription();
    assert_eq!(cancelled(&world, &id, CancelAt::PeriodEnd).await.status, Status::Cancelled);
    let verdict = domain::onboarding::Verdict::Approved;
    let ruling = shared::usecase::decide_application::Ruling { id: request, verdict, note: None, by: "ops".to_owned() };
    let decided =
        shared::usecase::decide_application::decide(&world.charging, &context, ruling, PATIENCE, Vec::new()).await;
    let ended = Err(shared::usecase::decide_application::DecisionError::SubscriptionEnded.to_string());
    assert_eq!(decided.map(|_| ()).map_err(|e| e.to_string()), ended);
    assert_eq!(gateway.sent(), 0);
}
