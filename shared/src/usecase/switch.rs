//! The gateway switches in `control`: read by everything that charges, moved by operators (pause, resume) and by what
//! the gateway answers (trip, probe, recover). The rules are [`domain::breaker`]'s; an event goes with each change that
//! people want to know about.
//!
//! Invariant: each change is conditional on the row it was decided on, so of many probers one wins. A row that does not
//! read back is an error and never "flows".

use domain::breaker::{Admission, Switch, row_name};
use domain::charge::GatewayName;
use domain::event::{Actor, Fact};
use jiff::{SignedDuration, Timestamp};

use super::{RACES, stamp};
use crate::ports::{Context, Random};
use crate::store::{Commit, Control, Record, Store, StoreError, Write, typed};

/// What a caller is told to wait for when only an operator can end it.
const PAUSE_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// The gateway takes no new charges now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is paused")]
pub struct Stopped {
    /// When it is worth trying again; none while an operator holds it.
    pub until: Option<Timestamp>,
    /// The same in seconds, at least one: for `Retry-After`.
    pub wait_s: u32,
}

impl Stopped {
    fn new(until: Option<Timestamp>, now: Timestamp) -> Stopped {
        let wait = until.map_or(PAUSE_WAIT, |at| at.duration_since(now));
        Stopped { until, wait_s: u32::try_from(wait.as_secs().max(1)).unwrap_or(u32::MAX) }
    }
}

/// Leave to send one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Flows,
    /// It is the probe of an open breaker: say how it went with [`probe_failed`] or [`recover`].
    Probe,
}

/// The switch as it is stored now.
///
/// # Errors
/// When the store fails or the row does not read.
pub async fn read(store: &dyn Store, gateway: GatewayName) -> Result<Switch, StoreError> {
    load(store, gateway).await.map(|(switch, _)| switch)
}

/// Asks for leave to send one charge, taking the probe if that is all there is.
///
/// # Errors
/// When the store fails; `Ok(Err)` while nothing may be sent.
pub async fn admit(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    gateway: GatewayName,
) -> Result<Result<Pass, Stopped>, StoreError> {
    match read(store, gateway).await?.admits(now) {
        Admission::Flows => Ok(Ok(Pass::Flows)),
        Admission::Stopped { until } => Ok(Err(Stopped::new(until, now))),
        Admission::Probe if take_probe(store, random, now, gateway).await? => Ok(Ok(Pass::Probe)),
        Admission::Probe => Ok(Err(Stopped::new(Some(now), now))),
    }
}

/// An operator stops the gateway; the first pause and its reason stand. `also` is written with it, or by itself.
///
/// # Errors
/// When the store fails or races persist.
pub async fn pause(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    gateway: GatewayName,
    reason: &str,
    also: Vec<Write>,
) -> Result<Switch, StoreError> {
    let by = match &context.actor {
        Actor::Operator(id) | Actor::Tenant(id) | Actor::Applicant(id) | Actor::Gateway(id) | Actor::System(id) => id,
    };
    let decide = |switch: &Switch| switch.paused(gateway, by, reason, context.now).map(|(s, fact)| (s, Some(fact)));
    change(store, random, context, gateway, Some(reason), also, decide).await
}

/// An operator lets charges flow again, whatever had stopped them. `also` is written with it, or by itself.
///
/// # Errors
/// When the store fails or races persist.
pub async fn resume(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    gateway: GatewayName,
    reason: &str,
    also: Vec<Write>,
) -> Result<Switch, StoreError> {
    let decide = |switch: &Switch| switch.resumed(gateway).map(|(s, fact)| (s, Some(fact)));
    change(store, random, context, gateway, Some(reason), also, decide).await
}

/// Opens the breaker, because the gateway is out.
///
/// # Errors
/// When the store fails or races persist; the next bad answers trip it again.
pub async fn trip(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    gateway: GatewayName,
) -> Result<Switch, StoreError> {
    let decide = |switch: &Switch| switch.tripped(gateway, now).map(|(s, fact)| (s, Some(fact)));
    by_itself(store, random, now, gateway, decide).await
}

