//! Failures on order: armed through `/__sandbox/faults`, taken by the wire handlers, counted down.
use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Core, Gateway};
use crate::line;

/// What a request is about, for choosing the fault that hits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Charge,
    Find,
    Refund,
    Register,
    /// Only in an armed fault: hits any operation.
    #[serde(rename = "*")]
    Any,
}

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Only slow: the effect happens after the delay even if the caller has gone.
    Delay,
    /// The connection closes without an answer; no effect.
    DropBefore,
    /// The effect happens, then the connection closes without an answer.
    DropAfter,
    /// The effect happens at once, and the answer comes after the delay.
    SlowAnswer,
    /// 5xx without the effect.
    ErrorBefore,
    /// 5xx although the effect happened.
    ErrorAfter,
    /// 429 without the effect.
    RateLimited,
}

/// A fault waiting for its requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Armed {
    pub gateway: Gateway,
    pub operation: Operation,
    pub fault: FaultKind,
    /// Requests it still hits.
    #[serde(default = "once")]
    pub times: u32,
    /// Real milliseconds waited before the effect (or before the failure when there is none); a slow answer's after it.
    #[serde(default)]
    pub delay_ms: u64,
}

fn once() -> u32 {
    1
}

/// The fault one request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub delay: Duration,
}

impl Fault {
    /// How long to wait before the effect, and how long after it.
    pub fn waits(self) -> (Duration, Duration) {
        match self.kind {
            FaultKind::SlowAnswer => (Duration::ZERO, self.delay),
            _ => (self.delay, Duration::ZERO),
        }
    }
}

/// Which of the gateway's own error answers a fault asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    ServerError,
    RateLimited,
}

impl Core {
    /// Arms a fault behind those already waiting.
    pub fn arm(&self, fault: Armed) {
        self.state().faults.push(fault);
    }

    /// Faults that have times left, oldest first.
    pub fn armed(&self) -> Vec<Armed> {
        self.state().faults.clone()
    }

    /// Disarms all.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// The oldest fault that hits this request, if any; uses up one of its times.
    pub fn take_fault(&self, gateway: Gateway, operation: Operation) -> Option<Fault> {
        let mut state = self.state();
        let hits = |armed: &Armed| {
            armed.gateway == gateway && (armed.operation == Operation::Any || armed.operation == operation)
        };
        state.faults.retain(|armed| armed.times > 0);
        let armed = state.faults.iter_mut().find(|armed| hits(armed))?;
        armed.times -= 1;
        Some(Fault { kind: armed.fault, delay: Duration::from_millis(armed.delay_ms) })
    }
}

/// Runs a wire handler's work under the fault armed for it, if any.
///
/// `work` gets the time it must wait after it has claimed the idempotency key (so that a repeat meets "in progress") and
/// before it has its effect. It runs as its own task: a caller that hangs up does not undo it. `outage` renders the
/// gateway's own 5xx or 429.
pub async fn under_fault<W, F>(
    core: &Arc<Core>,
    gateway: Gateway,
    operation: Operation,
    outage: fn(Outage) -> Response,
    work: W,
) -> Response
where
    W: FnOnce(Duration) -> F,
    F: Future<Output = Response> + Send + 'static,
{
    let fault = core.take_fault(gateway, operation);
    let (before, after) = fault.map_or((Duration::ZERO, Duration::ZERO), Fault::waits);
    let kind = fault.map(|fault| fault.kind);
    if let Some(FaultKind::DropBefore | FaultKind::ErrorBefore | FaultKind::RateLimited) = kind {
        tokio::time::sleep(before).await;
    }
    match kind {
        Some(FaultKind::DropBefore) => return line::cut(),
        Some(FaultKind::ErrorBefore) => return outage(Outage::ServerError),
        Some(FaultKind::RateLimited) => return outage(Outage::RateLimited),
        _ => {}
    }
    let answer = match tokio::spawn(work(before)).await {
        Ok(answer) => answer,
        Err(broken) => {
            tracing::error!(%broken, "a wire handler panicked");
            http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    tokio::time::sleep(after).await;
    match kind {
        Some(FaultKind::DropAfter) => line::cut(),
        Some(FaultKind::ErrorAfter) => outage(Outage::ServerError),
        _ => answer,
    }
}
