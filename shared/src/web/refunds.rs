//! The routes of refunds: what they take, and what came of it as an answer.

use domain::cycle::Cycle;
use domain::ids::{RefundId, SubscriptionId};
use domain::refund::{Refused, Status};

use super::{ApiError, Reply, Request};
use crate::api::refunds::RefundBody;
use crate::ports::Context;
use crate::usecase::Charging;
use crate::usecase::charge_subscription::HTTP_PATIENCE;
use crate::usecase::refund_payment::RefundError;
use crate::usecase::send_refund::{Place, SendError, advance};

/// Longest reason kept, in characters.
const REASON: usize = 200;

/// The cycle a request is about: `{id}` and `{index}` of the path, `seq` of the query or the body (0 without).
///
/// # Errors
/// 404 as if nothing had that id; 422 for a malformed `seq`.
pub fn place(request: &Request, seq: Option<u32>) -> Result<Place, ApiError> {
    let subscription = request.path_id(SubscriptionId::parse)?;
    let index = request.path_param("index").and_then(|text| text.parse().ok()).ok_or_else(ApiError::not_found)?;
    let queried = request.query_parsed("seq", |text| text.parse().ok())?;
    Ok(Place { subscription, index, seq: seq.or(queried).unwrap_or(0) })
}

/// A reason somebody gave, trimmed.
///
/// # Errors
/// 422 when it is empty or too long.
pub fn reason(text: &str) -> Result<&str, ApiError> {
    let reason = text.trim();
    if reason.is_empty() || reason.chars().count() > REASON {
        let message = format!("1 to {REASON} characters");
        return Err(ApiError::invalid_field("reason", "invalid_length", message));
    }
    Ok(reason)
}

/// Sends what was just reserved or approved, while somebody waits. It is reserved whatever comes of this, so trouble here
/// is no refusal: the sweep goes on.
pub async fn send(charging: &Charging, context: &Context, place: &Place, id: &RefundId, reserved: Cycle) -> Cycle {
    if reserved.refund(id).is_none_or(|r| r.status != Status::Requested) {
        return reserved;
    }
    match advance(charging, context, place, id, HTTP_PATIENCE).await {
        Ok(cycle) => cycle,
        Err(error) => {
            tracing::warn!(refund = %id, %error, "a refund was left for the sweep");
            place.load(charging).await.unwrap_or(reserved)
        }
    }
}

/// `done` when it succeeded, 202 while it may still move money, 409 when nothing was given back.
///
/// # Errors
/// The failed refund, as a problem.
pub fn reply(cycle: &Cycle, id: &RefundId, done: u16) -> Result<Reply, ApiError> {
    let refund = cycle.refund(id).ok_or_else(ApiError::not_found)?;
    let body = RefundBody::new(cycle, refund);
    match refund.status {
        Status::Succeeded => Reply::json(done, &body),
        Status::PendingApproval | Status::Requested | Status::Started | Status::Pending | Status::Unknown => {
            Reply::json(202, &body)
        }
        Status::Failed => {
            let code = refund.code.clone().unwrap_or_default();
            let problem =
                ApiError::conflict("refund_failed", "The gateway gave nothing back; the amount is free again.");
            Err(problem.with("gatewayCode", code).with("refundId", id.to_string()))
        }
        // A request that was taken back.
        Status::Rejected => Reply::json(200, &body),
    }
}

impl From<SendError> for ApiError {
    fn from(e: SendError) -> Self {
        match e {
            SendError::NotFound => ApiError::not_found(),
            SendError::Store(e) => e.into(),
        }
    }
}

impl From<RefundError> for ApiError {
    fn from(e: RefundError) -> Self {
        match e {
            RefundError::NotFound => ApiError::not_found(),
            RefundError::Refused(refused) => refused.into(),
            RefundError::Store(e) => e.into(),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(e: Refused) -> Self {
        match e {
            Refused::NotFound => ApiError::not_found(),
            Refused::NotPaid => ApiError::conflict("not_paid", "The cycle is not paid."),
            Refused::Amount => ApiError::invalid_field("amount", "invalid_amount", "must be at least 1"),
            Refused::TooMuch { left } => {
                ApiError::conflict("more_than_left", "More than is left to refund.").with("left", left)
            }
            Refused::UnderWay => ApiError::conflict("refund_in_progress", "A refund of this payment is under way."),
            Refused::Disputed => ApiError::conflict("payment_disputed", "The payment is disputed at the gateway."),
            Refused::TooMany => ApiError::conflict("too_many_refunds", "This payment was refunded too often."),
            Refused::SecondPerson => {
                ApiError::new(403, "second_person_required", "Whoever asked for a refund cannot approve it.")
            }
            Refused::NotWaiting => ApiError::conflict("not_waiting", "The refund does not wait for approval."),
        }
    }
}
