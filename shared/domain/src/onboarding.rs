//! An application to become a tenant, from submission to a decision.
//!
//! Invariants: `SUBMITTED -> IN_REVIEW -> APPROVED | REJECTED | ON_HOLD`; decisions are accepted from `SUBMITTED`,
//! `IN_REVIEW` and `ON_HOLD` only; approval happens at most once and needs a payment method; every consent was given.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::contact::Contact;
use crate::event::Fact;
use crate::ids::{MethodId, RequestId, SubscriptionId, TenantId};
use crate::subscription::Status as SubscriptionStatus;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ApplicationStatus))]
pub enum Status {
    Submitted,
    InReview,
    OnHold,
    Approved,
    Rejected,
    Expired,
    Withdrawn,
}

impl Status {
    pub const ALL: [Status; 7] = [
        Status::Submitted,
        Status::InReview,
        Status::OnHold,
        Status::Approved,
        Status::Rejected,
        Status::Expired,
        Status::Withdrawn,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Submitted => "SUBMITTED",
            Status::InReview => "IN_REVIEW",
            Status::OnHold => "ON_HOLD",
            Status::Approved => "APPROVED",
            Status::Rejected => "REJECTED",
            Status::Expired => "EXPIRED",
            Status::Withdrawn => "WITHDRAWN",
        }
    }

    /// Whether an operator may still decide.
    #[must_use]
    pub fn undecided(self) -> bool {
        matches!(self, Status::Submitted | Status::InReview | Status::OnHold)
    }
}

/// What an operator may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    InReview,
    Approved,
    Rejected,
    OnHold,
}

impl Verdict {
    fn status(self) -> Status {
        match self {
            Verdict::InReview => Status::InReview,
            Verdict::Approved => Status::Approved,
            Verdict::Rejected => Status::Rejected,
            Verdict::OnHold => Status::OnHold,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub status: Status,
    pub note: Option<String>,
    pub by: String,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckItem {
    pub item: String,
    pub checked: bool,
}

/// The three consents, given together at submission. The version names the text that was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consents {
    pub version: String,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
}

/// Version of the consent texts an applicant sees today.
pub const CONSENT_TEXT_VERSION: &str = "2026-11";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    pub id: RequestId,
    pub status: Status,
    pub business_name: String,
    pub business_number: Option<String>,
    pub category: Option<String>,
    pub region: Option<String>,
    pub contact: Contact,
    pub plan_code: String,
    pub addon_codes: Vec<String>,
    pub note: Option<String>,
    pub checklist: Vec<CheckItem>,
    pub consents: Consents,
    /// Names this applicant at Toss. A random UUID: unguessable, because with a billing key it can charge a card.
    pub customer_key: String,
    /// This applicant's customer at Stripe, once one was made.
    pub stripe_customer: Option<String>,
    pub method_id: Option<MethodId>,
    pub subscription_id: Option<SubscriptionId>,
    pub decision: Option<Decision>,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub submitted_at: Timestamp,
    pub version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    #[error("the application was already decided")]
    AlreadyDecided,
    #[error("no payment method is registered")]
    PaymentMethodMissing,
    #[error("a note is required")]
    NoteRequired,
}

/// What the applicant should do or wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NextAction {
    RegisterCard,
    WaitForReview,
    FirstPaymentPending,
    SupplyCard,
    None,
}

/// Thirty days: after so long without a word an undecided application expires (product.md, "Application").
pub const IDLE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Who ended an application that nobody went on with.
const EXPIRY: &str = "expiry";

impl Application {
    #[must_use]
    pub fn tenant_id(&self) -> TenantId {
        self.id.tenant()
    }

    /// Applies an operator's verdict.
    ///
    /// # Errors
    /// When it was already decided, a note is missing, or approval comes before a payment method.
    pub fn decide(
        &self,
        verdict: Verdict,
        note: Option<String>,
        by: &str,
        now: Timestamp,
    ) -> Result<(Application, Fact), DecideError> {
        if !self.status.undecided() {
            return Err(DecideError::AlreadyDecided);
        }
        let note = note.filter(|n| !n.trim().is_empty());
        if matches!(verdict, Verdict::Rejected | Verdict::OnHold) && note.is_none() {
            return Err(DecideError::NoteRequired);
        }
        if verdict == Verdict::Approved && self.method_id.is_none() {
            return Err(DecideError::PaymentMethodMissing);
        }
        let status = verdict.status();
        let fact = Fact::new("application.decided", self.id.as_str())
            .with("from", self.status.as_str())
            .with("status", status.as_str());
        let decision = Decision { status, note, by: by.to_owned(), at: now };
        Ok((Application { status, decision: Some(decision), ..self.clone() }, fact))
    }

