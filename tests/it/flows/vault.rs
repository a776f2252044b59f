//! Cards whose secrets do not open.

use std::sync::Arc;

use async_trait::async_trait;
use domain::charge::GatewayName;
use domain::method::Sealed;
use jiff::SignedDuration;
use secrecy::SecretString;
use shared::ports::{Vault, VaultError};
use shared::store::{Commit, Record, Store, Write, typed};

use super::adverse::{card, onboard, run, world};

/// One card's row is damaged. Its owner is asked for another card; everybody else is charged.
#[tokio::test]
async fn a_card_that_does_not_open_is_that_cards_trouble_alone() {
    let (world, gateway) = world(GatewayName::Toss).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(onboard(&world, GatewayName::Toss).await);
    }
    let damaged = world.subscription(&ids[0]).await;
    let mut method = typed::method(&world.store, &damaged.tenant_id, &damaged.method_id).await.unwrap().unwrap();
    method.token.data = "of another row".to_owned();
    let writes = vec![Write::Replace(Record::Method(method))];
    world.store.commit(&Commit { id: "damage".to_owned(), writes, events: Vec::new() }).await.unwrap();
    world.wait(SignedDuration::from_hours(24 * 31));
    run(&world).await;
    for id in &ids[1..] {
        assert_eq!(world.subscription(id).await.paid, Some(1), "{id}");
    }
    let asked = world.subscription(&ids[0]).await;
    assert_eq!((asked.paid, asked.tries), (Some(0), 0));
    assert!(asked.dunning.is_some_and(|case| case.next_at.is_none()), "a card is asked for, the deadline runs");
    let renewed = card(&world, &ids[0].request(), GatewayName::Toss, "new").await.unwrap();
    assert_eq!(renewed.subscription.unwrap().paid, Some(1));
    assert_eq!(gateway.captures(), 12);
}

struct Shut;

#[async_trait]
impl Vault for Shut {
    async fn seal(&self, _: &str, _: &str) -> Result<Sealed, VaultError> {
        Err(VaultError::Unavailable)
    }

    async fn open(&self, _: &Sealed, _: &str) -> Result<SecretString, VaultError> {
        Err(VaultError::Unavailable)
    }
}

/// Without data keys nothing is claimed, so nothing has to be given up.
#[tokio::test]
async fn without_data_keys_nothing_is_started() {
    let (mut world, gateway) = world(GatewayName::Toss).await;
    let id = onboard(&world, GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    let before = world.subscription(&id).await;
    let vault = std::mem::replace(&mut world.charging.vault, Arc::new(Shut));
    run(&world).await;
    assert_eq!(world.subscription(&id).await, before);
    world.charging.vault = vault;
    run(&world).await;
    assert_eq!((world.subscription(&id).await.paid, gateway.captures()), (Some(1), 2));
}
