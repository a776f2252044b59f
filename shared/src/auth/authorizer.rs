//! The REQUEST authorizer: a token in, one policy for exactly one method out.
//!
//! No token, a bad one or one whose session was ended is 401 (the error text `Unauthorized`, which API Gateway turns into
//! one); a good token whose role the route does not list, and a change by cookie without the CSRF proof, is Deny (403).
//! Nothing is cached, neither by the gateway nor here: whether a session was ended is read for each request (one
//! consistent read of one or two rows), so that leaving takes effect at once. The policy names the exact method ARN, so an
//! Allow is never reused for another call. The role is checked again behind it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Tokens;
use super::oidc::{self, Oidc, ProviderUnavailable};
use super::permissions::Route;
use super::session::{Verified, is_over};
use super::token::TokenError;
use crate::secrets::SecretsError;
use crate::store::{Store, StoreError};

/// Name of the operators' session cookie; the prefix makes browsers insist on Secure, no Domain and Path=/.
pub const SESSION_COOKIE: &str = "__Host-session";
/// A page calling with the cookie sends this header on every change: another site cannot without our permission.
pub const CSRF_HEADER: &str = "x-csrf-protection";

/// The part of the REQUEST event that decides. No `Debug`: it carries the token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    method_arn: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    http_method: String,
    #[serde(default)]
    headers: Option<HashMap<String, Option<String>>>,
    #[serde(default)]
    multi_value_headers: Option<HashMap<String, Option<Vec<String>>>>,
}

/// The caller must prove who they are. Displays as the one text API Gateway answers 401 to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unauthorized")]
pub struct Unauthorized;

/// A failure of ours: a 500, because nobody may be let in and nobody is locked out by name.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    #[error("token keys")]
    Keys(#[from] SecretsError),
    #[error("sessions")]
    Store(#[from] StoreError),
    #[error("keys of the identity provider")]
    Provider(#[from] ProviderUnavailable),
}

/// What decides about requests.
pub struct Authorizer {
    pub tokens: Tokens,
    /// The OpenID provider's tokens, where the stage has one.
    pub oidc: Option<Oidc>,
    pub store: Arc<dyn Store>,
}

impl Authorizer {
    /// Decides about one request at `now` (wall clock).
    ///
    /// # Errors
    /// [`Unauthorized`] inside, [`AuthorizeError`] outside.
    pub async fn authorize(
        &self,
        event: &Event,
        now: Timestamp,
    ) -> Result<Result<Value, Unauthorized>, AuthorizeError> {
        let Some(credential) = credential(event) else { return Ok(Err(Unauthorized)) };
        let verdict = self.verify(credential.token, now).await;
        let verified = match verdict.inspect_err(|error| tracing::error!(%error, "keys of tokens"))? {
            Ok(verified) => verified,
            Err(reason) => {
                tracing::info!(%reason, "token refused");
                return Ok(Err(Unauthorized));
            }
        };
        let over = is_over(self.store.as_ref(), &verified).await;
        if over.inspect_err(|error| tracing::error!(%error, "sessions"))? {
            tracing::info!("the session was ended");
            return Ok(Err(Unauthorized));
        }
        let route = Route::find(&event.http_method, &event.resource);
        let permitted = credential.proved && route.is_some_and(|route| route.permits(verified.caller.role));
        Ok(Ok(policy(&verified, &event.method_arn, permitted)))
    }
}

impl Authorizer {
    /// Each token is looked at by one verifier: ours are HS256, a provider's never.
    async fn verify(&self, token: &str, now: Timestamp) -> Result<Result<Verified, TokenError>, AuthorizeError> {
        match &self.oidc {
            Some(provider) if oidc::is_foreign(token) => Ok(provider.verify(token, now).await?),
            _ => Ok(self.tokens.verify(token, now).await?),
        }
    }
}

fn policy(verified: &Verified, method_arn: &str, permitted: bool) -> Value {
    let mut context = verified.caller.to_context();
    verified.session.add_to(&mut context);
    json!({
        "principalId": verified.caller.actor_id(),
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{
                "Action": "execute-api:Invoke",
                "Effect": if permitted { "Allow" } else { "Deny" },
                "Resource": method_arn,
            }],
        },
        "context": context,
    })
}

/// A token, and whether the request proves that it was meant.
struct Credential<'a> {
    token: &'a str,
    proved: bool,
}

