//! A provider in a box: real keys made for each test, documents served from memory, a clock that is turned by hand.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::TenantId;
use futures::executor::block_on;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::auth::Caller;

const ISSUER: &str = "https://login.example.kr";
const TENANT: &str = "ten_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const NOW: i64 = 1_800_000_000;

struct Pair {
    algorithm: Algorithm,
    signing: EncodingKey,
}

fn rsa(size: KeySize) -> Pair {
    let pair = KeyPair::generate(size).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(der.as_ref())
    );
    Pair { algorithm: Algorithm::RS256, signing: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap() }
}

fn ec() -> Pair {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = pair.to_pkcs8v1().unwrap();
    Pair { algorithm: Algorithm::ES256, signing: EncodingKey::from_ec_der(der.as_ref()) }
}

// Made once: an RSA key takes its time.
static RSA: LazyLock<Pair> = LazyLock::new(|| rsa(KeySize::Rsa2048));
static EC: LazyLock<Pair> = LazyLock::new(ec);
static STRANGER: LazyLock<Pair> = LazyLock::new(ec);

fn published(pair: &Pair, kid: &str) -> Value {
    let jwk = Jwk::from_encoding_key(&pair.signing, pair.algorithm).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = kid.into();
    jwk["use"] = "sig".into();
    jwk
}

#[derive(Default)]
struct World {
    second: Mutex<u64>,
    documents: Mutex<HashMap<String, Value>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Documents for World {
    async fn get(&self, url: &str) -> Result<Vec<u8>, ProviderUnavailable> {
        self.asked.lock().unwrap().push(url.to_owned());
        let documents = self.documents.lock().unwrap();
        documents.get(url).map(|body| body.to_string().into_bytes()).ok_or(ProviderUnavailable("no answer"))
    }
}

impl World {
    fn new() -> Arc<World> {
        let world = Arc::new(World::default());
        world.publish(json!([published(&RSA, "r"), published(&EC, "e")]));
        world
    }

    fn publish(&self, keys: Value) {
        let mut documents = self.documents.lock().unwrap();
        let discovery = json!({ "issuer": ISSUER, "jwks_uri": "https://keys.example.kr/jwks" });
        documents.insert(format!("{ISSUER}/.well-known/openid-configuration"), discovery);
        documents.insert("https://keys.example.kr/jwks".to_owned(), json!({ "keys": keys }));
    }

    fn at(&self, second: u64) {
        *self.second.lock().unwrap() = second;
    }

    fn fetches(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|url| url.contains("openid-configuration")).count()
    }

    fn oidc(self: &Arc<World>) -> Oidc {
        let clock = Arc::clone(self);
        let elapsed = Arc::new(move || Duration::from_secs(*clock.second.lock().unwrap()));
        let settings = Settings {
            issuer: ISSUER.to_owned(),
            staff_audience: "staff".to_owned(),
            tenant_audience: "tenants".to_owned(),
            role_claim: "groups".to_owned(),
            tenant_claim: "tenantId".to_owned(),
            roles: vec![("admins".to_owned(), Role::OpsAdmin), ("books".to_owned(), Role::OpsFinance)],
        };
        Oidc::new(settings, Keys::new(self.clone(), elapsed))
    }
}

fn staff() -> Value {
    json!({ "iss": ISSUER, "aud": "staff", "sub": "kim.hana", "groups": ["books"], "iat": NOW, "exp": NOW + 3_600 })
}

fn tenant() -> Value {
    json!({ "iss": ISSUER, "aud": ["tenants"], "sub": "u1", "tenantId": TENANT, "iat": NOW, "exp": NOW + 3_600 })
}

fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn sign(pair: &Pair, kid: &str, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(pair.algorithm) };
    jsonwebtoken::encode(&header, claims, &pair.signing).unwrap()
}

/// The same token under another header, with the signature it had.
fn headed(token: &str, changes: Value) -> String {
    let (first, rest) = token.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(first).unwrap()).unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(with(header, changes).to_string()))
}

