//! Random walks through everything that can happen to a subscription, judged by the gateway's ledger and never by our
//! own books alone.

use domain::cancelling::CancelAt;
use domain::charge::{Capture, GatewayName, Trigger};
use domain::cycle::{Outcome, State};
use domain::subscription::Status;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::fixtures::hours;
use crate::gateway::Card;
use crate::world::{Fate, World};

#[derive(Clone, Debug)]
enum Act {
    Wait(i64),
    Tick(Fate),
    Manual(Fate),
    Card(Card),
    NewCard,
    Deliver(usize),
    Thaw,
    Up(bool),
    Cancel(CancelAt),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Answered),
        2 => Just(Fate::LostOnTheWay),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::ErrorBefore),
        1 => Just(Fate::ErrorAfter),
        1 => Just(Fate::Strange),
        1 => Just(Fate::KeyRefused),
        1 => Just(Fate::DiesBefore),
        1 => Just(Fate::DiesAfter),
        2 => Just(Fate::Frozen),
    ]
}

fn card() -> impl Strategy<Value = Card> {
    prop_oneof![3 => Just(Card::Approves), 3 => Just(Card::Declines), 1 => Just(Card::Stopped)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop_oneof![4 => 1i64..30, 2 => 24i64..240, 1 => 240i64..1_000].prop_map(Act::Wait),
        12 => fate().prop_map(Act::Tick),
        2 => fate().prop_map(Act::Manual),
        2 => card().prop_map(Act::Card),
        1 => Just(Act::NewCard),
        3 => any::<usize>().prop_map(Act::Deliver),
        2 => Just(Act::Thaw),
        1 => any::<bool>().prop_map(Act::Up),
    ]
}

/// One walk in three meets cancellations, because one of them ends most of what could still happen.
fn walk() -> impl Strategy<Value = (GatewayName, Vec<Act>)> {
    let gateway = prop_oneof![Just(GatewayName::Toss), Just(GatewayName::Stripe)];
    let cancel = prop_oneof![2 => Just(CancelAt::PeriodEnd), 1 => Just(CancelAt::Now)].prop_map(Act::Cancel);
    let cancels = prop::collection::vec((0usize..60, cancel), 1..3);
    let acts = (prop::collection::vec(act(), 1..60), prop::option::weighted(0.35, cancels));
    let acts = acts.prop_map(|(mut acts, cancels)| {
        for (at, cancel) in cancels.unwrap_or_default() {
            acts.insert(at.min(acts.len()), cancel);
        }
        acts
    });
    (gateway, acts)
}

fn run(gateway: GatewayName, acts: &[Act]) -> World {
    let mut world = World::new(gateway);
    for act in acts {
        step(&mut world, act);
        at_most_one_payment_per_cycle(&world);
    }
    world
}

fn step(world: &mut World, act: &Act) {
    match act {
        Act::Wait(n) => world.now += hours(*n),
        Act::Tick(fate) => world.tick(*fate),
        Act::Manual(fate) => world.charge(Trigger::Manual, *fate),
        Act::Card(card) => world.gateway.card = *card,
        Act::NewCard => world.new_card(),
        Act::Deliver(which) => world.deliver(*which),
        Act::Thaw => world.thaw(),
        Act::Up(up) => world.gateway.up = *up,
        Act::Cancel(at) => world.cancel(*at),
    }
}

/// The gateway is healthy again, every worker wakes, every event arrives, and time goes on.
fn converge(world: &mut World) {
    world.gateway.up = true;
    while !world.frozen.is_empty() {
        world.thaw();
    }
    for i in 0..world.events.len() {
        world.deliver(i);
    }
    for _ in 0..600 {
        world.now += hours(5);
        world.tick(Fate::Answered);
    }
    for i in 0..world.events.len() {
        world.deliver(i);
    }
}

fn is_paid_by(world: &World, money: &Capture) -> bool {
    world.books.cycles.values().any(|c| c.paid_by(money))
}

fn is_quarantined(world: &World, money: &Capture) -> bool {
    world.books.cycles.values().any(|c| c.holds_in_quarantine(money))
}

fn at_most_one_payment_per_cycle(world: &World) {
    for cycle in world.books.cycles.values() {
        let succeeded = cycle.attempts.iter().filter(|a| a.outcome == Outcome::Succeeded).count();
        assert_eq!(succeeded, usize::from(matches!(cycle.state, State::Paid(_))), "one payment, one success");
        let taken = world.gateway.captures.iter().filter(|(index, _)| *index == cycle.index).count();
        let thawed = usize::try_from(world.seen.thawed).unwrap();
        assert!(taken <= 1 + thawed, "only a worker thawed after its attempt was closed can take money twice");
    }
}

fn every_capture_is_accounted_for(world: &World) {
    for (_, money) in &world.gateway.captures {
        assert!(is_paid_by(world, money) != is_quarantined(world, money), "PAID or QUARANTINED: {money:?}");
    }
    let applied = world.books.cycles.values().filter(|c| matches!(c.state, State::Paid(_))).count();
    let real = world.gateway.captures.iter().filter(|(_, money)| is_paid_by(world, money)).count();
    assert_eq!(applied, real, "no cycle is paid by money that was never taken");
}

fn everything_due_was_decided(world: &World) {
    let subscription = &world.books.subscription;
    assert_eq!(subscription.live, None, "no attempt stays open");
    if subscription.parked {
        let held = world.books.cycles.values().flat_map(|c| &c.attempts).any(|a| a.outcome == Outcome::Quarantined);
        return assert!(held, "parked for a reason");
    }
    match subscription.status {
        Status::Active => {
            let retried_soon = subscription.dunning.is_some();
            assert!(retried_soon || !world.books.owes_on(world.now), "behind, but nothing is done: {subscription:?}");
            assert!(subscription.due_at.unwrap() > world.now, "{subscription:?}");
        }
        Status::Suspended => assert!(subscription.due_at.unwrap() > world.now),
        Status::Terminated => {
            assert!(world.books.cycles.values().all(|c| c.state != State::Open), "an end leaves no cycle open");
        }
        Status::Draft | Status::PendingActivation | Status::Cancelled => {
            panic!("neither paid nor ended: {subscription:?}")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_every_capture_is_attached_once_and_every_due_period_ends((gateway, acts) in walk()) {
        let mut world = run(gateway, &acts);
        converge(&mut world);
        at_most_one_payment_per_cycle(&world);
        every_capture_is_accounted_for(&world);
        everything_due_was_decided(&world);
    }
}

/// The walk would prove nothing if it never met what it is about.
#[test]
fn the_walk_meets_every_kind_of_trouble() {
    let mut runner = TestRunner::deterministic();
    let (mut paid, mut quarantined, mut seen) = (0usize, 0usize, [0u32; 7]);
    for _ in 0..600 {
        let (gateway, acts) = walk().new_tree(&mut runner).unwrap().current();
        let mut world = run(gateway, &acts);
        converge(&mut world);
        paid += world.gateway.captures.iter().filter(|(_, m)| is_paid_by(&world, m)).count();
        quarantined += world.gateway.captures.iter().filter(|(_, m)| is_quarantined(&world, m)).count();
        let s = world.seen;
        let met = [s.resends, s.absents, s.thawed, s.suspended, s.terminated, s.lapsed, s.cancelled];
        seen.iter_mut().zip(met).for_each(|(total, n)| *total += n);
    }
    assert!(paid > 1_000 && quarantined > 0, "paid {paid}, quarantined {quarantined}");
    assert!(
        seen.iter().all(|n| *n > 0),
        "resends, absents, thawed, suspended, terminated, lapsed, cancelled: {seen:?}"
    );
}
