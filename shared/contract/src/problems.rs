//! Problem documents: every stable code, when it is said, and the answers that carry them.

use serde_json::{Value, json};

/// Code, and when it is said. Fields a caller got wrong carry one of the codes of [`FIELDS`].
const CODES: [(&str, &str); 58] = [
    ("address_refused", "events are not taken from this address"),
    ("already_decided", "the application was decided before"),
    ("application_decided", "the application has ended"),
    ("asked_just_now", "the payment was read a moment ago; send the event again"),
    ("attempt_in_flight", "the gateway is being asked right now"),
    ("attempt_in_progress", "an earlier attempt is still open"),
    ("bad_request", "the request cannot be read"),
    ("bad_secret", "the event's secret is not the payment's"),
    ("bad_signature", "the event's signature does not match"),
    ("body_too_large", "the body has more than 64 KiB"),
    ("card_declined", "the card was refused when it was registered"),
    ("conflict", "somebody else changed it at the same time; load it and try again"),
    ("forbidden", "the caller's role is not let in"),
    ("gateway_not_paused", "payments flow; nobody has to pay by transfer"),
    ("gateway_paused", "the gateway takes no payments at the moment; nothing was charged"),
    ("illegal_transition", "its status does not allow that"),
    ("internal_error", "something went wrong on our side"),
    ("invalid_credentials", "unknown user name or wrong password"),
    ("invalid_json", "the body is not JSON"),
    ("month_not_closable", "the month does not tie yet; `reasons` says why"),
    ("month_not_over", "the month is not over in Seoul"),
    ("more_than_left", "more than is left to refund; `left` says how much is"),
    ("not_approved", "the application is not approved"),
    ("not_found", "there is nothing here, or nothing of yours"),
    ("not_paid", "the cycle is not paid"),
    ("not_waiting", "the refund does not wait for approval"),
    ("nothing_owed", "nothing is owed now"),
    ("parked", "an operator must look at the subscription first"),
    ("payload_too_large", "the request is too large"),
    ("payment_declined", "the payment was declined; `declineClass` and `declineCode` say how"),
    ("payment_disputed", "the payment is disputed at the gateway"),
    ("payment_method_in_use", "a live subscription or attempt uses the method"),
    ("payment_method_missing", "no usable payment method is registered"),
    ("payment_method_unusable", "the method cannot be charged; register another card"),
    ("plan_not_on_sale", "the plan applied for is not on sale"),
    ("rate_limited", "too many requests; `Retry-After` says when to try again"),
    ("refund_failed", "the gateway gave nothing back; the amount is free again"),
    ("refund_in_progress", "a refund of the payment is under way"),
    ("run_not_held", "the run is not held"),
    ("second_person_required", "whoever asked for a refund cannot approve it"),
    ("subscription_ended", "the subscription has ended or is suspended"),
    ("subscription_exists", "a different subscription exists for the application"),
    ("tax_document_refused", "the issuing service refused the document"),
    ("too_many_refunds", "the payment was refunded too often"),
    ("too_many_tries", "the cycle was tried too often"),
    ("unauthorized", "a valid token is required"),
    ("unavailable", "something we depend on is away; try again"),
    ("unknown_sender", "no gateway sends events like this"),
    ("unreadable_event", "the event cannot be read"),
    ("unsupported_media_type", "the body must be application/json"),
    // Said with 422 by some operations and listed with their fields' codes.
    ("card_number_refused", "a payment card number was found; those are entered in the gateway's window only"),
    ("idempotency_key_reused", "the key was used with another request"),
    ("registration_refused", "the gateway refused the registration"),
    ("customer_key_mismatch", "the customer key is somebody else's"),
    ("time_travel_refused", "the stage has one clock"),
    ("note_required", "the decision needs a note"),
    ("consent_required", "a consent is missing"),
    ("unpriceable", "the plan and add-ons cannot be priced together"),
];

/// Codes of fields that are missing or not valid.
const FIELDS: [&str; 18] = [
    "duplicate_addon",
    "invalid",
    "invalid_amount",
    "invalid_business_number",
    "invalid_email",
    "invalid_length",
    "invalid_phone",
    "invalid_type",
    "invalid_value",
    "missing_field",
    "out_of_range",
    "required",
    "unknown_addon",
    "unknown_application",
    "unknown_field",
    "unknown_payment_method",
    "unknown_plan",
    "weak_password",
];

/// Of [`CODES`], those said with 422.
const REFUSED: [&str; 8] = [
    "card_number_refused",
    "consent_required",
    "customer_key_mismatch",
    "idempotency_key_reused",
    "note_required",
    "registration_refused",
    "time_travel_refused",
    "unpriceable",
];

/// Every code there is, sorted.
#[must_use]
pub fn codes() -> Vec<&'static str> {
    let mut codes: Vec<_> = CODES.iter().map(|(code, _)| *code).chain(FIELDS).collect();
    codes.sort_unstable();
    codes
}

/// Codes of a 422.
pub fn fields() -> Vec<&'static str> {
    let mut codes: Vec<_> = FIELDS.into_iter().chain(REFUSED).collect();
    codes.sort_unstable();
    codes
}

