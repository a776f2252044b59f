//! The REQUEST authorizer: a token in, one policy for exactly one method out.
//!
//! No token or a bad one is 401 (the error text `Unauthorized`, which API Gateway turns into one); a good token whose
//! role the route does not list is Deny (403). Nothing is cached by the gateway, and the policy names the exact method
//! ARN, so an Allow is never reused for another call. The role is checked again behind it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::permissions::Route;
use super::{Caller, Tokens};
use crate::secrets::SecretsError;

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

/// Decides about one request at `now` (wall clock).
///
/// # Errors
/// [`Unauthorized`] inside, the secret store's failure outside (a 500: nobody is locked out by name).
pub async fn authorize(
    tokens: &Tokens,
    event: &Event,
    now: Timestamp,
) -> Result<Result<Value, Unauthorized>, SecretsError> {
    let Some(token) = credential(event) else { return Ok(Err(Unauthorized)) };
    let verdict = tokens.verify(token, now).await.inspect_err(|error| tracing::error!(%error, "token keys"))?;
    let caller = match verdict {
        Ok(caller) => caller,
        Err(reason) => {
            tracing::info!(%reason, "token refused");
            return Ok(Err(Unauthorized));
        }
    };
    let permitted = Route::find(&event.http_method, &event.resource).is_some_and(|route| route.permits(caller.role));
    Ok(Ok(policy(&caller, &event.method_arn, permitted)))
}

fn policy(caller: &Caller, method_arn: &str, permitted: bool) -> Value {
    json!({
        "principalId": caller.actor_id(),
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{
                "Action": "execute-api:Invoke",
                "Effect": if permitted { "Allow" } else { "Deny" },
                "Resource": method_arn,
            }],
        },
        "context": caller.to_context(),
    })
}

/// The bearer token or, without one, the session cookie. A change by cookie needs the CSRF header.
fn credential(event: &Event) -> Option<&str> {
    if let Some(value) = header(event, "authorization")? {
        let (scheme, token) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(token);
    }
    let cookies = header(event, "cookie")??;
    let mut sessions = cookies.split(';').filter_map(|c| c.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='));
    let session = sessions.next().filter(|_| sessions.next().is_none())?;
    let safe = matches!(event.http_method.as_str(), "GET" | "HEAD");
    (safe || header(event, CSRF_HEADER).flatten().is_some()).then_some(session)
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
    use crate::auth::Role;
    use crate::auth::token::SESSION;
    use crate::secrets::testing::{FixedBits, FixedSecrets};
    use domain::ids::RequestId;
    use secrecy::ExposeSecret;
    use std::sync::Arc;

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

    fn ask(method: &str, resource: &str, headers: Value) -> Result<Value, Unauthorized> {
        let event = json!({"type": "REQUEST", "methodArn": ARN, "resource": resource, "httpMethod": method,
            "headers": headers, "multiValueHeaders": null, "pathParameters": null});
        let event: Event = serde_json::from_value(event).unwrap();
        futures::executor::block_on(authorize(&tokens(), &event, now())).unwrap()
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
                assert_eq!(answer["context"], Value::Object(caller.to_context()));
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
        let event: Event = serde_json::from_value(event).unwrap();
        assert_eq!(futures::executor::block_on(authorize(&tokens(), &event, now())).unwrap(), Err(Unauthorized));
    }

    #[test]
    fn a_cookie_reads_and_changes_only_with_the_csrf_header() {
        let cookie = format!("a=b; __Host-session={}", token(&Caller::operator("ops", Role::OpsAdmin)));
        assert_eq!(effect(&ask("GET", "/api/v1/ops/runs", json!({"cookie": cookie})).unwrap()), "Allow");
        assert_eq!(ask("POST", "/api/v1/ops/runs", json!({"cookie": cookie})), Err(Unauthorized));
        let headers = json!({"cookie": cookie, "X-Csrf-Protection": "1"});
        assert_eq!(effect(&ask("POST", "/api/v1/ops/runs", headers).unwrap()), "Allow");
    }
}
