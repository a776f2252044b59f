//! A query as a range of one partition, and the cursor that continues it.
//!
//! Invariants: a cursor carries a position and a fingerprint of its query; the partition always comes from the query,
//! so an edited cursor can move within what the caller may list but never out of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::rows::{Item, decode, key_of};
use super::schema::{DEMO, Index, ON_SALE, RUN, RowKey, SEAL, Table, log_shard, settlement_day};
use super::{LogPart, Query, Record, StoreError};

/// Records in one page, at most.
pub const PAGE_MAX: u32 = 100;
/// Characters of a cursor, far above any that was handed out.
const CURSOR_MAX: usize = 8192;

/// What a query reads: one partition of a table or of one of its indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub table: Table,
    pub index: Option<Index>,
    pub pk: String,
    /// Sort keys up to and including this one.
    pub until: Option<i64>,
    /// Sort keys below this one.
    pub below: Option<String>,
    pub newest_first: bool,
}

/// A value of an index's sort key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Sort {
    Number(i64),
    Text(String),
}

impl Sort {
    pub fn of(index: Index, item: &Item) -> Option<Sort> {
        match (item.get(index.sk())?, index.numeric()) {
            (Value::Number(n), true) => n.as_i64().map(Sort::Number),
            (Value::String(text), false) => Some(Sort::Text(text.clone())),
            _ => None,
        }
    }
}

/// The last row of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Of the index; none when the table itself is read.
    pub sort: Option<Sort>,
    pub row: RowKey,
}

/// The wire form of a cursor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    q: String,
    s: Option<Sort>,
    p: String,
    k: Option<String>,
}

impl Selection {
    pub fn of(query: &Query) -> Selection {
        let (table, index, pk) = match query {
            Query::PlansOnSale => (Table::Plan, Some(Index::OnSale), ON_SALE.to_owned()),
            Query::PlanVersions { code } => (Table::Plan, None, code.clone()),
            Query::ApplicationsByStatus { status } => {
                (Table::Application, Some(Index::ByStatus), status.as_str().to_owned())
            }
            Query::MethodsOfTenant { tenant } => (Table::Method, None, tenant.to_string()),
            Query::MethodsByToken { token_hash } => (Table::Method, Some(Index::ByToken), token_hash.clone()),
            Query::SubscriptionsOfTenant { tenant } => (Table::Subscription, Some(Index::ByTenant), tenant.to_string()),
            Query::SubscriptionsByStatus { status } => {
                (Table::Subscription, Some(Index::ByStatus), status.as_str().to_owned())
            }
            Query::SubscriptionsDue { partition, .. } => (Table::Subscription, Some(Index::Due), partition.clone()),
            Query::RefundsDue { partition, .. } => (Table::Cycle, Some(Index::RefundDue), partition.clone()),
            Query::CyclesOf { subscription } => (Table::Cycle, None, subscription.to_string()),
            Query::DocumentsOf { invoice } => (Table::Invoice, None, invoice.to_string()),
            Query::InvoicesOfTenant { tenant } => (Table::Invoice, Some(Index::ByTenant), tenant.to_string()),
            Query::PostingsOf { month } => (Table::Posting, None, month.clone()),
            Query::SettlementsOf { gateway, day } => (Table::Settlement, None, settlement_day(*gateway, *day)),
            Query::Runs => (Table::Run, Some(Index::ByStart), RUN.to_owned()),
            Query::EventsOf { subject } => (Table::AuditLog, Some(Index::BySubject), subject.clone()),
            Query::EventsOn { day, shard } => (Table::AuditLog, None, log_shard(*day, *shard)),
            Query::EventsBelow { part: LogPart::Subject(subject), .. } => {
                (Table::AuditLog, Some(Index::BySubject), subject.clone())
            }
            Query::EventsBelow { part: LogPart::Day(day, shard), .. } => {
                (Table::AuditLog, None, log_shard(*day, *shard))
            }
            Query::ForwardedOn { day } => (Table::Forwarded, None, day.to_string()),
            Query::Seals => (Table::Seal, None, SEAL.to_owned()),
            Query::DemoRequests => (Table::DemoRequest, None, DEMO.to_owned()),
        };
        let until = match query {
            Query::SubscriptionsDue { until, .. } | Query::RefundsDue { until, .. } => Some(until.as_millisecond()),
            _ => None,
        };
        let below = match query {
            Query::EventsBelow { below, .. } => below.as_ref().map(ToString::to_string),
            _ => None,
        };
        let newest_first = matches!(
            query,
            Query::PlanVersions { .. }
                | Query::InvoicesOfTenant { .. }
                | Query::Runs
                | Query::EventsOf { .. }
                | Query::EventsBelow { .. }
                | Query::Seals
                | Query::DemoRequests
        );
        Selection { table, index, pk, until, below, newest_first }
    }

