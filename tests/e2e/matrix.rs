//! Every role at every route, with its own and with somebody else's ids, over HTTP: who is let in is what the permission
//! table says, and what is somebody else's answers to the letter as what does not exist.

use reqwest::Method;
use serde_json::{Value, json};
use shared::auth::Role;
use shared::auth::permissions::Route;

use crate::harness::{Applicant, Stack};
use crate::tables::{dump, quiet, unchanged};
use crate::tokens::{operator_token, tenant_token};

/// Whose things are asked for.
struct Ids {
    application: String,
    tenant: String,
    subscription: String,
    method: String,
    invoice: String,
    customer_key: String,
}

impl Ids {
    /// Well formed, and nobody's.
    fn absent() -> Ids {
        let ulid = domain::ids::ulid_of(rand::random::<u128>());
        Ids {
            application: format!("req_{ulid}"),
            tenant: format!("ten_{ulid}"),
            subscription: format!("sub_{ulid}"),
            method: format!("mth_{ulid}"),
            invoice: format!("inv_{ulid}-0-0"),
            customer_key: "00000000-0000-4000-8000-000000000000".to_owned(),
        }
    }

    async fn of_tenant(stack: &Stack, applicant: &Applicant, subscription: String) -> Ids {
        let token = tenant_token(stack, &applicant.tenant).await;
        let shown = stack.subscription(&subscription).await;
        let invoice = stack
            .until("there is an invoice", || async {
                let listed = stack.get("/billing/invoices", Some(&token)).await.expect(200);
                listed["items"][0]["id"].as_str().map(str::to_owned)
            })
            .await;
        Ids {
            application: applicant.id.clone(),
            tenant: applicant.tenant.clone(),
            method: shown["paymentMethodId"].as_str().unwrap().to_owned(),
            subscription,
            invoice,
            customer_key: applicant.customer_key.clone(),
        }
    }
}

