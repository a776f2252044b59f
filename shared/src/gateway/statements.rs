//! The port to what a gateway says of its own books: the movements of money on our account, and what it kept of them.
//!
//! Contract: pages in the gateway's order until there is no `after`; every row comes back, readable or not; nothing is
//! changed by asking.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Date;
use domain::charge::GatewayName;
use domain::movement::{Listed, RAW_KEPT};
use jiff::Timestamp;
use serde_json::Value;

use super::GatewayError;

/// A window of time, end exclusive, and where to go on.
pub struct Window<'a> {
    pub from: Timestamp,
    pub until: Timestamp,
    pub after: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    pub rows: Vec<Listed>,
    /// Where the next page starts; `None` on the last one.
    pub after: Option<String>,
}

#[async_trait]
pub trait Statements: Send + Sync {
    fn name(&self) -> GatewayName;

    /// What moved in a window of time.
    ///
    /// # Errors
    /// As [`GatewayError`] says; asking again is safe.
    async fn movements(&self, window: &Window<'_>) -> Result<Statement, GatewayError>;

    /// The movements sold on a civil day (Seoul) with their fees, where the gateway tells them apart from the movements
    /// themselves. One whose movements carry their fees has nothing to add.
    ///
    /// # Errors
    /// As [`GatewayError`] says; asking again is safe.
    async fn settled(&self, day: Date, after: Option<&str>) -> Result<Statement, GatewayError>;
}

/// The accounts a function may read, by gateway.
#[derive(Clone)]
pub struct Accounts {
    pub toss: Arc<dyn Statements>,
    pub stripe: Arc<dyn Statements>,
}

impl Accounts {
    #[must_use]
    pub fn get(&self, name: GatewayName) -> &dyn Statements {
        match name {
            GatewayName::Toss => self.toss.as_ref(),
            GatewayName::Stripe => self.stripe.as_ref(),
        }
    }
}

/// A row nobody could read, as it came.
pub(super) fn unreadable(row: &Value, id_field: &str) -> Listed {
    let id = super::json::owned(row, id_field).map(|id| id.chars().take(100).collect());
    Listed::Unreadable { id, raw: row.to_string().chars().take(RAW_KEPT).collect() }
}
