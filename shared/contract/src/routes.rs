//! What each route of the permission table takes and answers.
//!
//! A new route is one arm here, which the compiler asks for, and one function beside those of its kind. `refuses` names
//! the codes that are the route's own; what every route may answer (400, 401, 403, 404, 413, 415, 422, 429, 500, 503,
//! 504) is added by itself.

mod documents;
mod methods;
mod onboarding;
mod operations;
mod session;
mod subscriptions;

use shared::auth::permissions::Route;

use super::operation::Operation;

pub fn describe(route: Route) -> Operation {
    match route {
        Route::GetApplication => onboarding::get_application(),
        Route::ListApplications => onboarding::list_applications(),
        Route::DecideApplication => onboarding::decide_application(),
        Route::SetupPaymentMethod => methods::setup_payment_method(),
        Route::RegisterPaymentMethod => methods::register_payment_method(),
        Route::ListPaymentMethods => methods::list_payment_methods(),
        Route::DeletePaymentMethod => methods::delete_payment_method(),
        Route::CreateSubscription => subscriptions::create_subscription(),
        Route::ActivateSubscription => subscriptions::activate_subscription(),
        Route::RetrySubscription => subscriptions::retry_subscription(),
        Route::CancelSubscription => subscriptions::cancel_subscription(),
        Route::UpdateSubscription => subscriptions::update_subscription(),
        Route::GetSubscription => subscriptions::get_subscription(),
        Route::ListSubscriptions => subscriptions::list_subscriptions(),
        Route::ListCycles => subscriptions::list_cycles(),
        Route::RefundPayment => documents::refund_payment(),
        Route::ApproveRefund => documents::approve_refund(),
        Route::StartRun => operations::start_run(),
        Route::ListRuns => operations::list_runs(),
        Route::ApproveRun => operations::approve_run(),
        Route::ListGateways => operations::list_gateways(),
        Route::PauseGateway => operations::pause_gateway(),
        Route::ResumeGateway => operations::resume_gateway(),
        Route::SendPaymentGuides => operations::send_payment_guides(),
        Route::ResolveAttempt => operations::resolve_attempt(),
        Route::ListFailedCharges => operations::list_failed_charges(),
        Route::RedriveFailedCharges => operations::redrive_failed_charges(),
        Route::GetInvoice => documents::get_invoice(),
        Route::ListInvoices => documents::list_invoices(),
        Route::IssueTaxDocument => documents::issue_tax_document(),
        Route::ExplainInvoice => documents::explain_invoice(),
        Route::ShowLedger => documents::show_ledger(),
        Route::ShowMetrics => operations::show_metrics(),
        Route::SearchAudit => operations::search_audit(),
        Route::CloseMonth => documents::close_month(),
        Route::ListSettlements => documents::list_settlements(),
        Route::LogOut => session::log_out(),
        Route::ChangePassword => session::change_password(),
        Route::WithdrawApplication => onboarding::withdraw_application(),
        Route::ListDemoRequests => operations::list_demo_requests(),
    }
}
