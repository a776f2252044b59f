//! Our own tokens: HS256 JWTs, minted and verified against a time that is passed in.
//!
//! Only HS256 is accepted, under the key whose id the header names (the current or, during rotation, the previous one).
//! `iss`, `aud`, `sub`, `role`, `iat`, `exp` and `jti` must be there and hang together: a role belongs to one
//! audience, a tenant's subject is its tenant id, an applicant's tenant is that of its application.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::{RequestId, TenantId};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::session::{Session, Verified};
use super::{Caller, Role};

pub(super) const ISSUER: &str = "mindgarden-billing";
const AUDIENCES: [&str; 3] = ["operators", "tenants", "applicants"];
/// How far the minting clock may run ahead of the verifying one.
const LEEWAY_S: i64 = 30;
/// Longest token looked at; ours have about 350 bytes.
const TOKEN_MAX: usize = 2_048;

/// Lifetime of an operator's or a tenant's token.
pub const SESSION: SignedDuration = SignedDuration::from_hours(1);
/// Lifetime of a token that only sets a password.
pub const PENDING: SignedDuration = SignedDuration::from_mins(15);
/// Longest life of an application's token; the state of the application ends it sooner.
pub const APPLICATION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A key with its id. The HMAC key is the UTF-8 bytes of the text.
#[derive(Clone)]
pub struct TokenKey {
    pub kid: String,
    pub key: SecretString,
}

/// Why a token is not accepted. All are the same 401 to the caller; the difference is for tests and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("malformed")]
    Malformed,
    #[error("algorithm or header not accepted")]
    Header,
    /// No key with this id; worth one refresh of the keys.
    #[error("unknown key id")]
    UnknownKey,
    #[error("signature")]
    Signature,
    #[error("claims")]
    Claims,
    #[error("expired or not yet valid")]
    Time,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    jti: String,
}

/// Signs a token for `caller`, valid from `now` for `lifetime`. `jti` makes it unique.
///
/// # Errors
/// [`TokenError::Claims`] when the lifetime runs past the range of instants.
pub fn mint(
    caller: &Caller,
    jti: String,
    now: Timestamp,
    lifetime: SignedDuration,
    key: &TokenKey,
) -> Result<(SecretString, Timestamp), TokenError> {
    // Whole seconds, rounded down: what the token says and what the answer says are the same instant.
    let exp = now.as_second().saturating_add(lifetime.as_secs());
    let expires_at = Timestamp::from_second(exp).map_err(|_| TokenError::Claims)?;
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: audience(caller.role).to_owned(),
        sub: caller.actor_id().to_owned(),
        role: caller.role,
        tenant_id: caller.tenant.as_ref().map(|t| t.as_str().to_owned()),
        iat: now.as_second(),
        exp,
        nbf: None,
        jti,
    };
    Ok((sign(&claims, key)?, expires_at))
}

/// Signs any claims of ours.
///
/// # Errors
/// When they do not serialize, which is a bug.
pub(super) fn sign(claims: &impl Serialize, key: &TokenKey) -> Result<SecretString, TokenError> {
    let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::HS256) };
    let signing = EncodingKey::from_secret(key.key.expose_secret().as_bytes());
    let token = jsonwebtoken::encode(&header, claims, &signing).map_err(|_| TokenError::Malformed)?;
    Ok(SecretString::from(token))
}

/// The caller a token speaks for at `now`, and the session it is.
///
/// # Errors
/// Anything that is not exactly a live token of ours.
pub fn verify(token: &str, keys: &[TokenKey], now: Timestamp) -> Result<Verified, TokenError> {
    let claims: Claims = signed(token, keys, &AUDIENCES)?;
    let session = Session::of(token, claims.iat, claims.exp).ok_or(TokenError::Time)?;
    Ok(Verified { caller: caller(claims, now)?, session })
}

