//! What is due at one gateway, oldest first: the share's partitions of the due index merged into one stream.
//!
//! Invariants: one bound in time for all pages, because cursors belong to it; a row whose content does not read back is
//! skipped and reported, never the end of the page; what comes out may be stale, and the claim decides.

use std::collections::{HashMap, VecDeque};

use domain::charge::GatewayName;
use domain::ids::MethodId;
use domain::method::PaymentMethod;
use domain::subscription::{Subscription, due_partitions};
use futures::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::ports::ShardMessage;
use crate::store::{Key, Query, Store, StoreError, typed};

/// Keys read per page of a partition. Sixteen pages are in memory at once.
const PAGE: u32 = 100;
/// Pages read at once. A page on its way weighs several times what it holds, and at the start all partitions are empty.
const READS: usize = 4;

/// One due subscription with the method it is charged to.
pub(super) struct Item {
    pub subscription: Subscription,
    pub method: Method,
}

pub(super) enum Method {
    There(Box<PaymentMethod>),
    Missing,
    /// The row does not read back.
    Damaged,
}

pub(super) struct Feed<'a> {
    store: &'a dyn Store,
    until: Timestamp,
    partitions: Vec<Partition>,
}

struct Partition {
    name: String,
    /// The next page; none once all were read.
    next: Option<Page>,
    rows: VecDeque<Item>,
}

enum Page {
    First,
    After(String),
}

impl<'a> Feed<'a> {
    /// Everything due at `gateway` up to `until` in the share of a runner.
    pub(super) fn new(store: &'a dyn Store, gateway: GatewayName, message: &ShardMessage, until: Timestamp) -> Self {
        let partition = |name| Partition { name, next: Some(Page::First), rows: VecDeque::new() };
        Feed { store, until, partitions: share(gateway, message).map(partition).collect() }
    }

    /// The oldest that is left.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn next(&mut self) -> Result<Option<Item>, StoreError> {
        while self.partitions.iter().any(Partition::is_hungry) {
            self.fill().await?;
        }
        let oldest = |p: &&mut Partition| p.rows.front().map(|i| (i.subscription.due_at, i.subscription.id.clone()));
        let partition = self.partitions.iter_mut().filter(|p| !p.rows.is_empty()).min_by_key(oldest);
        Ok(partition.and_then(|p| p.rows.pop_front()))
    }

    /// Reads the next page of every partition that has run out, a few at a time.
    async fn fill(&mut self) -> Result<(), StoreError> {
        let (store, until) = (self.store, self.until);
        let hungry = self.partitions.iter_mut().filter(|p| p.is_hungry());
        let reads: Vec<_> = hungry.map(|p| p.fill(store, until)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(READS);
        while let Some(read) = reads.next().await {
            read?;
        }
        Ok(())
    }
}

impl Partition {
    fn is_hungry(&self) -> bool {
        self.rows.is_empty() && self.next.is_some()
    }

    async fn fill(&mut self, store: &dyn Store, until: Timestamp) -> Result<(), StoreError> {
        let cursor = match &self.next {
            Some(Page::After(cursor)) => Some(cursor.clone()),
            Some(Page::First) | None => None,
        };
        let query = Query::SubscriptionsDue { partition: self.name.clone(), until };
        let page = store.query(&query, PAGE, cursor.as_deref()).await?;
        for damaged in &page.damaged {
            tracing::error!(row = damaged.as_str(), "a due row does not read back; the run goes on without it");
        }
        let rows = page.records.into_iter().map(typed::row).collect::<Result<Vec<Subscription>, _>>()?;
        self.rows.extend(with_methods(store, rows).await?);
        self.next = page.next.map(Page::After);
        Ok(())
    }
}

/// Adds the methods of a page: in one batch, or one by one when a row among them is damaged.
async fn with_methods(store: &dyn Store, rows: Vec<Subscription>) -> Result<Vec<Item>, StoreError> {
    let key = |s: &Subscription| Key::Method { tenant: s.tenant_id.clone(), id: s.method_id.clone() };
    let keys: Vec<Key> = rows.iter().map(key).collect();
    let found: HashMap<MethodId, PaymentMethod> = match typed::get_many::<PaymentMethod>(store, &keys).await {
        Ok(methods) => methods.into_iter().map(|m| (m.id.clone(), m)).collect(),
        Err(StoreError::Corrupt(_)) => return one_by_one(store, rows).await,
        Err(e) => return Err(e),
    };
    let item = |subscription: Subscription| {
        let method = found.get(&subscription.method_id).cloned();
        Item { method: method.map_or(Method::Missing, |m| Method::There(Box::new(m))), subscription }
    };
    Ok(rows.into_iter().map(item).collect())
}

async fn one_by_one(store: &dyn Store, rows: Vec<Subscription>) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::with_capacity(rows.len());
    for subscription in rows {
        let method = match typed::method(store, &subscription.tenant_id, &subscription.method_id).await {
            Ok(Some(method)) => Method::There(Box::new(method)),
            Ok(None) => Method::Missing,
            Err(StoreError::Corrupt(_)) => Method::Damaged,
            Err(e) => return Err(e),
        };
        items.push(Item { subscription, method });
    }
    Ok(items)
}

/// The due partitions of one runner at one gateway.
pub(super) fn share(gateway: GatewayName, message: &ShardMessage) -> impl Iterator<Item = String> + use<> {
    let runners = usize::try_from(message.runners.max(1)).unwrap_or(1);
    let shard = usize::try_from(message.shard).unwrap_or(0);
    let partitions = due_partitions(gateway).into_iter().enumerate();
    partitions.filter(move |(i, _)| i % runners == shard).map(|(_, partition)| partition)
}
