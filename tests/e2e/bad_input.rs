//! Bad input: each case gets the right 4xx problem with a stable code and field, and no table changes.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Stack, seoul_morning};
use crate::tables::{dump, quiet, unchanged};

/// How long nothing may move before a comparison.
const REST: std::time::Duration = std::time::Duration::from_millis(300);

/// What a refusal must look like.
struct Refusal {
    status: u16,
    code: &'static str,
    field: Option<&'static str>,
}

fn refusal(status: u16, code: &'static str, field: Option<&'static str>) -> Refusal {
    Refusal { status, code, field }
}

/// Sends a request, compares the problem, and compares the tables before and after.
async fn refused(stack: &Stack, what: &str, request: RequestBuilder, expected: Refusal) {
    let before = quiet(REST).await;
    let answer = stack.send(request).await;
    assert_eq!(answer.status, expected.status, "{what}: {:#}", answer.body);
    assert_eq!(answer.body["code"], expected.code, "{what}: {:#}", answer.body);
    if let Some(field) = expected.field {
        let named = answer.body["errors"].as_array().is_some_and(|e| e.iter().any(|e| e["field"] == field));
        assert!(named, "{what}: field {field} is not named in {:#}", answer.body);
    }
    unchanged(what, &before, &dump().await);
}

/// The application form with one field set (a dotted path) or, for null, removed.
fn form(path: &str, value: Value) -> Value {
    let mut form = Stack::form("starter");
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let target = parents.split('.').filter(|p| !p.is_empty()).fold(&mut form, |v, p| &mut v[p]);
    match value {
        Value::Null => drop(target.as_object_mut().unwrap().remove(last)),
        value => target[last] = value,
    }
    form
}

#[tokio::test]
async fn a_bad_application_changes_nothing() {
    let stack = Stack::new();
    let card = ["4242", "4242", "4242", "4242"].join(" ");
    let cases: Vec<(&str, Value, &'static str, Option<&'static str>)> = vec![
        ("unknown field", form("surprise", json!(1)), "unknown_field", Some("surprise")),
        ("missing field", form("businessName", Value::Null), "missing_field", Some("businessName")),
        ("missing nested field", form("contact.email", Value::Null), "missing_field", Some("contact.email")),
        ("wrong type", form("businessName", json!(5)), "invalid_type", Some("businessName")),
        ("empty name", form("businessName", json!("  ")), "invalid_length", Some("businessName")),
        ("long name", form("businessName", json!("가".repeat(101))), "invalid_length", Some("businessName")),
        ("bad e-mail", form("contact.email", json!("owner@")), "invalid_email", Some("contact.email")),
        ("bad phone", form("contact.phone", json!("12")), "invalid_phone", Some("contact.phone")),
        (
            "bad business number",
            form("businessNumber", json!("1208147522")),
            "invalid_business_number",
            Some("businessNumber"),
        ),
        ("unknown plan", form("planCode", json!("gold")), "unknown_plan", Some("planCode")),
        ("unknown add-on", form("addonCodes", json!(["moon"])), "unknown_addon", Some("addonCodes")),
        ("add-on twice", form("addonCodes", json!(["sms", "sms"])), "duplicate_addon", Some("addonCodes")),
        ("consent withheld", form("consents.recurring", json!(false)), "consent_required", Some("consents.recurring")),
        (
            "card number in a note",
            form("note", json!(format!("my card is {card}"))),
            "card_number_refused",
            Some("note"),
        ),
        ("card number in a name", form("contact.name", json!(card)), "card_number_refused", Some("contact.name")),
    ];
    for (what, body, code, field) in cases {
        let request = stack.request(Method::POST, "/onboarding/requests", None).json(&body);
        refused(&stack, what, request, refusal(422, code, field)).await;
    }
    let raw = |body: String| {
        let request = stack.request(Method::POST, "/onboarding/requests", None);
        request.header("content-type", "application/json").body(body)
    };
    refused(&stack, "not JSON", raw("{".into()), refusal(400, "invalid_json", None)).await;
    let huge = json!({ "note": "x".repeat(70_000) }).to_string();
    refused(&stack, "too large", raw(huge), refusal(413, "body_too_large", None)).await;
    let text =
        stack.request(Method::POST, "/onboarding/requests", None).header("content-type", "text/plain").body("hi");
    refused(&stack, "wrong content type", text, refusal(415, "unsupported_media_type", None)).await;
}

