//! A row of the settlement table: what a gateway listed (or what we say and it did not), its verdict, and what the ledger
//! has of it.
//!
//! Invariants: the id derives from what the row is about, so whoever sees it writes the same row; a fee once told is
//! kept when a list leaves it out; the row remembers what was booked and is written together with the entries, so each
//! entry is made once; unexplained money is told once per row.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Bucket, Ours, Reason, Verdict, judge, judge_ours, unreadable};
use crate::calendar::seoul_date;
use crate::charge::GatewayName;
use crate::event::Fact;
use crate::ids::RefundId;
use crate::ledger::{self, Disputed, Entry, LedgerError, Payout};
use crate::money::Money;
use crate::movement::{Kind, Listed, Movement};

/// The alert about money nobody can explain.
pub const UNEXPLAINED: &str = "settlement.unexplained";
/// Longest id of a gateway that is used as it is.
const ID_MAX: usize = 200;

/// Whose word a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SettlementSide))]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    Gateway,
    /// A fact of ours that no row answered when it was looked for.
    Ours,
}

impl Side {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Gateway => "gateway",
            Side::Ours => "ours",
        }
    }
}

/// What the ledger has of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Booked {
    /// What the gateway kept, minor units; none while nothing is booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<i64>,
    /// The day the pay-out is booked under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_out: Option<Date>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disputed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementRow {
    pub gateway: GatewayName,
    /// Seoul day of the movement.
    pub day: Date,
    pub id: String,
    pub side: Side,
    /// As last listed; of our side, what the gateway should have listed. None for one that does not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub movement: Option<Movement>,
    /// The text of one that does not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub booked: Booked,
    /// A capture that was handed to settle.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brought: bool,
    /// An operator was told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
    /// Of our side: the row that answered after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    pub version: u64,
}

/// What is heard of a row now.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    pub by: GatewayName,
    /// The day whose list it was in: where a row belongs that does not say when it was.
    pub day: Date,
    pub listed: &'a Listed,
}

/// A changed row with the entries and facts that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub row: SettlementRow,
    pub entries: Vec<Entry>,
    pub facts: Vec<Fact>,
}

/// How a fact of ours is named in `answers`.
#[must_use]
pub fn of_fact(kind: &str, id: &str) -> String {
    format!("{kind}:{id}")
}

/// The id of a listed row: the gateway's own. One without a usable id is named by its text.
#[must_use]
pub fn row_id(listed: &Listed) -> String {
    // 128 bits of the text; spelled like any id.
    let hashed = |text: &str| format!("raw:{}", RefundId::named(text).ulid());
    let usable = |id: &&str| !id.is_empty() && id.len() <= ID_MAX;
    match listed {
        Listed::Movement(moved) => match Some(moved.id.as_str()).filter(usable) {
            Some(id) => id.to_owned(),
            None => hashed(&format!("{} {:?} {:?}", moved.id, moved.order_id, moved.at)),
        },
        Listed::Unreadable { id, raw } => match id.as_deref().filter(usable) {
            Some(id) => id.to_owned(),
            None => hashed(raw),
        },
    }
}

impl Heard<'_> {
    /// Where its row is.
    #[must_use]
    pub fn place(&self) -> (Date, String) {
        let day = match self.listed {
            Listed::Movement(moved) => seoul_date(moved.at),
            Listed::Unreadable { .. } => self.day,
        };
        (day, row_id(self.listed))
    }

    /// The row after this was heard. `brought` says that a capture was handed to settle.
    #[must_use]
    pub fn row(&self, stored: Option<&SettlementRow>, ours: Ours<'_>, brought: bool, now: Timestamp) -> SettlementRow {
        let (day, id) = self.place();
        let booked = stored.map(|row| row.booked.clone()).unwrap_or_default();
        let (movement, raw) = match self.listed {
            Listed::Movement(moved) => {
                let told = || stored.and_then(|row| row.movement.as_ref()).and_then(|before| before.fee.clone());
                (Some(Movement { fee: moved.fee.clone().or_else(told), ..moved.clone() }), None)
            }
            Listed::Unreadable { raw, .. } => (None, Some(raw.clone())),
        };
        let verdict = match &movement {
            Some(moved) => judge(self.by, moved, ours, booked.fee, now),
            None => unreadable(),
        };
        SettlementRow {
            gateway: self.by,
            day,
            id,
            side: Side::Gateway,
            movement,
            raw,
            verdict,
            booked,
            brought: brought || stored.is_some_and(|row| row.brought),
            told: stored.is_some_and(|row| row.told),
            answered_by: None,
            version: stored.map_or(0, |row| row.version),
        }
    }
}

