//! Consistent reads of many rows, and pages of a query.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};

use super::super::rows::{self, Item};
use super::super::schema::{Index, RowKey, Table};
use super::super::selection::{Position, Selection, Sort};
use super::super::{Page, StoreError};
use super::attributes::to_item;
use super::{Attributes, DynamoStore, fault, key_attributes};

/// Keys of one BatchGetItem.
const BATCH_MAX: usize = 100;
/// Calls for one batch: what comes back unprocessed is asked for again.
const ROUNDS_MAX: u32 = 6;
/// Pages read for one page of ours; the service may answer with empty ones.
const PAGES_MAX: u32 = 64;

impl DynamoStore {
    /// Rows by key, read consistently; absent ones are left out.
    pub(super) async fn read_rows(&self, wanted: &[RowKey]) -> Result<HashMap<RowKey, Item>, StoreError> {
        let distinct: Vec<&RowKey> = wanted.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = HashMap::with_capacity(distinct.len());
        for batch in distinct.chunks(BATCH_MAX) {
            self.read_batch(batch, &mut found).await?;
        }
        Ok(found)
    }

    async fn read_batch(&self, batch: &[&RowKey], found: &mut HashMap<RowKey, Item>) -> Result<(), StoreError> {
        let mut pending = self.batch_request(batch)?;
        for round in 0..ROUNDS_MAX {
            if round > 0 {
                // The service is short of capacity: asking again at once would be answered the same way.
                tokio::time::sleep(Duration::from_millis(10 << round)).await;
            }
            let request = self.client.batch_get_item().set_request_items(Some(pending));
            let answer = request.send().await.map_err(|e| fault::of(&e))?;
            for (name, rows) in answer.responses.unwrap_or_default() {
                self.collect(&name, rows, found)?;
            }
            pending = answer.unprocessed_keys.unwrap_or_default();
            if pending.is_empty() {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("keys left unprocessed".to_owned()))
    }

    fn batch_request(&self, batch: &[&RowKey]) -> Result<HashMap<String, KeysAndAttributes>, StoreError> {
        let mut keys: HashMap<String, Vec<Attributes>> = HashMap::new();
        for row in batch {
            keys.entry(self.physical(row.table)).or_default().push(key_attributes(row));
        }
        let request = |keys| KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let built = keys.into_iter().map(|(name, keys)| request(keys).map(|request| (name, request)));
        built.collect::<Result<_, _>>().map_err(|_| StoreError::Unavailable("request not built".to_owned()))
    }

    fn collect(&self, name: &str, rows: Vec<Attributes>, found: &mut HashMap<RowKey, Item>) -> Result<(), StoreError> {
        let unasked = || StoreError::Corrupt("an answer that was not asked for".to_owned());
        let table = Table::ALL.into_iter().find(|table| self.physical(*table) == name).ok_or_else(unasked)?;
        for attributes in rows {
            let item = to_item(table, attributes)?;
            found.insert(rows::key_of(table, &item).ok_or_else(unasked)?, item);
        }
        Ok(())
    }

    /// One page of at most `limit` records. One more than that is read, to know whether there is a next page.
    pub(super) async fn read_page(
        &self,
        selection: &Selection,
        limit: usize,
        after: Option<&Position>,
    ) -> Result<Page, StoreError> {
        let mut items = self.read_items(selection, limit.saturating_add(1), after).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more).and_then(|item| selection.position(item));
        let next = last.map(|position| selection.cursor(&position));
        if selection.index.is_some() {
            items = self.read_behind(selection, &items).await?;
        }
        let (records, damaged) = selection.decode(items)?;
        Ok(Page { records, damaged, next })
    }

    /// The rows an index names, as they are now. Those that have left the selection since are left out.
    async fn read_behind(&self, selection: &Selection, entries: &[Item]) -> Result<Vec<Item>, StoreError> {
        let wanted: Vec<RowKey> = entries.iter().filter_map(|item| rows::key_of(selection.table, item)).collect();
        let mut found = self.read_rows(&wanted).await?;
        Ok(wanted.iter().filter_map(|row| found.remove(row)).filter(|item| selection.holds(item)).collect())
    }

    /// Items of the table, or the keys its index projects: `max` of them unless the selection ends before.
    async fn read_items(
        &self,
        selection: &Selection,
        max: usize,
        after: Option<&Position>,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(max);
        let mut start = after.map(|position| start_key(selection, position));
        for _ in 0..PAGES_MAX {
            let left = i32::try_from(max.saturating_sub(items.len())).unwrap_or(i32::MAX);
            let request = self
                .client
                .query()
                .table_name(self.physical(selection.table))
                .set_index_name(selection.index.map(|index| index.name().to_owned()))
                .key_condition_expression(condition(selection))
                .set_expression_attribute_values(Some(condition_values(selection)))
                .scan_index_forward(!selection.newest_first)
                // An index cannot be read consistently.
                .consistent_read(selection.index.is_none())
                .set_exclusive_start_key(start)
                .limit(left);
            let answer = request.send().await.map_err(|e| fault::of(&e))?;
            for attributes in answer.items.unwrap_or_default() {
                items.push(to_item(selection.table, attributes)?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() || items.len() >= max {
                return Ok(items);
            }
        }
        Err(StoreError::Unavailable("too many empty pages".to_owned()))
    }
}

fn condition(selection: &Selection) -> String {
    let (pk, sk) = (selection.index.map_or("pk", Index::pk), selection.index.map_or("sk", Index::sk));
    // A query has one of the two at most: a key condition takes one range.
    match (selection.until, &selection.below) {
        (Some(_), _) => format!("{pk} = :pk AND {sk} <= :until"),
        (None, Some(_)) => format!("{pk} = :pk AND {sk} < :below"),
        (None, None) => format!("{pk} = :pk"),
    }
}

fn condition_values(selection: &Selection) -> Attributes {
    let pk = (":pk".to_owned(), AttributeValue::S(selection.pk.clone()));
    let until = selection.until.map(|until| (":until".to_owned(), AttributeValue::N(until.to_string())));
    let below = selection.below.as_ref().map(|below| (":below".to_owned(), AttributeValue::S(below.clone())));
    [pk].into_iter().chain(until).chain(below).collect()
}

/// The service's form of a position: the keys of the table and, behind an index, those of the index.
fn start_key(selection: &Selection, position: &Position) -> Attributes {
    let mut key = key_attributes(&position.row);
    if let (Some(index), Some(sort)) = (selection.index, &position.sort) {
        let sort = match sort {
            Sort::Number(n) => AttributeValue::N(n.to_string()),
            Sort::Text(text) => AttributeValue::S(text.clone()),
        };
        key.insert(index.pk().to_owned(), AttributeValue::S(selection.pk.clone()));
        key.insert(index.sk().to_owned(), sort);
    }
    key
}
