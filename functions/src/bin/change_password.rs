//! `POST /auth/password`: an operator's own password for the current or the temporary one. Every other session ends.
//!
//! May touch: secrets `auth/jwt` and `auth/ops-admin`; reads and writes `operator`; writes `ops_audit_log`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use secrecy::SecretString;
use shared::api::requests::ChangePassword;
use shared::auth::Operators;
use shared::auth::change_password::Change;
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    operators: Operators,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { operators: env.operators() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let caller = request.caller(Route::ChangePassword)?;
    let ChangePassword { current_password, new_password } = request.json()?;
    let change = Change { current: SecretString::from(current_password), new: SecretString::from(new_password) };
    let now = wall();
    let session = app.operators.change_password(caller.actor_id(), &change, &request.source_ip, now).await?;
    Reply::session(&session, now)
}
