//! Moves the gateway sandbox's clock with ours, on stages that allow time travel.

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;

use super::transport;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway sandbox did not take the time")]
pub struct ClockNotSet;

/// Tells the sandbox at `sandbox_url` what time it is. Its clock never goes back, so an older instant changes nothing.
///
/// # Errors
/// When it does not answer, or refuses.
pub async fn set_clock(client: &reqwest::Client, sandbox_url: &str, now: Timestamp) -> Result<(), ClockNotSet> {
    let body = serde_json::json!({ "now": now }).to_string();
    let sent = client
        .post(transport::url(sandbox_url, "/__sandbox/clock"))
        .header(CONTENT_TYPE, "application/json")
        .timeout(transport::LOOKUP)
        .body(body)
        .send()
        .await;
    match sent {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(_) | Err(_) => Err(ClockNotSet),
    }
}