/// The bearer token or, without one, the session cookie. A browser sends the cookie by itself, so a change by cookie needs
/// proof that one of our own pages made it: the CSRF header, which another site cannot send without our permission, and
/// no word of the browser that another site asked.
fn credential(event: &Event) -> Option<Credential<'_>> {
    if let Some(value) = header(event, "authorization")? {
        let (scheme, token) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(Credential { token, proved: true });
    }
    let cookies = header(event, "cookie")??;
    let mut sessions = cookies.split(';').filter_map(|c| c.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='));
    let token = sessions.next().filter(|_| sessions.next().is_none())?;
    let safe = matches!(event.http_method.as_str(), "GET" | "HEAD");
    let stated = header(event, CSRF_HEADER).flatten().is_some_and(|value| !value.trim().is_empty());
    let foreign = header(event, "sec-fetch-site").flatten() == Some("cross-site");
    Some(Credential { token, proved: safe || (stated && !foreign) })
}

/// `None` when the header came more than once (which one counts is a matter of taste, so none does), `Some(None)` when
/// it is absent.
fn header<'a>(event: &'a Event, name: &str) -> Option<Option<&'a str>> {
    let many = event.multi_value_headers.iter().flatten().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    if many.filter_map(|(_, values)| values.as_ref()).map(Vec::len).sum::<usize>() > 1 {
        return None;
    }
    let mut single = event.headers.iter().flatten().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let value = single.next().and_then(|(_, value)| value.as_deref());
    single.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::log_out::log_out;
    use crate::auth::token::SESSION;
    use crate::auth::{Caller, Role};
    use crate::ports::Context;
    use crate::secrets::testing::{FixedBits, FixedSecrets};
    use crate::store::MemoryStore;
    use domain::ids::RequestId;
    use secrecy::ExposeSecret;

    const ARN: &str = "arn:aws:execute-api:ap-northeast-2:123456789012:api/local/GET/api/v1/ops/runs";

    fn now() -> Timestamp {
        "2026-12-01T00:00:00Z".parse().unwrap()
    }

    fn tokens() -> Tokens {
        Tokens::new(Arc::new(FixedSecrets::local()), Arc::new(FixedBits(7)))
    }

    fn token(caller: &Caller) -> String {
        let minted = futures::executor::block_on(tokens().mint(caller, now(), SESSION)).unwrap();
        minted.token.expose_secret().to_owned()
    }

    fn decide(event: Value, store: &Arc<MemoryStore>) -> Result<Value, Unauthorized> {
        let event: Event = serde_json::from_value(event).unwrap();
        let authorizer = Authorizer { tokens: tokens(), oidc: None, store: store.clone() };
        futures::executor::block_on(authorizer.authorize(&event, now())).unwrap()
    }

    fn ask(method: &str, resource: &str, headers: Value) -> Result<Value, Unauthorized> {
        ask_after(&Arc::default(), method, resource, headers)
    }

    /// Asks with what `store` knows of sessions.
    fn ask_after(
        store: &Arc<MemoryStore>,
        method: &str,
        resource: &str,
        headers: Value,
    ) -> Result<Value, Unauthorized> {
        let event = json!({"type": "REQUEST", "methodArn": ARN, "resource": resource, "httpMethod": method,
            "headers": headers, "multiValueHeaders": null, "pathParameters": null});
        decide(event, store)
    }

    fn effect(answer: &Value) -> &str {
        answer["policyDocument"]["Statement"][0]["Effect"].as_str().unwrap()
    }

    #[test]
    fn the_table_decides_for_every_role_and_route() {
        let id = RequestId::parse("req_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        for role in Role::ALL {
            let caller = match role {
                Role::Tenant => Caller::tenant(&id.tenant()),
                Role::Applicant => Caller::applicant(&id),
                _ => Caller::operator("ops", role),
            };
            let bearer = json!({"Authorization": format!("Bearer {}", token(&caller))});
            for route in Route::ALL {
                let answer = ask(route.method().as_str(), route.path(), bearer.clone()).unwrap();
                assert_eq!(effect(&answer) == "Allow", route.permits(role), "{role:?} {route:?}");
                assert_eq!(answer["policyDocument"]["Statement"][0]["Resource"], ARN);
                let context = answer["context"].as_object().unwrap();
                assert!(caller.to_context().iter().all(|(name, value)| context.get(name) == Some(value)));
                assert_eq!(context["session"].as_str().map(str::len), Some(64));
            }
            assert_eq!(effect(&ask("GET", "/api/v1/unknown", bearer).unwrap()), "Deny");
        }
    }

    #[test]
    fn no_or_bad_credentials_are_unauthorized() {
        let good = token(&Caller::operator("ops", Role::OpsAdmin));
        for headers in [
            json!(null),
            json!({}),
            json!({"authorization": null}),
            json!({"authorization": good}),
            json!({"authorization": format!("Basic {good}")}),
            json!({"authorization": format!("Bearer  {good}")}),
            json!({"authorization": format!("Bearer {good}, Bearer {good}")}),
            json!({"authorization": "Bearer x.y.z"}),
            json!({"authorization": "Bearer x", "cookie": format!("__Host-session={good}")}),
            json!({"cookie": format!("session={good}")}),
            json!({"cookie": format!("__Host-session={good}; __Host-session={good}")}),
        ] {
            assert_eq!(ask("GET", "/api/v1/ops/runs", headers.clone()), Err(Unauthorized), "{headers}");
        }
        assert_eq!(Unauthorized.to_string(), "Unauthorized");
        assert!(ask("GET", "/api/v1/ops/runs", json!({"AUTHORIZATION": format!("bearer {good}")})).is_ok());
    }

    #[test]
    fn repeated_authorization_headers_are_refused() {
        let good = token(&Caller::operator("ops", Role::OpsAdmin));
        let bearer = format!("Bearer {good}");
        let event = json!({"methodArn": ARN, "resource": "/api/v1/ops/runs", "httpMethod": "GET",
            "headers": {"Authorization": bearer}, "multiValueHeaders": {"Authorization": [bearer, bearer]}});
        assert_eq!(decide(event, &Arc::default()), Err(Unauthorized));
    }

    #[test]
    fn a_cookie_reads_and_changes_only_with_the_csrf_header() {
        let cookie = format!("a=b; __Host-session={}", token(&Caller::operator("ops", Role::OpsAdmin)));
        assert_eq!(effect(&ask("GET", "/api/v1/ops/runs", json!({"cookie": cookie})).unwrap()), "Allow");
        for proof in [
            json!({"cookie": cookie}),
            json!({"cookie": cookie, "x-csrf-protection": ""}),
            json!({"cookie": cookie, "x-csrf-protection": " "}),
            json!({"cookie": cookie, "x-csrf-protection": "1", "Sec-Fetch-Site": "cross-site"}),
        ] {
            assert_eq!(effect(&ask("POST", "/api/v1/ops/runs", proof.clone()).unwrap()), "Deny", "{proof}");
            assert_eq!(effect(&ask("POST", "/api/v1/auth/logout", proof.clone()).unwrap()), "Deny", "{proof}");
        }
        let headers = json!({"cookie": cookie, "X-Csrf-Protection": "1", "sec-fetch-site": "same-origin"});
        assert_eq!(effect(&ask("POST", "/api/v1/ops/runs", headers).unwrap()), "Allow");
        let bad = json!({"cookie": "__Host-session=x.y.z"});
        assert_eq!(ask("POST", "/api/v1/ops/runs", bad), Err(Unauthorized), "a bad token is one before anything else");
    }

    #[test]
    fn an_ended_session_is_let_in_nowhere() {
        let store: Arc<MemoryStore> = Arc::default();
        let caller = Caller::operator("ops", Role::OpsAdmin);
        let token = token(&caller);
        let bearer = json!({"authorization": format!("Bearer {token}")});
        assert!(ask_after(&store, "GET", "/api/v1/ops/runs", bearer.clone()).is_ok());
        let verified = futures::executor::block_on(tokens().verify(&token, now())).unwrap().unwrap();
        let context = Context { now: now(), actor: caller.actor.clone() };
        let ending = log_out(store.as_ref(), &FixedBits(9), &context, &caller, &verified.session);
        futures::executor::block_on(ending).unwrap();
        for route in Route::ALL {
            let answer = ask_after(&store, route.method().as_str(), route.path(), bearer.clone());
            assert_eq!(answer, Err(Unauthorized), "{route:?}");
        }
    }
}
