//! Reading a gateway's lists of one day: its movements page by page, each joined with the fee its settlement tells.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Date;
use domain::calendar::seoul_midnight;
use domain::charge::GatewayName;
use domain::movement::{Listed, Movement};
use domain::settlement::row_id;
use jiff::ToSpan;
use tokio::time::Instant;

use super::place::{Item, Placed};
use super::{Desk, Outcome, Pass, ReconcileError};
use crate::gateway::statements::{Statement, Window};
use crate::gateway::{GatewayError, RATE_LIMITED};
use crate::usecase::allowance::Said;

/// Longest wait for one page.
const PATIENCE: Duration = Duration::from_secs(70);

/// Why a day is not read further now.
enum Stop {
    NoTime,
    NoAnswer,
}

/// A day's settlement by row, until its movements are found.
#[derive(Default)]
struct Settled {
    rows: BTreeMap<String, Movement>,
    odd: Vec<Listed>,
}

impl Settled {
    fn add(&mut self, row: Listed) {
        match row {
            Listed::Movement(row) => {
                self.rows.insert(row.id.clone(), row);
            }
            // Its movement may read well: it is kept beside it, under a name of its own.
            Listed::Unreadable { ref raw, .. } => {
                let (id, raw) = (format!("settled:{}", row_id(&row)), raw.clone());
                self.odd.push(Listed::Unreadable { id: Some(id), raw });
            }
        }
    }

    /// The movement with its fee. Where the two lists differ in amount, the row does not add up.
    fn join(&mut self, listed: Listed) -> Listed {
        let moved = match listed {
            Listed::Movement(moved) => moved,
            Listed::Unreadable { id, raw } => {
                // One word about a row: while its movement does not read, its settlement alone explains nothing.
                id.as_ref().and_then(|id| self.rows.remove(id));
                return Listed::Unreadable { id, raw };
            }
        };
        let same = |row: &Movement| row.amount.currency == moved.amount.currency;
        let told = self.rows.remove(&moved.id).filter(same).and_then(|row| row.fee);
        Listed::Movement(Movement { fee: moved.fee.clone().or(told), ..moved })
    }

    /// What no movement of the day answered: settled later than it moved, or left out of the other list.
    fn rest(self) -> Vec<Listed> {
        self.rows.into_values().map(Listed::Movement).chain(self.odd).collect()
    }
}

impl Pass {
    pub(super) fn count(&mut self, placed: Placed) {
        match placed {
            Placed::Same | Placed::Late => {}
            Placed::Changed => self.changed = self.changed.saturating_add(1),
            Placed::Unanswered => self.outcome = Outcome::Failed,
        }
    }
}

impl Desk<'_> {
    /// Reads and places a gateway's day. Rows for which something of another day is missing go to `late`.
    pub(super) async fn pull(
        &self,
        gateway: GatewayName,
        day: Date,
        last: bool,
        late: &mut Vec<Item>,
    ) -> Result<Pass, ReconcileError> {
        let mut pass = Pass { gateway, day, outcome: Outcome::Done, rows: 0, changed: 0 };
        match self.pull_pages(&mut pass, last, late).await? {
            Ok(()) => {}
            Err(Stop::NoTime) => pass.outcome = Outcome::Left,
            Err(Stop::NoAnswer) => pass.outcome = Outcome::Failed,
        }
        if pass.outcome == Outcome::Done {
            tracing::info!(gateway = gateway.as_str(), %day, rows = pass.rows, changed = pass.changed, "day reconciled");
        } else {
            tracing::warn!(gateway = gateway.as_str(), %day, outcome = ?pass.outcome, "a day was not read to its end");
        }
        Ok(pass)
    }

    async fn pull_pages(
        &self,
        pass: &mut Pass,
        last: bool,
        late: &mut Vec<Item>,
    ) -> Result<Result<(), Stop>, ReconcileError> {
        let (gateway, day) = (pass.gateway, pass.day);
        let mut settled = match self.settled(gateway, day).await {
            Ok(settled) => settled,
            Err(stop) => return Ok(Err(stop)),
        };
        let (from, until) = (seoul_midnight(day)?, seoul_midnight(day.saturating_add(1.day()))?);
        let mut after = None::<String>;
        loop {
            let window = Window { from, until, after: after.as_deref() };
            let page = match self.movements(gateway, &window).await {
                Ok(page) => page,
                Err(stop) => return Ok(Err(stop)),
            };
            let rows = page.rows.into_iter().map(|row| settled.join(row)).collect();
            self.place_all(pass, rows, last, late).await?;
            if page.after.is_none() {
                break;
            }
            if page.after == after {
                // A list that does not move on would never end.
                return Ok(Err(Stop::NoAnswer));
            }
            after = page.after;
        }
        self.place_all(pass, settled.rest(), last, late).await?;
        Ok(Ok(()))
    }

    async fn settled(&self, gateway: GatewayName, day: Date) -> Result<Settled, Stop> {
        let (mut settled, mut after) = (Settled::default(), None::<String>);
        loop {
            let begun = self.begin(gateway).await?;
            let answer = self.accounts.get(gateway).settled(day, after.as_deref()).await;
            let page = self.end(gateway, begun, answer)?;
            page.rows.into_iter().for_each(|row| settled.add(row));
            if page.after.is_none() || page.after == after {
                return Ok(settled);
            }
            after = page.after;
        }
    }

    async fn movements(&self, gateway: GatewayName, window: &Window<'_>) -> Result<Statement, Stop> {
        let begun = self.begin(gateway).await?;
        let answer = self.accounts.get(gateway).movements(window).await;
        self.end(gateway, begun, answer)
    }

    /// Takes a turn of the gateway's allowance, if there is time for an answer.
    async fn begin(&self, gateway: GatewayName) -> Result<Instant, Stop> {
        self.charging.allowance.turn(gateway).await;
        let now = Instant::now();
        if now + PATIENCE > self.deadline { Err(Stop::NoTime) } else { Ok(now) }
    }

    fn end(
        &self,
        gateway: GatewayName,
        begun: Instant,
        page: Result<Statement, GatewayError>,
    ) -> Result<Statement, Stop> {
        let said = match &page {
            Ok(_) => Said::Answered,
            Err(GatewayError::Rejected { code }) if code == RATE_LIMITED => Said::Slower,
            Err(GatewayError::Unknown) => Said::Outage,
            Err(GatewayError::Config { .. }) => Said::Unsent,
            Err(GatewayError::NotFound | GatewayError::Declined { .. } | GatewayError::Rejected { .. }) => {
                Said::Answered
            }
        };
        self.charging.allowance.heard(gateway, said, begun.elapsed());
        page.map_err(|error| {
            tracing::warn!(gateway = gateway.as_str(), %error, "a list was not read");
            Stop::NoAnswer
        })
    }
}
