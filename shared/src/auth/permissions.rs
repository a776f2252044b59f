//! Who may call what: the one table, read by the authorizer, by every handler and by the tests.

use http::Method;

use super::Role;

const OPS: &[Role] = &[Role::OpsAdmin, Role::OpsFinance, Role::OpsViewer];
const ADMIN: &[Role] = &[Role::OpsAdmin];
const FINANCE: &[Role] = &[Role::OpsAdmin, Role::OpsFinance];
const APPLICANT: &[Role] = &[Role::Applicant];
const PAYERS: &[Role] = &[Role::Tenant, Role::Applicant];
const TENANT: &[Role] = &[Role::Tenant];
const TENANT_OR_OPS: &[Role] = &[Role::Tenant, Role::OpsAdmin, Role::OpsFinance, Role::OpsViewer];
const OWNER_OR_OPS: &[Role] = &[Role::Tenant, Role::Applicant, Role::OpsAdmin, Role::OpsFinance, Role::OpsViewer];
const APPLICANT_OR_OPS: &[Role] = &[Role::Applicant, Role::OpsAdmin, Role::OpsFinance, Role::OpsViewer];
const TENANT_OR_ADMIN: &[Role] = &[Role::Tenant, Role::OpsAdmin];
const PAYERS_OR_ADMIN: &[Role] = &[Role::Tenant, Role::Applicant, Role::OpsAdmin];

const OPERATORS: &[Role] = &[Role::OpsAdmin, Role::OpsFinance, Role::OpsViewer, Role::OpsPending];
const EVERYBODY: &[Role] = &Role::ALL;

/// Every route behind the authorizer. Public routes are not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    GetApplication,
    ListApplications,
    DecideApplication,
    SetupPaymentMethod,
    RegisterPaymentMethod,
    ListPaymentMethods,
    DeletePaymentMethod,
    CreateSubscription,
    ActivateSubscription,
    RetrySubscription,
    CancelSubscription,
    UpdateSubscription,
    GetSubscription,
    ListSubscriptions,
    ListCycles,
    RefundPayment,
    ApproveRefund,
    StartRun,
    ListRuns,
    ApproveRun,
    ListGateways,
    PauseGateway,
    ResumeGateway,
    SendPaymentGuides,
    ResolveAttempt,
    ListFailedCharges,
    RedriveFailedCharges,
    GetInvoice,
    ListInvoices,
    IssueTaxDocument,
    ExplainInvoice,
    ShowLedger,
    ShowMetrics,
    SearchAudit,
    CloseMonth,
    ListSettlements,
    LogOut,
    ChangePassword,
    WithdrawApplication,
    ListDemoRequests,
}

impl Route {
    pub const ALL: [Route; 40] = [
        Route::GetApplication,
        Route::ListApplications,
        Route::DecideApplication,
        Route::SetupPaymentMethod,
        Route::RegisterPaymentMethod,
        Route::ListPaymentMethods,
        Route::DeletePaymentMethod,
        Route::CreateSubscription,
        Route::ActivateSubscription,
        Route::RetrySubscription,
        Route::CancelSubscription,
        Route::UpdateSubscription,
        Route::GetSubscription,
        Route::ListSubscriptions,
        Route::ListCycles,
        Route::RefundPayment,
        Route::ApproveRefund,
        Route::StartRun,
        Route::ListRuns,
        Route::ApproveRun,
        Route::ListGateways,
        Route::PauseGateway,
        Route::ResumeGateway,
        Route::SendPaymentGuides,
        Route::ResolveAttempt,
        Route::ListFailedCharges,
        Route::RedriveFailedCharges,
        Route::GetInvoice,
        Route::ListInvoices,
        Route::IssueTaxDocument,
        Route::ExplainInvoice,
        Route::ShowLedger,
        Route::ShowMetrics,
        Route::SearchAudit,
        Route::CloseMonth,
        Route::ListSettlements,
        Route::LogOut,
        Route::ChangePassword,
        Route::WithdrawApplication,
        Route::ListDemoRequests,
    ];

