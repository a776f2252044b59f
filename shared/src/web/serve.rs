//! The loop that turns platform events into [`Request`]s and answers back. Type-erased at the door: a binary only
//! contributes its handler.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, RequestExt};
use tracing::Instrument;

use super::cors::{self, Asked};
use super::{ApiError, Reply, Request};
use crate::auth::Caller;
use crate::auth::session::Session;
use crate::config::AllowedOrigins;
use crate::telemetry::metrics;

type Answer = Result<Reply, ApiError>;
type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Serves one endpoint of our own API until the platform ends the process.
///
/// # Errors
/// When the list of allowed origins is malformed, or the platform's runtime interface is gone.
pub async fn serve<A, F, Fut>(app: A, handle: F) -> Result<(), Error>
where
    A: Send + Sync + 'static,
    F: Fn(&'static A, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    // One process serves one app for its whole life.
    let app: &'static A = Box::leak(Box::new(app));
    let origins = AllowedOrigins::from_environment()?;
    run(Arc::new(move |request| handle(app, request).boxed()), Some(origins)).await
}

/// Like [`serve`], without the card guard on path and query, and without a word to browsers: gateway events are not
/// our API.
///
/// # Errors
/// When the platform's runtime interface is gone.
pub async fn serve_webhook<A, F, Fut>(app: A, handle: F) -> Result<(), Error>
where
    A: Send + Sync + 'static,
    F: Fn(&'static A, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let app: &'static A = Box::leak(Box::new(app));
    run(Arc::new(move |request| handle(app, request).boxed()), None).await
}

/// `lambda_http` decodes the body and takes a byte order mark away: a sheet's goes out twice, so that one arrives.
const BOM: char = '\u{feff}';

/// `origins` are of our own API; what serves gateways has none.
async fn run(handler: Handler, origins: Option<AllowedOrigins>) -> Result<(), Error> {
    let origins = Arc::new(origins);
    let service = lambda_http::service_fn(move |event: lambda_http::Request| {
        let (handler, origins) = (Arc::clone(&handler), Arc::clone(&origins));
        async move {
            let request = read(event);
            let asked = Asked::of(&request.method, &request.headers);
            let mut reply = answer(&handler, request, origins.is_some()).await;
            if let Some(origins) = origins.as_ref() {
                cors::decorate(origins, asked, &mut reply);
            }
            let mut text = String::from_utf8_lossy(&reply.body).into_owned();
            if text.starts_with(BOM) {
                text.insert(0, BOM);
            }
            let mut response = lambda_http::Response::new(Body::Text(text));
            *response.status_mut() = reply.status;
            *response.headers_mut() = reply.headers;
            Ok::<_, Error>(response)
        }
    });
    lambda_http::run(service).await
}

/// Calls the handler and renders whatever comes back, a panic included.
async fn answer(handler: &Handler, request: Request, guarded: bool) -> Reply {
    let id = request.request_id.clone();
    let (method, path) = (request.method.clone(), request.path_shape());
    let span = tracing::info_span!("request", request_id = %id);
    async {
        let result = match if guarded { request.guard_uri() } else { Ok(()) } {
            Ok(()) => AssertUnwindSafe(handler(request))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(ApiError::internal("the handler panicked"))),
            Err(refused) => Err(refused),
        };
        match result {
            Ok(reply) => reply.with_request_id(&id),
            Err(error) => {
                if error.status() >= 500 {
                    let (status, code) = (error.status(), error.code());
                    tracing::error!(%method, path, status, code, causes = error.causes(), "request failed");
                    metrics::server_error(code);
                }
                error.into_reply(&id).with_request_id(&id)
            }
        }
    }
    .instrument(span)
    .await
}

/// Copies what handlers need out of the platform's types.
pub(super) fn read(event: lambda_http::Request) -> Request {
    let context = event.lambda_context_ref();
    let request_id = context.map(|c| c.request_id.clone()).unwrap_or_default();
    let deadline = context
        .and_then(|c| Timestamp::from_millisecond(i64::try_from(c.deadline).ok()?).ok())
        .unwrap_or(Timestamp::MAX);
    let platform = event.request_context_ref();
    let authorizer = platform.and_then(RequestContext::authorizer);
    let caller = authorizer.and_then(|a| Caller::from_context(&a.fields));
    let session = authorizer.and_then(|a| Session::from_context(&a.fields));
    let source_ip = match platform {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.clone(),
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
        _ => None,
    };
    let pairs = |map: Option<&lambda_http::aws_lambda_events::query_map::QueryMap>| {
        map.map(|m| m.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()).unwrap_or_default()
    };
    let (query, path_params) = (pairs(event.query_string_parameters_ref()), pairs(event.path_parameters_ref()));
    let path = event.raw_http_path().to_owned();
    let (parts, body) = event.into_parts();
    Request {
        method: parts.method,
        path,
        path_params,
        query,
        headers: parts.headers,
        body: body.to_vec(),
        caller,
        session,
        request_id,
        deadline,
        source_ip: source_ip.unwrap_or_default(),
    }
}