/// Takes the one probe of an open breaker: true for exactly one of those who ask at once.
///
/// # Errors
/// When the store fails. A probe taken by a write whose answer was lost is free again after its lease.
pub async fn take_probe(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    gateway: GatewayName,
) -> Result<bool, StoreError> {
    let (switch, row) = load(store, gateway).await?;
    let Some(taken) = switch.probing(now) else { return Ok(false) };
    let writes = vec![put(gateway, &taken, row.as_ref())?];
    match store.commit(&Commit { id: stamp::token(random), writes, events: Vec::new() }).await {
        Ok(()) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The probe found the gateway still out.
///
/// # Errors
/// When the store fails or races persist; the probe's lease then ends by itself.
pub async fn probe_failed(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    gateway: GatewayName,
) -> Result<Switch, StoreError> {
    by_itself(store, random, now, gateway, |switch| switch.probe_failed(now).map(|s| (s, None))).await
}

/// The probe was taken and nothing was sent: the next may go at once.
///
/// # Errors
/// As [`probe_failed`].
pub async fn probe_unused(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    gateway: GatewayName,
) -> Result<Switch, StoreError> {
    by_itself(store, random, now, gateway, |switch| switch.probe_unused(now).map(|s| (s, None))).await
}

/// The gateway answered: the breaker closes.
///
/// # Errors
/// As [`probe_failed`].
pub async fn recover(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    gateway: GatewayName,
) -> Result<Switch, StoreError> {
    let decide = |switch: &Switch| switch.recovered(gateway).map(|(s, fact)| (s, Some(fact)));
    by_itself(store, random, now, gateway, decide).await
}

async fn by_itself(
    store: &dyn Store,
    random: &dyn Random,
    now: Timestamp,
    gateway: GatewayName,
    decide: impl Fn(&Switch) -> Option<(Switch, Option<Fact>)>,
) -> Result<Switch, StoreError> {
    let context = Context { now, actor: Actor::System("breaker".to_owned()) };
    change(store, random, &context, gateway, None, Vec::new(), decide).await
}

/// Loads, decides and commits, again after a lost race. Nothing decided: only `also` is written.
async fn change(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    gateway: GatewayName,
    reason: Option<&str>,
    also: Vec<Write>,
    decide: impl Fn(&Switch) -> Option<(Switch, Option<Fact>)>,
) -> Result<Switch, StoreError> {
    for _ in 0..RACES {
        let (switch, row) = load(store, gateway).await?;
        let (mut writes, mut events) = (also.clone(), Vec::new());
        let after = match decide(&switch) {
            Some((after, fact)) => {
                writes.push(put(gateway, &after, row.as_ref())?);
                events.extend(fact.map(|fact| stamp::event(random, context, fact, reason.map(str::to_owned))));
                after
            }
            None if also.is_empty() => return Ok(switch),
            None => switch,
        };
        match store.commit(&Commit { id: stamp::token(random), writes, events }).await {
            Ok(()) => return Ok(after),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Err(StoreError::Conflict { key: None })
}

async fn load(store: &dyn Store, gateway: GatewayName) -> Result<(Switch, Option<Control>), StoreError> {
    let Some(row) = typed::control(store, &row_name(gateway)).await? else { return Ok((Switch::default(), None)) };
    let switch = serde_json::from_value(row.value.clone())
        .map_err(|_| StoreError::Corrupt(format!("{}: not a switch", row.name)))?;
    Ok((switch, Some(row)))
}

fn put(gateway: GatewayName, switch: &Switch, row: Option<&Control>) -> Result<Write, StoreError> {
    let value = serde_json::to_value(switch).map_err(|_| StoreError::Corrupt("a switch".to_owned()))?;
    let version = row.map_or(0, |row| row.version);
    let record = Record::Control(Control { name: row_name(gateway), value, version });
    Ok(if row.is_some() { Write::Replace(record) } else { Write::New(record) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::testing::FixedBits;
    use crate::store::memory::{Call, Fault, MemoryStore};
    use crate::store::{Key, Query};
    use domain::event::Event;
    use futures::executor::block_on;
    use serde_json::json;
    use std::sync::atomic::{AtomicU64, Ordering};

    const TOSS: GatewayName = GatewayName::Toss;

    struct Counted(AtomicU64);

    impl Random for Counted {
        fn bits(&self) -> u128 {
            u128::from(self.0.fetch_add(1, Ordering::SeqCst))
        }
    }

    fn random() -> Counted {
        Counted(AtomicU64::new(1))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn ops(now: Timestamp) -> Context {
        Context { now, actor: Actor::Operator("kim".to_owned()) }
    }

    fn events(store: &MemoryStore) -> Vec<Event> {
        let query = Query::EventsOf { subject: "gateway#toss".to_owned() };
        block_on(typed::list::<Event>(store, &query, 100, None)).unwrap().0
    }

    #[test]
    fn an_operator_stops_and_starts_a_gateway_on_the_record() {
        let (store, random) = (MemoryStore::new(), random());
        assert_eq!(block_on(admit(&store, &random, at(0), TOSS)).unwrap(), Ok(Pass::Flows));
        let paused = block_on(pause(&store, &random, &ops(at(1)), TOSS, "점검", Vec::new())).unwrap();
        assert_eq!(paused.paused.as_ref().map(|p| (p.by.as_str(), p.at)), Some(("kim", at(1))));
        let again = block_on(pause(&store, &random, &ops(at(2)), TOSS, "다시", Vec::new())).unwrap();
        assert_eq!(again, paused);
        let stopped = block_on(admit(&store, &random, at(3), TOSS)).unwrap().unwrap_err();
        assert_eq!((stopped.until, stopped.wait_s), (None, 300));
        assert_eq!(block_on(admit(&store, &random, at(3), GatewayName::Stripe)).unwrap(), Ok(Pass::Flows));
        block_on(resume(&store, &random, &ops(at(4)), TOSS, "끝", Vec::new())).unwrap();
        block_on(resume(&store, &random, &ops(at(5)), TOSS, "끝", Vec::new())).unwrap();
        assert_eq!(block_on(admit(&store, &random, at(6), TOSS)).unwrap(), Ok(Pass::Flows));
        let told: Vec<_> = events(&store).into_iter().map(|e| (e.kind, e.reason, e.actor)).collect();
        let kim = || Actor::Operator("kim".to_owned());
        let want = [("gateway.resumed", "끝"), ("gateway.paused", "점검")];
        assert_eq!(told, want.map(|(kind, why)| (kind.to_owned(), Some(why.to_owned()), kim())));
    }

    #[test]
    fn what_belongs_to_the_request_is_written_even_when_nothing_changes() {
        let (store, random) = (MemoryStore::new(), random());
        let key = |name: &str| {
            let (name, value) = (name.to_owned(), json!({}));
            vec![Write::New(Record::Control(Control { name, value, version: 0 }))]
        };
        block_on(pause(&store, &random, &ops(at(1)), TOSS, "a", key("one"))).unwrap();
        block_on(pause(&store, &random, &ops(at(2)), TOSS, "b", key("two"))).unwrap();
        for name in ["one", "two"] {
            assert!(block_on(store.get(&Key::Control(name.to_owned()))).unwrap().is_some(), "{name}");
        }
    }

    #[test]
    fn one_of_many_takes_the_probe() {
        let (store, random) = (MemoryStore::new(), random());
        block_on(trip(&store, &random, at(0), TOSS)).unwrap();
        let early = block_on(admit(&store, &random, at(4), TOSS)).unwrap().unwrap_err();
        assert_eq!((early.until, early.wait_s), (Some(at(10)), 6));
        assert!(!block_on(take_probe(&store, &random, at(9), TOSS)).unwrap());
        let taken: Vec<bool> = (0..5).map(|_| block_on(take_probe(&store, &random, at(10), TOSS)).unwrap()).collect();
        assert_eq!(taken, [true, false, false, false, false]);
        block_on(probe_failed(&store, &random, at(12), TOSS)).unwrap();
        assert_eq!(block_on(admit(&store, &random, at(31), TOSS)).unwrap().unwrap_err().until, Some(at(32)));
        assert_eq!(block_on(admit(&store, &random, at(32), TOSS)).unwrap(), Ok(Pass::Probe));
        block_on(recover(&store, &random, at(33), TOSS)).unwrap();
        block_on(recover(&store, &random, at(34), TOSS)).unwrap();
        assert_eq!(block_on(admit(&store, &random, at(34), TOSS)).unwrap(), Ok(Pass::Flows));
        let kinds: Vec<_> = events(&store).into_iter().map(|e| e.kind).collect();
        assert_eq!(kinds, ["gateway.closed", "gateway.opened"]);
    }

    #[test]
    fn a_lost_race_is_decided_again_and_loses_a_probe() {
        let (store, random) = (MemoryStore::new(), random());
        block_on(trip(&store, &random, at(0), TOSS)).unwrap();
        let left = std::sync::Arc::new(AtomicU64::new(1));
        let lose = move |store: &MemoryStore, n: u64| {
            left.store(n, Ordering::SeqCst);
            let left = std::sync::Arc::clone(&left);
            store.inject(move |call| {
                let commit = matches!(call, Call::Commit(_));
                let lost =
                    commit && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                lost.then_some(Fault::Conflict)
            });
        };
        lose(&store, 1);
        assert!(!block_on(take_probe(&store, &random, at(10), TOSS)).unwrap());
        lose(&store, 4);
        assert!(block_on(pause(&store, &random, &ops(at(11)), TOSS, "a", Vec::new())).unwrap().paused.is_some());
        lose(&store, 5);
        let lost = block_on(resume(&store, &random, &ops(at(12)), TOSS, "a", Vec::new()));
        assert_eq!(lost, Err(StoreError::Conflict { key: None }));
    }

    #[test]
    fn an_unreadable_row_lets_nothing_through() {
        let store = MemoryStore::new();
        let row = Control { name: row_name(TOSS), value: json!({ "paused": "yes" }), version: 0 };
        let writes = vec![Write::New(Record::Control(row))];
        block_on(store.commit(&Commit { id: "c".to_owned(), writes, events: Vec::new() })).unwrap();
        assert!(matches!(block_on(admit(&store, &FixedBits(1), at(0), TOSS)), Err(StoreError::Corrupt(_))));
    }
}
