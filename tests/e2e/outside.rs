//! What people outside may ask for: a new link to their application, which tells nobody anything, and a demo.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Stack};
use crate::notices::{apply, mails};
use crate::tables::{dump, quiet, unchanged};
use crate::tokens::operator_token;

async fn ask(stack: &Stack, id: &str, email: &str) -> Answer {
    stack.post(&format!("/onboarding/requests/{id}/token"), None, json!({ "email": email })).await
}

fn links(mails: &[Value]) -> Vec<&Value> {
    mails.iter().filter(|mail| mail["Subject"].as_str().unwrap().contains("Your link to the application")).collect()
}

#[tokio::test]
async fn a_lost_link_is_mailed_to_its_owner_and_nobody_learns_of_it() {
    let stack = Stack::new();
    let (applicant, address) = apply(&stack).await;
    let (_, stranger) = apply(&stack).await;
    let absent = "req_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let mut answers = Vec::new();
    for (id, email) in [
        (applicant.id.as_str(), stranger.as_str()),
        (&applicant.id, ""),
        (&applicant.id, "not an address"),
        (absent, &address),
        ("req_x", &address),
        (&applicant.id, &address.to_uppercase()),
    ] {
        let answer = ask(&stack, id, email).await;
        answers.push((answer.status, answer.body));
    }
    assert!(answers.iter().all(|answer| *answer == (202, json!(""))), "{answers:#?}");
    let found = stack
        .until("the link is mailed", || async {
            let mails = mails(&stack, &address).await;
            (!links(&mails).is_empty()).then_some(mails)
        })
        .await;
    let text = links(&found)[0]["BodyText"].as_str().unwrap().to_owned();
    let token = text.split("Token: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a token");
    assert_ne!(token, applicant.token);
    let own = stack.get(&format!("/onboarding/requests/{}", applicant.id), Some(token)).await.expect(200);
    assert_eq!(own["id"], applicant.id.as_str());

    // Whoever goes on asking fills nobody's mailbox: five a day, and the answer stays what it is.
    for _ in 0..8 {
        assert_eq!(ask(&stack, &applicant.id, &address).await.status, 202);
    }
    let query = format!("/ops/audit?subject={}&type=application.token_requested&limit=100", applicant.id);
    let told = stack.get(&query, Some(stack.ops().await)).await.expect(200);
    let told = told["items"].as_array().unwrap().clone();
    assert_eq!(told.len(), 5, "wrong addresses do not use them up");
    assert!(!Value::from(told).to_string().contains('@'));
    assert_eq!(links(&mails(&stack, &stranger).await).len(), 0);
}

#[tokio::test]
async fn an_application_that_ended_is_mailed_no_link() {
    let stack = Stack::new();
    let (applicant, address) = apply(&stack).await;
    let path = format!("/onboarding/requests/{}/decision", applicant.id);
    let rejected = json!({ "status": "REJECTED", "note": "a drill" });
    stack.post(&path, Some(stack.ops().await), rejected).await.expect(200);
    assert_eq!(ask(&stack, &applicant.id, &address).await.status, 202);
    let query = format!("/ops/audit?subject={}&type=application.token_requested", applicant.id);
    let told = stack.get(&query, Some(stack.ops().await)).await.expect(200);
    assert!(told["items"].as_array().unwrap().is_empty(), "{told:#}");
}

#[tokio::test]
async fn a_demo_is_asked_for_once_and_read_by_operators_only() {
    let stack = Stack::new();
    let email = format!("curious-{:08x}@example.kr", rand::random::<u32>());
    let form = json!({ "name": "김하나", "email": email, "message": "두 지점을 함께 보고 싶습니다." });
    let key = format!("demo-{email}");
    let post = || stack.request(Method::POST, "/demo-requests", None).header("Idempotency-Key", &key).json(&form);
    for _ in 0..3 {
        assert_eq!(stack.send(post()).await.status, 202);
    }
    let viewer = operator_token(&stack, "vera", "OPS_VIEWER").await;
    let listed = stack.get("/ops/demo-requests?limit=100", Some(&viewer)).await.expect(200);
    let mine: Vec<&Value> = listed["items"].as_array().unwrap().iter().filter(|r| r["email"] == json!(email)).collect();
    assert_eq!(mine.len(), 1, "{listed:#}");
    assert_eq!((&mine[0]["name"], &mine[0]["message"]), (&form["name"], &form["message"]));
    let subject = mine[0]["id"].as_str().unwrap();
    let told = stack.get(&format!("/ops/audit?subject={subject}"), Some(&viewer)).await.expect(200);
    assert_eq!(told["items"][0]["type"], "demo.requested");
    assert!(!told.to_string().contains(&email) && !told.to_string().contains("김하나"));
    assert_eq!(stack.get("/ops/demo-requests", None).await.status, 401);

    let before = quiet(std::time::Duration::from_millis(300)).await;
    for (field, value, code) in [
        ("name", json!(" "), "invalid_length"),
        ("email", json!("nobody"), "invalid_email"),
        ("phone", json!("1"), "invalid_phone"),
        ("message", json!("가".repeat(2_001)), "invalid_length"),
        ("message", json!("4242 4242 4242 4242"), "card_number_refused"),
        ("more", json!(1), "unknown_field"),
    ] {
        let mut bad = form.clone();
        bad[field] = value;
        assert_eq!(stack.post("/demo-requests", None, bad).await.problem(422), code, "{field}");
    }
    let huge = json!({ "name": "x", "email": email, "message": "x".repeat(70_000) });
    assert_eq!(stack.post("/demo-requests", None, huge).await.problem(413), "body_too_large");
    unchanged("refused requests", &before, &dump().await);
}
