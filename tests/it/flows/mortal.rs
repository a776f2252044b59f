//! Ports of a process that can be hit at any of its calls: it dies there, or the call goes wrong and it lives on.
//!
//! Dying is exact: the call in which it happens never returns, and whoever ran the process drops all of it. What was
//! done before stays done; nothing is done after.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, GatewayName, Heard, Lookup, Profile};
use domain::ids::SubscriptionId;
use domain::settle::Hint;
use shared::gateway::{
    CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, Gateways, IntentCancelled, KeysUnavailable,
    OfPayment, OrderOf, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer,
};
use shared::ports::{Hints, QueueUnavailable, ShardMessage, Shards};
use shared::store::{Commit, Key, Page, Query, Record, Store, StoreError, Write};
use tokio::sync::Notify;

use super::adverse::Adverse;
use super::world::World;

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// The process dies before the call takes effect,
    DiesBefore,
    /// after the effect and before the answer,
    DiesUnanswered,
    /// or with the answer in hand, before it does anything else.
    DiesAfter,
    /// The call fails without an effect, and the process hears so.
    Fails,
    /// It takes effect, and the process hears that it failed.
    Unheard,
    /// A commit loses a race.
    Conflict,
}

impl Blow {
    pub const ALL: [Blow; 6] =
        [Blow::DiesBefore, Blow::DiesUnanswered, Blow::DiesAfter, Blow::Fails, Blow::Unheard, Blow::Conflict];
}

/// Which calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    All,
    /// Those that change something outside the process. For a death these stand for all: a process that dies at a read
    /// leaves what it leaves when it dies before its next change, because a read changes nothing and its memory is gone;
    /// and so does one that dies just after a change, heard of or not.
    Changes,
}

/// When the blow falls.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub counted: Counted,
    pub at: u32,
    pub blow: Blow,
}

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Change,
    Commit,
}

#[derive(Default)]
struct Thread {
    plan: Option<Plan>,
    seen: u32,
    /// Died with the answer in hand: the next call is never made.
    doomed: bool,
    struck: bool,
    points: BTreeSet<(String, Blow)>,
    ordinals: BTreeMap<String, u32>,
}

/// The life of the processes of a world.
#[derive(Default)]
pub struct Fate {
    thread: Mutex<Thread>,
    /// Partitions of the due index where nothing is are all alike and are not counted.
    pub partition: Mutex<String>,
    death: Notify,
}

impl Fate {
    /// From now on calls are counted and the plan holds.
    pub fn begin(&self, plan: Option<Plan>) {
        let mut thread = self.thread.lock().unwrap();
        let points = std::mem::take(&mut thread.points);
        *thread = Thread { plan, points, ..Thread::default() };
    }

    /// No more blows. Says whether the last one fell.
    pub fn end(&self) -> bool {
        let mut thread = self.thread.lock().unwrap();
        thread.plan = None;
        thread.struck
    }

    /// Where blows fell: the call, its number among its like, and the blow.
    pub fn points(&self) -> BTreeSet<(String, Blow)> {
        self.thread.lock().unwrap().points.clone()
    }

