//! A crash at every step: at each call that taking a first payment, a renewal or a retry in dunning makes to the store, the
//! gateway or a queue, the process dies before the effect, before the answer or after it, or the call goes wrong; under
//! every answer of the gateway. Then the same with a second death at every step of the recovery. A bounded number of runs
//! later the cycle is paid once, and the gateway's ledger agrees.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::charge::{Billable, GatewayName};
use domain::cycle::{Outcome, State};
use domain::ids::SubscriptionId;
use domain::onboarding::Verdict;
use domain::subscription::Status;
use jiff::SignedDuration;
use shared::ports::Shards;
use shared::store::typed;
use shared::usecase::decide_application::{Ruling, decide};
use shared::usecase::recover_charge::recover;
use shared::usecase::run_billing;
use shared::usecase::runner::Runner;

use super::adverse::{Act, Adverse, card, onboard, run, world};
use super::mortal::{Blow, Counted, Fate, Mortal, Plan, mortal};
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    First,
    Renewal,
    Dunning,
}

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
    first: Plan,
    second: Option<Plan>,
}

impl Case {
    /// The cycle that is to be paid.
    fn target(&self) -> u32 {
        u32::from(self.kind != Kind::First)
    }
}

/// One world with what can happen to it.
struct Scene {
    world: World,
    gateway: Arc<Adverse>,
    fate: Arc<Fate>,
    id: SubscriptionId,
}

impl Scene {
    /// Brings the world to the step.
    async fn set(case: &Case) -> Scene {
        let (mut world, gateway) = world(case.gateway).await;
        let id = match case.kind {
            Kind::First => {
                let request = world.apply().await;
                card(&world, &request, case.gateway, "first").await.unwrap();
                request.subscription()
            }
            Kind::Renewal | Kind::Dunning => onboard(&world, case.gateway).await,
        };
        if case.kind != Kind::First {
            world.travel(world.subscription(&id).await.due_at.unwrap());
        }
        if case.kind == Kind::Dunning {
            gateway.then(&[Act::Soft]);
            run(&world).await;
            world.travel(world.subscription(&id).await.due_at.unwrap());
        }
        let fate = mortal(&mut world, &gateway);
        gateway.then(&[case.act]);
        // The first look-up is always too early.
        gateway.blind.store(1, Ordering::SeqCst);
        let ours = world.try_subscription(&id).await.map(|s| s.due_partition());
        *fate.partition.lock().unwrap() = ours.unwrap_or_default();
        Scene { world, gateway, fate, id }
    }

    /// The operator's approval, as one process.
    async fn approve(&self) {
        let by = "ops".to_owned();
        let ruling = Ruling { id: self.id.request(), verdict: Verdict::Approved, note: None, by };
        let context = self.world.context().await;
        let decided = decide(&self.world.charging, &context, ruling, Duration::from_secs(5), Vec::new());
        let _ = self.fate.process(decided).await;
    }

    /// A tick, the runners' messages and the hints, each a process of its own. The message of a process that died is lost:
    /// the next tick sends another.
    async fn run(&self) {
        let queue = &self.world.queue;
        let shards = Mortal { fate: self.fate.clone(), inner: queue as &dyn Shards };
        let charging = &self.world.charging;
        let now = self.world.context().await.now;
        let tick = run_billing::tick(charging.store.as_ref(), &shards, charging.random.as_ref(), now, 1);
        let _ = self.fate.process(tick).await;
        for _ in 0..80 {
            let Some((message, delay)) = queue.0.lock().unwrap().pop_front() else { return self.recover().await };
            self.world.wait(SignedDuration::try_from(delay).unwrap());
            let usual = self.world.runner();
            let runner = Runner { charging, shards: &shards, settings: usual.settings, deadline: usual.deadline };
            let _ = self.fate.process(runner.run(&message)).await;
        }
        panic!("the run does not come to rest");
    }

    async fn recover(&self) {
        let hints = std::mem::take(&mut *self.world.hints.0.lock().unwrap());
        for (id, _, _) in hints {
            let context = self.world.context().await;
            let _ = self.fate.process(recover(&self.world.charging, &context, &id)).await;
        }
    }

    /// Runs until the cycle is paid. A declined card is replaced, a retry waits for its day.
    async fn converge(&self, case: &Case) {
        for round in 0..12 {
            if self.world.try_subscription(&self.id).await.is_none_or(|s| s.approved_at.is_none()) {
                self.approve().await;
            }
            self.world.wait(SignedDuration::from_mins(70));
            self.run().await;
            let Some(subscription) = self.world.try_subscription(&self.id).await else { continue };
            if subscription.paid == Some(case.target()) && subscription.live.is_none() {
                return;
            }
            if subscription.live.is_none() && (subscription.first_decline.is_some() || subscription.dunning.is_some()) {
                let (request, once) = (self.id.request(), format!("new-{round}"));
                let renewed = card(&self.world, &request, case.gateway, &once);
                let _ = self.fate.process(renewed).await;
            }
        }
    }

