//! What operators and card holders do beside the work of the system: keys are rotated, gateways paused and resumed, parked
//! accounts put back, held runs let go, cards taken away.

use std::sync::Arc;

use domain::charge::GatewayName;
use domain::event::Actor;
use domain::ids::RunId;
use domain::run;
use domain::subscription::Subscription;
use shared::store::{Key, Record};
use shared::usecase::activate_subscription::retry;
use shared::usecase::approve_run::approve_run;
use shared::usecase::charge_subscription::HTTP_PATIENCE;
use shared::usecase::{run_billing, switch};

use crate::clock::{DAY, HOUR, MINUTE};
use crate::mail::{Hook, Letter};
use crate::people::HTTP;
use crate::process::{End, Process, start};
use crate::sim::Sim;
use crate::trace::{Job, NOBODY, Step, Who};
use crate::weather::Kind;

/// The daily round: keys are rotated now and then, cards vanish at the gateways.
pub fn round(sim: &Arc<Sim>, count: u16) {
    sim.post(DAY + sim.rng.range(-HOUR, HOUR), Letter::Operators);
    if sim.calm() {
        return;
    }
    for gateway in GatewayName::ALL {
        if sim.rng.chance(500) {
            sim.gateways.keys(gateway).lock().unwrap().rotate(sim.now());
            sim.count(Kind::SecretRotated, NOBODY);
        }
    }
    for gateway in GatewayName::ALL {
        if sim.rng.chance(150) {
            pause(sim, gateway);
        }
    }
    unpark(sim);
    if sim.rng.chance(600) {
        remove_card(sim, u16::try_from(sim.rng.below(u64::from(count))).unwrap());
    }
}

fn pause(sim: &Arc<Sim>, gateway: GatewayName) {
    sim.count(Kind::GatewayPaused, NOBODY);
    let work = move |process: Process| async move {
        let context = process.context(Actor::Operator("ops".to_owned())).await;
        let (store, random) = (process.charging.store.as_ref(), process.charging.random.as_ref());
        switch::pause(store, random, &context, gateway, "check", Vec::new()).await.is_ok()
    };
    let long = sim.rng.range(HOUR, 3 * DAY);
    start(sim, Job::Operator, NOBODY, HTTP, work, move |sim, _| sim.post(long, Letter::Resume(gateway)));
}

/// An operator lets a gateway go on, and sees to it that it does.
pub fn resume(sim: &Arc<Sim>, gateway: GatewayName) {
    let work = move |process: Process| async move {
        let context = process.context(Actor::Operator("ops".to_owned())).await;
        let (store, random) = (process.charging.store.as_ref(), process.charging.random.as_ref());
        switch::resume(store, random, &context, gateway, "checked", Vec::new()).await.is_ok()
    };
    let after = move |sim: &Arc<Sim>, end| {
        if end != End::Well {
            sim.post(MINUTE, Letter::Resume(gateway));
        }
    };
    start(sim, Job::Operator, NOBODY, HTTP, work, after);
}

/// Parked subscriptions: an operator asks the gateway's console, and where no money is, puts it back.
fn unpark(sim: &Arc<Sim>) {
    let parked: Vec<Subscription> = {
        let books = sim.books.lock().unwrap();
        let rows = books.rows.iter().enumerate().filter_map(|(who, row)| Some((who, row.as_ref()?)));
        let free = |who: usize, row: &Subscription| {
            let who = u16::try_from(who).unwrap();
            row.parked && books.captures(who, row.next_index()).next().is_none()
        };
        rows.filter(|(who, row)| free(*who, row)).map(|(_, row)| row.clone()).collect()
    };
    for row in parked {
        let work = move |process: Process| async move {
            let context = process.context(Actor::Operator("ops".to_owned())).await;
            retry(&process.charging, &context, &row.id, HTTP_PATIENCE).await.is_ok()
        };
        start(sim, Job::Operator, NOBODY, HTTP, work, |_, _| {});
    }
}

/// Before a tick: an operator finds the day's run held, and lets it go on some time later.
pub fn look_at_runs(sim: &Arc<Sim>) {
    if sim.setup.settings.hold_factor == 0 {
        return;
    }
    let id = run_billing::day_run(sim.time.stamp(sim.now()));
    let runs = sim.copies(&[Key::Run(id.clone())]);
    let held = |record: &Record| matches!(record, Record::Run(run) if run.status == run::Status::Held);
    if runs.iter().any(held) {
        sim.say("find the run held", |what| Step::Did { who: NOBODY, what });
        let wait = if sim.calm() { 0 } else { sim.rng.range(0, 6 * HOUR) };
        sim.post(wait, Letter::Approve(id));
    }
}

pub fn approve(sim: &Arc<Sim>, id: RunId) {
    let work = move |process: Process| async move {
        let context = process.context(Actor::Operator("ops".to_owned())).await;
        let (store, random) = (process.charging.store.as_ref(), process.charging.random.as_ref());
        approve_run(store, &process.queues, random, &context, &id).await.is_ok()
    };
    start(sim, Job::Operator, NOBODY, HTTP, work, |_, _| {});
}

/// A holder takes the card in use away at the gateway.
fn remove_card(sim: &Arc<Sim>, who: Who) {
    let token = {
        let books = sim.books.lock().unwrap();
        let Some(row) = books.row(who) else { return };
        let Some(names) = books.methods.get(&row.method_id) else { return };
        names.token.clone()
    };
    let gateway = match sim.gateways.bank.lock().unwrap().card_mut(&token) {
        Some(card) => {
            card.removed = true;
            card.gateway
        }
        None => return,
    };
    sim.count(Kind::CardRemoved, who);
    sim.tell(who, Some(Hook::Removed { id: format!("evt-{token}"), gateway, token }));
}
