//! `POST /billing/payments/webhook[/{gateway}]` (function URL): what a gateway says by itself.
//!
//! May touch: the charge set; writes `webhook_inbox`; `ops_payment_method` (index `by_token`); secret
//! `webhook/stripe`. No store call before a signature is verified.
use std::sync::Arc;

use domain::charge::GatewayName;
use functions::{SystemRandom, wall};
use shared::config::{Env, IpAllowList};
use shared::gateway::webhook::{parse_stripe, parse_toss, verify_signature, within_tolerance};
use shared::secrets::formats::webhook_secrets;
use shared::secrets::{SecretName, Secrets};
use shared::usecase::Charging;
use shared::usecase::receive_webhook::receive_signed;
use shared::web::webhook::{self, Sender};
use shared::web::{ApiError, Reply, Request, serve_webhook};

struct App {
    charging: Charging,
    secrets: Arc<dyn Secrets>,
    allowed: IpAllowList,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let allowed = env.settings.webhook_allowed_ips.clone();
    serve_webhook(App { charging: env.charging()?, secrets: env.secrets(), allowed }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let sender = webhook::admit(&request, &app.allowed)?;
    match sender {
        Sender::Stripe { signature } => signed(app, &request.body, &signature).await?,
        Sender::Toss => hint(app, &request.body).await?,
    }
    Ok(Reply::empty(200))
}

async fn signed(app: &App, raw: &[u8], signature: &str) -> Result<(), ApiError> {
    let versions = app.secrets.get(SecretName::StripeWebhook).await?;
    let secrets = webhook_secrets(&versions)?;
    let signed_at = verify_signature(raw, signature, &secrets).map_err(|_| webhook::bad_signature())?;
    let now = app.charging.clock.now().await;
    if !within_tolerance(signed_at, now) {
        return Err(webhook::bad_signature());
    }
    let event = parse_stripe(raw).map_err(|_| webhook::unreadable())?;
    receive_signed(&app.charging, now, webhook::in_our_words(event)).await.map_err(ApiError::internal)
}

async fn hint(app: &App, raw: &[u8]) -> Result<(), ApiError> {
    let hint = parse_toss(raw).map_err(|_| webhook::unreadable())?;
    let now = app.charging.clock.now().await;
    webhook::follow(&app.charging, now, GatewayName::Toss, hint).await.map_err(ApiError::internal)
}
