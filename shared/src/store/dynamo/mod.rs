//! The store on DynamoDB. The only place that names its SDK, apart from the programs that build the client.
//!
//! Invariants: reads of rows are consistent, also behind an index; every write is a conditional whole-item put, so the
//! functions need neither Scan nor UpdateItem nor DeleteItem; loops over pages and retries are bounded.

mod attributes;
mod commit;
mod fault;
mod read;

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use super::prepare::prepare;
use super::rows;
use super::schema::{RowKey, Table};
use super::selection::{PAGE_MAX, Selection};
use super::{Commit, Key, Page, Query, Record, Store, StoreError};
use attributes::to_item;

/// Tables named `${stage}-<table>` behind one client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    stage: String,
}

type Attributes = HashMap<String, AttributeValue>;

impl DynamoStore {
    #[must_use]
    pub fn new(client: Client, stage: impl Into<String>) -> DynamoStore {
        DynamoStore { client, stage: stage.into() }
    }

    fn physical(&self, table: Table) -> String {
        format!("{}-{}", self.stage, table.name())
    }
}

fn key_attributes(row: &RowKey) -> Attributes {
    let pk = ("pk".to_owned(), AttributeValue::S(row.pk.clone()));
    let sk = row.sk.as_ref().map(|sk| ("sk".to_owned(), AttributeValue::S(sk.clone())));
    [pk].into_iter().chain(sk).collect()
}

#[async_trait]
impl Store for DynamoStore {
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let row = RowKey::of(key);
        let request = self.client.get_item().table_name(self.physical(row.table)).set_key(Some(key_attributes(&row)));
        let answer = request.consistent_read(true).send().await.map_err(|e| fault::of(&e))?;
        let item = answer.item.map(|attributes| to_item(row.table, attributes)).transpose()?;
        item.map(|item| rows::decode(row.table, item)).transpose()
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Record>, StoreError> {
        let wanted: Vec<RowKey> = keys.iter().map(RowKey::of).collect();
        let items = self.read_rows(&wanted).await?;
        let found = wanted.iter().filter_map(|row| Some((row.table, items.get(row)?.clone())));
        found.map(|(table, item)| rows::decode(table, item)).collect()
    }

    async fn query(&self, query: &Query, limit: u32, cursor: Option<&str>) -> Result<Page, StoreError> {
        let selection = Selection::of(query);
        let after = cursor.map(|cursor| selection.after(cursor)).transpose()?;
        let limit = usize::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(1);
        self.read_page(&selection, limit, after.as_ref()).await
    }

    async fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut puts = prepare(commit)?;
        match puts.len() {
            0 => Ok(()),
            1 => self.put_one(&commit.id, puts.remove(0)).await,
            _ => self.put_all(&commit.id, puts).await,
        }
    }
}
