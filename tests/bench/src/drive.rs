//! What SQS and Lambda do around a runner: a message becomes a new runner after a hop, while the old one still hears
//! out what it has under way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use shared::ports::{QueueUnavailable, ShardMessage, Shards};
use shared::usecase::runner::{Runner, RunnerError, Settings};
use shared::usecase::{Charging, run_billing};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::bent::Bent;

/// Time of a message between one function and the next: a delivery and, at worst, a cold start.
pub const HOP: Duration = Duration::from_millis(100);
/// What a runner keeps for its last answers (the gateway's time-out and a margin).
pub const RESERVE: Duration = Duration::from_secs(80);

struct Relay(UnboundedSender<(ShardMessage, Duration)>);

#[async_trait]
impl Shards for Relay {
    async fn send(&self, message: &ShardMessage, delay: Duration) -> Result<(), QueueUnavailable> {
        self.0.send((message.clone(), delay)).map_err(|_| QueueUnavailable)
    }
}

/// How a run went.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// From the tick to the last settled charge.
    pub wall: Duration,
    /// Runners after the first that took over with work left.
    pub hand_ons: u32,
}

/// How to run.
pub struct Course<'a> {
    pub settings: Settings,
    /// How long each runner may claim before it has to hand on; none is as long as it takes.
    pub slice: Option<Duration>,
    /// Charges to wait for.
    pub charges: u64,
    pub store: &'a Bent,
}

/// Ticks once and runs until every charge is settled.
pub async fn run(charging: &Charging, course: &Course<'_>) -> Result<Run, RunnerError> {
    let (sender, mut queue) = unbounded_channel();
    let relay = Relay(sender);
    let began = Instant::now();
    let now = charging.clock.now().await;
    let ticked = run_billing::tick(charging.store.as_ref(), &relay, charging.random.as_ref(), now, 1).await;
    assert!(ticked.is_ok(), "the tick: {:?}", ticked.err());
    let (mut runners, mut hand_ons) = (FuturesUnordered::new(), 0);
    loop {
        tokio::select! {
            biased;
            Some((message, delay)) = queue.recv() => {
                hand_ons += u32::from(message.continued && delay.is_zero());
                runners.push(one(charging, &relay, course, message, delay));
            }
            // None when nobody works and nothing waits.
            done = runners.next() => match done {
                Some(done) => done?,
                None => break,
            }
        }
    }
    let last = course.store.settled_at().unwrap_or_else(Instant::now);
    Ok(Run { wall: last.duration_since(began), hand_ons })
}

async fn one(
    charging: &Charging,
    relay: &Relay,
    course: &Course<'_>,
    message: ShardMessage,
    delay: Duration,
) -> Result<(), RunnerError> {
    tokio::time::sleep(delay + HOP).await;
    // Once everything is settled the run would only wait for its end: that costs nobody a charge.
    if course.charges > 0 && course.store.settled() >= course.charges {
        return Ok(());
    }
    let settings = Settings { reserve: RESERVE, ..course.settings };
    let deadline = Instant::now() + RESERVE + course.slice.unwrap_or(Duration::from_secs(86_400));
    Runner { charging, shards: relay, settings, deadline }.run(&message).await
}

/// The same charging over a bent store.
pub fn over(charging: Charging, store: &Arc<Bent>) -> Charging {
    Charging { store: store.clone(), ..charging }
}