    /// Nobody went on with it for [`IDLE`]. `None` when it is decided, or not idle for long enough.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Option<(Application, Fact)> {
        let idle_since = self.decision.as_ref().map_or(self.submitted_at, |decision| decision.at);
        let idle = now.duration_since(idle_since) >= IDLE;
        (self.status.undecided() && idle).then(|| self.ended(Status::Expired, EXPIRY, now))
    }

    /// The applicant takes it back. `None` when that was done before.
    ///
    /// # Errors
    /// When it was decided or has expired.
    pub fn withdrawn(&self, by: &str, now: Timestamp) -> Result<Option<(Application, Fact)>, DecideError> {
        match self.status {
            Status::Withdrawn => Ok(None),
            Status::Submitted | Status::InReview | Status::OnHold => Ok(Some(self.ended(Status::Withdrawn, by, now))),
            Status::Approved | Status::Rejected | Status::Expired => Err(DecideError::AlreadyDecided),
        }
    }

    fn ended(&self, status: Status, by: &str, now: Timestamp) -> (Application, Fact) {
        let fact = Fact::new("application.decided", self.id.as_str())
            .with("from", self.status.as_str())
            .with("status", status.as_str());
        let decision = Decision { status, note: None, by: by.to_owned(), at: now };
        (Application { status, decision: Some(decision), ..self.clone() }, fact)
    }

    /// Records the card an applicant registered.
    #[must_use]
    pub fn with_method(&self, method: MethodId) -> Application {
        Application { method_id: Some(method), ..self.clone() }
    }

    /// Whether the applicant's own token still opens anything: it lives until the first payment or the end of
    /// the application (api.md, "Auth column").
    #[must_use]
    pub fn token_lives(&self, subscription: Option<SubscriptionStatus>) -> bool {
        match self.status {
            Status::Submitted | Status::InReview | Status::OnHold => true,
            Status::Approved => subscription.is_none_or(|s| s == SubscriptionStatus::PendingActivation),
            Status::Rejected | Status::Expired | Status::Withdrawn => false,
        }
    }

    /// `subscription` is its status and whether a charge is under way or its outcome unknown.
    #[must_use]
    pub fn next_action(&self, subscription: Option<(SubscriptionStatus, bool, bool)>) -> NextAction {
        match (self.status, subscription) {
            (Status::Submitted | Status::InReview | Status::OnHold, _) if self.method_id.is_none() => {
                NextAction::RegisterCard
            }
            (Status::Submitted | Status::InReview | Status::OnHold, _) => NextAction::WaitForReview,
            (Status::Approved, Some((SubscriptionStatus::PendingActivation, live, declined))) => match (live, declined)
            {
                (false, true) => NextAction::SupplyCard,
                (true, _) | (false, false) => NextAction::FirstPaymentPending,
            },
            (Status::Approved, None) => NextAction::FirstPaymentPending,
            (Status::Approved, Some(_)) | (Status::Rejected | Status::Expired | Status::Withdrawn, _) => {
                NextAction::None
            }
        }
    }
}

/// A tenant: exists from approval on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    pub id: TenantId,
    pub business_name: String,
    pub contact: Contact,
    pub customer_key: String,
    pub stripe_customer: Option<String>,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub created_at: Timestamp,
    pub version: u64,
}

impl Tenant {
    #[must_use]
    pub fn of(application: &Application, now: Timestamp) -> Tenant {
        Tenant {
            id: application.tenant_id(),
            business_name: application.business_name.clone(),
            contact: application.contact.clone(),
            customer_key: application.customer_key.clone(),
            stripe_customer: application.stripe_customer.clone(),
            created_at: now,
            version: 0,
        }
    }
}
