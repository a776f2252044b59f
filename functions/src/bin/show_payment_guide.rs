//! `GET /billing/guides/{token}`: how to pay while card payments are paused. Public; the signed token is the key.
//!
//! May touch: reads `subscription`, `control`; secret `auth/jwt`.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::auth::Tokens;
use shared::config::{Env, TransferAccount};
use shared::ports::Clock;
use shared::store::Store;
use shared::usecase::payment_guide::guide;
use shared::web::guide_page::{guide_page, no_guide_page};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    account: Option<TransferAccount>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let account = env.settings.transfer_account.clone();
    serve(App { store: env.store(), clock: env.clock(), tokens: env.tokens(), account }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let token = request.path_param("token").unwrap_or_default();
    let Ok(id) = app.tokens.verify_guide(token, wall()).await? else { return Ok(no_guide_page()) };
    let now = app.clock.now().await;
    let found = guide(app.store.as_ref(), now, &id).await?;
    Ok(found.map_or_else(no_guide_page, |guide| guide_page(&guide, app.account.as_ref())))
}