    /// Method, resource path as in template.yaml, and the roles let in.
    const fn entry(self) -> (Method, &'static str, &'static [Role]) {
        match self {
            Route::GetApplication => (Method::GET, "/api/v1/onboarding/requests/{id}", APPLICANT_OR_OPS),
            Route::ListApplications => (Method::GET, "/api/v1/onboarding/requests", OPS),
            Route::DecideApplication => (Method::POST, "/api/v1/onboarding/requests/{id}/decision", ADMIN),
            Route::SetupPaymentMethod => (Method::POST, "/api/v1/billing/payment-methods/setup", PAYERS),
            Route::RegisterPaymentMethod => (Method::POST, "/api/v1/billing/payment-methods", PAYERS),
            Route::ListPaymentMethods => (Method::GET, "/api/v1/billing/payment-methods", TENANT),
            Route::DeletePaymentMethod => (Method::DELETE, "/api/v1/billing/payment-methods/{id}", TENANT),
            Route::CreateSubscription => (Method::POST, "/api/v1/billing/subscriptions", PAYERS),
            Route::ActivateSubscription => (Method::POST, "/api/v1/billing/subscriptions/{id}/activate", ADMIN),
            Route::RetrySubscription => (Method::POST, "/api/v1/billing/subscriptions/{id}/retry", PAYERS_OR_ADMIN),
            Route::CancelSubscription => (Method::POST, "/api/v1/billing/subscriptions/{id}/cancel", TENANT_OR_ADMIN),
            Route::UpdateSubscription => (Method::PATCH, "/api/v1/billing/subscriptions/{id}", TENANT_OR_ADMIN),
            Route::GetSubscription => (Method::GET, "/api/v1/billing/subscriptions/{id}", OWNER_OR_OPS),
            Route::ListSubscriptions => (Method::GET, "/api/v1/billing/subscriptions", TENANT_OR_OPS),
            Route::ListCycles => (Method::GET, "/api/v1/billing/subscriptions/{id}/cycles", TENANT_OR_OPS),
            Route::RefundPayment => {
                (Method::POST, "/api/v1/billing/subscriptions/{id}/cycles/{index}/refunds", FINANCE)
            }
            Route::ApproveRefund => {
                (Method::POST, "/api/v1/billing/subscriptions/{id}/cycles/{index}/refunds/{refundId}/approve", FINANCE)
            }
            Route::StartRun => (Method::POST, "/api/v1/ops/runs", ADMIN),
            Route::ListRuns => (Method::GET, "/api/v1/ops/runs", OPS),
            Route::ApproveRun => (Method::POST, "/api/v1/ops/runs/{id}/approve", ADMIN),
            Route::ListGateways => (Method::GET, "/api/v1/ops/gateways", OPS),
            Route::PauseGateway => (Method::POST, "/api/v1/ops/gateways/{gateway}/pause", ADMIN),
            Route::ResumeGateway => (Method::POST, "/api/v1/ops/gateways/{gateway}/resume", ADMIN),
            Route::SendPaymentGuides => (Method::POST, "/api/v1/ops/gateways/{gateway}/guides", ADMIN),
            Route::ResolveAttempt => (Method::POST, "/api/v1/ops/attempts/{orderId}/resolve", ADMIN),
            Route::ListFailedCharges => (Method::GET, "/api/v1/ops/failed-charges", OPS),
            Route::RedriveFailedCharges => (Method::POST, "/api/v1/ops/failed-charges/redrive", ADMIN),
            Route::GetInvoice => (Method::GET, "/api/v1/billing/invoices/{id}", TENANT_OR_OPS),
            Route::ListInvoices => (Method::GET, "/api/v1/billing/invoices", TENANT_OR_OPS),
            Route::IssueTaxDocument => (Method::POST, "/api/v1/billing/invoices/{id}/issue", FINANCE),
            Route::ExplainInvoice => (Method::GET, "/api/v1/billing/invoices/{id}/explain", TENANT_OR_OPS),
            Route::ShowLedger => (Method::GET, "/api/v1/ops/ledger", OPS),
            Route::ShowMetrics => (Method::GET, "/api/v1/ops/metrics", OPS),
            Route::SearchAudit => (Method::GET, "/api/v1/ops/audit", OPS),
            Route::CloseMonth => (Method::POST, "/api/v1/ops/months/{month}/close", FINANCE),
            Route::ListSettlements => (Method::GET, "/api/v1/ops/settlements", OPS),
            Route::LogOut => (Method::POST, "/api/v1/auth/logout", EVERYBODY),
            Route::ChangePassword => (Method::POST, "/api/v1/auth/password", OPERATORS),
            Route::WithdrawApplication => (Method::POST, "/api/v1/onboarding/requests/{id}/withdraw", APPLICANT),
            Route::ListDemoRequests => (Method::GET, "/api/v1/ops/demo-requests", OPS),
        }
    }

    #[must_use]
    pub fn method(self) -> Method {
        self.entry().0
    }

    /// The resource path, parameters in braces.
    #[must_use]
    pub fn path(self) -> &'static str {
        self.entry().1
    }

    #[must_use]
    pub fn allowed(self) -> &'static [Role] {
        self.entry().2
    }

    #[must_use]
    pub fn permits(self, role: Role) -> bool {
        self.allowed().contains(&role)
    }

    /// The route of a method and a resource path, `None` when it is not one of ours.
    #[must_use]
    pub fn find(method: &str, resource: &str) -> Option<Route> {
        Route::ALL.into_iter().find(|route| route.method().as_str() == method && route.path() == resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_once() {
        for route in Route::ALL {
            assert_eq!(Route::find(route.method().as_str(), route.path()), Some(route));
            assert!(!route.allowed().is_empty());
        }
        assert_eq!(Route::find("PUT", "/api/v1/ops/runs"), None);
        assert_eq!(Route::find("GET", "/api/v1/ops/runs/"), None);
    }

    #[test]
    fn viewers_read_and_never_change_and_finance_changes_money_only() {
        let own = [Route::LogOut, Route::ChangePassword];
        for route in Route::ALL.into_iter().filter(|route| !own.contains(route)) {
            assert!(!route.permits(Role::OpsPending), "{route:?}");
            let reads = route.method() == Method::GET;
            let money = matches!(
                route,
                Route::IssueTaxDocument | Route::RefundPayment | Route::ApproveRefund | Route::CloseMonth
            );
            assert!(reads || !route.permits(Role::OpsViewer), "{route:?}");
            assert!(reads || money == route.permits(Role::OpsFinance), "{route:?}");
        }
        assert!(!Route::StartRun.permits(Role::Tenant));
        assert!(!Route::DecideApplication.permits(Role::Applicant));
    }
}