    async fn judge(&self, case: &Case) {
        let subscription = self.world.subscription(&self.id).await;
        let reached = (subscription.status, subscription.paid);
        assert_eq!(reached, (Status::Active, Some(case.target())), "{case:?}: {subscription:?}");
        assert_eq!((&subscription.live, &subscription.dunning), (&None, &None), "{case:?}");
        for index in 0..=case.target() {
            let taken = self.gateway.ledger.lock().unwrap().iter().filter(|order| index_of(order) == index).count();
            assert_eq!(taken, 1, "{case:?}: captures of cycle {index}");
            let cycle = typed::cycle(&self.world.store, &self.id, index, 0).await.unwrap().unwrap();
            assert!(matches!(cycle.state, State::Paid(_)), "{case:?}: {cycle:?}");
            let paid = cycle.attempts.iter().filter(|a| a.outcome == Outcome::Succeeded).count();
            let held = cycle.attempts.iter().filter(|a| a.outcome == Outcome::Quarantined).count();
            assert_eq!((paid, held), (1, 0), "{case:?}: {cycle:?}");
        }
    }
}

fn index_of(order: &str) -> u32 {
    Billable::parse_order_id(order).unwrap().0.index
}

/// What became of one case.
struct Played {
    /// Whether the step, and the recovery, were long enough for their blows.
    struck: (bool, bool),
    points: BTreeSet<(String, Blow)>,
}

async fn play(case: Case) -> Played {
    let scene = Scene::set(&case).await;
    scene.fate.begin(Some(case.first));
    match case.kind {
        Kind::First => scene.approve().await,
        Kind::Renewal | Kind::Dunning => scene.run().await,
    }
    let first = scene.fate.end();
    scene.fate.begin(case.second);
    scene.converge(&case).await;
    let second = scene.fate.end();
    // Whatever the second blow cut short goes on undisturbed.
    scene.converge(&case).await;
    scene.judge(&case).await;
    Played { struck: (first, second), points: scene.fate.points() }
}

/// What a sweep did.
#[derive(Default)]
struct Figures {
    worlds: u32,
    pairs: u32,
    points: BTreeSet<(String, Blow)>,
}

/// Every call of the step, struck in every way.
async fn singles(kind: Kind, gateway: GatewayName, figures: &mut Figures) {
    for act in ACTS {
        for blow in Blow::ALL {
            for at in 0.. {
                let first = Plan { counted: Counted::All, at, blow };
                let played = play(Case { kind, gateway, act, first, second: None }).await;
                figures.worlds += 1;
                figures.points.extend(played.points);
                if !played.struck.0 {
                    assert!(at >= 10, "a step makes more calls than {at}");
                    break;
                }
            }
        }
    }
}

/// Deaths at every change of the step, each followed by a death at every change of the recovery. Before each change stands
/// for every place of a process where it can die ([`Counted::Changes`]).
async fn pairs(kind: Kind, gateway: GatewayName, figures: &mut Figures) {
    let death = |at| Plan { counted: Counted::Changes, at, blow: Blow::DiesBefore };
    for act in ACTS {
        let mut struck = true;
        for first in (0..).map(death) {
            for second in (0..).map(death) {
                let played = play(Case { kind, gateway, act, first, second: Some(second) }).await;
                figures.worlds += 1;
                figures.pairs += u32::from(played.struck == (true, true));
                struck = played.struck.0;
                if played.struck != (true, true) {
                    break;
                }
            }
            if !struck {
                break;
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures of a sweep are its result")]
async fn sweep(kind: Kind, gateway: GatewayName) {
    let (begun, mut figures) = (Instant::now(), Figures::default());
    singles(kind, gateway, &mut figures).await;
    let alone = figures.worlds;
    pairs(kind, gateway, &mut figures).await;
    println!(
        "{kind:?} at {}: {} points, {} ordered pairs of deaths, {} worlds ({alone} with one blow) in {:?}",
        gateway.as_str(),
        figures.points.len(),
        figures.pairs,
        figures.worlds,
        begun.elapsed()
    );
    assert!(figures.points.len() >= 66, "{:#?}", figures.points);
}

#[tokio::test]
async fn a_first_payment_at_toss_survives_a_crash_at_every_step() {
    sweep(Kind::First, GatewayName::Toss).await;
}

#[tokio::test]
async fn a_first_payment_at_stripe_survives_a_crash_at_every_step() {
    sweep(Kind::First, GatewayName::Stripe).await;
}

#[tokio::test]
async fn a_renewal_at_toss_survives_a_crash_at_every_step() {
    sweep(Kind::Renewal, GatewayName::Toss).await;
}

#[tokio::test]
async fn a_renewal_at_stripe_survives_a_crash_at_every_step() {
    sweep(Kind::Renewal, GatewayName::Stripe).await;
}

#[tokio::test]
async fn a_dunning_retry_at_toss_survives_a_crash_at_every_step() {
    sweep(Kind::Dunning, GatewayName::Toss).await;
}

#[tokio::test]
async fn a_dunning_retry_at_stripe_survives_a_crash_at_every_step() {
    sweep(Kind::Dunning, GatewayName::Stripe).await;
}
