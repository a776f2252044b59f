//! Runs the model: every configuration to the end, then without each guard. Prints what it saw; fails when a law is broken,
//! when something that matters was not reached, or when a guard can be removed without anybody noticing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a test program")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use domain::charge::GatewayName::{self, Stripe, Toss};
use jiff::SignedDuration;
use model::config::{Config, HORIZON, LAG, LATE, Owed};
use model::gateway::Effect;
use model::guards::{Guard, Guards};
use model::laws;
use model::protocol::Protocol;
use model::state::Left;
use model::story;
use stateright::{Checker, Expectation, Model};

const THREADS: usize = 2;
/// What is asked for in total (issue B, Prove 8).
const AT_LEAST: usize = 1_000_000;
const NONE: Left = Left { waits: 2, faults: 1, crashes: 0, blind: 0, events: 0, cancels: 0, cards: 0, manual: 0 };
const ANSWERS: &[Effect] = &[Effect::Capture, Effect::SoftDecline];
const HARD: &[Effect] = &[Effect::Capture, Effect::HardDecline];
const LESS: &[Effect] = &[Effect::Capture, Effect::CaptureLess];
const NO_EFFECT: &[Effect] = &[Effect::Refuse, Effect::Strange];

fn config(name: &'static str, owed: Owed, gateway: GatewayName, left: Left) -> Config {
    Config {
        name,
        owed,
        gateway,
        next_gateway: gateway,
        effects: ANSWERS,
        faulty: NO_EFFECT,
        late: LATE,
        blind: LAG,
        left,
    }
}

/// One look-up does not see a payment, however old it is. Requests are not late here: a late request *and* a look-up that
/// fails to see it an hour later is more than the protocol can stand.
fn unseeing(name: &'static str, gateway: GatewayName) -> Config {
    let left = Left { waits: 3, blind: 1, ..NONE };
    let (late, blind) = (SignedDuration::ZERO, HORIZON);
    Config { late, blind, ..config(name, Owed::Renewal, gateway, left) }
}

/// Two runners, two attempts, duplicates and lost answers in every one of them; the trouble each adds is in its name.
fn configurations() -> Vec<Config> {
    use Owed::{First, Renewal};
    let trouble = Left { faults: 2, crashes: 1, ..NONE };
    let long = Left { waits: 4, ..NONE };
    let lag = Left { waits: 3, blind: 1, ..NONE };
    let event = Left { events: 1, ..NONE };
    let cancel = Left { cancels: 1, ..NONE };
    let card = Left { cards: 1, ..NONE };
    let person = Left { manual: 1, ..NONE };
    let dies = |left| Left { crashes: 1, ..left };
    vec![
        config("renewal: a crash and two faults", Renewal, Toss, trouble),
        config("renewal: a crash and two faults", Renewal, Stripe, trouble),
        config("first payment: a crash and two faults", First, Toss, trouble),
        config("renewal: weeks pass", Renewal, Toss, long),
        config("renewal: weeks pass", Renewal, Stripe, long),
        config("renewal: a look-up lags behind", Renewal, Toss, lag),
        config("renewal: a look-up lags behind", Renewal, Stripe, lag),
        unseeing("renewal: a look-up never sees the payment", Toss),
        unseeing("renewal: a look-up never sees the payment", Stripe),
        config("renewal: a hint", Renewal, Toss, event),
        config("renewal: an event and a crash", Renewal, Stripe, dies(event)),
        config("renewal: cancelled, a crash", Renewal, Toss, dies(cancel)),
        config("renewal: cancelled", Renewal, Stripe, cancel),
        Config { effects: HARD, ..config("renewal: a new card after a hard decline", Renewal, Toss, card) },
        Config { next_gateway: Toss, ..config("renewal: a new card of the other gateway", Renewal, Stripe, card) },
        config("first payment: a new card", First, Stripe, card),
        config("renewal: a person charges", Renewal, Toss, person),
        Config { effects: LESS, ..config("renewal: less is taken than asked for", Renewal, Toss, trouble) },
    ]
}

