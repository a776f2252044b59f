//! A gateway worse than both of ours: keys that live for minutes or not at all, errors that are not stored under them, no
//! way to ask by our id. However long it is away, nothing is charged twice and nothing due is forgotten.

use domain::charge::{Answer, GatewayName, Heard, Profile, Trigger};
use domain::subscription::Status;
use jiff::SignedDuration;

use crate::books::Books;
use crate::fixtures::{by_call, by_event, days, hours, minutes, refused, unknown};
use crate::world::{Fate, World};

/// How long the gateway keeps a key.
fn windows() -> [(&'static str, SignedDuration); 4] {
    [("none", SignedDuration::ZERO), ("5 min", minutes(5)), ("20 h", hours(20)), ("13 d", days(13))]
}

fn outages() -> [(&'static str, SignedDuration); 4] {
    [("1 min", minutes(1)), ("6 h", hours(6)), ("25 h", hours(25)), ("4 d", days(4))]
}

/// What becomes of the first send, the moment before the gateway goes away.
const FATES: [Fate; 7] = [
    Fate::AnswerLost,
    Fate::LostOnTheWay,
    Fate::ErrorBefore,
    Fate::ErrorAfter,
    Fate::Strange,
    Fate::DiesBefore,
    Fate::DiesAfter,
];

/// A world whose gateway keeps keys for `window` and stores no errors. Recovery is told less than that by more than a
/// lease, because a send decided on now arrives later.
fn hostile(name: GatewayName, window: SignedDuration, finds: bool) -> World {
    let mut world = World::new(name);
    world.gateway.keeps_keys = window;
    let key_window = if window > minutes(3) { window - minutes(3) } else { SignedDuration::ZERO };
    world.gateway.profile = Profile { key_window, replays_errors: false, finds, ..name.profile() };
    world
}

/// A renewal meets `fate` and then an outage; afterwards everything works, first every half minute, then every hour.
fn through(world: &mut World, fate: Fate, outage: SignedDuration, second: Fate) {
    world.tick(Fate::Answered);
    world.now = world.books.subscription.due_at.unwrap();
    world.tick(fate);
    let back = world.now + outage;
    world.gateway.up = false;
    while world.now < back {
        world.now += (outage / 40).max(SignedDuration::from_secs(20));
        world.tick(Fate::Answered);
    }
    world.gateway.up = true;
    // The first send after it may meet trouble too.
    world.now += SignedDuration::from_secs(30);
    world.tick(second);
    for _ in 0..240 {
        world.now += SignedDuration::from_secs(30);
        world.tick(Fate::Answered);
    }
    for _ in 0..30 {
        world.now += hours(1);
        world.tick(Fate::Answered);
    }
}

#[test]
fn whatever_its_keys_and_however_long_it_is_away_nothing_is_doubled_or_missed() {
    for name in GatewayName::ALL {
        for ((window, keeps), (outage, away)) in windows().into_iter().flat_map(|w| outages().map(|o| (w, o))) {
            for fate in FATES {
                for second in [Fate::Answered, Fate::AnswerLost, Fate::LostOnTheWay, Fate::ErrorAfter, Fate::DiesAfter]
                {
                    for during in [Fate::ErrorBefore, Fate::LostOnTheWay] {
                        let what = format!("{name:?}, keys {window}, away {outage}, {fate:?}, {during:?}, {second:?}");
                        let mut world = hostile(name, keeps, true);
                        world.away = during;
                        through(&mut world, fate, away, second);
                        let taken = world.gateway.captures.iter().filter(|(index, _)| *index == 1).count();
                        let s = &world.books.subscription;
                        assert_eq!((taken, s.paid, s.status), (1, Some(1), Status::Active), "{what}: {s:?}");
                        assert_eq!((&s.live, &s.dunning), (&None, &None), "{what}: an outage consumes no step");
                    }
                }
            }
        }
    }
}

/// One that cannot be asked either: inside its key window the same send is the question. What is still open after it is
/// left to an event or an operator, because guessing could charge twice.
#[test]
fn one_that_cannot_be_asked_is_sent_the_same_again_or_waited_for() {
    let (mut settled, mut waited) = (0, 0);
    for ((window, keeps), (outage, away)) in windows().into_iter().flat_map(|w| outages().map(|o| (w, o))) {
        for fate in FATES {
            let what = format!("keys {window}, away {outage}, {fate:?}");
            let mut world = hostile(GatewayName::Toss, keeps, false);
            world.away = Fate::LostOnTheWay;
            through(&mut world, fate, away, Fate::Answered);
            let taken = |world: &World| world.gateway.captures.iter().filter(|(index, _)| *index == 1).count();
            assert!(taken(&world) <= 1, "{what}");
            let s = world.books.subscription.clone();
            match s.live {
                None => {
                    assert_eq!((taken(&world), s.paid), (1, Some(1)), "{what}");
                    settled += 1;
                }
                Some(live) => {
                    assert!(s.due_at.unwrap() <= world.now + hours(1), "{what}: it is asked about again and again");
                    waited += 1;
                    // The gateway's event, or an operator who looked, says what became of it.
                    let money = world.gateway.captures.iter().find(|(index, _)| *index == 1).map(|(_, m)| m.clone());
                    match money {
                        Some(money) => {
                            world.books.settle(&by_event(&live, Answer::Captured(money)), world.now);
                        }
                        None => {
                            world.books.close_absent(&live);
                        }
                    }
                    for _ in 0..30 {
                        world.now += hours(1);
                        world.tick(Fate::Answered);
                    }
                    assert_eq!(
                        (taken(&world), world.books.subscription.paid),
                        (1, Some(1)),
                        "{what}: once it is known"
                    );
                }
            }
        }
    }
    assert!(settled >= 20 && waited >= 20, "both ends are met: {settled} settled, {waited} waited");
}

/// A profile that promises more than the gateway keeps is what a double charge takes.
#[test]
fn the_matrix_would_see_a_key_window_that_is_too_long() {
    let mut world = hostile(GatewayName::Toss, minutes(5), false);
    world.gateway.profile.key_window = days(13);
    world.away = Fate::LostOnTheWay;
    through(&mut world, Fate::AnswerLost, hours(6), Fate::Answered);
    let taken = world.gateway.captures.iter().filter(|(index, _)| *index == 1).count();
    assert_eq!(taken, 2, "the key was gone: the card was charged again");
}

/// An account the gateway always refuses in a way nobody knows: it goes on being tried, ever more seldom, and an operator
/// is told. A refused key of ours or an outage says nothing of the account.
#[test]
fn an_operator_is_told_of_an_account_that_is_always_refused() {
    for (heard, told) in [(Heard::Refusal, 2), (Heard::Error, 0)] {
        let mut books = Books::active(GatewayName::Toss);
        let mut now = books.subscription.due_at.unwrap();
        let mut stuck = 0;
        for _ in 0..24 {
            let live = books.start(Trigger::Renewal, now);
            books.settle(&by_call(&live, unknown(heard, &live)), now);
            let facts = books.close_absent(&books.live());
            stuck += facts.iter().filter(|f| f.kind == "subscription.stuck").count();
            now = books.subscription.due_at.unwrap().max(now);
        }
        assert_eq!((stuck, books.subscription.status), (told, Status::Active), "{heard:?}");
        for _ in 0..24 {
            let live = books.start(Trigger::Renewal, now);
            let facts = books.settle(&by_call(&live, refused()), now);
            assert!(!facts.iter().any(|f| f.kind == "subscription.stuck"), "our key's fault");
            now = books.subscription.due_at.unwrap().max(now);
        }
        books.take(Trigger::Renewal, now);
        assert_eq!(books.subscription.paid, Some(1), "and it heals by itself");
    }
}
