//! Hostile tokens, signed by hand, so that nothing depends on what the library would mint.

use super::*;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

const NOW: &str = "2026-12-01T00:00:00Z";
pub(super) const OLD: &str = "old-key-old-key-old-key-old-key-00";
pub(super) const KEY: &str = "current-key-current-key-current-00";

pub(super) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(super) fn key(kid: &str, key: &str) -> TokenKey {
    TokenKey { kid: kid.to_owned(), key: SecretString::from(key.to_owned()) }
}

pub(super) fn keys() -> Vec<TokenKey> {
    vec![key("2", KEY), key("1", OLD)]
}

pub(super) fn claims() -> Value {
    let now = now().as_second();
    json!({"iss": "mindgarden-billing", "aud": "operators", "sub": "ops", "role": "OPS_ADMIN",
        "iat": now, "exp": now + 3600, "jti": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
}

pub(super) fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "2"})
}

pub(super) fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Signs anything with HMAC-SHA-256, as an attacker with our key (or a wrong one) could.
pub(super) fn sign(header: &Value, claims: &Value, key: &str) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn with(member: &str, value: Value) -> String {
    let mut claims = claims();
    claims[member] = value;
    sign(&header(), &claims, KEY)
}

fn without(member: &str) -> String {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    sign(&header(), &claims, KEY)
}

fn with_header(header: &Value) -> String {
    sign(header, &claims(), KEY)
}

/// Whom a token speaks for.
fn speaks_for(token: &str, keys: &[TokenKey], now: Timestamp) -> Result<Caller, TokenError> {
    verify(token, keys, now).map(|verified| verified.caller)
}

#[track_caller]
fn refused(token: &str, why: TokenError) {
    assert_eq!(speaks_for(token, &keys(), now()), Err(why), "{token}");
}

#[test]
fn minted_tokens_verify_for_every_kind_of_caller() {
    let id = RequestId::parse("req_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    for caller in [Caller::operator("ops", Role::OpsViewer), Caller::tenant(&id.tenant()), Caller::applicant(&id)] {
        let (token, expires_at) = mint(&caller, "j".to_owned(), now(), SESSION, &keys()[0]).unwrap();
        assert_eq!(expires_at, "2026-12-01T01:00:00Z".parse().unwrap());
        assert_eq!(speaks_for(token.expose_secret(), &keys(), now()), Ok(caller.clone()));
        let last = "2026-12-01T00:59:59Z".parse().unwrap();
        assert_eq!(speaks_for(token.expose_secret(), &keys(), last), Ok(caller));
        assert_eq!(speaks_for(token.expose_secret(), &keys(), expires_at), Err(TokenError::Time));
    }
}

#[test]
fn tokens_signed_elsewhere_with_our_key_verify() {
    let caller = Caller::operator("ops", Role::OpsAdmin);
    assert_eq!(speaks_for(&sign(&header(), &claims(), KEY), &keys(), now()), Ok(caller.clone()));
    // Rotation: the previous key is accepted under its id, and under a shared id as well.
    let old = sign(&json!({"alg": "HS256", "kid": "1"}), &claims(), OLD);
    assert_eq!(speaks_for(&old, &keys(), now()), Ok(caller.clone()));
    let shared = sign(&header(), &claims(), OLD);
    assert_eq!(speaks_for(&shared, &[key("2", KEY), key("2", OLD)], now()), Ok(caller));
}

#[test]
fn hostile_headers() {
    let unsigned = format!("{}.{}.", part(&json!({"alg": "none", "kid": "2"})), part(&claims()));
    refused(&unsigned, TokenError::Header);
    refused(&with_header(&json!({"alg": "None", "kid": "2"})), TokenError::Header);
    refused(&with_header(&json!({"alg": "hs256", "kid": "2"})), TokenError::Header);
    refused(&with_header(&json!({"alg": "RS256", "kid": "2"})), TokenError::Header);
    refused(&with_header(&json!({"alg": "ES256", "kid": "2"})), TokenError::Header);
    refused(&with_header(&json!({"alg": "HS512", "kid": "2"})), TokenError::Header);
    refused(&with_header(&json!({"alg": ["HS256"], "kid": "2"})), TokenError::Header);
    refused(&with_header(&json!({"kid": "2"})), TokenError::Header);
    refused(&with_header(&json!({"alg": "HS256"})), TokenError::Header);
    refused(&with_header(&json!({"alg": "HS256", "kid": 2})), TokenError::Header);
    refused(&with_header(&json!({"alg": "HS256", "kid": "3"})), TokenError::UnknownKey);
    refused(&with_header(&json!({"alg": "HS256", "kid": ""})), TokenError::UnknownKey);
    refused(&with_header(&json!({"alg": "HS256", "kid": "../2"})), TokenError::UnknownKey);
    refused(&with_header(&json!({"alg": "HS256", "kid": "2", "crit": ["exp"]})), TokenError::Header);
    refused(&with_header(&json!({"alg": "HS256", "kid": "2", "typ": "JWE"})), TokenError::Header);
}

