//! Refunds as the API shows them.

use domain::cycle::Cycle;
use domain::dispute::Dispute;
use domain::money::Currency;
use domain::refund::{Origin, Refund, Status};
use jiff::Timestamp;
use serde::Serialize;

/// One refund. Who asked for it and why is in the audit log, because tenants read this too.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Refund))]
#[serde(rename_all = "camelCase")]
pub struct RefundBody {
    id: String,
    amount: i64,
    supply: i64,
    /// What went back with it, or would if it succeeded now.
    vat: i64,
    currency: Currency,
    status: Status,
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    at: Timestamp,
}

impl RefundBody {
    #[must_use]
    pub fn new(cycle: &Cycle, refund: &Refund) -> RefundBody {
        let vat = cycle.vat_of_refund(refund);
        RefundBody {
            id: refund.id.to_string(),
            amount: refund.amount,
            supply: refund.amount.saturating_sub(vat),
            vat,
            currency: cycle.amount.currency,
            status: refund.status,
            origin: refund.origin,
            code: refund.code.clone(),
            at: refund.at,
        }
    }

    #[must_use]
    pub fn all(cycle: &Cycle) -> Vec<RefundBody> {
        cycle.refunds.iter().map(|refund| RefundBody::new(cycle, refund)).collect()
    }
}

/// A dispute about a payment.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Dispute))]
#[serde(rename_all = "camelCase")]
pub struct DisputeBody {
    amount: i64,
    /// The gateway's word.
    status: String,
    opened_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
}

impl From<&Dispute> for DisputeBody {
    fn from(d: &Dispute) -> Self {
        DisputeBody { amount: d.amount, status: d.status.clone(), opened_at: d.opened_at, closed_at: d.closed_at }
    }
}
