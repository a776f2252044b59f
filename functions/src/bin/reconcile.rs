//! The daily reconciliation (EventBridge, 05:00 Asia/Seoul): what the gateways list of the last seven days against our books.
//!
//! May touch: writes `settlement`, `posting`, `subscription`, `subscription_cycle`, `ops_payment_method`, `ops_audit_log`;
//! reads `ops_audit_log`, `control`; sends to `failed-charges`; both gateways' secrets and the data key. Input: nothing, or
//! `{"day": "2027-01-31"}` for one Seoul day (`make reconcile`). Output: how each gateway's day went.
use std::sync::Arc;

use domain::Date;
use domain::event::Actor;
use functions::{SystemRandom, wall};
use serde_json::{Value, json};
use shared::config::Env;
use shared::gateway::statements::Accounts;
use shared::jobs::{Invocation, JobError, serve_event};
use shared::ports::Context;
use shared::usecase::Charging;
use shared::usecase::reconcile::{Desk, Report, reconcile, window};
use tokio::sync::Mutex;
use tokio::time::Instant;

struct App {
    charging: Charging,
    accounts: Accounts,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_event(App { charging: env.charging()?, accounts: env.accounts()? }, handle).await
}

async fn handle(app: &App, event: Value, invocation: Invocation) -> Result<Value, JobError> {
    let deadline = Instant::now() + invocation.remaining(wall());
    let context = Context { now: app.charging.clock.now().await, actor: Actor::System("reconcile".to_owned()) };
    let desk = Desk {
        charging: &app.charging,
        accounts: &app.accounts,
        context: &context,
        deadline,
        booking: Mutex::default(),
    };
    let (days, last) = match event.get("day").and_then(Value::as_str) {
        Some(day) => (vec![day.parse::<Date>()?], None),
        None => {
            let days = window(context.now);
            let last = days.last().copied();
            (days, last)
        }
    };
    match reconcile(&desk, &days, last).await {
        Ok(report) => Ok(body(&report)),
        Err(error) => {
            tracing::error!(%error, "reconciliation failed; the next one goes on");
            Err(error.into())
        }
    }
}

fn body(report: &Report) -> Value {
    let passes = report.passes.iter().map(|pass| {
        json!({
            "gateway": pass.gateway, "day": pass.day.to_string(), "outcome": format!("{:?}", pass.outcome).to_uppercase(),
            "rows": pass.rows, "changed": pass.changed,
        })
    });
    json!({ "complete": report.complete(), "passes": passes.collect::<Vec<_>>(), "facts": report.facts })
}
