//! What each use case's refusals look like to a caller: the one mapping of errors to answers.

use domain::demo::Wrong;
use domain::ledger::Reason;
use domain::onboarding::DecideError;
use domain::subscription::StartRefused;
use serde_json::{Value, json};

use super::ApiError;
use crate::gateway::GatewayError;
use crate::ports::{QueueUnavailable, TaxIssuerError};
use crate::store::StoreError;
use crate::usecase::approve_run::ApproveRunError;
use crate::usecase::change_method::ChangeError;
use crate::usecase::charge_subscription::ChargeError;
use crate::usecase::close_month::CloseError;
use crate::usecase::create_subscription::CreateError;
use crate::usecase::dead_letters::DeadLettersError;
use crate::usecase::decide_application::DecisionError;
use crate::usecase::delete_method::DeleteError;
use crate::usecase::end_application::EndError;
use crate::usecase::issue_tax_document::IssueError;
use crate::usecase::owner::OwnerError;
use crate::usecase::payment_guide::GuideError;
use crate::usecase::register_method::RegisterError;
use crate::usecase::reissue_token::ReissueError;
use crate::usecase::request_demo::DemoError;
use crate::usecase::resolve_order::ResolveOrderError;
use crate::usecase::set_up_method::SetUpError;
use crate::usecase::settle::SettleError;
use crate::usecase::start_run::StartRunError;
use crate::usecase::submit_application::SubmitError;

/// A day has this many seconds: the window of the limits per address.
const DAY: u32 = 86_400;

