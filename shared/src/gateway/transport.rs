//! HTTP transport shared by the adapters: one prepared [`Call`], one [`send`], one [`Reply`].
//!
//! Invariants: a call is sent at most once, because nothing here or below repeats a POST (hyper may move a request to a
//! fresh connection only while none of its bytes was written); no error, log line or `Debug` carries a URL, a header
//! value or a body, since URLs hold billing keys and headers hold API keys; an answer is bounded in size and time.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, Method, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Whole time of a charge: Toss may take 60 s.
pub(super) const CHARGE: Duration = Duration::from_secs(65);
/// Whole time of a lookup.
pub(super) const LOOKUP: Duration = Duration::from_secs(15);
/// Whole time of everything else.
pub(super) const OTHER: Duration = Duration::from_secs(30);

const CONNECT: Duration = Duration::from_secs(5);
/// A frozen environment must not wake up to sockets the gateway closed long ago.
const IDLE: Duration = Duration::from_secs(20);
/// Largest answer read. A full page of 100 PaymentIntents stays well below it.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Builds the process's one HTTP client, trusting the roots compiled in.
///
/// # Errors
/// When the TLS backend cannot start.
pub fn client() -> Result<Client, reqwest::Error> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root));
    Client::builder()
        .tls_certs_only(roots.collect::<Result<Vec<_>, _>>()?)
        .retry(retry::never())
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(CHARGE)
        .pool_idle_timeout(IDLE)
        .referer(false)
        .no_proxy()
        .build()
        .map_err(reqwest::Error::without_url)
}

/// A request, rendered and not yet sent. Deliberately without `Debug`.
pub(super) struct Call {
    /// For logs.
    pub operation: &'static str,
    pub verb: Method,
    pub url: String,
    pub authorization: SecretString,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Body>,
    pub timeout: Duration,
}

pub(super) struct Body {
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

/// What came back, whatever it says.
pub(super) struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Nothing complete came back: refused, reset, cut off or timed out. The request may have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

impl Reply {
    /// The body, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends once and reads the whole answer.
pub(super) async fn send(client: &Client, call: Call) -> Result<Reply, NoAnswer> {
    let operation = call.operation;
    match exchange(client, call).await {
        Ok((reply, trace)) => {
            tracing::info!(operation, status = reply.status, trace, "gateway answered");
            Ok(reply)
        }
        Err(kind) => {
            tracing::warn!(operation, kind, "gateway gave no answer");
            Err(NoAnswer)
        }
    }
}

async fn exchange(client: &Client, call: Call) -> Result<(Reply, Option<String>), &'static str> {
    let mut authorization =
        HeaderValue::from_str(call.authorization.expose_secret()).map_err(|_| "key is no header value")?;
    authorization.set_sensitive(true);
    let mut request = client.request(call.verb, call.url).header(AUTHORIZATION, authorization).timeout(call.timeout);
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    if let Some(body) = call.body {
        request = request.header(CONTENT_TYPE, body.content_type).body(body.bytes);
    }
    let mut response = request.send().await.map_err(kind)?;
    let status = response.status().as_u16();
    let trace = trace(&response);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(kind)? {
        if body.len().saturating_add(chunk.len()) > MAX_BODY {
            return Err("answer too large");
        }
        body.extend_from_slice(&chunk);
    }
    Ok((Reply { status, body }, trace))
}

/// The gateway's own id of this exchange, which its support asks for.
fn trace(response: &reqwest::Response) -> Option<String> {
    let header = ["x-tosspayments-trace-id", "request-id"].iter().find_map(|name| response.headers().get(*name))?;
    header.to_str().ok().map(|text| text.chars().take(80).collect())
}

/// What kind of failure it was. Only this word survives of the error: its text and sources name the URL.
fn kind(error: reqwest::Error) -> &'static str {
    let error = error.without_url();
    match () {
        () if error.is_timeout() => "timeout",
        () if error.is_connect() => "connect",
        () if error.is_builder() => "request cannot be built",
        () if error.is_body() || error.is_decode() => "answer cut off",
        () => "connection lost",
    }
}

/// `base` and `path`, whatever slash the base ends with.
pub(super) fn url(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

/// One path segment: everything but unreserved characters is percent-encoded.
pub(super) fn segment(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_builds_with_the_compiled_roots() {
        assert!(client().is_ok());
    }

    const SECRET: &str = "hush-hush";

    fn secret_call(base: &str, timeout: Duration) -> Call {
        Call {
            operation: "test.charge",
            verb: Method::POST,
            url: url(base, &format!("/v1/billing/{SECRET}")),
            authorization: SecretString::from(format!("Basic {SECRET}")),
            headers: vec![("Idempotency-Key", SECRET.to_owned())],
            body: Some(Body { content_type: "application/json", bytes: SECRET.into() }),
            timeout,
        }
    }

    /// Runs one send with everything logged at any level, and returns the log.
    async fn logged(call: Call) -> (Result<Reply, NoAnswer>, String) {
        let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer({
            let log = std::sync::Arc::clone(&log);
            move || Shared(std::sync::Arc::clone(&log))
        });
        let guard = tracing::subscriber::set_default(subscriber.finish());
        let outcome = send(&client().unwrap(), call).await;
        drop(guard);
        let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        (outcome, text)
    }

    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_times_out_and_no_secret_is_logged() {
        // Bound and never accepted: the connection opens in the backlog, and nobody answers.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (outcome, log) = logged(secret_call(&base, Duration::from_millis(50))).await;
        assert_eq!(outcome.err(), Some(NoAnswer));
        assert!(log.contains("timeout") && log.contains("test.charge"), "{log}");
        assert!(!log.contains(SECRET), "{log}");
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer_and_no_secret_is_logged() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let (outcome, log) = logged(secret_call(&base, OTHER)).await;
        assert_eq!(outcome.err(), Some(NoAnswer));
        assert!(log.contains("connect") && !log.contains(SECRET), "{log}");
    }

    #[tokio::test]
    async fn a_key_that_fits_no_header_is_not_sent() {
        let broken =
            Call { authorization: SecretString::from("Bearer a\nb"), ..secret_call("http://127.0.0.1:1", OTHER) };
        let (outcome, log) = logged(broken).await;
        assert_eq!(outcome.err(), Some(NoAnswer));
        assert!(log.contains("key is no header value") && !log.contains(SECRET), "{log}");
    }

    #[test]
    fn billing_keys_are_one_path_segment() {
        assert_eq!(segment("Qm9v+Z2/ll?a#b%c d=="), "Qm9v%2BZ2%2Fll%3Fa%23b%25c%20d%3D%3D");
        assert_eq!(segment("pm_1-a.b~c"), "pm_1-a.b~c");
        assert_eq!(url("http://h:1/", "/v1/x"), url("http://h:1", "/v1/x"));
    }
}
