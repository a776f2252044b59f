//! Operations without a token, which the permission table does not know, and the webhook's two addresses.

use serde_json::{Map, Value, json};
use shared::api::requests::{LogIn, ReissueToken, RequestDemo, SubmitApplication};
use shared::api::{PlansBody, SessionBody, SubmittedBody};

use super::operation::Operation;
use super::{examples, problems};

/// Routes in front of the authorizer.
#[derive(Clone, Copy)]
pub enum Public {
    GetOpenapi,
    ListPlans,
    LogIn,
    ReissueToken,
    RequestDemo,
    ShowPaymentGuide,
    SubmitApplication,
}

impl Public {
    pub const ALL: [Public; 7] = [
        Public::GetOpenapi,
        Public::ListPlans,
        Public::LogIn,
        Public::ReissueToken,
        Public::RequestDemo,
        Public::ShowPaymentGuide,
        Public::SubmitApplication,
    ];

    /// Method and path as in template.yaml.
    pub const fn entry(self) -> (&'static str, &'static str) {
        match self {
            Public::GetOpenapi => ("GET", "/api/v1/openapi.json"),
            Public::ListPlans => ("GET", "/api/v1/plans"),
            Public::LogIn => ("POST", "/api/v1/auth/login"),
            Public::ReissueToken => ("POST", "/api/v1/onboarding/requests/{id}/token"),
            Public::RequestDemo => ("POST", "/api/v1/demo-requests"),
            Public::ShowPaymentGuide => ("GET", "/api/v1/billing/guides/{token}"),
            Public::SubmitApplication => ("POST", "/api/v1/onboarding/requests"),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Public::GetOpenapi => "getOpenapi",
            Public::ListPlans => "listPlans",
            Public::LogIn => "logIn",
            Public::ReissueToken => "reissueToken",
            Public::RequestDemo => "requestDemo",
            Public::ShowPaymentGuide => "showPaymentGuide",
            Public::SubmitApplication => "submitApplication",
        }
    }
}

pub fn describe(route: Public) -> Operation {
    match route {
        Public::GetOpenapi => Operation::new("session", "This document")
            .about("An `If-None-Match` with its `ETag` is answered with 304 and no body.")
            .parameter(json!({ "name": "If-None-Match", "in": "header", "schema": { "type": "string" } }))
            .answers_object(200, "The document.")
            .header(200, "ETag", "Changes with the document.")
            .header(200, "Cache-Control", "How long it may be kept.")
            .empty(304, "It has not changed.")
            .header(304, "ETag", "Of the document you have."),
        Public::ListPlans => Operation::new("onboarding", "What is on sale")
            .about("Prices include VAT.")
            .answers::<PlansBody>(200, "Plans by code, each in its version on sale.", examples::plans()),
        Public::LogIn => Operation::new("session", "Log an operator in")
            .about("With a temporary password the role is `OPS_PENDING`: the token sets another password, or leaves. After \
                five wrong tries the next one waits, whether or not anybody has that name.")
            .takes::<LogIn>(json!({ "username": "kim.hana", "password": "correct horse battery staple" }))
            .answers::<SessionBody<'_>>(200, "A token, also as a cookie.", examples::session())
            .header(200, "Set-Cookie", "The session cookie: HttpOnly, Secure, SameSite=Strict.")
            .refuses(401, &["invalid_credentials"])
            .refuses(409, &["conflict"]),
        Public::ReissueToken => Operation::new("onboarding", "Have the link to an application mailed again")
            .about("It is mailed if there is such an application, the address is its contact's and a token still opens it, a \
                few times a day. The answer never says so.")
            .takes::<ReissueToken>(json!({ "email": "owner@example.kr" }))
            .empty(202, "Heard.")
            .refuses(409, &["conflict"]),
        Public::RequestDemo => Operation::new("onboarding", "Ask to be shown the product")
            .about("An operator answers by mail or telephone.")
            .keyed()
            .takes::<RequestDemo>(examples::demo_form())
            .empty(202, "Heard.")
            .refuses(409, &["conflict"]),
        Public::ShowPaymentGuide => Operation::new("operations", "How to pay while card payments are paused")
            .about("The page a payer reaches by the link in a mail.")
            .page_of_html(200, "The page.")
            .page_of_html(404, "The link is not valid or has expired."),
        Public::SubmitApplication => Operation::new("onboarding", "Apply")
            .keyed()
            .takes::<SubmitApplication>(examples::application_form())
            .answers::<SubmittedBody<'_>>(201, "Received. The token acts for the application.", examples::submitted())
            .refuses(409, &["conflict"]),
    }
}

/// The function URL that gateways call: another host, raw bodies in the gateways' own shape, no token.
pub fn webhooks(paths: &mut Map<String, Value>) {
    let signature = json!({
        "name": "Stripe-Signature", "in": "header", "schema": { "type": "string" },
        "description": "`t=…,v1=…`, over the raw body; required of Stripe.",
    });
    let transmission = json!({
        "name": "tosspayments-webhook-transmission-id", "in": "header", "schema": { "type": "string" },
        "description": "Names Toss on the bare address.",
    });
    let gateway = json!({
        "name": "gateway", "in": "path", "required": true, "schema": { "$ref": "#/components/schemas/Gateway" },
    });
    let body = json!({ "required": true, "content": { "application/json": { "schema": { "type": "object" } } } });
    let operation = |name: &str, parameters: Value| {
        let mut responses = json!({ "200": { "description": "Taken; it need not be sent again." } });
        for (status, codes) in [
            (400, &["bad_secret", "bad_signature", "unreadable_event", "unknown_sender"][..]),
            (403, &["address_refused"]),
            (404, &["not_found"]),
            (413, &["payload_too_large"]),
            (415, &["unsupported_media_type"]),
            (429, &["rate_limited"]),
            (500, &["asked_just_now", "internal_error"]),
            (503, &["unavailable"]),
        ] {
            responses[status.to_string()] = problems::response(status, codes);
        }
        json!({
            "operationId": name, "tags": ["webhooks"], "summary": "An event of a gateway", "security": [],
            "description": "Anything but 200 asks the gateway to send it again.", "parameters": parameters,
            "requestBody": body, "responses": responses,
        })
    };
    let servers = json!([{
        "url": "https://{webhookHost}", "description": "The webhook has a function URL of its own.",
        "variables": { "webhookHost": { "default": "webhook.example.com" } },
    }]);
    let bare = operation("receiveEvent", json!([signature.clone(), transmission]));
    let named = operation("receiveGatewayEvent", json!([gateway, signature]));
    paths.insert("/api/v1/billing/payments/webhook".to_owned(), json!({ "servers": servers.clone(), "post": bare }));
    let path = "/api/v1/billing/payments/webhook/{gateway}";
    paths.insert(path.to_owned(), json!({ "servers": servers, "post": named }));
}