/// The answer with this status and these codes.
pub fn response(status: u16, codes: &[&'static str]) -> Value {
    let mut codes = codes.to_vec();
    codes.sort_unstable();
    codes.dedup();
    let said = |code: &&str| {
        let found = CODES.iter().find(|(name, _)| name == code);
        match found {
            Some((_, text)) => format!("* `{code}`: {text}"),
            None if FIELDS.contains(code) => format!("* `{code}`"),
            None => panic!("say in {} what the code {code} means", file!()),
        }
    };
    let list: Vec<String> = codes.iter().map(said).collect();
    let title = title(status);
    let first = codes.first().copied().unwrap_or_default();
    let mut example = json!({
        "type": "about:blank", "title": title, "status": status, "code": first,
        "detail": "A sentence for people.", "requestId": "5b6f0c1e-8a52-4f0e-9f0b-2d1f6a7c9e10",
    });
    if status == 422 {
        example["code"] = "invalid_email".into();
        example["errors"] =
            json!([{ "field": "contact.email", "code": "invalid_email", "message": "not an e-mail address" }]);
    }
    let own = json!({ "properties": { "status": { "const": status }, "code": { "enum": codes } } });
    let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Problem" }, own] });
    let content = json!({ "application/problem+json": { "schema": schema, "example": example } });
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = json!({ "$ref": "#/components/headers/Retry-After" });
    }
    if status == 401 {
        headers["WWW-Authenticate"] = json!({ "$ref": "#/components/headers/WWW-Authenticate" });
    }
    json!({ "description": format!("{title}\n{}", list.join("\n")), "headers": headers, "content": content })
}

/// Moves answers that many operations share to `components.responses`, which they then refer to.
pub fn share(document: &mut Value) {
    let mut shared: Vec<(String, Value)> = Vec::new();
    for item in document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut()) {
        for operation in item.as_object_mut().into_iter().flat_map(|operations| operations.values_mut()) {
            // A path also has `servers`.
            let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
            for (status, response) in responses {
                let problem =
                    response["content"].as_object().is_some_and(|c| c.keys().eq(["application/problem+json"]));
                if problem && status != "409" {
                    let name = name_of(&mut shared, status, response);
                    *response = json!({ "$ref": format!("#/components/responses/{name}") });
                }
            }
        }
    }
    document["components"]["responses"] = Value::Object(shared.into_iter().collect());
}

/// `BadRequest`; of others with that status `BadRequest2` and so on.
fn name_of(shared: &mut Vec<(String, Value)>, status: &str, response: &Value) -> String {
    if let Some((name, _)) = shared.iter().find(|(_, there)| there == response) {
        return name.clone();
    }
    let title = title(status.parse().unwrap_or_default()).replace(' ', "");
    let variants =
        shared.iter().filter(|(name, _)| name.trim_end_matches(|c: char| c.is_ascii_digit()) == title).count();
    let name = if variants == 0 { title } else { format!("{title}{}", variants + 1) };
    shared.push((name.clone(), response.clone()));
    name
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => panic!("say in {} what {status} is called", file!()),
    }
}

/// The problem document. Made by `shared::web::ApiError`, and by API Gateway before a request reaches us.
pub fn schema() -> Value {
    let text = |text: &str| json!({ "type": "string", "description": text });
    json!({
        "type": "object",
        "description": "RFC 9457, with a stable `code`.",
        "required": ["type", "title", "code", "requestId"],
        "properties": {
            "type": { "const": "about:blank" },
            "title": text("Phrase of the status."),
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "code": { "type": "string", "enum": codes(), "description": "Stable; for programs." },
            "detail": text("A sentence for people. May change."),
            "requestId": text("Names the request in our log."),
            "errors": {
                "type": "array",
                "description": "Fields that are missing or not valid; the first one's code is the problem's.",
                "items": {
                    "type": "object",
                    "required": ["field", "code", "message"],
                    "properties": {
                        "field": text("A path: `contact.email`, `addonCodes[0]`, or the name of a parameter or header."),
                        "code": text("Stable; for programs."),
                        "message": text("For people."),
                    },
                },
            },
            "declineClass": { "$ref": "#/components/schemas/DeclineClass" },
            "declineCode": text("The gateway's word for the decline."),
            "gatewayCode": text("The gateway's word for the refusal."),
            "reasons": {
                "type": "array",
                "description": "Why a month cannot be closed yet, each with what it counts.",
                "items": {
                    "type": "object",
                    "required": ["code"],
                    "properties": {
                        "code": text("Stable; for programs."),
                        "count": { "type": "integer", "minimum": 0 },
                        "booked": { "type": "integer", "minimum": 0 },
                        "found": { "type": "integer", "minimum": 0 },
                    },
                },
            },
            "refundId": text("The refund that failed."),
            "left": { "type": "integer", "format": "int64", "description": "Minor units that are left to refund." },
            "until": { "type": ["string", "null"], "format": "date-time", "description": "When it is worth trying again." },
        },
    })
}
