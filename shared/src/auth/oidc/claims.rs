//! What a provider's token says, and whom that makes the caller here.

use std::fmt;

use domain::ids::TenantId;
use jsonwebtoken::Validation;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::keys::Key;
use super::{Settings, TokenError};
use crate::auth::token::reason;
use crate::auth::{Caller, Role};

/// Longest subject: it stands in the audit log.
const SUBJECT_MAX: usize = 128;

/// The claims, each said once.
#[derive(Clone)]
pub(super) struct Claims(Map<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim said twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// The claims of a token this key signed for this issuer. Time and audience are not looked at.
pub(super) fn signed(token: &str, key: &Key, issuer: &str) -> Result<Claims, TokenError> {
    let mut rules = Validation::new(key.algorithm);
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules.validate_aud = false;
    rules.set_issuer(&[issuer]);
    rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    let data = jsonwebtoken::decode::<Claims>(token, &key.key, &rules).map_err(|error| reason(&error))?;
    // The library takes one of several issuers; ours writes one.
    let claims = data.claims;
    if claims.text("iss") == Some(issuer) { Ok(claims) } else { Err(TokenError::Claims) }
}

impl Claims {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A claim that says something: null, an empty text and an empty list say nothing.
    fn said(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
        })
    }

    fn second(&self, name: &str) -> Result<i64, TokenError> {
        self.0.get(name).and_then(Value::as_i64).filter(|second| *second >= 0).ok_or(TokenError::Claims)
    }

    /// When it was issued and when it ends, in epoch seconds.
    pub(super) fn times(&self) -> Result<(i64, i64), TokenError> {
        Ok((self.second("iat")?, self.second("exp")?))
    }

    pub(super) fn not_before(&self) -> Result<Option<i64>, TokenError> {
        if self.0.contains_key("nbf") { self.second("nbf").map(Some) } else { Ok(None) }
    }

    /// The one audience; none when there are several.
    fn audience(&self) -> Option<&str> {
        match self.0.get("aud")? {
            Value::String(audience) => Some(audience),
            Value::Array(audiences) => match audiences.as_slice() {
                [Value::String(audience)] => Some(audience),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whom a token speaks for.
    pub(super) fn caller(&self, settings: &Settings) -> Result<Caller, TokenError> {
        let subject = self.text("sub").unwrap_or_default();
        let nameable = (1..=SUBJECT_MAX).contains(&subject.len()) && subject.bytes().all(|b| b.is_ascii_graphic());
        let (role, tenant) = (self.said(&settings.role_claim), self.said(&settings.tenant_claim));
        let audience = self.audience().ok_or(TokenError::Claims)?;
        let presented = self.0.get("azp").is_none_or(|party| party.as_str() == Some(audience));
        if !nameable || !presented {
            return Err(TokenError::Claims);
        }
        match (role, tenant) {
            (Some(said), None) if audience == settings.staff_audience => {
                let role = allowed(said, &settings.roles).ok_or(TokenError::Claims)?;
                // Names of our own accounts have no colon: nobody can be given one of them.
                Ok(Caller::operator(&format!("oidc:{subject}"), role))
            }
            (None, Some(Value::String(tenant))) if audience == settings.tenant_audience => {
                TenantId::parse(tenant).map(|id| Caller::tenant(&id)).map_err(|_| TokenError::Claims)
            }
            _ => Err(TokenError::Claims),
        }
    }
}

/// The first role of the list whose word was said.
fn allowed(said: &Value, roles: &[(String, Role)]) -> Option<Role> {
    let has = |word: &str| match said {
        Value::String(text) => text == word,
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(word)),
        _ => false,
    };
    roles.iter().find(|(word, _)| has(word)).map(|(_, role)| *role)
}
