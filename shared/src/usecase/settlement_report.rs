//! A gateway's day of settlement as operators read it: a page of rows, and the sums of the whole day.
//!
//! Invariants: every row of the day is counted once, or the answer says that it is not complete; currencies are never added
//! up; a fact of ours that a row answered after all is listed and not counted again; unexplained amounts are added without
//! their signs, so that they are nothing only when each is.

use std::collections::BTreeMap;

use domain::Date;
use domain::charge::GatewayName;
use domain::money::Currency;
use domain::settlement::{Bucket, SettlementRow};

use crate::store::{PAGE_MAX, Query, Store, StoreError, typed};

/// Pages summed for one answer: 20,000 rows, which is what an HTTP call has the time for.
const PAGES_MAX: u32 = 200;
/// Rows of one sheet: about two megabytes, which is below what an answer may weigh.
pub const SHEET_MAX: usize = 10_000;

/// Rows, and their amounts by currency in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub count: u64,
    pub amounts: BTreeMap<Currency, i128>,
}

impl Sum {
    fn add(&mut self, amount: Option<(Currency, i128)>) {
        self.count = self.count.saturating_add(1);
        if let Some((currency, amount)) = amount {
            let sum = self.amounts.entry(currency).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub buckets: BTreeMap<Bucket, Sum>,
    pub unexplained: Sum,
    /// False when the day has more rows than were summed.
    pub complete: bool,
}

impl Totals {
    pub fn add(&mut self, row: &SettlementRow) {
        if row.answered_by.is_some() {
            return;
        }
        let moved = row.movement.as_ref();
        let amount = moved.map(|m| (m.amount.currency, i128::from(m.amount.amount)));
        self.buckets.entry(row.verdict.bucket).or_default().add(amount);
        if !row.verdict.bucket.at_rest() {
            let open = row.verdict.unexplained.map(|open| i128::from(open.unsigned_abs()));
            self.unexplained.add(moved.and_then(|m| open.map(|open| (m.amount.currency, open))));
        }
    }
}

/// Sums a day.
///
/// # Errors
/// When the store fails.
pub async fn totals(store: &dyn Store, gateway: GatewayName, day: Date) -> Result<Totals, StoreError> {
    let (mut totals, mut cursor) = (Totals::default(), None::<String>);
    for _ in 0..PAGES_MAX {
        let (rows, next) = page(store, gateway, day, PAGE_MAX, cursor.as_deref()).await?;
        rows.iter().for_each(|row| totals.add(row));
        cursor = next;
        if cursor.is_none() {
            return Ok(Totals { complete: true, ..totals });
        }
    }
    Ok(totals)
}

/// A page of a day, by row id.
///
/// # Errors
/// When the store fails or the cursor is of another list.
pub async fn page(
    store: &dyn Store,
    gateway: GatewayName,
    day: Date,
    limit: u32,
    cursor: Option<&str>,
) -> Result<(Vec<SettlementRow>, Option<String>), StoreError> {
    typed::list::<SettlementRow>(store, &Query::SettlementsOf { gateway, day }, limit, cursor).await
}

/// Rows for a sheet, from `cursor` on, at most [`SHEET_MAX`], and where the next sheet starts.
///
/// # Errors
/// As [`page`].
pub async fn sheet(
    store: &dyn Store,
    gateway: GatewayName,
    day: Date,
    cursor: Option<&str>,
) -> Result<(Vec<SettlementRow>, Option<String>), StoreError> {
    let (mut rows, mut cursor) = (Vec::new(), cursor.map(str::to_owned));
    loop {
        let (found, next) = page(store, gateway, day, PAGE_MAX, cursor.as_deref()).await?;
        rows.extend(found);
        cursor = next;
        if cursor.is_none() || rows.len() >= SHEET_MAX {
            return Ok((rows, cursor));
        }
    }
}