impl SettlementRow {
    /// A fact of ours that no row answers, or that one answers now. `movement` is what the gateway should have listed.
    #[must_use]
    pub fn ours(
        by: GatewayName,
        movement: Movement,
        stored: Option<&SettlementRow>,
        answered_by: Option<&str>,
        now: Timestamp,
    ) -> SettlementRow {
        let verdict = judge_ours(movement.amount, movement.at, answered_by.is_some(), now);
        SettlementRow {
            gateway: by,
            day: seoul_date(movement.at),
            id: movement.id.clone(),
            side: Side::Ours,
            movement: Some(movement),
            raw: None,
            verdict,
            booked: Booked::default(),
            brought: false,
            told: stored.is_some_and(|row| row.told),
            answered_by: answered_by.map(str::to_owned),
            version: stored.map_or(0, |row| row.version),
        }
    }

    /// Books what is matched and says what is not. `None` when the stored row says all of it already.
    ///
    /// # Errors
    /// When an amount does not fit an entry.
    pub fn decide(mut self, stored: Option<&SettlementRow>) -> Result<Option<Decided>, LedgerError> {
        let entries = self.book()?;
        let mut facts = Vec::new();
        let quarantined = self.verdict.reason == Some(Reason::Quarantined);
        // Money in quarantine was told when it was put there.
        if !self.verdict.bucket.at_rest() && !self.told && !quarantined {
            self.told = true;
            facts.push(self.fact(UNEXPLAINED));
        }
        let open = |row: &SettlementRow| row.told && !row.verdict.bucket.at_rest();
        if stored.is_some_and(open) && self.verdict.bucket == Bucket::Matched {
            facts.push(self.fact("settlement.explained"));
        }
        let known = stored == Some(&self) && entries.is_empty();
        Ok((!known).then_some(Decided { row: self, entries, facts }))
    }

    /// The entries of a matched row that are not booked yet, marked as booked.
    fn book(&mut self) -> Result<Vec<Entry>, LedgerError> {
        let mut entries = Vec::new();
        let Some(moved) = self.movement.as_ref().filter(|_| self.side == Side::Gateway) else { return Ok(entries) };
        if self.verdict.bucket != Bucket::Matched {
            return Ok(entries);
        }
        let (row, gateway, on) = (self.id.clone(), self.gateway, self.day);
        let of = |amount| Money { amount, ..moved.amount };
        if self.booked.fee.is_none() && (moved.fee.is_some() || moved.kind == Kind::Fee) {
            let (fee, vat) = (of(moved.kept()), moved.fee.as_ref().and_then(|fee| fee.vat).unwrap_or(0));
            self.booked.fee = Some(fee.amount);
            entries.push(ledger::fee(&ledger::Fee { row: row.clone(), gateway, fee, vat, on })?);
        }
        if self.booked.paid_out.is_none()
            && let Some((amount, on)) = paid_out(moved, on)
        {
            self.booked.paid_out = Some(on);
            entries.push(ledger::paid_out(&Payout { id: row.clone(), gateway, amount: of(amount), on })?);
        }
        if matches!(moved.kind, Kind::Dispute | Kind::DisputeReturned) && !self.booked.disputed {
            let amount = of(moved.amount.amount.checked_neg().ok_or(LedgerError::Unbalanced)?);
            self.booked.disputed = true;
            entries.push(ledger::disputed(&Disputed { row, gateway, amount, on })?);
        }
        entries.retain(|entry| !entry.postings.is_empty());
        Ok(entries)
    }

    fn fact(&self, kind: &'static str) -> Fact {
        let moved = self.movement.as_ref();
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        Fact::new(kind, format!("{}#{}", self.gateway.as_str(), self.day))
            .with("row", self.id.as_str())
            .with("bucket", self.verdict.bucket.as_str())
            .with("reason", self.verdict.reason.map_or("", Reason::as_str))
            .with("unexplained", self.verdict.unexplained)
            .with("currency", moved.map_or("", |m| m.amount.currency.code()))
            .with("orderId", text(moved.and_then(|m| m.order_id.as_ref())))
            .with("paymentId", text(moved.and_then(|m| m.payment_id.as_ref())))
    }
}

/// What reached our bank through this row, and when: a pay-out of its own, or the row's share in one.
fn paid_out(moved: &Movement, on: Date) -> Option<(i64, Date)> {
    if moved.kind == Kind::PayOut {
        return Some((moved.amount.amount.checked_neg()?, on));
    }
    let fee = moved.fee.as_ref()?;
    Some((fee.net, fee.paid_out_on?))
}