fn ask(oidc: &Oidc, token: &str) -> Result<Caller, TokenError> {
    let now = Timestamp::from_second(NOW + 10).unwrap();
    block_on(oidc.verify(token, now)).unwrap().map(|verified| verified.caller)
}

#[test]
fn staff_and_tenants_each_through_their_own_audience() {
    let oidc = World::new().oidc();
    let operator = |role| Ok(Caller::operator("oidc:kim.hana", role));
    assert_eq!(ask(&oidc, &sign(&RSA, "r", &staff())), operator(Role::OpsFinance));
    assert_eq!(ask(&oidc, &sign(&EC, "e", &staff())), operator(Role::OpsFinance));
    let many = with(staff(), json!({ "groups": ["everybody", "books", "admins"], "azp": "staff" }));
    assert_eq!(ask(&oidc, &sign(&EC, "e", &many)), operator(Role::OpsAdmin), "the first of the list");
    let one = with(staff(), json!({ "groups": "admins", "tenantId": null }));
    assert_eq!(ask(&oidc, &sign(&EC, "e", &one)), operator(Role::OpsAdmin));
    let own = Ok(Caller::tenant(&TenantId::parse(TENANT).unwrap()));
    assert_eq!(ask(&oidc, &sign(&RSA, "r", &tenant())), own);
    assert_eq!(ask(&oidc, &sign(&RSA, "r", &with(tenant(), json!({ "groups": [] })))), own);
}

#[test]
fn words_that_are_not_exactly_ours_open_nothing() {
    let oidc = World::new().oidc();
    let claims = [
        ("both", with(staff(), json!({ "tenantId": TENANT }))),
        ("both, for tenants", with(tenant(), json!({ "groups": ["books"] }))),
        ("both, with a group of no meaning", with(tenant(), json!({ "groups": ["everybody"] }))),
        ("staff with a tenant only", with(staff(), json!({ "groups": null, "tenantId": TENANT }))),
        ("a tenant with a role only", with(tenant(), json!({ "groups": ["admins"], "tenantId": null }))),
        ("neither", with(staff(), json!({ "groups": [] }))),
        ("a group that means nothing", with(staff(), json!({ "groups": ["everybody"] }))),
        ("a role of ours, not of the list", with(staff(), json!({ "groups": ["OPS_ADMIN"] }))),
        ("a group in other letters", with(staff(), json!({ "groups": ["Admins"] }))),
        ("groups an object", with(staff(), json!({ "groups": { "admins": true } }))),
        ("a claim like ours", with(staff(), json!({ "groups": [], "role": "OPS_ADMIN" }))),
        ("both audiences", with(staff(), json!({ "aud": ["staff", "tenants"] }))),
        ("another audience too", with(staff(), json!({ "aud": ["staff", "wiki"] }))),
        ("another audience", with(staff(), json!({ "aud": "wiki" }))),
        ("our own audience", with(staff(), json!({ "aud": "operators" }))),
        ("no audience", with(staff(), json!({ "aud": null }))),
        ("given to another program", with(staff(), json!({ "azp": "wiki" }))),
        ("another issuer", with(staff(), json!({ "iss": "https://login.example.com" }))),
        ("an issuer with a slash", with(staff(), json!({ "iss": format!("{ISSUER}/") }))),
        ("many issuers", with(staff(), json!({ "iss": [ISSUER, "https://login.example.com"] }))),
        ("our own issuer", with(staff(), json!({ "iss": "mindgarden-billing" }))),
        ("no subject", with(staff(), json!({ "sub": "" }))),
        ("a subject with a line break", with(staff(), json!({ "sub": "kim\nhana" }))),
        ("a long subject", with(staff(), json!({ "sub": "k".repeat(129) }))),
        ("no tenant's id", with(tenant(), json!({ "tenantId": "ten_1" }))),
        ("an application's id", with(tenant(), json!({ "tenantId": "req_01ARZ3NDEKTSV4RRFFQ69G5FAV" }))),
        ("many tenants", with(tenant(), json!({ "tenantId": [TENANT] }))),
        ("expired", with(staff(), json!({ "exp": NOW + 10 }))),
        ("for a week", with(staff(), json!({ "exp": NOW + 7 * 86_400 }))),
        ("not yet", with(staff(), json!({ "nbf": NOW + 3_600 }))),
        ("from the future", with(staff(), json!({ "iat": NOW + 3_000 }))),
        ("never issued", with(staff(), json!({ "iat": null }))),
        ("an end as text", with(staff(), json!({ "exp": "2100-01-01" }))),
        ("an end before all time", with(staff(), json!({ "exp": -1 }))),
    ];
    for (name, claims) in &claims {
        for (pair, kid) in [(&*RSA, "r"), (&*EC, "e")] {
            assert!(ask(&oidc, &sign(pair, kid, claims)).is_err(), "{name}");
        }
    }
}

