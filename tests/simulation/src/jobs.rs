//! Invocations as queues, schedules and gateways cause them: what comes in, which use case runs, and what a failure
//! makes of the message.

use std::sync::Arc;

use domain::calendar::ChargeWindow;
use domain::charge::GatewayName;
use domain::event::Actor;
use domain::ids::SubscriptionId;
use shared::crypto::token_hash;
use shared::ports::ShardMessage;
use shared::usecase::receive_hint::{Hint, receive_hint, receive_removal};
use shared::usecase::receive_webhook::{SignedEvent, receive_signed};
use shared::usecase::recover_charge::recover;
use shared::usecase::rereads::Rereads;
use shared::usecase::run_billing;
use shared::usecase::runner::{Runner, Settings};

use crate::clock::{HOUR, MINUTE, SECOND};
use crate::judge;
use crate::mail::{Hook, Letter};
use crate::process::{End, start};
use crate::rng::Rng;
use crate::sim::Sim;
use crate::trace::{Job, NOBODY, Step, Who};
use crate::weather::Kind;

/// Deliveries before a message goes to the dead-letter queue.
const RECEIVES: u32 = 5;
/// Visibility time-outs of the queues, as the template sets them on AWS.
const SHARDS_VISIBLE: i64 = 5_400 * SECOND;
const HINTS_VISIBLE: i64 = 360 * SECOND;
/// How often a gateway sends an event that was not accepted.
const HOOK_TRIES: u32 = 12;

/// How billing runs are set up in a seed.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub runners: u32,
    pub settings: Settings,
    /// Milliseconds a runner may take.
    pub limit: i64,
}

impl Setup {
    #[must_use]
    pub fn drawn(rng: &Rng) -> Setup {
        let window = if rng.chance(2_500) { ChargeWindow::parse("09:00-21:00") } else { None };
        let runners = *rng.pick(&[1, 1, 1, 2, 3]);
        let rate = u32::try_from(rng.range(5, 80)).unwrap();
        let hold_factor = *rng.pick(&[0, 0, 2, 5]);
        Setup {
            runners,
            settings: Settings { window, hold_factor, ..Settings::of_accounts(rate, rate, runners) },
            limit: *rng.pick(&[120, 300, 900]) * SECOND,
        }
    }
}

/// The schedule fires.
pub fn tick(sim: &Arc<Sim>) {
    let setup = sim.setup;
    let work = move |process: crate::process::Process| async move {
        let now = process.charging.clock.now().await;
        let (store, random) = (process.charging.store.as_ref(), process.charging.random.as_ref());
        run_billing::tick(store, &process.queues, random, now, setup.runners).await.is_ok()
    };
    start(sim, Job::Tick, NOBODY, MINUTE, work, |_, _| {});
}

/// A message of `billing-shards`.
pub fn runner(sim: &Arc<Sim>, message: ShardMessage, received: u32) {
    let setup = sim.setup;
    let again = message.clone();
    let work = move |process: crate::process::Process| async move {
        let deadline = tokio::time::Instant::now() + crate::clock::duration(setup.limit);
        let runner =
            Runner { charging: &process.charging, shards: &process.queues, settings: setup.settings, deadline };
        runner.run(&message).await.is_ok()
    };
    let after = move |sim: &Arc<Sim>, end| {
        let letter = Letter::Shard { message: again, received: received + 1 };
        redeliver(sim, end, SHARDS_VISIBLE, received, letter);
    };
    start(sim, Job::Runner, NOBODY, setup.limit, work, after);
}

/// A message of `failed-charges`.
pub fn recovery(sim: &Arc<Sim>, id: SubscriptionId, received: u32) {
    let who = sim.books.lock().unwrap().number(id.ulid()).unwrap_or(NOBODY);
    let again = id.clone();
    let work = move |process: crate::process::Process| async move {
        let context = process.context(Actor::System("charge_recovery".to_owned())).await;
        recover(&process.charging, &context, &id).await.is_ok()
    };
    let after = move |sim: &Arc<Sim>, end| {
        let letter = Letter::Hint { id: again, received: received + 1 };
        redeliver(sim, end, HINTS_VISIBLE, received, letter);
    };
    start(sim, Job::Recovery, who, MINUTE, work, after);
}

/// What was done is deleted, mostly; what failed comes back after its visibility time-out.
fn redeliver(sim: &Arc<Sim>, end: End, visible: i64, received: u32, letter: Letter) {
    let again = end != End::Well || sim.strikes(Kind::MessageAgain, NOBODY);
    if again && received + 1 < RECEIVES {
        sim.post(visible, letter);
    }
}

/// A gateway's event.
pub fn webhook(sim: &Arc<Sim>, who: Who, hook: Hook, tries: u32) {
    let again = hook.clone();
    let kind = match &hook {
        Hook::Toss { .. } => "payment changed",
        Hook::Stripe { .. } => "payment event",
        Hook::Removed { .. } => "card removed",
    };
    sim.say(kind, |kind| Step::Hook { who, kind });
    let work = move |process: crate::process::Process| async move { received(&process, hook).await };
    let after = move |sim: &Arc<Sim>, end| {
        if end == End::Well {
            judge::accepted(sim, who, &again);
        }
        if end != End::Well && tries < HOOK_TRIES {
            let wait = (MINUTE << (2 * tries.min(5))).min(6 * HOUR);
            sim.post(wait, Letter::Hook { who, hook: again, tries: tries + 1 });
        }
    };
    start(sim, Job::Webhook, who, 10 * SECOND, work, after);
}

async fn received(process: &crate::process::Process, hook: Hook) -> bool {
    let charging = &process.charging;
    let now = charging.clock.now().await;
    let signed = |id: String, kind: &str| SignedEvent::stored(GatewayName::Stripe, id, kind);
    let result = match hook {
        // Each delivery meets a process of its own here: none remembers what another asked.
        Hook::Toss { order_id } => {
            let hint = Hint::about(&order_id);
            receive_hint(charging, &Rereads::default(), now, GatewayName::Toss, &hint).await
        }
        Hook::Stripe { id, billable, answer } => {
            let event = SignedEvent { report: Some((billable, answer)), ..signed(id, "payment_intent") };
            receive_signed(charging, now, event).await
        }
        Hook::Removed { id, gateway, token } => {
            let hash = token_hash(gateway, &token);
            match gateway {
                GatewayName::Toss => receive_removal(charging, now, gateway, &hash).await,
                GatewayName::Stripe => {
                    let event = SignedEvent { removed_method: Some(hash), ..signed(id, "payment_method.detached") };
                    receive_signed(charging, now, event).await
                }
            }
        }
    };
    result.is_ok()
}
