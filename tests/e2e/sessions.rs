//! Sessions on the deployed stack: leaving takes effect at once, a cookie changes nothing without the CSRF proof, a
//! temporary password sets another one and nothing else, and guessing is locked and told.

use reqwest::Method;
use reqwest::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use serde_json::{Value, json};

use crate::harness::{Answer, Stack, var};
use crate::tokens::{operator_token, tenant_token};

/// A name nobody has had, so that tests can be repeated on one stack.
fn somebody() -> String {
    format!("{:032x}", rand::random::<u128>())
}

async fn log_in(stack: &Stack, username: &str, password: &str) -> Answer {
    stack.post("/auth/login", None, json!({ "username": username, "password": password })).await
}

async fn events_of(stack: &Stack, subject: &str, kind: &str) -> Vec<Value> {
    let query = format!("/ops/audit?subject={subject}&type={kind}&limit=100");
    stack.get(&query, Some(stack.ops().await)).await.expect(200)["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn leaving_takes_effect_at_once_for_everybody() {
    let stack = Stack::new();
    let (applicant, id) = stack.onboard("toss", "starter").await;
    let name = somebody();
    let cases = [
        (operator_token(&stack, &name, "OPS_VIEWER").await, "/ops/runs".to_owned()),
        (tenant_token(&stack, &applicant.tenant).await, format!("/billing/subscriptions/{id}")),
    ];
    for (token, path) in cases {
        stack.get(&path, Some(&token)).await.expect(200);
        let answer = stack.request(Method::POST, "/auth/logout", Some(&token)).send().await.unwrap();
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 204);
        assert!(cookie.starts_with("__Host-session=;") && cookie.contains("Max-Age=0"), "{cookie}");
        for _ in 0..3 {
            assert_eq!(stack.get(&path, Some(&token)).await.status, 401);
        }
        assert_eq!(stack.post("/auth/logout", Some(&token), json!({})).await.status, 401);
    }
    let other = operator_token(&stack, &somebody(), "OPS_VIEWER").await;
    stack.get("/ops/runs", Some(&other)).await.expect(200);
    assert_eq!(events_of(&stack, &format!("operator:{name}"), "session.ended").await.len(), 1);
}

#[tokio::test]
async fn a_cookie_changes_nothing_without_the_csrf_proof() {
    let stack = Stack::new();
    let body = json!({ "username": var("OPS_USERNAME"), "password": var("OPS_PASSWORD") });
    let answer = stack.request(Method::POST, "/auth/login", None).json(&body).send().await.unwrap();
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["__Host-session=", "; Path=/;", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let session = cookie.split(';').next().unwrap().to_owned();
    let ask = |method: Method, path: &str| stack.request(method, path, None).header(COOKIE, &session);
    stack.send(ask(Method::GET, "/ops/runs")).await.expect(200);
    let pause = || ask(Method::POST, "/ops/gateways/toss/pause").json(&json!({ "reason": "forged" }));
    assert_eq!(stack.send(pause()).await.status, 403);
    assert_eq!(stack.send(pause().header("X-Csrf-Protection", "")).await.status, 403);
    let cross = pause().header("X-Csrf-Protection", "1").header("Sec-Fetch-Site", "cross-site");
    assert_eq!(stack.send(cross).await.status, 403);
    assert_eq!(stack.send(ask(Method::POST, "/auth/logout")).await.status, 403);
    let gateways = stack.get("/ops/gateways", Some(stack.ops().await)).await.expect(200);
    assert!(gateways["items"].as_array().unwrap().iter().all(|g| g["pause"].is_null()), "{gateways:#}");
    let meant = ask(Method::POST, "/auth/logout").header("X-Csrf-Protection", "1");
    assert_eq!(stack.send(meant).await.status, 204);
    assert_eq!(stack.send(ask(Method::GET, "/ops/runs")).await.status, 401);
}

#[tokio::test]
async fn a_temporary_session_sets_a_password_and_nothing_else() {
    let stack = Stack::new();
    let pending = operator_token(&stack, &var("OPS_USERNAME"), "OPS_PENDING").await;
    for path in ["/ops/runs", "/ops/audit?subject=x", "/onboarding/requests", "/billing/subscriptions"] {
        assert_eq!(stack.get(path, Some(&pending)).await.status, 403, "{path}");
    }
    assert_eq!(stack.post("/ops/runs", Some(&pending), json!({})).await.status, 403);
    let change = |current: &str, new: &str| json!({ "currentPassword": current, "newPassword": new });
    let own = var("OPS_PASSWORD");
    for weak in ["short", "aaaaaaaaaaaaaaaa", own.as_str(), "ops is in this one"] {
        let answer = stack.post("/auth/password", Some(&pending), change(&own, weak)).await.expect(422);
        assert_eq!((&answer["code"], &answer["errors"][0]["field"]), (&json!("weak_password"), &json!("newPassword")));
    }
    let next = "another password of mine";
    let wrong = stack.post("/auth/password", Some(&pending), change("not the current one", next)).await;
    assert_eq!(wrong.problem(401), "invalid_credentials");

    // There and back, so that the other tests' password stays what it is; every session of before is over each time.
    let before = log_in(&stack, &var("OPS_USERNAME"), &own).await.expect(200);
    let changed = stack.post("/auth/password", Some(&pending), change(&own, next)).await.expect(200);
    assert_eq!((&before["role"], &changed["role"]), (&json!("OPS_ADMIN"), &json!("OPS_ADMIN")));
    for old in [&pending, before["token"].as_str().unwrap()] {
        assert_eq!(stack.post("/auth/logout", Some(old), json!({})).await.status, 401);
    }
    let token = changed["token"].as_str().unwrap();
    stack.get("/ops/runs", Some(token)).await.expect(200);
    assert_eq!(log_in(&stack, &var("OPS_USERNAME"), &own).await.problem(401), "invalid_credentials");
    let back = stack.post("/auth/password", Some(token), change(next, &own)).await.expect(200);
    assert_eq!(stack.get("/ops/runs", Some(token)).await.status, 401);
    stack.get("/ops/runs", back["token"].as_str()).await.expect(200);
    let told = events_of(&stack, &format!("operator:{}", var("OPS_USERNAME")), "operator.password_changed").await;
    assert!(told.len() >= 3, "the first one was the stack's own: {told:#?}");
    assert!(!Value::from(told).to_string().contains("argon2"));
}

#[tokio::test]
async fn guessing_is_locked_told_and_says_nothing_about_names() {
    let stack = Stack::new();
    let told = events_of(&stack, "operator:unknown", "operator.locked").await.len();
    let name = somebody();
    for _ in 0..5 {
        assert_eq!(log_in(&stack, &name, "a guess").await.problem(401), "invalid_credentials");
    }
    let request = stack.request(Method::POST, "/auth/login", None);
    let answer = request.json(&json!({ "username": name, "password": "a guess" })).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    let wait: u32 = answer.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let locked = events_of(&stack, "operator:unknown", "operator.locked").await;
    assert_eq!(locked.len(), told + 1);
    assert!(!Value::from(locked).to_string().contains(&name), "a name nobody has may be a password");

    // The operator's own name answers the same, to the letter.
    let shape = |answer: Answer| {
        let mut body = answer.expect(401);
        body["requestId"] = Value::Null;
        body
    };
    let known = shape(log_in(&stack, &var("OPS_USERNAME"), "a guess").await);
    assert_eq!(known, shape(log_in(&stack, &somebody(), "a guess").await));
    log_in(&stack, &var("OPS_USERNAME"), &var("OPS_PASSWORD")).await.expect(200);
}
