//! A tenant's token, signed with the stack's own key. In production the tenant's OIDC issuer makes it.

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
    let key = key(stack).await;
    #[expect(clippy::disallowed_methods, reason = "tokens live in real time")]
    let now = jiff::Timestamp::now().as_second();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "HS256", "typ": "JWT", "kid": key["kid"] }));
    let claims = part(json!({
        "iss": "mindgarden-billing", "aud": "tenants", "sub": tenant, "role": "TENANT", "tenantId": tenant,
        "iat": now, "exp": now + 600, "jti": format!("test-{now}"),
    }));
    let mut mac = Hmac::<Sha256>::new_from_slice(key["key"].as_str().unwrap().as_bytes()).unwrap();
    mac.update(format!("{header}.{claims}").as_bytes());
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
