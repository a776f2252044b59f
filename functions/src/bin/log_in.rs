//! `POST /auth/login`: an operator's name and password for a one-hour token and a session cookie. With the temporary
//! password the token may only set another one.
//!
//! May touch: secrets `auth/jwt` and `auth/ops-admin`; reads and writes `operator`; writes `ops_audit_log`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use secrecy::SecretString;
use shared::api::requests::LogIn as Credentials;
use shared::auth::Operators;
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
    let Credentials { username, password } = request.json()?;
    let now = wall();
    let session = app.operators.log_in(&username, &SecretString::from(password), &request.source_ip, now).await?;
    Reply::session(&session, now)
}
