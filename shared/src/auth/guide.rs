//! The token in the address of a payment guide: it opens one page about one subscription, and nothing else.
//!
//! It has an audience of its own and no role, so the authorizer refuses it; it names a subscription and an end, and
//! nothing about a person. Who has the address sees what is owed; nobody can change anything with it.

use domain::ids::SubscriptionId;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::token::{ISSUER, TokenError, TokenKey, in_time, sign, signed};

const AUDIENCE: &str = "payment-guides";
/// A guide is read within days; a later outage sends a new one.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(14 * 24);

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    /// The subscription.
    sub: String,
    iat: i64,
    exp: i64,
}

/// # Errors
/// [`TokenError`] when it cannot be signed, which is a bug.
pub fn mint(id: &SubscriptionId, now: Timestamp, key: &TokenKey) -> Result<SecretString, TokenError> {
    let iat = now.as_second();
    let (iss, aud) = (ISSUER.to_owned(), AUDIENCE.to_owned());
    sign(&Claims { iss, aud, sub: id.to_string(), iat, exp: iat.saturating_add(LIFETIME.as_secs()) }, key)
}

/// The subscription a token names, at `now` (wall clock).
///
/// # Errors
/// Anything that is not exactly a live guide token of ours.
pub fn verify(token: &str, keys: &[TokenKey], now: Timestamp) -> Result<SubscriptionId, TokenError> {
    let claims: Claims = signed(token, keys, &[AUDIENCE])?;
    in_time(claims.iat, claims.exp, None, now)?;
    SubscriptionId::parse(&claims.sub).map_err(|_| TokenError::Claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Caller, Role, token};
    use domain::ids::RequestId;
    use secrecy::ExposeSecret;

    fn key() -> TokenKey {
        TokenKey { kid: "1".to_owned(), key: SecretString::from("current-key-current-key-current-00") }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn request() -> RequestId {
        RequestId::parse("req_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
    }

    #[test]
    fn it_opens_its_subscription_until_it_ends() {
        let id = request().subscription();
        let token = mint(&id, at(0), &key()).unwrap();
        let text = token.expose_secret();
        assert!(text.len() < 330, "{} bytes: it stands in an address", text.len());
        let end = LIFETIME.as_secs();
        assert_eq!(verify(text, &[key()], at(end - 1)), Ok(id));
        assert_eq!(verify(text, &[key()], at(end)), Err(TokenError::Time));
        assert_eq!(verify(text, &[key()], at(-60)), Err(TokenError::Time));
        let other = TokenKey { key: SecretString::from("another-key-another-key-another-00"), ..key() };
        assert_eq!(verify(text, &[other], at(0)), Err(TokenError::Signature));
        let forged = format!("{}x", text);
        assert!(verify(&forged, &[key()], at(0)).is_err());
    }

    #[test]
    fn it_is_no_log_in_and_a_log_in_is_no_guide() {
        let guide = mint(&request().subscription(), at(0), &key()).unwrap();
        assert!(token::verify(guide.expose_secret(), &[key()], at(1)).is_err());
        for caller in [
            Caller::operator("ops", Role::OpsAdmin),
            Caller::tenant(&request().tenant()),
            Caller::applicant(&request()),
        ] {
            let (login, _) = token::mint(&caller, "j".to_owned(), at(0), token::SESSION, &key()).unwrap();
            assert!(verify(login.expose_secret(), &[key()], at(1)).is_err());
        }
    }
}
