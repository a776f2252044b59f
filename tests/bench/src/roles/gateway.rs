//! Toss's wire in a process of its own: approves every charge after a latency drawn from a law, and keeps when each
//! call arrived, because only the receiver can say whether a rate was kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::law::Law;
use crate::process::say;

/// What the gateway saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Arrivals in microseconds since it started.
    pub arrivals: Vec<u64>,
    /// Latencies in the order of arrival, in microseconds.
    pub latencies: Vec<u64>,
    /// Captures by order id.
    pub orders: HashMap<String, u32>,
}

#[derive(Clone)]
struct Wire {
    began: Instant,
    law: Option<Arc<Mutex<Law>>>,
    seen: Arc<Mutex<Seen>>,
}

/// Serves until it is killed. `spec`: `{"p50": seconds, "p99": seconds}`, or null to answer at once.
pub async fn run(spec: &Value) {
    let law =
        spec["p50"].as_f64().zip(spec["p99"].as_f64()).map(|(p50, p99)| Arc::new(Mutex::new(Law::new(p50, p99, 7))));
    let wire = Wire { began: Instant::now(), law, seen: Arc::default() };
    let router = Router::new().route("/seen", get(take)).route("/v1/billing/{key}", post(approve)).with_state(wire);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    say(&json!({ "url": format!("http://{}", listener.local_addr().expect("an address")) }));
    axum::serve(listener, router).await.expect("it serves");
}

/// What was seen so far, and from zero again.
async fn take(State(wire): State<Wire>) -> Json<Seen> {
    Json(std::mem::take(&mut *wire.seen.lock().expect("whole")))
}

async fn approve(State(wire): State<Wire>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).expect("a charge is JSON");
    let order = asked["orderId"].as_str().expect("it names its order").to_owned();
    let wait = wire.law.as_ref().map_or(Duration::ZERO, |law| law.lock().expect("whole").draw());
    {
        let mut seen = wire.seen.lock().expect("whole");
        seen.arrivals.push(u64::try_from(wire.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        seen.latencies.push(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
        *seen.orders.entry(order.clone()).or_default() += 1;
    }
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let paid = payment(&order, asked["amount"].as_i64().expect("it names its amount"));
    ([("content-type", "application/json")], paid.to_string()).into_response()
}

/// A Payment object as large as the real ones.
fn payment(order: &str, amount: i64) -> Value {
    json!({
        "mId": "tbench", "version": "2022-11-16", "paymentKey": format!("tbench20261201{order}"), "type": "BILLING", "orderId": order,
        "orderName": "MindGarden standard #2", "currency": "KRW", "method": "카드", "status": "DONE", "totalAmount": amount,
        "balanceAmount": amount, "suppliedAmount": amount * 10 / 11, "vat": amount / 11, "taxFreeAmount": 0, "taxExemptionAmount": 0,
        "requestedAt": "2026-12-01T10:00:00+09:00", "approvedAt": "2026-12-01T10:00:01+09:00", "useEscrow": false,
        "cultureExpense": false, "lastTransactionKey": "F7C2B0E1A94D4C5E8A0B1C2D3E4F5061", "isPartialCancelable": true,
        "card": { "issuerCode": "21", "acquirerCode": "21", "number": "94100012****789*", "installmentPlanMonths": 0,
            "isInterestFree": false, "interestPayer": null, "approveNo": "00000000", "useCardPoint": false, "cardType": "신용",
            "ownerType": "개인", "acquireStatus": "READY", "amount": amount },
        "virtualAccount": null, "transfer": null, "mobilePhone": null, "giftCertificate": null, "easyPay": null,
        "cashReceipt": null, "cashReceipts": null, "discount": null, "cancels": null, "secret": "ps_bench", "metadata": null,
        "country": "KR", "failure": null, "receipt": { "url": "https://dashboard.tosspayments.com/receipt/redirection?transactionId=bench" },
        "checkout": { "url": "https://api.tosspayments.com/v1/payments/bench/checkout" },
    })
}

impl Seen {
    /// Whether each of `charges` orders was captured exactly once.
    pub fn each_once(&self, charges: u32) -> bool {
        u32::try_from(self.orders.len()).is_ok_and(|n| n == charges) && self.orders.values().all(|n| *n == 1)
    }

    /// Seconds until the last answer, if the same calls with the same latencies had arrived at exactly `rate`.
    pub fn perfect(&self, rate: u32) -> f64 {
        let at = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX)) / f64::from(rate);
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        self.latencies.iter().enumerate().map(|(n, us)| at(n) + seconds(*us)).fold(0.0, f64::max)
    }
}

/// How one call too many fits: every span of `rate` + 1 consecutive arrivals, in microseconds. One below a second breaks
/// the rate.
pub fn spans(arrivals: &[u64], rate: u32) -> Vec<u64> {
    let mut sorted = arrivals.to_vec();
    sorted.sort_unstable();
    let rate = usize::try_from(rate).unwrap_or(usize::MAX);
    sorted.iter().zip(sorted.iter().skip(rate)).map(|(first, over)| over - first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_too_many_in_any_window_is_seen() {
        let broken =
            |arrivals: &[u64], rate| spans(arrivals, rate).into_iter().filter(|span| *span < 1_000_000).count();
        let even: Vec<u64> = (0..50).map(|n| n * 100_000).collect();
        assert_eq!(broken(&even, 10), 0);
        let mut bunched = even.clone();
        bunched.push(2_050_000);
        assert!(broken(&bunched, 10) > 0);
        assert!(broken(&even, 9) > 0);
    }
}
