//! The ledger: double entry, derived from what happened. Each rule turns one event into one balanced entry and has a
//! file of its own.
//!
//! Invariants: the postings of an entry sum to zero, in one currency; an entry's id derives from its source, so deriving
//! it again finds it; entries are never changed. A debit is positive, a credit negative. What is dated in a closed month is
//! dated to the first day of the next open one ([`Entry::moved_to`]); its own date stays beside, and its documents keep theirs.
//!
//! Accounts and what moves them:
//! | account | debit | credit |
//! | --- | --- | --- |
//! | receivable | invoiced | paid |
//! | gateway clearing | captured, quarantined, a refund that came back | refunded, fee, paid out, disputed, released |
//! | revenue | – | invoiced, without VAT |
//! | VAT payable | refunded, VAT of a fee | invoiced, a refund that came back |
//! | refunds | refunded, without VAT | came back |
//! | suspense | released: attached or given back | quarantined |
//! | fees | a gateway's fee, without VAT | – |
//! | bank | paid out by a gateway | – |
//! | disputes | taken by a gateway for a payer who disputes | given back after it |

mod book;
mod captured;
mod disputed;
mod fee;
mod invoiced;
mod paid_out;
mod refunded;
mod returned;
mod summary;
mod suspense;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::charge::GatewayName;
use crate::money::Currency;

pub use book::{Book, Close, ClosedAccount, ClosedDocuments, Gate, Reason, Summed, after_month, is_over};
pub use captured::captured;
pub use disputed::{Disputed, disputed};
pub use fee::{Fee, fee};
pub use invoiced::invoiced;
pub use paid_out::{Payout, paid_out};
pub use refunded::refunded;
pub use returned::returned;
pub use summary::{About as Documented, Balance, Documented as Sums, Month};
pub use suspense::{Release, Suspense, quarantined, released};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Account {
    /// What tenants owe us.
    Receivable,
    /// What a gateway holds for us.
    GatewayClearing,
    Revenue,
    VatPayable,
    /// Revenue given back, kept apart from revenue.
    Refunds,
    /// What gateways charge us.
    Fees,
    Bank,
    /// What gateways took because a payer disputes a payment: it comes back, or is lost.
    Disputes,
    /// What gateways hold and nobody could apply yet.
    Suspense,
}

impl Account {
    pub const ALL: [Account; 9] = [
        Account::Receivable,
        Account::GatewayClearing,
        Account::Revenue,
        Account::VatPayable,
        Account::Refunds,
        Account::Fees,
        Account::Bank,
        Account::Disputes,
        Account::Suspense,
    ];
}

/// Which rule made an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    Invoiced,
    Captured,
    Refunded,
    Fee,
    PaidOut,
    Disputed,
    Returned,
    Quarantined,
    Released,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Source::Invoiced => "invoiced",
            Source::Captured => "captured",
            Source::Refunded => "refunded",
            Source::Fee => "fee",
            Source::PaidOut => "paid_out",
            Source::Disputed => "disputed",
            Source::Returned => "returned",
            Source::Quarantined => "quarantined",
            Source::Released => "released",
        }
    }
}

/// One side of an entry, minor units: a debit is positive, a credit negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    pub account: Account,
    pub amount: i64,
}

/// One event in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// `YYYY-MM`, of `on`.
    pub month: String,
    /// `<on>#<rule>#<what it is about>`: sorts by day.
    pub id: String,
    /// Seoul date it is booked under.
    pub on: Date,
    /// The date of what it is about, where its month was closed already and it is booked under a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dated: Option<Date>,
    pub source: Source,
    /// The invoice it belongs to, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    pub gateway: GatewayName,
    pub currency: Currency,
    pub postings: Vec<Posting>,
    pub version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("an entry that does not balance")]
    Unbalanced,
}

/// What an entry is about, besides its postings.
struct About<'a> {
    source: Source,
    on: Date,
    of: &'a str,
    invoice: Option<&'a str>,
    gateway: GatewayName,
    currency: Currency,
}

/// The one way an entry is made. Postings of nothing are left out.
fn entry(about: About<'_>, postings: &[(Account, i64)]) -> Result<Entry, LedgerError> {
    let sum = postings.iter().map(|(_, amount)| i128::from(*amount)).sum::<i128>();
    if sum != 0 {
        return Err(LedgerError::Unbalanced);
    }
    let posting = |(account, amount): &(Account, i64)| Posting { account: *account, amount: *amount };
    Ok(Entry {
        month: month_of(about.on),
        id: format!("{}#{}#{}", about.on, about.source.as_str(), about.of),
        on: about.on,
        dated: None,
        source: about.source,
        invoice: about.invoice.map(str::to_owned),
        gateway: about.gateway,
        currency: about.currency,
        postings: postings.iter().map(posting).filter(|p| p.amount != 0).collect(),
        version: 0,
    })
}

/// `YYYY-MM`.
#[must_use]
pub fn month_of(on: Date) -> String {
    format!("{:04}-{:02}", on.year(), on.month())
}

/// Reads `YYYY-MM`; `None` for anything else.
#[must_use]
pub fn parse_month(text: &str) -> Option<String> {
    let day: Date = format!("{text}-01").parse().ok()?;
    (month_of(day) == text).then(|| text.to_owned())
}