impl Request {
    /// The path with its parameters by name, fit for a log line: `/billing/subscriptions/{id}`.
    fn path_shape(&self) -> String {
        let shape = self.path.split('/').map(|segment| {
            let parameter = self.path_params.iter().find(|(_, value)| value == segment);
            parameter.map_or_else(|| segment.to_owned(), |(name, _)| format!("{{{name}}}"))
        });
        shape.collect::<Vec<_>>().join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::said;
    use serde_json::{Value, json};

    const REST: &str = r#"{"resource":"/api/v1/billing/subscriptions/{id}","path":"/api/v1/billing/subscriptions/sub_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "httpMethod":"POST","headers":{"content-type":"application/json","Idempotency-Key":"k"},"multiValueHeaders":{"content-type":["application/json"],"idempotency-key":["k"]},
        "queryStringParameters":{"limit":"5"},"multiValueQueryStringParameters":{"limit":["5"]},
        "pathParameters":{"id":"sub_01ARZ3NDEKTSV4RRFFQ69G5FAV"},"stageVariables":null,"version":"1.0",
        "requestContext":{"stage":"local","httpMethod":"POST","resourcePath":"/api/v1/billing/subscriptions/{id}","identity":{"sourceIp":"127.0.0.1","userAgent":"t"},
          "authorizer":{"principalId":"ops","actorKind":"OPERATOR","actor":"ops","role":"OPS_ADMIN","integrationLatency":3}},
        "body":"{\"a\":1}","isBase64Encoded":false}"#;

    const FUNCTION_URL: &str = r#"{"version":"2.0","routeKey":"$default","rawPath":"/api/v1/billing/payments/webhook/toss","rawQueryString":"",
        "headers":{"content-type":"application/json"},
        "requestContext":{"accountId":"anonymous","apiId":"x","domainName":"x","domainPrefix":"x","requestId":"r","routeKey":"$default","stage":"$default",
          "time":"22/Nov/2026:00:00:00 +0000","timeEpoch":1,"http":{"method":"POST","path":"/api/v1/billing/payments/webhook/toss","protocol":"HTTP/1.1","sourceIp":"10.0.0.9","userAgent":"t"}},
        "body":"eyJhIjoxfQ==","isBase64Encoded":true}"#;

    fn handler(answer: fn(Request) -> Answer) -> Handler {
        Arc::new(move |request| futures::future::lazy(move |_| answer(request)).boxed())
    }

    #[test]
    fn reads_a_rest_event() {
        let request = read(lambda_http::request::from_str(REST).unwrap());
        assert_eq!(request.path, "/api/v1/billing/subscriptions/sub_01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(request.path_param("id"), Some("sub_01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_eq!(request.page().unwrap().limit, 5);
        assert_eq!(request.idempotency_key().unwrap(), Some("k"));
        assert_eq!((request.body.as_slice(), request.source_ip.as_str()), (&b"{\"a\":1}"[..], "127.0.0.1"));
        assert_eq!(request.caller.as_ref().unwrap(), &Caller::operator("ops", crate::auth::Role::OpsAdmin));
        assert_eq!(request.path_shape(), "/api/v1/billing/subscriptions/{id}");
    }

    #[test]
    fn reads_a_function_url_event() {
        let request = read(lambda_http::request::from_str(FUNCTION_URL).unwrap());
        assert_eq!(request.path, "/api/v1/billing/payments/webhook/toss");
        assert_eq!((request.body.as_slice(), request.source_ip.as_str()), (&b"{\"a\":1}"[..], "10.0.0.9"));
        assert!(request.caller.is_none());
    }

    #[test]
    fn a_panic_is_an_answer() {
        let request = Request { request_id: "r-9".to_owned(), ..Request::default() };
        let reply = futures::executor::block_on(answer(&handler(|_| panic!("secret")), request, true));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status.as_u16(), &body["code"]), (500, &json!("internal_error")));
        assert_eq!((&body["requestId"], reply.headers["x-request-id"].to_str().unwrap()), (&json!("r-9"), "r-9"));
        assert!(!body.to_string().contains("secret"));
    }

    #[test]
    fn a_failure_of_ours_is_measured_and_a_refusal_is_not() {
        let answered = |answer_with: fn(Request) -> Answer| {
            let handler = handler(answer_with);
            said(|| drop(futures::executor::block_on(answer(&handler, Request::default(), true))))
        };
        assert_eq!(answered(|_| panic!("secret")), ["ServerErrors 1 Code=internal_error"]);
        assert_eq!(
            answered(|_| Err(ApiError::new(503, "gateway_paused", "Later."))),
            ["ServerErrors 1 Code=gateway_paused"]
        );
        assert!(answered(|_| Err(ApiError::not_found())).is_empty());
        assert!(answered(|_| Ok(Reply::empty(204))).is_empty());
    }

    #[test]
    fn the_guard_runs_before_the_handler() {
        let request = || Request { query: vec![("q".to_owned(), "4242424242424242".to_owned())], ..Request::default() };
        let ok = handler(|_| Ok(Reply::empty(204)));
        assert_eq!(futures::executor::block_on(answer(&ok, request(), true)).status.as_u16(), 422);
        assert_eq!(futures::executor::block_on(answer(&ok, request(), false)).status.as_u16(), 204);
    }
}