/// More of it, for a night.
fn deep() -> Vec<Config> {
    use Owed::{First, Renewal};
    let long = Left { waits: 5, ..NONE };
    let lag = Left { waits: 3, faults: 2, blind: 1, ..NONE };
    let late = Left { cancels: 1, events: 1, ..NONE };
    let dies = Left { crashes: 1, ..NONE };
    let card = Left { cards: 1, ..dies };
    let event = Left { events: 1, ..dies };
    vec![
        config("renewal: more weeks pass", Renewal, Toss, long),
        config("renewal: more weeks pass", Renewal, Stripe, long),
        config("renewal: a look-up lags behind, two faults", Renewal, Toss, lag),
        config("renewal: a look-up lags behind, two faults", Renewal, Stripe, lag),
        config("renewal: a hint and a crash", Renewal, Toss, event),
        config("renewal: cancelled, an event", Renewal, Stripe, late),
        config("renewal: cancelled, a crash", Renewal, Stripe, Left { cancels: 1, ..dies }),
        Config { effects: HARD, ..config("renewal: a new card after a hard decline, a crash", Renewal, Toss, card) },
        Config { next_gateway: Toss, ..config("renewal: a new card elsewhere, a crash", Renewal, Stripe, card) },
        config("first payment: a new card, a crash", First, Stripe, card),
        config("renewal: a person charges, a crash", Renewal, Stripe, Left { manual: 1, ..dies }),
        Config { effects: LESS, ..config("renewal: less is taken, a hint, a crash", Renewal, Toss, event) },
    ]
}

/// Each guard, where its absence shows, and the law that breaks.
fn removals() -> Vec<(Guard, Config, &'static str)> {
    use Owed::Renewal;
    let plain = Left { waits: 3, faults: 2, ..NONE };
    let at = |gateway| config("", Renewal, gateway, plain);
    let with = |gateway, left| config("", Renewal, gateway, left);
    let cancel = Left { cancels: 1, manual: 1, ..NONE };
    let card = Left { cards: 1, ..plain };
    vec![
        (Guard::VersionCondition, at(Toss), laws::ONE_CAPTURE),
        (Guard::VersionCondition, at(Stripe), laws::ONE_CAPTURE),
        (Guard::OneLiveAttempt, at(Toss), laws::ONE_CAPTURE),
        (Guard::OneLiveAttempt, at(Stripe), laws::ONE_CAPTURE),
        (Guard::TerminalBeforeNext, at(Toss), laws::ONE_CAPTURE),
        (Guard::TerminalBeforeNext, at(Stripe), laws::ONE_CAPTURE),
        (Guard::LookUpBeforeResend, at(Toss), laws::ONE_CAPTURE),
        (Guard::LookUpBeforeResend, at(Stripe), laws::ONE_CAPTURE),
        (Guard::AskingAtAll, at(Toss), laws::ONE_CAPTURE),
        (Guard::AskingAtAll, at(Stripe), laws::ONE_CAPTURE),
        (Guard::AmountMatch, Config { effects: LESS, ..at(Toss) }, laws::RIGHT_MONEY),
        (Guard::AmountMatch, Config { effects: LESS, ..at(Stripe) }, laws::RIGHT_MONEY),
        (Guard::TokenOnNegatives, at(Toss), laws::ONE_CAPTURE),
        (Guard::TokenOnNegatives, at(Stripe), laws::ONE_CAPTURE),
        (Guard::CancelCheck, with(Toss, cancel), laws::QUIET_END),
        (Guard::CancelCheck, with(Stripe, Left { cancels: 1, ..plain }), laws::NOT_AFTER_END),
        (Guard::FrozenRequest, with(Toss, card), laws::ONE_CAPTURE),
        (Guard::FrozenRequest, Config { next_gateway: Toss, ..with(Stripe, card) }, laws::ONE_CAPTURE),
        // One gateway only: Stripe refuses a key that comes with other parameters, so no second capture; but the request
        // that goes out is not the one that was written down.
        (Guard::FrozenRequest, with(Stripe, card), laws::ONE_REQUEST),
        // These two matter where a look-up may fail to see what is there.
        (Guard::KeyWindow, unseeing("", Toss), laws::ONE_CAPTURE),
        (Guard::KeyWindow, unseeing("", Stripe), laws::ONE_CAPTURE),
        (Guard::SecondEmptyLookUp, with(Toss, Left { blind: 1, ..plain }), laws::ONE_CAPTURE),
        (Guard::SecondEmptyLookUp, with(Stripe, Left { blind: 1, ..plain }), laws::ONE_CAPTURE),
        (Guard::RequestsDie, at(Toss), laws::ONE_CAPTURE),
        (Guard::RequestsDie, at(Stripe), laws::ONE_CAPTURE),
    ]
}

