//! Somebody asks for a demo. The operators hear of it through the event; what was written stays in the row.

use domain::demo::{DemoRequest, Form, Wrong};
use domain::ids::{DemoId, ulid};

use super::{daily_limit, stamp};
use crate::ports::{Context, Random};
use crate::store::{Record, Store, StoreError, Write};

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{0:?} is invalid")]
    Invalid(Wrong),
    /// The address asked too often today.
    #[error("too many requests")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores a request. `also` joins the transaction (the idempotency row).
///
/// # Errors
/// When a field is wrong or the address asked too often (nothing is written then), or the store fails.
pub async fn request_demo(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    form: Form,
    from: daily_limit::From<'_>,
    also: Option<Write>,
) -> Result<(), DemoError> {
    let id = DemoId::new(ulid(context.now, random.bits()));
    let (request, fact) = DemoRequest::new(id, form, context.now).map_err(DemoError::Invalid)?;
    let what = from.what("demo");
    if daily_limit::reached(store, &what, from.limit, context.now).await? {
        return Err(DemoError::TooMany);
    }
    daily_limit::count(store, random, &what, context.now).await?;
    let mut writes = vec![Write::New(Record::Demo(request))];
    writes.extend(also);
    store.commit(&stamp::commit(random, context, writes, vec![fact])).await?;
    Ok(())
}
