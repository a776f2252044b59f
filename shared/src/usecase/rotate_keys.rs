//! Re-encrypts what is stored under a data key that is not the current one, card by card.
//!
//! Cards are found through the applications their owners came with, so nothing is scanned. Invariants: while it works both
//! versions of the secret are live, so charging never waits for it; a row's own key id says whether it is done, so a pass
//! may die, overlap and repeat; a row that changed meanwhile is read again, never overwritten; what does not open is left
//! as it is, counted and named. A row may slip through one pass (an application moves between lists) and is found by the
//! next: the key before the previous one may only go after a pass that found nothing to do (`infra/local/rotate.py`).

use std::time::Duration;

use domain::event::Fact;
use domain::ids::{MethodId, TenantId};
use domain::method::{PaymentMethod, Sealed};
use domain::onboarding::{Application, Status};
use futures::stream::{self, StreamExt, TryStreamExt};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::charge_subscription::aad;
use super::{RACES, stamp};
use crate::ports::{Context, Random, Vault, VaultError};
use crate::store::{Query, Record, Store, StoreError, Write, typed};

/// Applications looked at between two looks at the clock.
const PAGE: u32 = 50;
/// Owners worked on at the same time.
const AT_ONCE: usize = 8;
/// No other page is begun with less time than this left.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    #[error("data keys")]
    Keys(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What re-encrypting touches.
pub struct Rotation<'a> {
    pub store: &'a dyn Store,
    pub vault: &'a dyn Vault,
    pub random: &'a dyn Random,
}

/// Where a pass goes on: the list it is at, and the place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub list: usize,
    pub cursor: Option<String>,
}

/// What one call of a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Id of the current key.
    pub kid: String,
    /// Cards looked at.
    pub seen: u64,
    pub resealed: u64,
    /// Cards that stay under another key: they do not read or do not open, or somebody always was first.
    pub left: u64,
    /// Where to go on; none when the pass is over.
    pub next: Option<Place>,
}

/// Works on from `place` until every list is through or time is nearly up, and says in the audit log what it did.
///
/// # Errors
/// When the data keys are unavailable or the store fails; what is done stays done.
pub async fn reseal(
    rotation: &Rotation<'_>,
    context: &Context,
    place: Place,
    deadline: Instant,
) -> Result<Resealed, RotateError> {
    // Whatever is sealed now names the current key.
    let kid = rotation.vault.seal("", "rotate_keys").await?.kid;
    let mut done = Resealed { kid, ..Resealed::default() };
    let mut place = Some(place);
    while let Some(at) = place.take() {
        let Some(status) = Status::ALL.get(at.list).copied() else { break };
        if Instant::now() + PATIENCE > deadline {
            done.next = Some(at);
            break;
        }
        let cursor = page(rotation, context, status, at.cursor.as_deref(), &mut done).await?;
        let list = if cursor.is_some() { at.list } else { at.list.saturating_add(1) };
        place = Some(Place { list, cursor });
    }
    if done.resealed > 0 || done.next.is_none() {
        store_told(rotation, context, &done).await?;
    }
    Ok(done)
}

async fn store_told(rotation: &Rotation<'_>, context: &Context, done: &Resealed) -> Result<(), StoreError> {
    let fact = Fact::new("data_key.resealed", "data-key")
        .with("kid", done.kid.as_str())
        .with("seen", done.seen)
        .with("resealed", done.resealed)
        .with("left", done.left)
        .with("over", done.next.is_none());
    rotation.store.commit(&stamp::commit(rotation.random, context, Vec::new(), vec![fact])).await
}

/// One page of owners; the cursor of the next one.
async fn page(
    rotation: &Rotation<'_>,
    context: &Context,
    status: Status,
    cursor: Option<&str>,
    done: &mut Resealed,
) -> Result<Option<String>, RotateError> {
    let query = Query::ApplicationsByStatus { status };
    let (owners, next) = typed::list::<Application>(rotation.store, &query, PAGE, cursor).await?;
    let kid = done.kid.clone();
    let each = stream::iter(owners).map(|owner| of_owner(rotation, context, owner, &kid)).buffer_unordered(AT_ONCE);
    let counts: Vec<Counts> = each.try_collect().await?;
    for count in counts {
        done.seen = done.seen.saturating_add(count.seen);
        done.resealed = done.resealed.saturating_add(count.resealed);
        done.left = done.left.saturating_add(count.left);
    }
    Ok(next)
}

