//! Closing a month: its books are summed, tied and written down once, and nothing is dated in it any more.
//!
//! Invariants: what is written down is the sum of every entry of the month, because the gate every entry passes is as it
//! was before summing, or the close is decided again; a month that could not be summed to its end in the time there is, is
//! not closed; a closed month stays closed, and closing it again changes nothing.

use async_trait::async_trait;
use domain::Date;
use domain::charge::GatewayName;
use domain::event::Actor;
use domain::ledger::{Book, Close, Reason, Summed, is_over};
use domain::settlement::{Bucket, SettlementRow};
use tokio::time::Instant;

use super::book_entries::gate as read_gate;
use super::month_summary::summarise_while;
use super::{RACES, stamp};
use crate::ports::{Context, Random};
use crate::store::{Key, PAGE_MAX, Query, Record, Store, StoreError, Write, typed};

/// What the gateways' settlements of a month leave open.
#[async_trait]
pub trait OpenQuestions: Send + Sync {
    /// Rows of a month (`YYYY-MM`, of Seoul) that nobody has explained.
    ///
    /// # Errors
    /// When the store fails.
    async fn of_month(&self, store: &dyn Store, month: &str) -> Result<u64, StoreError>;
}

/// Asks the rows of the settlement: those that are neither matched nor only waiting for the other side.
pub struct SettlementRows;

#[async_trait]
impl OpenQuestions for SettlementRows {
    async fn of_month(&self, store: &dyn Store, month: &str) -> Result<u64, StoreError> {
        let mut open = 0u64;
        for day in days(month) {
            for gateway in GatewayName::ALL {
                open = open.saturating_add(of_day(store, gateway, day).await?);
            }
        }
        Ok(open)
    }
}

fn days(month: &str) -> impl Iterator<Item = Date> {
    let first = format!("{month}-01").parse::<Date>().ok();
    let same = move |day: &Date| first.is_some_and(|first| day.month() == first.month());
    first.into_iter().flat_map(|first| first.series(jiff::Span::new().days(1))).take_while(same)
}

async fn of_day(store: &dyn Store, gateway: GatewayName, day: Date) -> Result<u64, StoreError> {
    let (query, mut cursor, mut open) = (Query::SettlementsOf { gateway, day }, None::<String>, 0u64);
    loop {
        let (rows, next) = typed::list::<SettlementRow>(store, &query, PAGE_MAX, cursor.as_deref()).await?;
        let unexplained = rows.iter().filter(|row| !matches!(row.verdict.bucket, Bucket::Matched | Bucket::Timing));
        open = open.saturating_add(u64::try_from(unexplained.count()).unwrap_or(u64::MAX));
        cursor = next;
        if cursor.is_none() {
            return Ok(open);
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    #[error("the month is not over")]
    NotOver,
    #[error("something speaks against it")]
    Refused(Vec<Reason>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What closing works with.
pub struct Closing<'a> {
    pub store: &'a dyn Store,
    pub random: &'a dyn Random,
    pub questions: &'a dyn OpenQuestions,
    /// No page of entries is begun after it.
    pub deadline: Instant,
}

/// Closes a month (`YYYY-MM`); `also` joins the commit. Closed before: the same answer.
///
/// # Errors
/// When the month is not over, something speaks against it, or the store fails.
pub async fn close_month(
    closing: &Closing<'_>,
    context: &Context,
    month: &str,
    also: Vec<Write>,
) -> Result<Close, CloseError> {
    let store = closing.store;
    let by = match &context.actor {
        Actor::Operator(id) | Actor::Tenant(id) | Actor::Applicant(id) | Actor::Gateway(id) | Actor::System(id) => id,
    };
    for _ in 0..RACES {
        if let Some(close) = closed(store, month).await? {
            return Ok(close);
        }
        if !is_over(month, context.now) {
            return Err(CloseError::NotOver);
        }
        let gate = read_gate(store, month).await?;
        let summary = summarise_while(store, month, |_| Instant::now() < closing.deadline).await?;
        let open_questions = closing.questions.of_month(store, month).await?;
        let summed = Summed { sums: &summary.month, complete: summary.complete, open_questions };
        let close = match Close::of(&gate, summed, by, context.now) {
            Ok(close) => close,
            // What was booked while it was summed speaks against nothing.
            Err(_) if read_gate(store, month).await?.version != gate.version => continue,
            Err(reasons) => return Err(CloseError::Refused(reasons)),
        };
        let first = gate.version == 0;
        let shut = Record::Book(Book::Gate(gate.shut()));
        let mut writes = vec![if first { Write::New(shut) } else { Write::Replace(shut) }];
        writes.push(Write::New(Record::Book(Book::Close(close.clone()))));
        writes.extend(also.iter().cloned());
        match store.commit(&stamp::commit(closing.random, context, writes, vec![close.fact()])).await {
            Ok(()) => return Ok(Close { version: 1, ..close }),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// The record of a closed month.
///
/// # Errors
/// When the store fails.
pub async fn closed(store: &dyn Store, month: &str) -> Result<Option<Close>, StoreError> {
    match typed::get::<Book>(store, &Key::MonthClose(month.to_owned())).await? {
        Some(Book::Close(close)) => Ok(Some(close)),
        Some(_) => Err(StoreError::Corrupt("a close that is none".to_owned())),
        None => Ok(None),
    }
}
