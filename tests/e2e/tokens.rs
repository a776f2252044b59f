//! Tokens signed with the stack's own key: a tenant's (in production the tenant's OIDC issuer makes it), and those of
//! operators other than the one who logs in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Stack, var};

/// The signing key, from where the functions read it.
async fn key(stack: &Stack) -> Value {
    let scope = "AWS4-HMAC-SHA256 Credential=test/20261122/ap-northeast-2/secretsmanager/aws4_request, SignedHeaders=host, Signature=0";
    let request = stack.http.post(var("AWS_ENDPOINT_URL")).header("Authorization", scope);
    let request = request.header("X-Amz-Target", "secretsmanager.GetSecretValue");
    let body = json!({ "SecretId": format!("{}/auth/jwt", var("STAGE")) });
    let request = request.header("Content-Type", "application/x-amz-json-1.1").body(body.to_string());
    let secret = stack.send(request).await.expect(200);
    serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap()
}

pub async fn tenant_token(stack: &Stack, tenant: &str) -> String {
    sign(stack, json!({ "aud": "tenants", "sub": tenant, "role": "TENANT", "tenantId": tenant })).await
}

pub async fn operator_token(stack: &Stack, name: &str, role: &str) -> String {
    sign(stack, json!({ "aud": "operators", "sub": name, "role": role })).await
}

/// Claims under our signature; what is not said is what a good token says.
pub async fn sign(stack: &Stack, claims: Value) -> String {
    let key = key(stack).await;
    #[expect(clippy::disallowed_methods, reason = "tokens live in real time")]
    let now = jiff::Timestamp::now().as_second();
    let jti = format!("test-{:032x}", rand::random::<u128>());
    let mut all = json!({ "iss": "mindgarden-billing", "iat": now, "exp": now + 600, "jti": jti });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "HS256", "typ": "JWT", "kid": key["kid"] }));
    let claims = part(all);
    let mut mac = Hmac::<Sha256>::new_from_slice(key["key"].as_str().unwrap().as_bytes()).unwrap();
    mac.update(format!("{header}.{claims}").as_bytes());
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
