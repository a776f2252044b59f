//! One POST of JSON to a delivery service.

use std::time::Duration;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;

use super::NotSent;

/// Whole time of one delivery. The queue is the retry.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const JSON: &str = "application/json";

/// Sends once. Of an error only its kind survives: its text names the URL, which is a secret for chats.
pub(super) async fn post(
    client: &Client,
    service: &'static str,
    url: &str,
    headers: &[(String, String)],
    body: String,
) -> Result<(), NotSent> {
    let mut request = client.post(url).timeout(PATIENCE).header(CONTENT_TYPE, JSON);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    match request.body(body).send().await.map_err(reqwest::Error::without_url) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let status = answer.status().as_u16();
            tracing::warn!(service, status, "a message was refused");
            Err(NotSent::Refused(status))
        }
        Err(error) => {
            let kind = if error.is_timeout() { "timeout" } else { "connection" };
            tracing::warn!(service, kind, "a message got no answer");
            Err(NotSent::NoAnswer)
        }
    }
}