    /// Whether an item, as it is now, still belongs: an index may lag behind its table.
    pub fn holds(&self, item: &Item) -> bool {
        let attribute = self.index.map_or("pk", Index::pk);
        item.get(attribute).and_then(Value::as_str) == Some(self.pk.as_str())
            && self.until.is_none_or(|until| {
                self.index.and_then(|index| Sort::of(index, item)).is_some_and(|sort| sort <= Sort::Number(until))
            })
    }

    /// The items as records. Those that do not read back are named instead, where the query may go on without them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it may not.
    pub fn decode(&self, items: impl IntoIterator<Item = Item>) -> Result<(Vec<Record>, Vec<String>), StoreError> {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for item in items {
            let key = key_of(self.table, &item).map_or_else(String::new, |row| row.pk);
            match decode(self.table, item) {
                Ok(record) => records.push(record),
                Err(StoreError::Corrupt(_)) if self.until.is_some() => damaged.push(key),
                Err(e) => return Err(e),
            }
        }
        Ok((records, damaged))
    }

    /// The position of an item, or of the keys an index projects.
    pub fn position(&self, item: &Item) -> Option<Position> {
        let sort = match self.index {
            Some(index) => Some(Sort::of(index, item)?),
            None => None,
        };
        Some(Position { sort, row: key_of(self.table, item)? })
    }

    /// The opaque cursor that continues after `last`.
    pub fn cursor(&self, last: &Position) -> String {
        let wire = Wire { q: self.fingerprint(), s: last.sort.clone(), p: last.row.pk.clone(), k: last.row.sk.clone() };
        URL_SAFE_NO_PAD.encode(serde_json::json!(wire).to_string())
    }

    /// # Errors
    /// [`StoreError::BadCursor`] for anything but a cursor of this very query.
    pub fn after(&self, cursor: &str) -> Result<Position, StoreError> {
        self.read_cursor(cursor).ok_or(StoreError::BadCursor)
    }

    fn read_cursor(&self, cursor: &str) -> Option<Position> {
        let bytes = (cursor.len() <= CURSOR_MAX).then(|| URL_SAFE_NO_PAD.decode(cursor).ok())??;
        let wire: Wire = serde_json::from_slice(&bytes).ok()?;
        let sort_fits = match (&wire.s, self.index) {
            (None, None) => wire.p == self.pk,
            (Some(Sort::Number(n)), Some(index)) => index.numeric() && self.until.is_none_or(|until| *n <= until),
            (Some(Sort::Text(text)), Some(index)) => !index.numeric() && !text.is_empty(),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let row_fits = wire.k.is_some() == self.table.sorted() && !wire.p.is_empty() && wire.k.as_deref() != Some("");
        let row = RowKey { table: self.table, pk: wire.p, sk: wire.k };
        (wire.q == self.fingerprint() && sort_fits && row_fits).then_some(Position { sort: wire.s, row })
    }

    fn fingerprint(&self) -> String {
        let index = self.index.map_or("", Index::name);
        let range = (self.until, &self.below, self.newest_first);
        let text = format!("{}\n{index}\n{}\n{range:?}", self.table.name(), self.pk);
        hex::encode(&Sha256::digest(text.as_bytes())[..8])
    }
}
