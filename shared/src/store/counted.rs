//! A store that counts: what a commit stands for becomes metric lines once it is committed, and not before.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Commit, Key, Page, Query, Record, Store, StoreError};
use crate::telemetry::metrics;

/// Counts what is committed through it; everything else it hands on.
pub struct CountedStore(Arc<dyn Store>);

impl CountedStore {
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> CountedStore {
        CountedStore(store)
    }
}

#[async_trait]
impl Store for CountedStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.0.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        self.0.get_many(keys).await
    }

    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError> {
        self.0.query(query, limit, cursor).await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        self.0.commit(commit).await?;
        commit.events.iter().for_each(metrics::count);
        Ok(())
    }
}
