//! Re-encrypts stored cards under the current data key (`make rotate-keys`). Input: `{"place": …}` as an earlier answer's
//! `next` said, or nothing. Output: `{"kid", "seen", "resealed", "left", "next"}`; `next` only when time ran out.
//!
//! May touch: reads `onboarding_request` (index `by_status`), `control`; writes `ops_payment_method`, `ops_audit_log`; the
//! data key.
use std::sync::Arc;

use domain::event::Actor;
use functions::{SystemRandom, wall};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::config::Env;
use shared::jobs::{Invocation, JobError, serve_event};
use shared::ports::{Clock, Context, Random, Vault};
use shared::secrets::{SecretName, Secrets};
use shared::store::Store;
use shared::usecase::rotate_keys::{Place, Rotation, reseal};
use tokio::time::Instant;

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    secrets: Arc<dyn Secrets>,
    vault: Arc<dyn Vault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Input {
    place: Place,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let (store, clock, random) = (env.store(), env.clock(), Arc::clone(&env.random));
    serve_event(App { store, clock, random, secrets: env.secrets(), vault: env.vault() }, handle).await
}

async fn handle(app: &App, event: Value, invocation: Invocation) -> Result<Value, JobError> {
    let input: Input = serde_json::from_value(event)?;
    let deadline = Instant::now() + invocation.remaining(wall());
    // The key may have been made a moment ago.
    app.secrets.refresh(SecretName::DataKey).await?;
    let context = Context { now: app.clock.now().await, actor: Actor::System("rotate_keys".to_owned()) };
    let rotation = Rotation { store: app.store.as_ref(), vault: app.vault.as_ref(), random: app.random.as_ref() };
    let done = reseal(&rotation, &context, input.place, deadline).await?;
    let mut output = json!({ "kid": done.kid, "seen": done.seen, "resealed": done.resealed, "left": done.left });
    if let Some(next) = done.next {
        output["next"] = serde_json::to_value(next)?;
    }
    Ok(output)
}
