//! `POST /auth/login`: an operator's name and password for a one-hour token and a session cookie.
//!
//! May touch: secrets `auth/jwt` and `auth/ops-admin`; writes `ops_audit_log`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use secrecy::{ExposeSecret, SecretString};
use shared::api::SessionBody;
use shared::api::requests::LogIn as Credentials;
use shared::auth::Role;
use shared::auth::log_in::{LogIn, LogInError, cookie};
use shared::config::Env;
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    log_in: LogIn,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { log_in: env.log_in() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let Credentials { username, password } = request.json()?;
    let session = app.log_in.log_in(&username, &SecretString::from(password), wall()).await.map_err(answer)?;
    let output =
        SessionBody { token: session.token.expose_secret(), role: Role::OpsAdmin, expires_at: session.expires_at };
    Ok(Reply::json(200, &output)?.with_cookie(&cookie(&session)))
}

fn answer(error: LogInError) -> ApiError {
    match error {
        LogInError::Refused => ApiError::new(401, "invalid_credentials", "Unknown user name or wrong password."),
        LogInError::Account(error) => error.into(),
        LogInError::Audit(error) => error.into(),
    }
}
