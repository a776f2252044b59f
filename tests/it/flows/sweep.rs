//! A crash at every step: each store call of taking a first payment, a renewal and a retry in dunning fails in every
//! way, or is the last the process ever makes, under every answer of the gateway. A bounded number of runs later the
//! cycle is paid once, and the gateway's ledger agrees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::charge::{Billable, GatewayName};
use domain::cycle::{Outcome, State};
use domain::ids::SubscriptionId;
use domain::onboarding::Verdict;
use domain::subscription::Status;
use futures::stream::{self, StreamExt};
use jiff::SignedDuration;
use shared::store::memory::{Call, Fault};
use shared::store::{Query, typed};
use shared::usecase::decide_application::{Ruling, decide};

use super::adverse::{Act, Adverse, card, onboard, run, world};
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    First,
    Renewal,
    Dunning,
}

/// What happens at one store call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    One(Fault),
    /// The process dies there: this call and all after it fail.
    Dies,
}

const TROUBLES: [Trouble; 4] =
    [Trouble::One(Fault::Unavailable), Trouble::One(Fault::AnswerLost), Trouble::One(Fault::Conflict), Trouble::Dies];

const ACTS: [Act; 9] = [
    Act::Take,
    Act::TakeUnheard,
    Act::TakeThenError,
    Act::Silence,
    Act::Error,
    Act::Strange,
    Act::Soft,
    Act::Hard,
    Act::KeyRefused,
];

#[derive(Clone, Copy, Debug)]
struct Case {
    kind: Kind,
    gateway: GatewayName,
    act: Act,
    trouble: Trouble,
    at: u32,
}

/// Counts store calls and makes trouble at one of them. Calls that are all alike count once: looking into partitions of
/// the due index in which nothing is, and reads that fail in one way or another.
fn inject(world: &World, ours: String, trouble: Trouble, at: u32) -> Arc<AtomicU32> {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let writes_only = matches!(trouble, Trouble::One(Fault::AnswerLost | Fault::Conflict));
    world.store.inject(move |call| {
        let elsewhere = matches!(call, Call::Query(Query::SubscriptionsDue { partition, .. }) if *partition != ours);
        let counts = !elsewhere && (!writes_only || matches!(call, Call::Commit(_)));
        let n = if counts { counter.fetch_add(1, Ordering::SeqCst) } else { counter.load(Ordering::SeqCst) };
        match trouble {
            Trouble::One(fault) => (counts && n == at).then_some(fault),
            Trouble::Dies => (n > at || counts && n == at).then_some(Fault::Unavailable),
        }
    });
    calls
}

async fn approve(world: &World, id: &SubscriptionId) {
    let ruling = Ruling { id: id.request(), verdict: Verdict::Approved, note: None, by: "ops".to_owned() };
    let context = world.context().await;
    let _ = decide(&world.charging, &context, ruling, Duration::from_secs(5), Vec::new()).await;
}

/// Brings the world to the step, makes trouble in it, and returns the subscription and how many calls the step made.
async fn trouble(world: &World, gateway: &Adverse, case: Case) -> (SubscriptionId, u32) {
    let id = match case.kind {
        Kind::First => {
            let request = world.apply().await;
            card(world, &request, case.gateway, "first").await.unwrap();
            request.subscription()
        }
        Kind::Renewal | Kind::Dunning => onboard(world, case.gateway).await,
    };
    if case.kind != Kind::First {
        world.travel(world.subscription(&id).await.due_at.unwrap());
    }
    if case.kind == Kind::Dunning {
        gateway.then(&[Act::Soft]);
        run(world).await;
        world.travel(world.subscription(&id).await.due_at.unwrap());
    }
    gateway.then(&[case.act]);
    // The first look-up is always too early.
    gateway.blind.store(1, Ordering::SeqCst);
    let ours = world.try_subscription(&id).await.map(|s| s.due_partition()).unwrap_or_default();
    let calls = inject(world, ours, case.trouble, case.at);
    match case.kind {
        Kind::First => approve(world, &id).await,
        Kind::Renewal | Kind::Dunning => run(world).await,
    }
    world.store.heal();
    (id, calls.load(Ordering::SeqCst))
}