    /// Runs a process until it ends or dies.
    pub async fn process<T>(&self, process: impl Future<Output = T>) -> Option<T> {
        self.thread.lock().unwrap().doomed = false;
        tokio::select! {
            biased;
            () = self.death.notified() => None,
            ended = process => {
                // Whoever died with the last answer in hand has nothing left to do.
                self.thread.lock().unwrap().doomed = false;
                Some(ended)
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.death.notify_one();
        std::future::pending().await
    }

    /// The blow that falls on this call.
    fn blow(&self, kind: Kind, name: &str) -> Option<Blow> {
        let mut thread = self.thread.lock().unwrap();
        let plan = thread.plan?;
        if plan.counted == Counted::Changes && kind == Kind::Read {
            return None;
        }
        let number = thread.ordinals.entry(name.to_owned()).or_default();
        *number += 1;
        let point = format!("{name} {number}");
        let now = thread.seen == plan.at;
        thread.seen += 1;
        let applies = match plan.blow {
            Blow::Conflict => kind == Kind::Commit,
            Blow::Unheard => kind != Kind::Read,
            Blow::DiesBefore | Blow::DiesUnanswered | Blow::DiesAfter | Blow::Fails => true,
        };
        thread.struck |= now;
        if now && applies {
            thread.points.insert((point, plan.blow));
            return Some(plan.blow);
        }
        None
    }

    /// Makes a call: `failed` is what the caller hears when it goes wrong.
    async fn call<T>(
        &self,
        kind: Kind,
        name: &str,
        effect: impl Future<Output = T>,
        failed: impl FnOnce(Blow) -> T,
    ) -> T {
        if self.thread.lock().unwrap().doomed {
            return self.die().await;
        }
        match self.blow(kind, name) {
            None => effect.await,
            Some(Blow::DiesBefore) => self.die().await,
            Some(Blow::DiesUnanswered) => {
                effect.await;
                self.die().await
            }
            Some(Blow::DiesAfter) => {
                let answer = effect.await;
                self.thread.lock().unwrap().doomed = true;
                answer
            }
            Some(blow @ (Blow::Fails | Blow::Conflict)) => failed(blow),
            Some(Blow::Unheard) => {
                effect.await;
                failed(Blow::Unheard)
            }
        }
    }
}

/// Puts the ports of a world under a fate.
pub fn mortal(world: &mut World, gateway: &Arc<Adverse>) -> Arc<Fate> {
    let fate = Arc::new(Fate::default());
    world.charging.store = Arc::new(Mortal { fate: fate.clone(), inner: world.charging.store.clone() });
    let gateway: Arc<dyn Gateway> = Arc::new(Mortal { fate: fate.clone(), inner: gateway.clone() });
    world.charging.gateways = Gateways { toss: gateway.clone(), stripe: gateway };
    world.charging.hints = Arc::new(Mortal { fate: fate.clone(), inner: world.charging.hints.clone() });
    fate
}

/// A port whose calls are under a fate.
pub struct Mortal<P> {
    pub fate: Arc<Fate>,
    pub inner: P,
}

fn unavailable(blow: Blow) -> StoreError {
    match blow {
        Blow::Conflict => StoreError::Conflict { key: None },
        _ => StoreError::Unavailable("injected".to_owned()),
    }
}

/// The rows a commit writes, as a name.
fn written(commit: &Commit) -> String {
    let rows = commit.writes.iter().map(|write| match write {
        Write::New(record) | Write::Replace(record) => {
            let told = format!("{record:?}");
            told.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
        }
    });
    rows.collect::<Vec<_>>().join("+")
}

#[async_trait]
impl Store for Mortal<Arc<dyn Store>> {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.fate.call(Kind::Read, "store.get", self.inner.get(key), |b| Err(unavailable(b))).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.fate.call(Kind::Read, "store.get_many", self.inner.get_many(keys), |b| Err(unavailable(b))).await
    }

    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError> {
        let effect = self.inner.query(query, limit, cursor);
        let ours = self.fate.partition.lock().unwrap().clone();
        let elsewhere = match query {
            Query::SubscriptionsDue { partition, .. } | Query::RefundsDue { partition, .. } => *partition != ours,
            _ => false,
        };
        if elsewhere {
            return effect.await;
        }
        self.fate.call(Kind::Read, "store.query", effect, |b| Err(unavailable(b))).await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let name = format!("store.commit {}", written(commit));
        self.fate.call(Kind::Commit, &name, self.inner.commit(commit), |b| Err(unavailable(b))).await
    }
}

#[async_trait]
impl Gateway for Mortal<Arc<Adverse>> {
    fn name(&self) -> GatewayName {
        self.inner.name()
    }

    fn profile(&self) -> Profile {
        self.inner.profile()
    }

    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable> {
        self.inner.key_versions().await
    }

    async fn set_up(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        self.inner.set_up(request).await
    }

    async fn register(&self, request: &Register<'_>) -> Result<Registered, GatewayError> {
        let effect = self.inner.register(request);
        self.fate.call(Kind::Change, "gateway.register", effect, |_| Err(GatewayError::Unknown)).await
    }

    async fn charge(&self, request: &Charge<'_>) -> Answer {
        let silence = || Answer::Unknown { heard: Heard::Nothing, code: None, intent: None };
        self.fate.call(Kind::Change, "gateway.charge", self.inner.charge(request), |_| silence()).await
    }

    async fn find(&self, request: &Find<'_>) -> Lookup {
        self.fate.call(Kind::Read, "gateway.find", self.inner.find(request), |_| Lookup::Failed).await
    }

    async fn cancel_intent(&self, request: &CancelIntent<'_>) -> IntentCancelled {
        let effect = self.inner.cancel_intent(request);
        self.fate.call(Kind::Change, "gateway.cancel_intent", effect, |_| IntentCancelled::Unknown).await
    }

    async fn refund(&self, request: &Refund<'_>) -> RefundAnswer {
        let silence = || RefundAnswer::Unknown { heard: Heard::Nothing, code: None };
        self.fate.call(Kind::Change, "gateway.refund", self.inner.refund(request), |_| silence()).await
    }

    async fn find_refunds(&self, payment_id: &str) -> RefundsListed {
        let effect = self.inner.find_refunds(payment_id);
        self.fate.call(Kind::Read, "gateway.find_refunds", effect, |_| RefundsListed::Failed).await
    }

    async fn order_of(&self, payment: &OfPayment<'_>) -> OrderOf {
        self.fate.call(Kind::Read, "gateway.order_of", self.inner.order_of(payment), |_| OrderOf::Failed).await
    }

    async fn delete_method(&self, request: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        self.inner.delete_method(request).await
    }
}

#[async_trait]
impl Hints for Mortal<Arc<dyn Hints>> {
    async fn send(&self, subscription: &SubscriptionId, order_id: &str, hint: Hint) {
        let effect = self.inner.send(subscription, order_id, hint);
        self.fate.call(Kind::Change, "queue.hint", effect, |_| ()).await;
    }

    async fn idle(&self) -> bool {
        self.fate.call(Kind::Read, "queue.idle", self.inner.idle(), |_| false).await
    }
}

#[async_trait]
impl Shards for Mortal<&dyn Shards> {
    async fn send(&self, message: &ShardMessage, delay: Duration) -> Result<(), QueueUnavailable> {
        let effect = self.inner.send(message, delay);
        self.fate.call(Kind::Change, "queue.shard", effect, |_| Err(QueueUnavailable)).await
    }
}
