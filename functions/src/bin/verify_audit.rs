//! Verifies sealed days of the audit log (`make verify-audit`; EventBridge, 03:30 UTC, for the last seven). Input:
//! `{"from": day, "to": day}`, both optional, or `{"recent": count}`. Output: `{"days": [{"day", "events"}], "broken":
//! {"day", "shard", "why"}, "next": day}`; `broken` and `next` only when there is something to say.
//!
//! May touch: reads `seal`, `ops_audit_log`, `control`; writes `ops_audit_log`.
use std::sync::Arc;

use domain::Date;
use domain::event::Actor;
use functions::{SystemRandom, wall};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_event};
use shared::ports::{Clock, Context, Random};
use shared::store::Store;
use shared::usecase::verify_audit::{Days, Verified, verify_days};
use tokio::time::Instant;

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Input {
    from: Option<Date>,
    to: Option<Date>,
    recent: Option<u16>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve_event(App { store: env.store(), clock: env.clock(), random: Arc::clone(&env.random) }, handle).await
}

async fn handle(app: &App, event: Value, invocation: Invocation) -> Result<Value, JobError> {
    let input: Input = serde_json::from_value(event)?;
    let days = match input.recent {
        Some(count) => Days::Recent(count),
        None => Days::Range { from: input.from, to: input.to },
    };
    let deadline = Instant::now() + invocation.remaining(wall());
    let context = Context { now: app.clock.now().await, actor: Actor::System("verify_audit".to_owned()) };
    let verified = verify_days(app.store.as_ref(), app.random.as_ref(), &context, days, deadline).await?;
    Ok(output(&verified))
}

fn output(verified: &Verified) -> Value {
    let day = |checked: &shared::usecase::verify_audit::Checked| json!({"day": checked.day, "events": checked.events});
    let mut output = json!({ "days": verified.days.iter().map(day).collect::<Vec<_>>() });
    if let Some((day, broken)) = &verified.broken {
        output["broken"] = json!({"day": day, "shard": broken.shard(), "why": broken.to_string()});
    }
    if let Some(next) = verified.next {
        output["next"] = json!(next);
    }
    output
}
