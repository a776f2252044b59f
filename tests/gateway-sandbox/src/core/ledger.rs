//! Every effect the sandbox ever had: the judge of "charged once". Append-only.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Core, Gateway};

/// What happened to the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Capture,
    Refund,
    Decline,
}

/// One effect. `amount` is in the currency's minor unit and positive, for refunds too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    pub gateway: Gateway,
    pub kind: Kind,
    /// Toss: the order id; Stripe: the metadata order id, which names the cycle.
    pub order_id: String,
    pub payment_id: String,
    pub amount: i64,
    /// ISO 4217, upper case.
    pub currency: String,
    /// By the sandbox's clock.
    pub at: Timestamp,
}

impl Core {
    /// Writes one effect down.
    pub fn record(&self, entry: LedgerEntry) {
        self.state().ledger.push(entry);
    }

    /// Effects at or after `since`, oldest first.
    pub fn ledger(&self, since: Option<Timestamp>) -> Vec<LedgerEntry> {
        let recent = |entry: &&LedgerEntry| since.is_none_or(|from| entry.at >= from);
        self.state().ledger.iter().filter(recent).cloned().collect()
    }
}
