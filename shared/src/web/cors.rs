//! What a browser is told about pages of other origins (CORS): leave by exact origin, or nothing at all.
//!
//! Invariants: an origin is echoed only when it is on the list; never `*`, never `null`; an answer always says that it
//! varies by origin, so that no cache gives one origin's leave to another. Refusing is silence: the browser then keeps
//! the answer from the page. It guards people's browsers, not us: roles are the authorizer's.

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};

use super::Reply;
use crate::config::AllowedOrigins;

/// Every verb a route of ours may have; whether the route has it, the request itself will tell.
const METHODS: &str = "GET, POST, PATCH, DELETE";
/// What a page may send beyond the plain headers.
const TAKEN: &str = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Csrf-Protection";
/// What a page may read beyond the plain headers.
const SHOWN: &str = "Content-Disposition, ETag, Retry-After, WWW-Authenticate, X-Next-Cursor, X-Request-Id";
/// Seconds a browser may remember a preflight: a change of the list is felt soon.
const REMEMBERED: &str = "600";

/// What was asked that decides it, kept apart because a handler consumes its request.
pub(super) struct Asked {
    preflight: bool,
    origin: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Asked {
        let mut origins = headers.get_all(ORIGIN).iter();
        // A browser sends one. Two are somebody's trick.
        let origin = origins.next().filter(|_| origins.next().is_none()).cloned();
        Asked { preflight: *method == Method::OPTIONS, origin }
    }
}

/// Adds to an answer what the asking page may do with it.
pub(super) fn decorate(allowed: &AllowedOrigins, asked: Asked, reply: &mut Reply) {
    reply.headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = asked.origin.filter(|origin| origin.to_str().is_ok_and(|text| allowed.allows(text))) else {
        return;
    };
    reply.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let mut say = |name: HeaderName, value| reply.headers.insert(name, HeaderValue::from_static(value));
    say(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    if asked.preflight {
        say(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        say(ACCESS_CONTROL_ALLOW_HEADERS, TAKEN);
        say(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    } else {
        say(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::authorizer::CSRF_HEADER;
    use crate::auth::permissions::Route;

    fn answered(method: Method, origins: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        let mut reply = Reply::empty(204);
        decorate(&AllowedOrigins::of(&["https://portal.example.kr"]), Asked::of(&method, &headers), &mut reply);
        reply.headers
    }

    #[test]
    fn an_allowed_page_may_read_the_answer() {
        let headers = answered(Method::GET, &["https://portal.example.kr"]);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://portal.example.kr");
        assert_eq!(
            (&headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], &headers[VARY]),
            (&"true".parse().unwrap(), &"Origin".parse().unwrap())
        );
        assert!(
            headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS) && !headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS)
        );
    }

    #[test]
    fn any_other_page_is_told_nothing() {
        for origins in [&[][..], &["null"], &["https://evil.test"], &["https://portal.example.kr", "https://evil.test"]]
        {
            for method in [Method::GET, Method::OPTIONS] {
                let headers = answered(method, origins);
                assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{origins:?}");
                assert_eq!(headers[VARY], "Origin", "{origins:?}");
            }
        }
    }

    #[test]
    fn a_preflight_says_what_the_api_takes() {
        let headers = answered(Method::OPTIONS, &["https://portal.example.kr"]);
        let methods: Vec<_> = headers[ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().split(", ").collect();
        for route in Route::ALL {
            assert!(methods.contains(&route.method().as_str()), "{route:?}");
        }
        let taken = headers[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().to_ascii_lowercase();
        assert!(taken.split(", ").any(|name| name == CSRF_HEADER));
    }
}
