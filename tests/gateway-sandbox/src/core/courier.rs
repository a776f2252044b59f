//! Posts webhooks: headers, signatures, retry schedules.
use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use jiff::{Timestamp, tz::TimeZone};
use sha2::Sha256;

use super::{Attempt, Core, Endpoint, Gateway, Record, Signing, Stage};

/// Waits between tries, in minutes, before the division by the sandbox's retry speed.
const TOSS_WAITS: [u64; 7] = [1, 4, 16, 64, 256, 1024, 4096];
/// Stripe's own intervals are unpublished ("3 times over a few hours" in a sandbox account).
const STRIPE_WAITS: [u64; 3] = [1, 15, 120];

/// Sends one record until it is received or out of tries.
pub(super) async fn carry(core: Arc<Core>, id: u64) {
    let work = async {
        while let Some(wait) = try_once(&core, id).await {
            tokio::time::sleep(wait).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = core.closed() => {}
    }
}

/// One scheduled try. `Some` is the wait before the next one.
async fn try_once(core: &Arc<Core>, id: u64) -> Option<Duration> {
    let status = post(core, id, false, false).await?;
    let mut state = core.state();
    let record = state.webhooks.record_mut(id)?;
    if received(record.gateway, status) {
        record.stage = Stage::Delivered;
        return None;
    }
    let waits: &[u64] = match record.gateway {
        Gateway::Toss => &TOSS_WAITS,
        Gateway::Stripe => &STRIPE_WAITS,
    };
    let Some(minutes) = waits.get(record.tries().saturating_sub(1)) else {
        record.stage = Stage::Failed;
        return None;
    };
    Some(Duration::from_secs(minutes * 60) / core.retry_speed)
}

/// Toss takes 200 and nothing else for an answer, Stripe any 2xx.
fn received(gateway: Gateway, status: Option<u16>) -> bool {
    match gateway {
        Gateway::Toss => status == Some(200),
        Gateway::Stripe => status.is_some_and(|status| (200..300).contains(&status)),
    }
}

/// One post outside the schedule.
pub(super) async fn post_again(core: &Arc<Core>, id: u64, wrong_signature: bool) -> Option<u16> {
    post(core, id, true, wrong_signature).await.flatten()
}

/// Posts and writes the attempt down. The outer `None` means there is nothing (or nobody) to post to.
async fn post(core: &Arc<Core>, id: u64, replay: bool, wrong_signature: bool) -> Option<Option<u16>> {
    let _turn = core.couriers.acquire().await.ok()?;
    let (record, endpoint, now) = {
        let state = core.state();
        let record = state.webhooks.record(id)?.clone();
        let endpoint = state.webhooks.endpoint(record.gateway)?;
        (record, endpoint, state.clock_now())
    };
    let mut request = core.client.post(&endpoint.url).header("content-type", "application/json");
    for (name, value) in headers(&record, &endpoint, now, wrong_signature) {
        request = request.header(name, value);
    }
    let status = request.body(record.body).send().await.ok().map(|answer| answer.status().as_u16());
    if let Some(record) = core.state().webhooks.record_mut(id) {
        record.attempts.push(Attempt { at: now, status, replay });
    }
    Some(status)
}

fn headers(record: &Record, endpoint: &Endpoint, now: Timestamp, wrong: bool) -> Vec<(&'static str, String)> {
    match record.sign {
        Signing::Toss => vec![
            ("tosspayments-webhook-transmission-time", seoul(now)),
            ("tosspayments-webhook-transmission-retried-count", record.tries().to_string()),
            ("tosspayments-webhook-transmission-id", record.transmission_id.clone()),
        ],
        Signing::Stripe => {
            let known = [endpoint.secret.as_deref(), endpoint.previous_secret.as_deref()];
            let secrets: Vec<&str> =
                if wrong { vec!["whsec_nobody_knows"] } else { known.into_iter().flatten().collect() };
            vec![("stripe-signature", stripe_signature(&secrets, now, record.body.as_bytes()))]
        }
    }
}

/// `t=…,v1=…` with one `v1` per secret, over `t.body`.
pub fn stripe_signature(secrets: &[&str], now: Timestamp, body: &[u8]) -> String {
    let seconds = now.as_second();
    let mut header = format!("t={seconds}");
    for secret in secrets {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { continue };
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
    }
    header
}

/// `2026-11-22T10:05:15+09:00`.
fn seoul(now: Timestamp) -> String {
    now.to_zoned(TimeZone::fixed(jiff::tz::offset(9))).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_comes_out() {
        let body = br#"{"id":"evt_test_1","object":"event","type":"payment_intent.succeeded"}"#;
        let at = Timestamp::from_second(1_767_225_600).unwrap();
        let header = stripe_signature(&["whsec_sandbox_0001", "whsec_sandbox_0002"], at, body);
        let expected = "t=1767225600,v1=4ce0a350824dd6416bf546d8a6c56304bb305ed2e205299dc3dc24654cc4e6d9,\
                        v1=a6c89526beecb8524cb2073fd5559bc3b0cad0fe06a3b447070c4b83e12d60ad";
        assert_eq!(header, expected);
    }
}