/// Checks a configuration to the end. Says how many states it has, what it reached and what it broke.
fn check(config: Config) -> (usize, BTreeSet<&'static str>, bool) {
    let begun = Instant::now();
    let (name, gateway) = (config.name, config.gateway);
    let checker = Protocol::new(config).checker().threads(THREADS).spawn_bfs().join();
    let found = checker.discoveries();
    let (unique, all) = (checker.unique_state_count(), checker.state_count());
    println!(
        "{:<52} {:<6} {unique:>9} states {all:>10} steps depth {:>2} {:>5.1} s",
        name,
        gateway.as_str(),
        checker.max_depth(),
        begun.elapsed().as_secs_f32()
    );
    let mut reached = BTreeSet::new();
    let mut held = true;
    for law in laws::all() {
        match (law.expectation, found.get(law.name)) {
            (Expectation::Always, Some(path)) => {
                held = false;
                println!("  BROKEN: {}\n    {}", law.name, story::tell(checker.model(), path.clone()));
            }
            (Expectation::Sometimes, Some(_)) => {
                reached.insert(law.name);
            }
            (_, _) => {}
        }
    }
    (unique, reached, held)
}

/// Whether the guard's absence is noticed.
fn noticed(guard: Guard, config: Config, law: &'static str) -> bool {
    let begun = Instant::now();
    let gateway = config.gateway;
    let protocol = Protocol { config, guards: Guards::without(guard), only: Some(law) };
    let checker = protocol.checker().spawn_bfs().join();
    let seconds = begun.elapsed().as_secs_f32();
    let name = format!("{guard:?}");
    match checker.discovery(law) {
        Some(path) => {
            println!("without {name:<19} {:<6} breaks \"{law}\" ({seconds:.1} s)", gateway.as_str());
            println!("    {}", story::tell(checker.model(), path));
            true
        }
        None => {
            let states = checker.unique_state_count();
            println!("without {name:<19} {:<6} NOTHING BREAKS in {states} states ({seconds:.1} s)", gateway.as_str());
            false
        }
    }
}

/// Every configuration whose name holds `part`, then what was never reached. Says how many states there were.
fn check_all(part: Option<&str>) -> (usize, bool) {
    let (mut total, mut reached, mut good) = (0, BTreeSet::new(), true);
    let night = std::env::var_os("DEEP").is_some_and(|value| !value.is_empty());
    let every = configurations().into_iter().chain(night.then(deep).into_iter().flatten());
    for config in every.filter(|c| part.is_none_or(|part| c.name.contains(part))) {
        let (states, seen, held) = check(config);
        total += states;
        reached.extend(seen);
        good &= held;
    }
    for law in laws::all().iter().filter(|law| law.expectation == Expectation::Sometimes) {
        let seen = reached.contains(law.name);
        println!("{:<15}{}", if seen { "reached" } else { "NOT REACHED" }, law.name);
        good &= seen || part.is_some();
    }
    (total, good)
}

fn main() -> ExitCode {
    let begun = Instant::now();
    let part = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    let (total, mut good) = check_all(part.as_deref());
    println!("{total} unique states in {:.0} s", begun.elapsed().as_secs_f32());
    if part.is_none() {
        good &= total >= AT_LEAST;
        for (guard, config, law) in removals() {
            good &= noticed(guard, config, law);
        }
    }
    println!("{} in {:.0} s, {}", if good { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f32(), memory());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The most memory this process had, as Linux says it.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|rest| rest.trim().strip_suffix(" kB"));
    let megabytes = most.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).map(|kilobytes| kilobytes / 1_024);
    megabytes.map_or_else(|| "memory unknown".to_owned(), |n| format!("{n} MB at most"))
}