#[test]
fn hostile_signatures() {
    refused(&sign(&header(), &claims(), "another-key-another-key-another-00"), TokenError::Signature);
    refused(&sign(&header(), &claims(), ""), TokenError::Signature);
    refused(&sign(&header(), &claims(), OLD), TokenError::Signature);
    let good = sign(&header(), &claims(), KEY);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    refused(&format!("{signed}."), TokenError::Signature);
    refused(&format!("{signed}.{}", &signature[..20]), TokenError::Signature);
    let raised = part(&json!({"sub": "root"}));
    refused(&format!("{}.{raised}.{signature}", part(&header())), TokenError::Signature);
}

#[test]
fn hostile_shapes() {
    let good = sign(&header(), &claims(), KEY);
    for bad in ["", ".", "..", "...", "a.b", "a.b.c", "Bearer x.y.z", "\u{0}.\u{0}.\u{0}"] {
        refused(bad, TokenError::Malformed);
    }
    refused(&good[..good.len() / 2], TokenError::Malformed);
    refused(&format!("{good}."), TokenError::Malformed);
    refused(&format!("{good}.x"), TokenError::Malformed);
    refused(&format!(".{good}"), TokenError::Malformed);
    refused(&format!("{good}{}", "A".repeat(TOKEN_MAX)), TokenError::Malformed);
    assert!(verify(&format!("{good} "), &keys(), now()).is_err());
    assert!(verify(&format!("{good}=="), &keys(), now()).is_err());
}

#[test]
fn hostile_times() {
    let now = now().as_second();
    refused(&with("exp", json!(now)), TokenError::Time);
    refused(&with("exp", json!(now - 1)), TokenError::Time);
    refused(&with("exp", json!(-1)), TokenError::Claims);
    refused(&with("iat", json!(now + 31)), TokenError::Time);
    refused(&with("nbf", json!(now + 31)), TokenError::Time);
    refused(&with("iat", json!(now + 4_000)), TokenError::Time);
    refused(&with("exp", json!((now + 3600).to_string())), TokenError::Claims);
    refused(&with("exp", json!(null)), TokenError::Claims);
    refused(&with("exp", json!([now + 3600])), TokenError::Claims);
    refused(&with("nbf", json!("soon")), TokenError::Claims);
    refused(&with("iat", json!("now")), TokenError::Claims);
    assert!(verify(&with("iat", json!(now + 30)), &keys(), self::now()).is_ok(), "clocks may differ a little");
}

#[test]
fn hostile_claims() {
    for member in ["iss", "aud", "sub", "role", "iat", "exp", "jti"] {
        refused(&without(member), TokenError::Claims);
    }
    refused(&with("iss", json!("mindgarden")), TokenError::Claims);
    refused(&with("iss", json!(["mindgarden-billing"])), TokenError::Claims);
    refused(&with("aud", json!("tenants")), TokenError::Claims);
    refused(&with("aud", json!("others")), TokenError::Claims);
    refused(&with("aud", json!(["operators", "tenants"])), TokenError::Claims);
    refused(&with("sub", json!("")), TokenError::Claims);
    refused(&with("jti", json!("")), TokenError::Claims);
    refused(&with("role", json!("OPS_ROOT")), TokenError::Claims);
    refused(&with("role", json!("TENANT")), TokenError::Claims);
    refused(&with("tenantId", json!("ten_01ARZ3NDEKTSV4RRFFQ69G5FAV")), TokenError::Claims);
}

#[test]
fn tenants_and_applicants_are_bound_to_their_ids() {
    let token = |aud: &str, role: &str, sub: &str, tenant: &str| {
        let mut claims = claims();
        claims["aud"] = aud.into();
        claims["role"] = role.into();
        claims["sub"] = sub.into();
        claims["tenantId"] = tenant.into();
        sign(&header(), &claims, KEY)
    };
    let (own, other) = ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01BX5ZZKBKACTAV9WEVGEMMVRZ");
    let (ten, req) = (|u: &str| format!("ten_{u}"), |u: &str| format!("req_{u}"));
    assert!(verify(&token("tenants", "TENANT", &ten(own), &ten(own)), &keys(), now()).is_ok());
    assert!(verify(&token("applicants", "APPLICANT", &req(own), &ten(own)), &keys(), now()).is_ok());
    refused(&token("tenants", "TENANT", &ten(own), &ten(other)), TokenError::Claims);
    refused(&token("applicants", "APPLICANT", &req(own), &ten(other)), TokenError::Claims);
    refused(&token("applicants", "TENANT", &ten(own), &ten(own)), TokenError::Claims);
    refused(&token("tenants", "OPS_ADMIN", &ten(own), &ten(own)), TokenError::Claims);
    refused(&token("tenants", "TENANT", "ops", &ten(own)), TokenError::Claims);
}
