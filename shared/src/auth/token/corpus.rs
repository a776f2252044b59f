//! Tokens nobody may get in with, by name: what is known to have opened other people's doors, and what could open ours.
//! Many are signed with our own key, so that only the rule they break stands in their way.

use super::tests::{KEY, OLD, claims, header, key, keys, now, part, sign};
use super::*;
use crate::auth::session::is_over;
use crate::store::{Commit, MemoryStore, Record, Store, Write};
use domain::access::{Access, Account, AccountRole, EndedSession, PasswordHash};
use futures::executor::block_on;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Sha256, Sha384, Sha512};

const OWN: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const OTHER: &str = "01BX5ZZKBKACTAV9WEVGEMMVRZ";

/// A public key, as the one an attacker signs with when a verifier takes an RSA key for an HMAC secret.
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n-----END PUBLIC KEY-----\n";

fn with(changes: Value) -> Value {
    merged(claims(), changes)
}

fn merged(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

/// Our own signature over these claims.
fn ours(changes: Value) -> String {
    sign(&header(), &with(changes), KEY)
}

fn headed(changes: Value) -> String {
    sign(&merged(header(), changes), &claims(), KEY)
}

/// Our own signature over this text as claims, for what a JSON value cannot hold.
fn raw(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{signed}.{}", mac256(&signed, KEY))
}

fn mac256(signed: &str, key: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

fn unsigned(alg: &str) -> String {
    format!("{}.{}.", part(&merged(header(), json!({ "alg": alg }))), part(&claims()))
}

fn algorithms() -> Vec<(&'static str, String)> {
    let signed = |alg: &str| format!("{}.{}", part(&merged(header(), json!({ "alg": alg }))), part(&claims()));
    let mac384 = |text: &str| {
        let mut mac = Hmac::<Sha384>::new_from_slice(KEY.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    };
    let mac512 = |text: &str| {
        let mut mac = Hmac::<Sha512>::new_from_slice(KEY.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    };
    let good = sign(&header(), &claims(), KEY);
    let signature = good.rsplit_once('.').unwrap().1.to_owned();
    vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg NONE", unsigned("NONE")),
        ("alg nOnE", unsigned("nOnE")),
        ("alg none with a good signature of HS256", format!("{}.{signature}", signed("none"))),
        ("alg empty", unsigned("")),
        ("alg HS384, rightly signed", format!("{}.{}", signed("HS384"), mac384(&signed("HS384")))),
        ("alg HS512, rightly signed", format!("{}.{}", signed("HS512"), mac512(&signed("HS512")))),
        ("alg RS256 over an HMAC", headed(json!({ "alg": "RS256" }))),
        ("alg ES256 over an HMAC", headed(json!({ "alg": "ES256" }))),
        ("alg ES256 with an all-zero signature", format!("{}.{}", signed("ES256"), URL_SAFE_NO_PAD.encode([0; 64]))),
        ("alg PS256 over an HMAC", headed(json!({ "alg": "PS256" }))),
        ("alg EdDSA over an HMAC", headed(json!({ "alg": "EdDSA" }))),
        ("alg HS256 keyed with a public key", sign(&header(), &claims(), PUBLIC_PEM)),
        ("alg in an array", headed(json!({ "alg": ["HS256", "none"] }))),
        ("alg null", headed(json!({ "alg": null }))),
        ("alg twice", raw(r#"{"alg":"none","alg":"HS256","kid":"2"}"#, &claims().to_string())),
        ("alg with a space", headed(json!({ "alg": "HS256 " }))),
    ]
}

fn headers() -> Vec<(&'static str, String)> {
    let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode("attacker") });
    let own_key = sign(&merged(header(), json!({ "jwk": jwk })), &claims(), "attacker");
    let mut kidless = header();
    kidless.as_object_mut().unwrap().remove("kid");
    let kid = |kid: Value| headed(json!({ "kid": kid }));
    let empty = sign(&merged(header(), json!({ "kid": "/dev/null" })), &claims(), "");
    vec![
        ("no kid", sign(&kidless, &claims(), KEY)),
        ("kid of no key", kid(json!("3"))),
        ("kid that is a path", kid(json!("../../2"))),
        ("kid of an empty file", empty),
        ("kid that is a query", kid(json!("2' OR '1'='1"))),
        ("kid with a NUL", kid(json!("2\u{0}"))),
        ("kid a number", kid(json!(2))),
        ("kid an array", kid(json!(["2"]))),
        ("kid of another key", sign(&header(), &claims(), OLD)),
        ("key in the header", own_key),
        ("key in the header, ours signed", headed(json!({ "jwk": jwk }))),
        ("key at an address", headed(json!({ "jku": "https://attacker.example/jwks.json" }))),
        ("certificate at an address", headed(json!({ "x5u": "https://attacker.example/c.pem" }))),
        ("certificate in the header", headed(json!({ "x5c": ["MIIB"] }))),
        ("crit with what nobody knows", headed(json!({ "crit": ["exp"], "exp": 1 }))),
        ("crit empty", headed(json!({ "crit": [] }))),
        ("b64 false", headed(json!({ "b64": false, "crit": ["b64"] }))),
        ("b64 false without crit", headed(json!({ "b64": false }))),
        ("compressed", headed(json!({ "zip": "DEF" }))),
        ("nested: a token in a token", raw(r#"{"alg":"HS256","kid":"2","cty":"JWT"}"#, &ours(json!({})))),
        ("nested, not said", raw(r#"{"alg":"HS256","kid":"2"}"#, &ours(json!({})))),
        ("typ JWE", headed(json!({ "typ": "JWE" }))),
        ("typ a logout token", headed(json!({ "typ": "logout+jwt" }))),
        ("typ null", headed(json!({ "typ": null }))),
        ("header an array", raw(r#"["HS256"]"#, &claims().to_string())),
        ("header not JSON", raw("alg: HS256", &claims().to_string())),
    ]
}

fn signatures_and_shapes() -> Vec<(&'static str, String)> {
    let good = sign(&header(), &claims(), KEY);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let raised = part(&with(json!({ "sub": "root" })));
    let first = part(&header());
    let mut flipped = signature.to_owned().into_bytes();
    flipped[0] = if flipped[0] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    // The last character of 43 has two bits that mean nothing: another spelling of the same signature.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(signature.chars().last().unwrap()).unwrap();
    let respelled = format!("{}{}", &signature[..signature.len() - 1], &alphabet[last ^ 1..=last ^ 1]);
    let padding = "x".repeat(TOKEN_MAX);
    vec![
        ("empty", String::new()),
        ("one part", first.clone()),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.x")),
        ("five parts, encrypted", format!("{first}.a.b.c.d")),
        ("signature empty", format!("{signed}.")),
        ("signature cut", format!("{signed}.{}", &signature[..20])),
        ("signature with one bit turned", format!("{signed}.{flipped}")),
        ("signature respelled", format!("{signed}.{respelled}")),
        ("signature padded", format!("{signed}.{signature}=")),
        ("signature in base64 with other letters", format!("{signed}.{}", "+/".repeat(21) + "8")),
        ("signature of other claims", format!("{first}.{raised}.{signature}")),
        ("signed with an empty key", sign(&header(), &claims(), "")),
        ("claims not base64", format!("{first}.%%%.{}", mac256(&format!("{first}.%%%"), KEY))),
        ("claims padded", format!("{first}.e30=.{}", mac256(&format!("{first}.e30="), KEY))),
        ("claims not JSON", raw(&header().to_string(), "sub=ops&role=OPS_ADMIN")),
        ("claims an array", raw(&header().to_string(), r#"["OPS_ADMIN"]"#)),
        ("claims empty", raw(&header().to_string(), "{}")),
        ("claims not UTF-8", format!("{first}._w.{}", mac256(&format!("{first}._w"), KEY))),
        ("claims nested deep", raw(&header().to_string(), &"[".repeat(1_000))),
        ("huge", ours(json!({ "sub": padding }))),
        ("blank before", format!(" {good}")),
        ("line break after", format!("{good}\n")),
        ("two in one", format!("{good},{good}")),
    ]
}

fn times() -> Vec<(&'static str, String)> {
    let now = now().as_second();
    vec![
        ("expired just now", ours(json!({ "exp": now }))),
        ("expired long ago", ours(json!({ "iat": 1, "exp": 2 }))),
        ("without an end", {
            let mut endless = claims();
            endless.as_object_mut().unwrap().remove("exp");
            sign(&header(), &endless, KEY)
        }),
        ("for a hundred years", ours(json!({ "exp": now + 3_155_760_000_i64 }))),
        ("to the end of time", ours(json!({ "exp": i64::MAX }))),
        ("an end beyond all numbers", ours(json!({ "exp": 1e300 }))),
        ("an end as text", ours(json!({ "exp": (now + 3_600).to_string() }))),
        ("an end that is no number", ours(json!({ "exp": null }))),
        ("not yet valid", ours(json!({ "nbf": now + 3_600 }))),
        ("issued in the future", ours(json!({ "iat": now + 3_000 }))),
        ("ends before it begins", ours(json!({ "iat": now + 20, "exp": now + 10 }))),
        ("issued before there was time", ours(json!({ "iat": i64::MIN }))),
    ]
}

fn words() -> Vec<(&'static str, String)> {
    let (ten, req) = (format!("ten_{OWN}"), format!("req_{OWN}"));
    let body = claims().to_string();
    let twice = |more: &str| raw(&header().to_string(), &format!("{},{more}}}", &body[..body.len() - 1]));
    let tenant = |changes: Value| {
        let own = json!({ "aud": "tenants", "role": "TENANT", "sub": ten, "tenantId": ten });
        ours(merged(own, changes))
    };
    vec![
        ("no issuer", ours(json!({ "iss": null }))),
        ("another issuer", ours(json!({ "iss": "https://accounts.example.com" }))),
        ("our issuer among others", ours(json!({ "iss": ["mindgarden-billing", "x"] }))),
        ("our issuer and more", ours(json!({ "iss": "mindgarden-billing.attacker.example" }))),
        ("another audience", ours(json!({ "aud": "somebody-else" }))),
        ("all audiences", ours(json!({ "aud": ["operators", "tenants", "applicants"] }))),
        ("the audience of payment guides", ours(json!({ "aud": "payment-guides" }))),
        ("no subject", ours(json!({ "sub": "" }))),
        ("subject null", ours(json!({ "sub": null }))),
        ("subject an object", ours(json!({ "sub": { "name": "ops" } }))),
        ("no id", ours(json!({ "jti": "" }))),
        ("a role nobody has", ours(json!({ "role": "ROOT" }))),
        ("a role in small letters", ours(json!({ "role": "ops_admin" }))),
        ("many roles", ours(json!({ "role": ["OPS_VIEWER", "OPS_ADMIN"] }))),
        ("roles beside the role", ours(json!({ "roles": ["OPS_ADMIN"] }))),
        ("an operator with a tenant", ours(json!({ "tenantId": ten }))),
        ("a tenant with an operator's role", tenant(json!({ "role": "OPS_ADMIN" }))),
        ("a tenant with an operator's role and audience", tenant(json!({ "role": "OPS_ADMIN", "aud": "operators" }))),
        ("a tenant that is another", tenant(json!({ "tenantId": format!("ten_{OTHER}") }))),
        ("a tenant without its id", tenant(json!({ "tenantId": null }))),
        ("a tenant that is an application", tenant(json!({ "sub": req }))),
        ("an applicant of another tenant", {
            let other =
                json!({ "aud": "applicants", "role": "APPLICANT", "sub": req, "tenantId": format!("ten_{OTHER}") });
            ours(other)
        }),
        ("an applicant as a tenant", tenant(json!({ "aud": "applicants" }))),
        ("role twice", twice(r#""role":"OPS_ADMIN""#)),
        ("subject twice", twice(r#""sub":"root""#)),
        ("end twice", twice(r#""exp":99999999999"#)),
        ("audience twice", twice(r#""aud":"operators""#)),
        ("a claim nobody knows", ours(json!({ "admin": true }))),
        ("a role spelled with an escape, twice", twice(r#""ro\u006ce":"OPS_ADMIN""#)),
    ]
}

/// What stands in the store about sessions that were good once.
fn ended(store: &MemoryStore) -> Vec<(&'static str, String)> {
    let left = ours(json!({ "jti": "left" }));
    let session = verify(&left, &keys(), now()).unwrap().session;
    let row = EndedSession { id: session.id, expires_at: session.expires_at, version: 0 };
    let account = |name: &str, role, sessions_from| {
        let (id, password_hash, temporary) = (name.to_owned(), PasswordHash(String::new()), String::new());
        Write::New(Record::Access(Access::Account(Account {
            id,
            role,
            password_hash,
            temporary,
            sessions_from,
            version: 0,
        })))
    };
    let second = now().as_second();
    let writes = vec![
        Write::New(Record::Access(Access::Ended(row))),
        account("changed", AccountRole::OpsAdmin, second + 1),
        account("demoted", AccountRole::OpsViewer, 0),
    ];
    block_on(store.commit(&Commit { id: "c".to_owned(), writes, events: Vec::new() })).unwrap();
    vec![
        ("one that was left", left),
        ("one of before the password was changed", ours(json!({ "sub": "changed" }))),
        ("one of a role that was taken away", ours(json!({ "sub": "demoted" }))),
    ]
}

/// What the authorizer does with a token before it looks at the route.
fn lets_in(store: &MemoryStore, token: &str, keys: &[TokenKey]) -> bool {
    verify(token, keys, now()).is_ok_and(|verified| !block_on(is_over(store, &verified)).unwrap())
}

#[test]
fn none_of_them_gets_in() {
    let store = MemoryStore::default();
    let mut corpus = ended(&store);
    for part in [algorithms(), headers(), signatures_and_shapes(), times(), words()] {
        corpus.extend(part);
    }
    let names: std::collections::BTreeSet<_> = corpus.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), corpus.len(), "each has a name of its own");
    assert!(corpus.len() >= 100, "{}", corpus.len());
    let accepted: Vec<_> = corpus.iter().filter(|(_, token)| lets_in(&store, token, &keys())).collect();
    assert!(accepted.is_empty(), "{accepted:#?}");
    // The corpus shows something only as long as what it starts from is good.
    for good in [ours(json!({})), ours(json!({ "role": "OPS_VIEWER" })), ours(json!({ "nbf": now().as_second() }))] {
        assert!(lets_in(&store, &good, &keys()));
    }
    let tenant =
        json!({ "aud": "tenants", "role": "TENANT", "sub": format!("ten_{OWN}"), "tenantId": format!("ten_{OWN}") });
    assert!(lets_in(&store, &ours(tenant), &keys()));
}

#[test]
fn keys_that_were_rotated_away_open_nothing() {
    let store = MemoryStore::default();
    let only = [key("3", "the-newest-key-the-newest-key-0000")];
    for token in [ours(json!({})), sign(&json!({ "alg": "HS256", "kid": "1" }), &claims(), OLD)] {
        assert!(lets_in(&store, &token, &keys()) && !lets_in(&store, &token, &only));
    }
    assert!(!lets_in(&store, &ours(json!({})), &[]));
}
