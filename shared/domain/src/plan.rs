//! Plans and add-ons. A plan version is immutable: a price change is a new version, and a subscription keeps a
//! snapshot of the version it was sold under.

use serde::{Deserialize, Serialize};

use crate::calendar::Interval;
use crate::money::{Money, MoneyError};

/// Days after the first failure on which a declined renewal is tried again (product.md, "Dunning").
pub const RETRY_DAYS: [u32; 3] = [1, 3, 7];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Addon {
    pub code: String,
    pub name: String,
    pub price: Money,
}

/// One immutable version of a plan. Prices include VAT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub code: String,
    pub version: u32,
    pub name: String,
    pub description: String,
    pub price: Money,
    pub interval: Interval,
    pub addons: Vec<Addon>,
    /// Only one version of a code is on sale at a time.
    pub on_sale: bool,
    #[serde(default = "default_retry_days")]
    pub retry_days: Vec<u32>,
}

fn default_retry_days() -> Vec<u32> {
    RETRY_DAYS.to_vec()
}

/// What a subscription was sold: frozen at creation, priced once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanSnapshot {
    pub code: String,
    pub version: u32,
    pub interval: Interval,
    pub lines: Vec<Line>,
    pub retry_days: Vec<u32>,
}

/// One line of a bill: the plan or an add-on, VAT-inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Line {
    pub code: String,
    pub amount: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("unknown add-on {0}")]
    UnknownAddon(String),
    #[error("add-on {0} named twice")]
    DuplicateAddon(String),
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Plan {
    /// Freezes this version with the chosen add-ons.
    ///
    /// # Errors
    /// When an add-on is unknown or named twice, or prices do not add up in one currency.
    pub fn snapshot(&self, addon_codes: &[String]) -> Result<(PlanSnapshot, Money), PlanError> {
        let mut lines = vec![Line { code: self.code.clone(), amount: self.price.amount }];
        let mut total = self.price;
        for code in addon_codes {
            let addon =
                self.addons.iter().find(|a| &a.code == code).ok_or_else(|| PlanError::UnknownAddon(code.clone()))?;
            if lines.iter().skip(1).any(|l| &l.code == code) {
                return Err(PlanError::DuplicateAddon(code.clone()));
            }
            total = total.checked_add(addon.price)?;
            lines.push(Line { code: code.clone(), amount: addon.price.amount });
        }
        let snapshot = PlanSnapshot {
            code: self.code.clone(),
            version: self.version,
            interval: self.interval,
            lines,
            retry_days: self.retry_days.clone(),
        };
        Ok((snapshot, total))
    }
}