/// The claims of a token that we signed for one of `audiences`. Its time is not looked at.
///
/// # Errors
/// Anything but exactly that.
pub(super) fn signed<C: DeserializeOwned + Clone>(
    token: &str,
    keys: &[TokenKey],
    audiences: &[&str],
) -> Result<C, TokenError> {
    let kid = header_kid(token)?;
    let mut verdict = TokenError::UnknownKey;
    // Two versions of the secret may carry the same key id, so every key of that id is tried.
    for key in keys.iter().filter(|key| key.kid == kid) {
        let checking = DecodingKey::from_secret(key.key.expose_secret().as_bytes());
        match jsonwebtoken::decode::<C>(token, &checking, &rules(audiences)) {
            Ok(data) => return Ok(data.claims),
            Err(error) => verdict = reason(&error),
        }
    }
    Err(verdict)
}

fn audience(role: Role) -> &'static str {
    match role {
        Role::OpsAdmin | Role::OpsFinance | Role::OpsViewer | Role::OpsPending => "operators",
        Role::Tenant => "tenants",
        Role::Applicant => "applicants",
    }
}

/// Signature, algorithm, issuer and audience are the library's; time is ours, because it reads its own clock.
fn rules(audiences: &[&str]) -> Validation {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(audiences);
    rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    rules
}

pub(super) fn reason(error: &jsonwebtoken::errors::Error) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm => TokenError::Header,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) => TokenError::Malformed,
        _ => TokenError::Claims,
    }
}

/// The header of a token of exactly three parts.
pub(super) fn parts(token: &str) -> Result<Map<String, Value>, TokenError> {
    let mut parts = token.split('.');
    let header = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(_), Some(_), None) => header,
        _ => return Err(TokenError::Malformed),
    };
    let bytes = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

/// Reads the header by hand first: exactly three parts, HS256, a key id, and nothing else that could ask for anything.
fn header_kid(token: &str) -> Result<String, TokenError> {
    if token.len() > TOKEN_MAX {
        return Err(TokenError::Malformed);
    }
    let header = parts(token)?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let plain = header.keys().all(|name| ["alg", "kid", "typ"].contains(&name.as_str()));
    let typed = !header.contains_key("typ") || text("typ") == Some("JWT");
    if !plain || !typed || text("alg") != Some("HS256") {
        return Err(TokenError::Header);
    }
    text("kid").map(str::to_owned).ok_or(TokenError::Header)
}

/// # Errors
/// [`TokenError::Time`] for a token that is over, not begun, or ends before it begins.
pub(super) fn in_time(iat: i64, exp: i64, nbf: Option<i64>, now: Timestamp) -> Result<(), TokenError> {
    let now_s = now.as_second();
    let soon = now_s.saturating_add(LEEWAY_S);
    let ours = exp > now_s && iat <= soon && nbf.is_none_or(|nbf| nbf <= soon) && exp > iat;
    if ours { Ok(()) } else { Err(TokenError::Time) }
}

fn caller(claims: Claims, now: Timestamp) -> Result<Caller, TokenError> {
    in_time(claims.iat, claims.exp, claims.nbf, now)?;
    // Nothing of ours lives longer: one that does was made by somebody else.
    if claims.exp.saturating_sub(claims.iat) > APPLICATION.as_secs() {
        return Err(TokenError::Time);
    }
    if claims.aud != audience(claims.role) || claims.sub.is_empty() || claims.jti.is_empty() {
        return Err(TokenError::Claims);
    }
    let caller = match claims.role {
        role if role.is_operator() => Caller::operator(&claims.sub, role),
        Role::Tenant => Caller::tenant(&TenantId::parse(&claims.sub).map_err(|_| TokenError::Claims)?),
        _ => Caller::applicant(&RequestId::parse(&claims.sub).map_err(|_| TokenError::Claims)?),
    };
    let own = caller.tenant.as_ref().map(TenantId::as_str);
    if claims.tenant_id.as_deref() == own { Ok(caller) } else { Err(TokenError::Claims) }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