impl From<OwnerError> for ApiError {
    fn from(e: OwnerError) -> Self {
        match e {
            OwnerError::NotFound => ApiError::not_found(),
            OwnerError::Ended => ApiError::unauthorized(),
            OwnerError::Store(e) => e.into(),
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(e: SubmitError) -> Self {
        match e {
            SubmitError::Invalid(field, code, message) => ApiError::invalid_field(field, code, message),
            SubmitError::Store(e) => e.into(),
        }
    }
}

impl From<ReissueError> for ApiError {
    fn from(e: ReissueError) -> Self {
        match e {
            ReissueError::TooMany => ApiError::too_many_requests(DAY),
            ReissueError::Store(e) => e.into(),
        }
    }
}

impl From<DemoError> for ApiError {
    fn from(e: DemoError) -> Self {
        let (field, code, message) = match e {
            DemoError::Invalid(Wrong::Name) => ("name", "invalid_length", "1 to 100 characters"),
            DemoError::Invalid(Wrong::Email) => ("email", "invalid_email", "not an e-mail address"),
            DemoError::Invalid(Wrong::Phone) => ("phone", "invalid_phone", "8 to 15 digits, hyphens or spaces between"),
            DemoError::Invalid(Wrong::Message) => ("message", "invalid_length", "at most 2,000 characters"),
            DemoError::TooMany => return ApiError::too_many_requests(DAY),
            DemoError::Store(e) => return e.into(),
        };
        ApiError::invalid_field(field, code, message)
    }
}

impl From<DecisionError> for ApiError {
    fn from(e: DecisionError) -> Self {
        match e {
            DecisionError::NotFound => ApiError::not_found(),
            DecisionError::Refused(DecideError::AlreadyDecided) => {
                ApiError::conflict("already_decided", "The application was already decided.")
            }
            DecisionError::Refused(DecideError::PaymentMethodMissing) => {
                ApiError::conflict("payment_method_missing", "No usable payment method is registered.")
            }
            DecisionError::Refused(DecideError::NoteRequired) => {
                ApiError::invalid_field("note", "note_required", "is required for this decision")
            }
            DecisionError::SubscriptionEnded => StartRefused::Ended.into(),
            DecisionError::PlanGone => ApiError::conflict("plan_not_on_sale", "The plan applied for is not on sale."),
            DecisionError::Store(e) => e.into(),
        }
    }
}

impl From<CreateError> for ApiError {
    fn from(e: CreateError) -> Self {
        match e {
            CreateError::Owner(e) => e.into(),
            CreateError::UnknownPlan => ApiError::invalid_field("planCode", "unknown_plan", "no such plan is on sale"),
            CreateError::UnknownAddon => {
                ApiError::invalid_field("addonCodes", "unknown_addon", "no such add-on for this plan, or named twice")
            }
            CreateError::UnknownMethod => {
                ApiError::invalid_field("paymentMethodId", "unknown_payment_method", "no such usable payment method")
            }
            CreateError::ApplicationEnded => {
                ApiError::conflict("application_decided", "The application was already decided.")
            }
            CreateError::Different => {
                ApiError::conflict("subscription_exists", "A different subscription exists for this application.")
            }
            CreateError::Store(e) => e.into(),
        }
    }
}

impl From<GatewayError> for ApiError {
    fn from(e: GatewayError) -> Self {
        match e {
            GatewayError::NotFound => ApiError::not_found(),
            GatewayError::Declined { code } => {
                ApiError::new(402, "card_declined", "The card was refused.").with("declineCode", code)
            }
            GatewayError::Rejected { code } => {
                ApiError::new(422, "registration_refused", "The gateway refused the registration.")
                    .with("gatewayCode", code)
            }
            GatewayError::Config { .. } | GatewayError::Unknown => ApiError::unavailable(e),
        }
    }
}

impl From<SetUpError> for ApiError {
    fn from(e: SetUpError) -> Self {
        match e {
            SetUpError::Owner(e) => e.into(),
            SetUpError::Gateway(e) => e.into(),
            SetUpError::Store(e) => e.into(),
        }
    }
}

impl From<RegisterError> for ApiError {
    fn from(e: RegisterError) -> Self {
        match e {
            RegisterError::Owner(e) => e.into(),
            RegisterError::ForeignCustomerKey => {
                ApiError::invalid_field("customerKey", "customer_key_mismatch", "is not this applicant's")
            }
            RegisterError::TooMany => ApiError::too_many_requests(DAY),
            RegisterError::Gateway(e) => e.into(),
            RegisterError::Vault(e) => ApiError::unavailable(e),
            RegisterError::Store(e) => e.into(),
        }
    }
}

impl From<EndError> for ApiError {
    fn from(e: EndError) -> Self {
        match e {
            EndError::NotFound => ApiError::not_found(),
            EndError::Refused(_) => ApiError::conflict("already_decided", "The application was decided."),
            EndError::Store(e) => e.into(),
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(e: DeleteError) -> Self {
        match e {
            DeleteError::NotFound => ApiError::not_found(),
            DeleteError::InUse => {
                ApiError::conflict("payment_method_in_use", "A live subscription or attempt uses this method.")
            }
            DeleteError::Store(e) => e.into(),
        }
    }
}

impl From<SettleError> for ApiError {
    fn from(e: SettleError) -> Self {
        match e {
            SettleError::NotFound => ApiError::not_found(),
            SettleError::Store(e) => e.into(),
            SettleError::Calendar(e) => ApiError::internal(e),
        }
    }
}

impl From<ChargeError> for ApiError {
    fn from(e: ChargeError) -> Self {
        match e {
            ChargeError::NotFound => ApiError::not_found(),
            ChargeError::Refused(refused) => refused.into(),
            ChargeError::MethodUnusable => ApiError::conflict(
                "payment_method_unusable",
                "The payment method cannot be charged; register another card.",
            ),
            ChargeError::Busy => ApiError::conflict("attempt_in_progress", "A payment attempt is in progress."),
            ChargeError::GatewayPaused(stopped) => {
                let message = "This payment gateway takes no payments at the moment; nothing was charged.";
                let problem = ApiError::new(503, "gateway_paused", message).retry_after(stopped.wait_s);
                problem.with("until", stopped.until.map(|at| at.to_string()))
            }
            ChargeError::KeysUnavailable | ChargeError::IntentOpen => ApiError::unavailable(e),
            ChargeError::Settle(e) => e.into(),
            ChargeError::Store(e) => e.into(),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(e: ChangeError) -> Self {
        match e {
            ChangeError::UnknownMethod => ApiError::not_found(),
            ChangeError::Charge(e) => e.into(),
        }
    }
}

impl From<StartRefused> for ApiError {
    fn from(e: StartRefused) -> Self {
        match e {
            StartRefused::LiveAttempt => ApiError::conflict("attempt_in_progress", "A payment attempt is in progress."),
            StartRefused::NotApproved => ApiError::conflict("not_approved", "The application is not approved."),
            StartRefused::Ended => {
                ApiError::conflict("subscription_ended", "The subscription has ended or is suspended.")
            }
            StartRefused::NothingOwed => ApiError::conflict("nothing_owed", "Nothing is owed now."),
            StartRefused::TooManyTries => ApiError::conflict("too_many_tries", "This cycle was tried too often."),
            StartRefused::Parked => ApiError::conflict("parked", "An operator must look at this subscription first."),
            StartRefused::Illegal => ApiError::conflict("illegal_transition", "Its status does not allow that."),
            StartRefused::Calendar(e) => ApiError::internal(e),
        }
    }
}

impl From<ResolveOrderError> for ApiError {
    fn from(e: ResolveOrderError) -> Self {
        match e {
            ResolveOrderError::NotFound => ApiError::not_found(),
            ResolveOrderError::InFlight { until } => {
                let message = "The gateway is being asked right now; what it says is written by whoever asked.";
                ApiError::conflict("attempt_in_flight", message).with("until", until.to_string())
            }
            ResolveOrderError::Charge(e) => e.into(),
        }
    }
}

impl From<QueueUnavailable> for ApiError {
    fn from(e: QueueUnavailable) -> Self {
        ApiError::unavailable(e)
    }
}

impl From<DeadLettersError> for ApiError {
    fn from(e: DeadLettersError) -> Self {
        match e {
            DeadLettersError::Queue(e) => e.into(),
            DeadLettersError::Store(e) => e.into(),
        }
    }
}

impl From<GuideError> for ApiError {
    fn from(e: GuideError) -> Self {
        match e {
            GuideError::NotPaused => {
                ApiError::conflict("gateway_not_paused", "Payments flow; nobody has to pay by transfer.")
            }
            GuideError::BadCursor => StoreError::BadCursor.into(),
            GuideError::Store(e) => e.into(),
        }
    }
}

impl From<IssueError> for ApiError {
    fn from(e: IssueError) -> Self {
        match e {
            IssueError::NotFound => ApiError::not_found(),
            IssueError::Issuer(TaxIssuerError::Refused) => ApiError::conflict(
                "tax_document_refused",
                "The issuing service refused the document; look at it there.",
            ),
            IssueError::Issuer(e @ TaxIssuerError::Unavailable) => ApiError::unavailable(e),
            IssueError::Calendar(e) => ApiError::internal(e),
            IssueError::Store(e) => e.into(),
        }
    }
}

impl From<ApproveRunError> for ApiError {
    fn from(e: ApproveRunError) -> Self {
        match e {
            ApproveRunError::NotFound => ApiError::not_found(),
            ApproveRunError::NotHeld => ApiError::conflict("run_not_held", "The run is not held."),
            ApproveRunError::Store(e) => e.into(),
            ApproveRunError::Queue(e) => e.into(),
        }
    }
}

impl From<StartRunError> for ApiError {
    fn from(e: StartRunError) -> Self {
        match e {
            StartRunError::TimeTravelRefused => {
                ApiError::invalid_field("asOf", "time_travel_refused", "this stage has one clock")
            }
            StartRunError::Store(e) => e.into(),
            StartRunError::Queue(e) => ApiError::unavailable(e),
        }
    }
}

impl From<CloseError> for ApiError {
    fn from(e: CloseError) -> Self {
        match e {
            CloseError::NotOver => ApiError::conflict("month_not_over", "The month is not over."),
            CloseError::Refused(reasons) => ApiError::conflict("month_not_closable", "The month does not tie yet.")
                .with("reasons", reasons.into_iter().map(reason_body).collect::<Vec<_>>()),
            CloseError::Store(e) => e.into(),
        }
    }
}

fn reason_body(reason: Reason) -> Value {
    match reason {
        Reason::Incomplete | Reason::Unbalanced | Reason::TooLarge => json!({ "code": reason.code() }),
        Reason::Untied(entries) => json!({ "code": reason.code(), "count": entries }),
        Reason::OpenQuestions(rows) => json!({ "code": reason.code(), "count": rows }),
        Reason::Miscounted { booked, found } => json!({ "code": reason.code(), "booked": booked, "found": found }),
    }
}