#[derive(Default)]
struct Counts {
    seen: u64,
    resealed: u64,
    left: u64,
}

async fn of_owner(
    rotation: &Rotation<'_>,
    context: &Context,
    owner: Application,
    kid: &str,
) -> Result<Counts, RotateError> {
    let query = Query::MethodsOfTenant { tenant: owner.tenant_id() };
    let (mut counts, mut cursor) = (Counts::default(), None::<String>);
    loop {
        let page = typed::list::<PaymentMethod>(rotation.store, &query, PAGE, cursor.as_deref()).await;
        let (methods, next) = match page {
            Err(StoreError::Corrupt(_)) => {
                tracing::error!(owner = %owner.tenant_id(), "a card does not read; it stays under its key");
                counts.left = counts.left.saturating_add(1);
                return Ok(counts);
            }
            page => page?,
        };
        for method in methods {
            counts.seen = counts.seen.saturating_add(1);
            match one(rotation, context, method, kid).await? {
                Outcome::Current => {}
                Outcome::Resealed => counts.resealed = counts.resealed.saturating_add(1),
                Outcome::Left => counts.left = counts.left.saturating_add(1),
            }
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(counts);
        }
    }
}

enum Outcome {
    Current,
    Resealed,
    Left,
}

async fn one(
    rotation: &Rotation<'_>,
    context: &Context,
    method: PaymentMethod,
    kid: &str,
) -> Result<Outcome, RotateError> {
    let mut method = method;
    for _ in 0..RACES {
        if fields(&method).all(|sealed| sealed.kid == kid) {
            return Ok(Outcome::Current);
        }
        let aad = aad(&method);
        let fresh = match again(rotation.vault, &method, &aad).await {
            Ok(fresh) => fresh,
            Err(error) => {
                tracing::error!(method = %method.id, %error, "a card does not open; it stays under its key");
                return Ok(Outcome::Left);
            }
        };
        let (tenant, id) = (method.tenant_id.clone(), method.id.clone());
        let writes = vec![Write::Replace(Record::Method(fresh))];
        match rotation.store.commit(&stamp::commit(rotation.random, context, writes, Vec::new())).await {
            Ok(()) => return Ok(Outcome::Resealed),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        // Rows are never removed.
        let Some(now) = current(rotation.store, tenant, &id).await? else { return Ok(Outcome::Left) };
        method = now;
    }
    Ok(Outcome::Left)
}

/// A card as it is now, out of its owner's list: this function has the right to list cards and no other right to read.
async fn current(store: &dyn Store, tenant: TenantId, id: &MethodId) -> Result<Option<PaymentMethod>, StoreError> {
    let (query, mut cursor) = (Query::MethodsOfTenant { tenant }, None::<String>);
    loop {
        let (methods, next) = typed::list::<PaymentMethod>(store, &query, PAGE, cursor.as_deref()).await?;
        if let Some(found) = methods.into_iter().find(|method| method.id == *id) {
            return Ok(Some(found));
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(None);
        }
    }
}

fn fields(method: &PaymentMethod) -> impl Iterator<Item = &Sealed> {
    [&method.token, &method.customer].into_iter().chain(&method.holder_name)
}

/// The same card under the current key.
async fn again(vault: &dyn Vault, method: &PaymentMethod, aad: &str) -> Result<PaymentMethod, VaultError> {
    let token = reseal_field(vault, &method.token, aad).await?;
    let customer = reseal_field(vault, &method.customer, aad).await?;
    let holder_name = match &method.holder_name {
        Some(name) => Some(reseal_field(vault, name, aad).await?),
        None => None,
    };
    Ok(PaymentMethod { token, customer, holder_name, ..method.clone() })
}

async fn reseal_field(vault: &dyn Vault, sealed: &Sealed, aad: &str) -> Result<Sealed, VaultError> {
    let plain = vault.open(sealed, aad).await?;
    vault.seal(plain.expose_secret(), aad).await
}
