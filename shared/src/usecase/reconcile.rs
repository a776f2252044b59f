//! Reconciliation: what the gateways list of past days against our books, row by row (domain/settlement.rs). What the
//! books lack and can take in is taken in; what stays unexplained is told.
//!
//! Invariants: a row of the table, the ledger entries it makes and the alert about it are one commit, conditional on the
//! row as read, so any number of passes and workers book once and tell once; a pass that ends anywhere is simply run
//! again; nothing is held open in the store while a gateway is asked; a gateway that does not answer stops its own day only.

mod facts;
mod heal;
mod place;
mod pull;

use std::collections::BTreeMap;

use domain::Date;
use domain::calendar::{OutOfRange, seoul_date};
use domain::charge::GatewayName;
use domain::event::Fact;
use domain::ledger::LedgerError;
use domain::settlement::{SettlementRow, UNEXPLAINED};
use jiff::{Timestamp, ToSpan};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::receive_webhook::ReceiveError;
use super::settle::SettleError;
use super::{Charging, stamp};
use crate::gateway::statements::Accounts;
use crate::ports::Context;
use crate::store::{Query, StoreError, typed};
use place::Item;

/// Days the daily pass looks back: late rows, fees told later and refunds that turned.
pub const WINDOW_DAYS: i64 = 7;

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Only days that are over have a list that is complete.
    #[error("the day is not over")]
    NotOver,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Calendar(#[from] OutOfRange),
}

impl ReconcileError {
    /// Whether a stored row does not read.
    fn is_damage(&self) -> bool {
        let (ReconcileError::Store(e)
        | ReconcileError::Settle(SettleError::Store(e))
        | ReconcileError::Receive(ReceiveError::Store(e) | ReceiveError::Settle(SettleError::Store(e)))) = self
        else {
            return false;
        };
        matches!(e, StoreError::Corrupt(_))
    }
}

/// What a pass works with.
pub struct Desk<'a> {
    pub charging: &'a Charging,
    pub accounts: &'a Accounts,
    pub context: &'a Context,
    /// Nothing is asked of a gateway that could not be answered by then.
    pub deadline: Instant,
    /// Held while entries are booked.
    pub booking: Mutex<()>,
}

/// How a gateway's day went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// No time was left for all of it.
    Left,
    /// The gateway did not answer.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub gateway: GatewayName,
    pub day: Date,
    pub outcome: Outcome,
    /// Rows listed, and those of them that were new or changed.
    pub rows: u32,
    pub changed: u32,
}

/// What a reconciliation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub passes: Vec<Pass>,
    /// Facts of ours that were written down because no row answers them, or one does now.
    pub facts: u32,
}

impl Report {
    /// Whether every day was read to its end.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.passes.iter().all(|pass| pass.outcome == Outcome::Done)
    }
}

/// The days of the daily pass, newest first.
#[must_use]
pub fn window(now: Timestamp) -> Vec<Date> {
    let today = seoul_date(now);
    (1..=WINDOW_DAYS).map(|back| today.saturating_sub(back.days())).collect()
}

/// Reconciles days, newest first, at every gateway. `last` is the day that is not looked at again: whatever could not be
/// read of it is told.
///
/// # Errors
/// When a day is not over or the store fails; running it again goes on.
pub async fn reconcile(desk: &Desk<'_>, days: &[Date], last: Option<Date>) -> Result<Report, ReconcileError> {
    let today = seoul_date(desk.context.now);
    if days.iter().any(|day| *day >= today) {
        return Err(ReconcileError::NotOver);
    }
    let mut report = Report::default();
    let mut late = Vec::new();
    for day in days {
        for gateway in GatewayName::ALL {
            report.passes.push(desk.pull(gateway, *day, last == Some(*day), &mut late).await?);
        }
    }
    desk.place_late(late, &mut report).await?;
    report.facts = desk.look_for_facts(days, &outcomes(&report)).await?;
    if let Some(day) = last {
        desk.tell_unread(day, &report).await?;
    }
    Ok(report)
}

type Outcomes = BTreeMap<(GatewayName, Date), Outcome>;

fn outcomes(report: &Report) -> Outcomes {
    report.passes.iter().map(|pass| ((pass.gateway, pass.day), pass.outcome)).collect()
}

impl Desk<'_> {
    /// Rows that may only now find in the books what another day brought.
    async fn place_late(&self, late: Vec<Item>, report: &mut Report) -> Result<(), ReconcileError> {
        for item in late {
            let placed = place::beside_damage(&item, self.place(&item, None, None, true).await)?;
            let own = |pass: &&mut Pass| (pass.gateway, pass.day) == (item.by, item.day);
            if let Some(pass) = report.passes.iter_mut().find(own) {
                pass.count(placed);
            }
        }
        Ok(())
    }

    /// Tells about a day that was never read and drops out of the window.
    async fn tell_unread(&self, day: Date, report: &Report) -> Result<(), ReconcileError> {
        let unread = report.passes.iter().filter(|pass| pass.day == day && pass.outcome != Outcome::Done);
        for pass in unread {
            let query = Query::SettlementsOf { gateway: pass.gateway, day };
            let (rows, _) = typed::list::<SettlementRow>(self.charging.store.as_ref(), &query, 1, None).await?;
            if rows.is_empty() {
                let fact =
                    Fact::new(UNEXPLAINED, format!("{}#{day}", pass.gateway.as_str())).with("reason", "not-read");
                let commit = stamp::commit(self.charging.random.as_ref(), self.context, Vec::new(), vec![fact]);
                self.charging.store.commit(&commit).await?;
            }
        }
        Ok(())
    }
}
