//! Notices (SQS `notifications`): mails to tenants and applicants, chat messages to the operators. A message is an event
//! of the audit log or an alarm of the platform, and may come twice or out of order.
//!
//! Quiet hours and a service that is out are waited for in the queue: the message is hidden until then, which SQS allows
//! for twelve hours. After its last try it is a dead letter.
//!
//! May touch: reads `onboarding_request`, `tenant`, `subscription`, `subscription_cycle`, `ops_payment_method`, `control`,
//! `run`; writes `idempotency`; postpones messages of `notifications`; secrets `chat/slack`, `auth/jwt`; sends mail.
use std::sync::Arc;
use std::time::Duration;

use domain::event::Event;
use domain::notice::QuietHours;
use functions::{SystemRandom, wall};
use serde::Deserialize;
use shared::config::Env;
use shared::jobs::{Delivery, JobError, NotYet, serve_sqs};
use shared::notices::{Alarm, Chat, LinkTokens, Links, Mailer};
use shared::ports::{Clock, Postpone, Random};
use shared::store::Store;
use shared::usecase::notify::{Desk, Moment, NotifyError, notify, notify_alarm};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    mailer: Option<Arc<dyn Mailer>>,
    chat: Option<Arc<dyn Chat>>,
    tokens: Arc<dyn LinkTokens>,
    postpone: Arc<dyn Postpone>,
    links: Links,
    quiet: Option<QuietHours>,
}

/// A message: an event's own shape, or an alarm's.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Event(Event),
    Alarm(Alarm),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let app = App {
        store: env.store(),
        clock: env.clock(),
        random: Arc::clone(&env.random),
        mailer: env.mailer()?,
        chat: env.chat()?,
        tokens: env.link_tokens(),
        postpone: env.postpone_notifications(),
        links: env.links()?,
        quiet: env.settings.quiet_hours,
    };
    serve_sqs(app, handle).await
}

async fn handle(app: &App, message: Message, delivery: Delivery) -> Result<(), JobError> {
    let desk = Desk {
        store: app.store.as_ref(),
        random: app.random.as_ref(),
        mailer: app.mailer.as_deref(),
        chat: app.chat.as_deref(),
        tokens: app.tokens.as_ref(),
        links: &app.links,
        quiet: app.quiet,
    };
    let moment = Moment { billing: app.clock.now().await, wall: wall() };
    let told = match &message {
        Message::Event(event) => {
            let told = notify(&desk, moment, event).await;
            told.map(|told| tracing::info!(event = event.id.as_str(), kind = event.kind, ?told, "notice"))
        }
        Message::Alarm(alarm) => notify_alarm(&desk, moment, alarm).await.map(|told| tracing::info!(?told, "alarm")),
    };
    match told {
        Ok(()) => Ok(()),
        Err(NotifyError::Quiet(end)) => {
            let wait = Duration::try_from(end.duration_since(moment.wall)).unwrap_or_default();
            app.postpone.postpone(&delivery.receipt, wait).await?;
            Err(NotYet.into())
        }
        Err(error) => {
            // Best effort: unpostponed it comes back at the queue's own time.
            let _ = app.postpone.postpone(&delivery.receipt, backoff(delivery.receive_count)).await;
            Err(error.into())
        }
    }
}

/// One minute after the first failure, twice as long after each further one, an hour at most: some four hours in all.
fn backoff(receive_count: u32) -> Duration {
    let minutes = 1_u64.checked_shl(receive_count.saturating_sub(1).min(6)).unwrap_or(64).min(60);
    Duration::from_secs(minutes.saturating_mul(60))
}