#[tokio::test]
async fn bad_registrations_change_nothing() {
    let stack = Stack::new();
    let (mine, other) = (stack.apply("starter").await, stack.apply("starter").await);
    let token = mine.token.as_str();
    let post = |body: Value| stack.request(Method::POST, "/billing/payment-methods", Some(token)).json(&body);

    let foreign_key = stack.auth_key(&other.customer_key, "approved").await;
    let body = json!({ "gateway": "toss", "authKey": foreign_key, "customerKey": other.customer_key });
    refused(
        &stack,
        "another applicant's customerKey",
        post(body),
        refusal(422, "customer_key_mismatch", Some("customerKey")),
    )
    .await;

    let body = json!({ "gateway": "paypal", "authKey": "x", "customerKey": mine.customer_key });
    refused(&stack, "unknown gateway", post(body), refusal(422, "invalid_value", Some("gateway"))).await;
    let body = json!({ "gateway": "stripe" });
    refused(&stack, "neither id", post(body), refusal(422, "missing_field", Some("setupIntentId"))).await;

    // The gateway's own events about these windows arrive when they like; they are not the request's doing.
    stack.setup_intent(token, "pm_card_visa").await;
    let foreign = stack.setup_intent(&other.token, "pm_card_visa").await;
    let body = json!({ "gateway": "stripe", "setupIntentId": foreign });
    let ours = |rows: Vec<String>| rows.into_iter().filter(|r| !r.starts_with("webhook_inbox")).collect::<Vec<_>>();
    let before = ours(quiet(REST).await);
    assert_eq!(stack.send(post(body)).await.problem(404), "not_found");
    unchanged("another applicant's SetupIntent", &before, &ours(dump().await));
}

#[tokio::test]
async fn bad_decisions_change_nothing() {
    let stack = Stack::new();
    let ops = stack.ops().await;
    let applicant = stack.apply("starter").await;
    let path = format!("/onboarding/requests/{}/decision", applicant.id);
    let decide = |body: Value| stack.request(Method::POST, &path, Some(ops)).json(&body);
    let without_card = refusal(409, "payment_method_missing", None);
    refused(&stack, "approval without a card", decide(json!({ "status": "APPROVED" })), without_card).await;
    let note = refusal(422, "note_required", Some("note"));
    refused(&stack, "rejection without a note", decide(json!({ "status": "REJECTED" })), note).await;
    let unknown = refusal(422, "invalid_value", Some("status"));
    refused(&stack, "unknown status", decide(json!({ "status": "MAYBE" })), unknown).await;

    stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    stack.approve(&applicant).await.expect(200);
    let twice = refusal(409, "already_decided", None);
    refused(&stack, "decided again", decide(json!({ "status": "APPROVED" })), twice).await;

    let absent = "req_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for id in [absent, "nonsense", &applicant.id.replace("req_", "sub_")] {
        let request = stack.request(Method::POST, &format!("/onboarding/requests/{id}/decision"), Some(ops));
        let request = request.json(&json!({ "status": "IN_REVIEW" }));
        refused(&stack, "unknown application", request, refusal(404, "not_found", None)).await;
    }
}

#[tokio::test]
async fn foreign_ids_look_absent_and_tokens_are_needed() {
    let stack = Stack::new();
    let (_, id) = stack.onboard("toss", "starter").await;
    let stranger = stack.apply("starter").await;
    let path = format!("/billing/subscriptions/{id}");
    let get = |path: &str, token: Option<&str>| stack.request(Method::GET, path, token);
    refused(&stack, "foreign subscription", get(&path, Some(&stranger.token)), refusal(404, "not_found", None)).await;
    let absent = get("/billing/subscriptions/sub_01ARZ3NDEKTSV4RRFFQ69G5FAV", Some(&stranger.token));
    refused(&stack, "absent subscription", absent, refusal(404, "not_found", None)).await;
    let retry = stack.request(Method::POST, &format!("{path}/retry"), Some(&stranger.token)).json(&json!({}));
    refused(&stack, "foreign retry", retry, refusal(404, "not_found", None)).await;

    let before = quiet(REST).await;
    assert_eq!(stack.send(get(&path, None)).await.status, 401);
    assert_eq!(stack.send(get(&path, Some("not.a.token"))).await.status, 401);
    assert_eq!(stack.send(get("/ops/runs", Some(&stranger.token))).await.status, 403);
    unchanged("refused", &before, &dump().await);

    let later = seoul_morning(jiff::civil::date(2031, 1, 1)).to_string();
    let run = stack
        .request(Method::POST, "/ops/runs", Some(stack.ops().await))
        .json(&json!({ "asOf": "tomorrow", "x": later }));
    let before = quiet(REST).await;
    assert_eq!(stack.send(run).await.status, 422);
    unchanged("refused", &before, &dump().await);
}

#[tokio::test]
async fn an_idempotency_key_answers_once() {
    let stack = Stack::new();
    let key = format!("apply-{}", stack.now().await.as_millisecond());
    let post = |body: Value| {
        stack.request(Method::POST, "/onboarding/requests", None).header("Idempotency-Key", &key).json(&body)
    };
    let first = stack.send(post(Stack::form("starter"))).await.expect(201);
    let before = quiet(REST).await;
    let again = stack.send(post(Stack::form("starter"))).await.expect(201);
    assert_eq!(first["id"], again["id"]);
    assert!(again["applicationToken"].is_string(), "the credential is minted again");
    unchanged("a replay writes nothing", &before, &dump().await);
    let other = post(Stack::form("premium"));
    refused(&stack, "same key, other body", other, refusal(422, "idempotency_key_reused", None)).await;
}
