//! Ending a session before its time.

use domain::access::{Access, EndedSession};
use domain::event::Fact;

use super::Caller;
use super::session::Session;
use crate::ports::{Context, Random};
use crate::store::{Key, Record, Store, StoreError, Write};
use crate::usecase::stamp;

/// Ends `session` at once: the authorizer lets it in nowhere from then on. Ended before: nothing more to do.
///
/// # Errors
/// When the store fails: the session may go on.
pub async fn log_out(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    caller: &Caller,
    session: &Session,
) -> Result<(), StoreError> {
    let row = EndedSession { id: session.id.clone(), expires_at: session.expires_at, version: 0 };
    let subject = match caller.role.is_operator() {
        true => format!("operator:{}", caller.actor_id()),
        false => caller.actor_id().to_owned(),
    };
    let fact = Fact::new("session.ended", subject).with("role", caller.role.as_str());
    let commit = stamp::commit(random, context, vec![Write::New(Record::Access(Access::Ended(row)))], vec![fact]);
    match store.commit(&commit).await {
        Err(StoreError::Conflict { key: Some(Key::EndedSession(_)) }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::session::{Verified, is_over};
    use crate::auth::{Role, operators::tests::Counting};
    use crate::store::{MemoryStore, Query};
    use domain::ids::RequestId;
    use futures::executor::block_on;
    use jiff::Timestamp;

    #[test]
    fn whoever_leaves_is_out_and_nobody_else_is() {
        let (store, random) = (MemoryStore::default(), Counting::default());
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let tenant = RequestId::parse("req_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap().tenant();
        for caller in [Caller::operator("ops", Role::OpsViewer), Caller::tenant(&tenant)] {
            let session =
                |text: &str| Session::of(&format!("{}{text}.s", caller.actor_id()), 0, 1_900_000_000).unwrap();
            let over = |text: &str| {
                let verified = Verified { caller: caller.clone(), session: session(text) };
                block_on(is_over(&store, &verified)).unwrap()
            };
            let context = Context { now, actor: caller.actor.clone() };
            assert!(!over("a"));
            for _ in 0..2 {
                block_on(log_out(&store, &random, &context, &caller, &session("a"))).unwrap();
            }
            assert!(over("a") && !over("b"));
        }
        let query = Query::EventsOf { subject: "operator:ops".to_owned() };
        assert_eq!(block_on(store.query(&query, 10, None)).unwrap().records.len(), 1, "told once");
    }
}