/// A request of a route for somebody's things: its path, and a body that is right but for whose things it names. The
/// second says whether it names any.
fn request(route: Route, ids: &Ids) -> (String, Value, bool) {
    let refund = "rf_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let path = route.path().trim_start_matches("/api/v1").to_owned();
    let at = |name: &str, id: &str| path.replace(name, id);
    let subscription = at("{id}", &ids.subscription).replace("{index}", "0").replace("{refundId}", refund);
    let none = json!({});
    let reason = json!({ "reason": "matrix" });
    match route {
        Route::GetApplication | Route::WithdrawApplication => (at("{id}", &ids.application), none, true),
        Route::DecideApplication => (at("{id}", &ids.application), json!({ "status": "IN_REVIEW" }), true),
        Route::DeletePaymentMethod => (at("{id}", &ids.method), none, true),
        Route::RegisterPaymentMethod => {
            (path, json!({ "gateway": "toss", "authKey": "none", "customerKey": ids.customer_key }), true)
        }
        Route::CreateSubscription => {
            let body =
                json!({ "onboardingRequestId": ids.application, "planCode": "starter", "paymentMethodId": ids.method });
            (path, body, true)
        }
        Route::ActivateSubscription | Route::RetrySubscription | Route::GetSubscription | Route::ListCycles => {
            (subscription, none, true)
        }
        Route::CancelSubscription => (subscription, json!({ "at": "PERIOD_END" }), true),
        Route::UpdateSubscription => (subscription, json!({ "paymentMethodId": ids.method }), true),
        Route::RefundPayment => (subscription, json!({ "amount": 100, "reason": "matrix" }), true),
        Route::ApproveRefund => (subscription, none, true),
        Route::GetInvoice | Route::ExplainInvoice | Route::IssueTaxDocument => (at("{id}", &ids.invoice), none, true),
        Route::ListSubscriptions | Route::ListInvoices => (format!("{path}?tenantId={}", ids.tenant), none, true),
        Route::ApproveRun => (at("{id}", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"), none, false),
        Route::ResolveAttempt => (at("{orderId}", "01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0-1"), none, false),
        Route::PauseGateway | Route::ResumeGateway => (at("{gateway}", "toss"), reason, false),
        Route::SendPaymentGuides => (at("{gateway}", "toss"), none, false),
        Route::CloseMonth => (at("{month}", "2099-01"), none, false),
        Route::SetupPaymentMethod => (path, json!({ "gateway": "toss" }), false),
        Route::SearchAudit => (format!("{path}?subject={}", ids.subscription), none, false),
        Route::ShowLedger => (format!("{path}?month=2026-12"), none, false),
        Route::ShowMetrics => (format!("{path}?from=2026-11-01&to=2026-11-02"), none, false),
        Route::ListSettlements => (format!("{path}?gateway=toss&day=2026-11-01"), none, false),
        Route::ListApplications
        | Route::ListPaymentMethods
        | Route::StartRun
        | Route::ListRuns
        | Route::ListGateways
        | Route::ListFailedCharges
        | Route::RedriveFailedCharges
        | Route::LogOut
        | Route::ChangePassword
        | Route::ListDemoRequests => (path, none, false),
    }
}

/// Status and body, without what names the request.
async fn ask(stack: &Stack, route: Route, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = stack.request(route.method(), path, token);
    if ![Method::GET, Method::DELETE].contains(&route.method()) {
        request = request.json(body);
    }
    let answer = stack.send(request).await;
    let mut body = answer.body;
    if body["requestId"].is_string() {
        body["requestId"] = Value::Null;
    }
    (answer.status, body)
}

/// A body that no handler takes: who gets so far as to hear so was let in, and changed nothing.
fn unreadable() -> Value {
    json!({ "noSuchField": true })
}

/// The world of the matrix: a tenant, another one, and an applicant who has a subscription that waits.
struct Cast {
    own: Ids,
    foreign: Ids,
    applied: Ids,
    tokens: Vec<(Role, String)>,
}

async fn cast(stack: &Stack) -> Cast {
    let (applicant, subscription) = stack.onboard("toss", "starter").await;
    let own = Ids::of_tenant(stack, &applicant, subscription).await;
    let (stranger, subscription) = stack.onboard("stripe", "starter").await;
    let foreign = Ids::of_tenant(stack, &stranger, subscription).await;
    let waiting = stack.apply("starter").await;
    let card = stack.register_toss(&waiting, &waiting.token, "approved").await.expect(201);
    let method = card["id"].as_str().unwrap().to_owned();
    let order = json!({ "onboardingRequestId": waiting.id, "planCode": "starter", "paymentMethodId": method });
    let subscription = stack.post("/billing/subscriptions", Some(&waiting.token), order).await.expect(201);
    let applied = Ids {
        application: waiting.id.clone(),
        tenant: waiting.tenant.clone(),
        subscription: subscription["id"].as_str().unwrap().to_owned(),
        method,
        customer_key: waiting.customer_key.clone(),
        ..Ids::absent()
    };
    let mut tokens = Vec::new();
    for role in Role::ALL {
        let token = match role {
            Role::Tenant => tenant_token(stack, &applicant.tenant).await,
            Role::Applicant => waiting.token.clone(),
            _ => operator_token(stack, "matrix", role.as_str()).await,
        };
        tokens.push((role, token));
    }
    Cast { own, foreign, applied, tokens }
}

#[tokio::test]
async fn every_role_at_every_route_is_let_in_as_the_table_says() {
    let stack = Stack::new();
    let Cast { own, applied, tokens, .. } = cast(&stack).await;
    let (mut let_in, mut kept_out) = (0, 0);
    for route in Route::ALL {
        let (path, body, _) = request(route, &own);
        assert_eq!(ask(&stack, route, &path, None, &body).await.0, 401, "{route:?} without a token");
        for (role, token) in &tokens {
            let ids = if *role == Role::Applicant { &applied } else { &own };
            let (path, body, _) = request(route, ids);
            if !route.permits(*role) {
                // A right body: only the role stands in the way.
                assert_eq!(ask(&stack, route, &path, Some(token), &body).await.0, 403, "{role:?} {route:?}");
                kept_out += 1;
                continue;
            }
            let (status, answer) = ask(&stack, route, &path, Some(token), &unreadable()).await;
            let reads = route.method() == Method::GET;
            let expected = if reads { status == 200 } else { !matches!(status, 401 | 403 | 404) && status < 500 };
            assert!(expected, "{role:?} {route:?} {status} {answer:#}");
            let_in += 1;
        }
    }
    assert_eq!(let_in + kept_out, Route::ALL.len() * Role::ALL.len(), "every cell");
    assert!(let_in > 80 && kept_out > 80, "{let_in} {kept_out}");
}

#[tokio::test]
async fn what_is_somebody_elses_answers_as_what_does_not_exist() {
    let stack = Stack::new();
    let Cast { foreign, tokens, .. } = cast(&stack).await;
    let absent = Ids::absent();
    // Counters of tries may move; what people have may not.
    let kept = |rows: Vec<String>| rows.into_iter().filter(|r| !r.starts_with("idempotency")).collect::<Vec<_>>();
    let before = kept(quiet(std::time::Duration::from_millis(500)).await);
    let mut compared = 0;
    for route in Route::ALL {
        for (role, token) in tokens.iter().filter(|(role, _)| [Role::Tenant, Role::Applicant].contains(role)) {
            let (path, body, names) = request(route, &foreign);
            if !names || !route.permits(*role) {
                continue;
            }
            let theirs = ask(&stack, route, &path, Some(token), &body).await;
            let (path, body, _) = request(route, &absent);
            let nobodys = ask(&stack, route, &path, Some(token), &body).await;
            assert_eq!(theirs, nobodys, "{role:?} {route:?}");
            let listed = matches!(route, Route::ListSubscriptions | Route::ListInvoices);
            let expected = if listed { theirs.1["items"] == json!([]) } else { matches!(theirs.0, 404 | 422) };
            assert!(expected, "{role:?} {route:?} {theirs:#?}");
            compared += 1;
        }
    }
    assert!(compared >= 14, "{compared}");
    unchanged("somebody else's things", &before, &kept(dump().await));
}