#[test]
fn signatures_and_headers_that_are_not_exactly_the_providers_open_nothing() {
    let oidc = World::new().oidc();
    let (good, es) = (sign(&RSA, "r", &staff()), sign(&EC, "e", &staff()));
    let jwk = published(&STRANGER, "e");
    let body = good.split('.').nth(1).unwrap();
    let text =
        r#"{"iss":"https://login.example.kr","aud":"staff","sub":"x","groups":"admins","sub":"y","iat":1,"exp":2}"#;
    let twice = |pair: &Pair, kid: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "ES256", "kid": kid }).to_string());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(text));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &pair.signing, Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    };
    let tokens = [
        ("a stranger's key under our id", sign(&STRANGER, "e", &staff())),
        ("a key nobody published", sign(&STRANGER, "s", &staff())),
        ("a key in the header", headed(&sign(&STRANGER, "e", &staff()), json!({ "jwk": jwk }))),
        ("the other key's id", sign(&RSA, "e", &staff())),
        ("alg none", format!("{}.{body}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"r"}"#))),
        ("alg HS256", headed(&good, json!({ "alg": "HS256" }))),
        ("alg RS512", headed(&good, json!({ "alg": "RS512" }))),
        ("alg PS256", headed(&good, json!({ "alg": "PS256" }))),
        ("alg ES384", headed(&es, json!({ "alg": "ES384" }))),
        ("alg of the other kind", headed(&es, json!({ "alg": "RS256" }))),
        ("no kid", headed(&good, json!({ "kid": null }))),
        ("crit", headed(&good, json!({ "crit": ["exp"] }))),
        ("b64", headed(&good, json!({ "b64": false }))),
        ("typ of a logout", headed(&good, json!({ "typ": "logout+jwt" }))),
        ("an empty signature", format!("{}.", good.rsplit_once('.').unwrap().0)),
        ("a signature of zeros", format!("{}.{}", es.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode([0; 64]))),
        ("a claim said twice", twice(&EC, "e")),
        ("huge", format!("{good}{}", "A".repeat(TOKEN_MAX))),
        ("nothing", String::new()),
    ];
    for (name, token) in &tokens {
        assert!(ask(&oidc, token).is_err(), "{name}");
    }
    assert!(ask(&oidc, &good).is_ok() && ask(&oidc, &es).is_ok());
}

#[test]
fn an_unknown_id_asks_once_in_half_a_minute() {
    let world = World::new();
    let oidc = world.oidc();
    assert!(ask(&oidc, &sign(&RSA, "r", &staff())).is_ok());
    assert_eq!(world.fetches(), 1);
    for n in 0..100 {
        assert_eq!(ask(&oidc, &sign(&EC, &format!("made-up-{n}"), &staff())), Err(TokenError::UnknownKey));
    }
    assert_eq!(world.fetches(), 1, "asked moments ago");
    world.at(30);
    for n in 0..100 {
        assert_eq!(ask(&oidc, &sign(&EC, &format!("made-up-{n}"), &staff())), Err(TokenError::UnknownKey));
    }
    assert_eq!(world.fetches(), 2);
    // The provider rotates: its new key is known with the first token, once half a minute is over.
    world.publish(json!([published(&EC, "e2"), published(&RSA, "r")]));
    assert_eq!(ask(&oidc, &sign(&EC, "e2", &staff())), Err(TokenError::UnknownKey));
    world.at(60);
    assert!(ask(&oidc, &sign(&EC, "e2", &staff())).is_ok());
    assert_eq!(ask(&oidc, &sign(&EC, "e", &staff())), Err(TokenError::UnknownKey), "what is not published is gone");
    assert!(ask(&oidc, &sign(&RSA, "r", &staff())).is_ok());
    assert_eq!(world.fetches(), 3);
}

#[test]
fn keys_outlive_an_outage_and_not_for_ever() {
    let world = World::new();
    let oidc = world.oidc();
    let token = sign(&RSA, "r", &staff());
    assert!(ask(&oidc, &token).is_ok());
    world.documents.lock().unwrap().clear();
    for second in [299, 300, 329, 330, 3_599] {
        world.at(second);
        assert!(ask(&oidc, &token).is_ok(), "{second}");
    }
    assert!(world.fetches() <= 5, "not hammered");
    world.at(3_600);
    let late = block_on(oidc.verify(&token, Timestamp::from_second(NOW).unwrap()));
    assert!(late.is_err(), "a key may have been taken back");
    world.publish(json!([published(&RSA, "r")]));
    world.at(3_700);
    assert!(ask(&oidc, &token).is_ok());
}

#[test]
fn documents_that_are_not_the_providers_give_no_key() {
    let keys = json!([published(&RSA, "r")]);
    let discovery = |issuer: &str, at: &str| json!({ "issuer": issuer, "jwks_uri": at });
    let weak = {
        let mut weak = published(&RSA, "r");
        weak["n"] = "AQAB".into();
        weak
    };
    let changed = |name: &str, value: Value| with(published(&RSA, "r"), json!({ name: value }));
    for (name, document, keys) in [
        ("another issuer's", discovery("https://login.example.com", "https://keys.example.kr/jwks"), keys.clone()),
        ("without TLS", discovery(ISSUER, "http://keys.example.kr/jwks"), keys.clone()),
        ("at an address that does not answer", discovery(ISSUER, "https://elsewhere.example/jwks"), keys.clone()),
        ("not a discovery", json!([]), keys),
        ("no keys", discovery(ISSUER, "https://keys.example.kr/jwks"), json!([])),
        ("a weak key", discovery(ISSUER, "https://keys.example.kr/jwks"), json!([weak])),
        ("for encryption", discovery(ISSUER, "https://keys.example.kr/jwks"), json!([changed("use", json!("enc"))])),
        (
            "of another algorithm",
            discovery(ISSUER, "https://keys.example.kr/jwks"),
            json!([changed("alg", json!("RS512"))]),
        ),
        ("without an id", discovery(ISSUER, "https://keys.example.kr/jwks"), json!([changed("kid", json!(null))])),
        (
            "a shared secret",
            discovery(ISSUER, "https://keys.example.kr/jwks"),
            json!([{ "kty": "oct", "k": "AAAA", "kid": "r" }]),
        ),
        (
            "of a kind nobody knows",
            discovery(ISSUER, "https://keys.example.kr/jwks"),
            json!([{ "kty": "AKP", "kid": "r" }]),
        ),
    ] {
        let world = World::new();
        world.publish(keys);
        world.documents.lock().unwrap().insert(format!("{ISSUER}/.well-known/openid-configuration"), document);
        world.documents.lock().unwrap().insert("http://keys.example.kr/jwks".to_owned(), json!({ "keys": [] }));
        let verdict = block_on(world.oidc().verify(&sign(&RSA, "r", &staff()), Timestamp::from_second(NOW).unwrap()));
        assert!(verdict.is_err(), "{name}");
    }
    let world = World::new();
    world.publish(json!([{ "kty": "AKP", "kid": "x" }, 7, published(&RSA, "r")]));
    assert!(ask(&world.oidc(), &sign(&RSA, "r", &staff())).is_ok(), "beside a key nobody knows");
}
