//! A new data key while charging goes on: every stored card is re-encrypted, whoever dies or is overtaken meanwhile, and
//! the old key opens nothing that is needed any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::SubscriptionId;
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::crypto::AesVault;
use shared::secrets::{SecretName, SecretValue, SecretVersions, Secrets, SecretsError};
use shared::store::memory::{Call, Fault};
use shared::store::{Commit, Record, Store, Write, typed};
use shared::usecase::rotate_keys::{Place, Resealed, RotateError, Rotation, reseal};
use tokio::time::Instant;

use super::world::{Script, World};

/// The secret store: two live versions of the data key.
struct Keys(Mutex<Arc<SecretVersions>>);

fn versions(current: u32) -> Arc<SecretVersions> {
    let version = |n: u32| SecretValue {
        version_id: format!("v{n}"),
        value: SecretString::from(json!({ "kid": n.to_string(), "key": format!("{n}").repeat(64) }).to_string()),
    };
    let previous = (current > 1).then(|| version(current - 1));
    Arc::new(SecretVersions { name: SecretName::DataKey, current: version(current), previous })
}

impl Keys {
    fn rotate_to(&self, current: u32) {
        *self.0.lock().unwrap() = versions(current);
    }
}

#[async_trait]
impl Secrets for Keys {
    async fn get(&self, _: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn refresh(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        self.get(name).await
    }
}

struct Sealed {
    world: World,
    keys: Arc<Keys>,
    ids: Vec<SubscriptionId>,
}

impl Sealed {
    /// Three paying tenants whose cards were sealed with key 1, now that there is key 2.
    async fn begun() -> Sealed {
        let mut world = World::new().await;
        let keys = Arc::new(Keys(Mutex::new(versions(1))));
        world.charging.vault = Arc::new(AesVault::new(keys.clone(), Arc::clone(&world.charging.random)));
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(world.onboard().await);
        }
        keys.rotate_to(2);
        Sealed { world, keys, ids }
    }

    async fn pass_from(&self, place: Place, left: Duration) -> Result<Resealed, RotateError> {
        let charging = &self.world.charging;
        let (store, vault, random) = (charging.store.as_ref(), charging.vault.as_ref(), charging.random.as_ref());
        let rotation = Rotation { store, vault, random };
        reseal(&rotation, &self.world.context().await, place, Instant::now() + left).await
    }

    async fn pass(&self) -> Result<Resealed, RotateError> {
        self.pass_from(Place::default(), Duration::from_secs(900)).await
    }

    /// Ids of the keys in the card of a subscription.
    async fn kids(&self, id: &SubscriptionId) -> Vec<String> {
        let subscription = self.world.subscription(id).await;
        let method = typed::method(&self.world.store, &subscription.tenant_id, &subscription.method_id).await;
        let method = method.unwrap().unwrap();
        [method.token, method.customer].into_iter().chain(method.holder_name).map(|sealed| sealed.kid).collect()
    }

    /// A month later all are charged.
    async fn all_pay(&self, index: u32) {
        self.world.wait(SignedDuration::from_hours(24 * 31));
        self.world.run().await;
        for id in &self.ids {
            assert_eq!(self.world.subscription(id).await.paid, Some(index), "{id}");
        }
    }

    fn told(&self) -> Vec<Value> {
        let rows = self.world.store.dump().into_iter().filter(|(table, _)| *table == "ops_audit_log");
        let told = rows.map(|(_, item)| Value::Object(item)).filter(|item| item["kind"] == "data_key.resealed");
        told.map(|item| item["changes"].clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn every_card_moves_to_the_new_key_and_charging_never_stops() {
    let sealed = Sealed::begun().await;
    sealed.all_pay(1).await;
    let expected = Resealed { kid: "2".to_owned(), seen: 3, resealed: 3, left: 0, next: None };
    assert_eq!(sealed.pass().await.unwrap(), expected);
    assert_eq!(sealed.pass().await.unwrap(), Resealed { resealed: 0, ..expected }, "nothing is left to do");
    for id in &sealed.ids {
        assert!(sealed.kids(id).await.iter().all(|kid| kid == "2"), "{id}");
    }
    assert_eq!(sealed.told(), [3, 0].map(|n| json!({ "kid": "2", "seen": 3, "resealed": n, "left": 0, "over": true })));
    // Key 1 is gone.
    sealed.keys.rotate_to(3);
    sealed.all_pay(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_died_goes_on_where_it_was() {
    let sealed = Sealed::begun().await;
    let commits = AtomicUsize::new(0);
    sealed.world.store.inject(move |call| {
        let second = matches!(call, Call::Commit(_)) && commits.fetch_add(1, Ordering::SeqCst) == 1;
        second.then_some(Fault::AnswerLost)
    });
    assert!(sealed.pass().await.is_err());
    sealed.world.store.heal();
    sealed.all_pay(1).await;
    let done = sealed.pass().await.unwrap();
    assert!(done.seen == 3 && (1..3).contains(&done.resealed) && done.left == 0, "{done:?}");
    sealed.keys.rotate_to(3);
    sealed.all_pay(2).await;
}

#[tokio::test(start_paused = true)]
async fn without_time_it_says_where_to_go_on() {
    let sealed = Sealed::begun().await;
    let cut = sealed.pass_from(Place::default(), Duration::from_secs(29)).await.unwrap();
    assert_eq!((cut.seen, cut.next.clone()), (0, Some(Place::default())));
    assert!(sealed.told().is_empty(), "nothing was done");
    let done = sealed.pass_from(cut.next.unwrap(), Duration::from_secs(900)).await.unwrap();
    assert_eq!((done.resealed, done.next), (3, None));
}

#[tokio::test(start_paused = true)]
async fn a_card_that_changes_meanwhile_is_read_again() {
    let sealed = Sealed::begun().await;
    let races = AtomicUsize::new(0);
    sealed.world.store.inject(move |call| {
        let first = matches!(call, Call::Commit(_)) && races.fetch_add(1, Ordering::SeqCst) == 0;
        first.then_some(Fault::Conflict)
    });
    let done = sealed.pass().await.unwrap();
    assert_eq!((done.resealed, done.left), (3, 0));
    sealed.world.store.heal();
    // A decline writes the card too: it finds the new row and keeps its key.
    sealed.world.gateway.then(&[Script::Soft]);
    sealed.world.wait(SignedDuration::from_hours(24 * 31));
    sealed.world.run().await;
    for id in &sealed.ids {
        assert!(sealed.kids(id).await.iter().all(|kid| kid == "2"), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_card_is_counted_and_left_and_keeps_nobody_else() {
    let sealed = Sealed::begun().await;
    let store = &sealed.world.store;
    let broken = sealed.world.subscription(&sealed.ids[1]).await;
    let mut method = typed::method(store, &broken.tenant_id, &broken.method_id).await.unwrap().unwrap();
    method.token.data = "bm90IGEgY2lwaGVydGV4dCBhdCBhbGwsIGJ1dCBsb25n".to_owned();
    let writes = vec![Write::Replace(Record::Method(method))];
    store.commit(&Commit { id: "damage".to_owned(), writes, events: Vec::new() }).await.unwrap();
    let done = sealed.pass().await.unwrap();
    assert_eq!((done.seen, done.resealed, done.left), (3, 2, 1));
    assert_eq!(sealed.kids(&sealed.ids[1]).await[0], "1", "as it was");
}
