//! The runner's pace on a paused clock: never more in a second than the rate, and little less.

use std::time::Duration;

use domain::charge::GatewayName;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::SignedDuration;
use shared::usecase::allowance::{Allowance, Said};
use shared::usecase::runner::Pacer;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

const G: GatewayName = GatewayName::Toss;

async fn call(pacer: &Pacer, took: Duration, said: Said) -> Instant {
    pacer.turn(G).await;
    let sent = Instant::now();
    tokio::time::sleep(took).await;
    pacer.heard(G, said, took);
    sent
}

/// Sends `n` calls as a runner would and says when each was sent.
async fn drive(pacer: &Pacer, n: usize, took: Duration) -> Vec<Instant> {
    let (mut flying, mut sent) = (FuturesUnordered::new(), Vec::new());
    for _ in 0..n {
        while !pacer.has_room(G, flying.len()) {
            tokio::select! {
                Some(at) = flying.next() => sent.push(at),
                () = pacer.moved(G) => {}
            }
        }
        flying.push(call(pacer, took, Said::Answered));
    }
    while let Some(at) = flying.next().await {
        sent.push(at);
    }
    sent.sort();
    sent
}

fn worst_second(sent: &[Instant]) -> usize {
    let within = |at: &Instant| sent.iter().filter(|s| *s >= at && **s < *at + SECOND).count();
    sent.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn keeps_the_rate_and_wastes_none_of_it() {
    let pacer = Pacer::new(25, 1);
    let begin = Instant::now();
    let sent = drive(&pacer, 500, Duration::from_millis(1_400)).await;
    assert!(worst_second(&sent) <= 25);
    let took = *sent.last().unwrap() - begin;
    assert!(took <= Duration::from_millis(20_000 + 20_000 / 50), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_process_is_not_made_up_for_in_a_burst() {
    let pacer = Pacer::new(50, 1);
    let mut sent = drive(&pacer, 60, Duration::from_millis(20)).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    sent.extend(drive(&pacer, 120, Duration::from_millis(20)).await);
    assert!(worst_second(&sent) <= 50, "{}", worst_second(&sent));
}

/// Calls a second over the next two.
async fn pace(pacer: &Pacer) -> u32 {
    let begin = Instant::now();
    let mut n = 0;
    while begin.elapsed() < 2 * SECOND {
        call(pacer, Duration::ZERO, Said::Answered).await;
        n += 1;
    }
    n / 2
}

#[tokio::test(start_paused = true)]
async fn complaints_slow_the_pace_and_it_recovers() {
    let pacer = Pacer::new(100, 1);
    tokio::time::advance(2 * SECOND).await;
    for _ in 0..5 {
        call(&pacer, Duration::ZERO, Said::Slower).await;
    }
    let slowed = pace(&pacer).await;
    assert!((60..=72).contains(&slowed), "five complaints within a second count once: {slowed}");
    assert_eq!(pacer.said(G).iter().filter(|s| **s == Said::Slower).count(), 5);
    tokio::time::advance(6 * SECOND).await;
    let recovered = pace(&pacer).await;
    assert!((97..=101).contains(&recovered), "{recovered}");
}

#[tokio::test(start_paused = true)]
async fn complaints_that_go_on_slow_it_every_second() {
    let (pacer, begin) = (Pacer::new(100, 1), Instant::now());
    let mut last = 0;
    while begin.elapsed() < 6 * SECOND {
        call(&pacer, Duration::ZERO, Said::Slower).await;
        last += u32::from(begin.elapsed() >= 5 * SECOND);
    }
    assert!(last <= 16, "{last} calls in the sixth second of complaints");
}

#[tokio::test(start_paused = true)]
async fn a_successor_waits_for_its_slot() {
    let pacer = Pacer::new(1, 1);
    pacer.continue_after(G, SignedDuration::from_millis(400));
    let begin = Instant::now();
    pacer.turn(G).await;
    assert!(begin.elapsed() >= Duration::from_millis(600));
    assert!(pacer.last_sent(G).unwrap() <= SignedDuration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_successor_allows_for_calls_that_were_bunched() {
    for rate in [10, 25, 100] {
        let (first, second) = (Pacer::new(rate, 1), Pacer::new(rate, 1));
        let calls = usize::try_from(rate).unwrap() * 3;
        let mut sent = drive(&first, calls, Duration::from_millis(20)).await;
        // A stalled process sends what it missed at once.
        tokio::time::advance(Duration::from_millis(700)).await;
        sent.extend(drive(&first, calls / 20, Duration::ZERO).await);
        second.continue_after(G, first.last_sent(G).unwrap());
        sent.extend(drive(&second, calls, Duration::from_millis(20)).await);
        let worst = worst_second(&sent);
        assert!(worst <= usize::try_from(rate).unwrap(), "{worst} at {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answers_raise_what_may_fly_and_waiting_for_a_turn_does_not() {
    let pacer = Pacer::new(10, 1);
    assert!(pacer.has_room(G, 3) && !pacer.has_room(G, 4), "nobody has sent anything yet");
    for _ in 0..200 {
        pacer.heard(G, Said::Answered, Duration::from_secs(10));
    }
    let flying: Vec<_> = (0..100).map(|_| pacer.turn(G)).collect();
    futures::future::join_all(flying).await;
    assert!(pacer.has_room(G, 103), "a hundred wait for slow answers");
    assert!(!pacer.has_room(G, 104), "four wait for their turn");
}
