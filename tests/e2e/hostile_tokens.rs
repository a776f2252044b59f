//! Hostile tokens over HTTP: the whole corpus is held against the verifier beside it; these are the ones a gateway, a
//! proxy or an emulator might treat in its own way.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE};
use serde_json::{Value, json};

use crate::harness::Stack;
use crate::tokens::{operator_token, sign};

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn none_of_them_gets_in() {
    let stack = Stack::new();
    let good = operator_token(&stack, "mallory", "OPS_ADMIN").await;
    stack.get("/ops/runs", Some(&good)).await.expect(200);
    let parts: Vec<&str> = good.split('.').collect();
    let decoded = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
    let bent = |header: &Value, claims: &Value| format!("{}.{}.{}", part(header), part(claims), parts[2]);
    let with = |base: &Value, name: &str, value: Value| {
        let mut value_of = base.clone();
        value_of[name] = value;
        value_of
    };
    let tenant = "ten_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let signed = |changes: Value| {
        let mut claims = json!({ "aud": "operators", "sub": "mallory", "role": "OPS_ADMIN" });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        sign(&stack, claims)
    };
    let mut hostile = vec![
        ("alg none", format!("{}.{}.", part(&with(&header, "alg", json!("none"))), parts[1])),
        ("alg none with a signature", bent(&with(&header, "alg", json!("none")), &claims)),
        ("alg RS256", bent(&with(&header, "alg", json!("RS256")), &claims)),
        ("kid of no key", bent(&with(&header, "kid", json!("no-such-key")), &claims)),
        ("kid a path", bent(&with(&header, "kid", json!("../../../dev/null")), &claims)),
        ("crit", bent(&with(&header, "crit", json!(["b64"])), &claims)),
        ("claims changed", bent(&header, &with(&claims, "sub", json!("root")))),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("another's signature", format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([7; 32]))),
        ("huge", format!("{}.{}.{}", parts[0], "A".repeat(6_000), parts[2])),
        ("not base64", "%%%.%%%.%%%".to_owned()),
        ("one part", parts[0].to_owned()),
        ("two in one", format!("{good}, {good}")),
    ];
    for (name, changes) in [
        ("expired", json!({ "iat": 1_700_000_000, "exp": 1_700_003_600 })),
        ("endless", json!({ "exp": 99_999_999_999_i64 })),
        ("not yet valid", json!({ "nbf": 99_999_999_999_i64 })),
        ("another audience", json!({ "aud": "somebody-else" })),
        ("another issuer", json!({ "iss": "https://accounts.example.com" })),
        ("roles and a tenant", json!({ "tenantId": tenant })),
        ("no subject", json!({ "sub": "" })),
        ("a role nobody has", json!({ "role": "ROOT" })),
        ("more claims than ours", json!({ "roles": ["OPS_ADMIN"] })),
    ] {
        hostile.push((name, signed(changes).await));
    }
    for (name, token) in &hostile {
        assert_eq!(stack.get("/ops/runs", Some(token)).await.status, 401, "{name}");
    }
    let as_cookie = |value: String| stack.request(Method::GET, "/ops/runs", None).header(COOKIE, value);
    for (name, token) in hostile.iter().filter(|(_, token)| !token.contains([',', '%'])) {
        assert_eq!(stack.send(as_cookie(format!("__Host-session={token}"))).await.status, 401, "{name} as a cookie");
    }
    // Good ones in the wrong place.
    for value in [good.clone(), format!("Basic {good}"), format!("Bearer  {good}"), "Bearer".to_owned()] {
        let request = stack.request(Method::GET, "/ops/runs", None).header(AUTHORIZATION, value);
        assert_eq!(stack.send(request).await.status, 401);
    }
    for value in [format!("session={good}"), format!("__Host-session={good}; __Host-session={good}")] {
        assert_eq!(stack.send(as_cookie(value)).await.status, 401);
    }
    assert_eq!(stack.get(&format!("/ops/runs?access_token={good}"), None).await.status, 401);
    stack.get("/ops/runs", Some(&good)).await.expect(200);
}