/// Runs until the cycle is paid. A declined card is replaced, a retry waits for its day.
async fn converge(world: &World, id: &SubscriptionId, case: Case) {
    let target = if case.kind == Kind::First { 0 } else { 1 };
    for round in 0..8 {
        if world.try_subscription(id).await.is_none_or(|s| s.approved_at.is_none()) {
            approve(world, id).await;
        }
        world.wait(SignedDuration::from_mins(70));
        run(world).await;
        let subscription = world.subscription(id).await;
        if subscription.paid == Some(target) && subscription.live.is_none() {
            return;
        }
        if subscription.live.is_none() && (subscription.first_decline.is_some() || subscription.dunning.is_some()) {
            let renewed = card(world, &id.request(), case.gateway, &format!("new-{round}")).await;
            assert!(renewed.is_ok(), "{case:?}");
        }
    }
}

async fn judged(case: Case) -> u32 {
    let (world, gateway) = world(case.gateway).await;
    let (id, calls) = trouble(&world, &gateway, case).await;
    converge(&world, &id, case).await;
    let target = if case.kind == Kind::First { 0u32 } else { 1 };
    let subscription = world.subscription(&id).await;
    assert_eq!((subscription.status, subscription.paid), (Status::Active, Some(target)), "{case:?}: {subscription:?}");
    assert_eq!((&subscription.live, &subscription.dunning), (&None, &None), "{case:?}");
    for index in 0..=target {
        let taken = gateway.ledger.lock().unwrap().iter().filter(|order| index_of(order) == index).count();
        assert_eq!(taken, 1, "{case:?}: captures of cycle {index}");
        let cycle = typed::cycle(&world.store, &id, index, 0).await.unwrap().unwrap();
        assert!(matches!(cycle.state, State::Paid(_)), "{case:?}: {cycle:?}");
        let paid = cycle.attempts.iter().filter(|a| a.outcome == Outcome::Succeeded).count();
        let held = cycle.attempts.iter().filter(|a| a.outcome == Outcome::Quarantined).count();
        assert_eq!((paid, held), (1, 0), "{case:?}: {cycle:?}");
    }
    calls
}

fn index_of(order: &str) -> u32 {
    Billable::parse_order_id(order).unwrap().0.index
}

/// Every call of the step in turn, until the step ends before the trouble comes.
async fn sweep(kind: Kind, gateway: GatewayName) {
    let cases = ACTS.iter().flat_map(|act| TROUBLES.iter().map(move |trouble| (*act, *trouble)));
    let made: Vec<u32> = stream::iter(cases)
        .map(|(act, trouble)| async move {
            let mut at = 0;
            while judged(Case { kind, gateway, act, trouble, at }).await > at {
                at += 1;
            }
            at
        })
        .buffer_unordered(64)
        .collect()
        .await;
    assert!(made.iter().all(|calls| *calls >= 2), "claim and settle at least: {made:?}");
    assert!(made.iter().sum::<u32>() >= 150, "the step makes store calls: {made:?}");
}

#[tokio::test]
async fn a_first_payment_survives_a_crash_at_every_step() {
    for gateway in GatewayName::ALL {
        sweep(Kind::First, gateway).await;
    }
}

#[tokio::test]
async fn a_renewal_survives_a_crash_at_every_step() {
    for gateway in GatewayName::ALL {
        sweep(Kind::Renewal, gateway).await;
    }
}

#[tokio::test]
async fn a_dunning_retry_survives_a_crash_at_every_step() {
    for gateway in GatewayName::ALL {
        sweep(Kind::Dunning, gateway).await;
    }
}
