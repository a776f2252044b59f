//! The small ports: time, randomness and the hint queue. Implementations live at the edge (`functions`, `config`) and
//! in tests.

use async_trait::async_trait;
use domain::event::Actor;
use domain::ids::{RunId, SubscriptionId};
use domain::method::Sealed;
use domain::settle::Hint;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Billing time. On a stage that allows time travel it may run ahead of the wall clock; it never goes back.
/// Instants are truncated to milliseconds, which is what rows keep.
#[async_trait]
pub trait Clock: Send + Sync {
    async fn now(&self) -> Timestamp;
}

/// Randomness for ids and tokens.
pub trait Random: Send + Sync {
    /// 128 fresh random bits.
    fn bits(&self) -> u128;
}

/// Sends hints to the `failed-charges` queue. Losing one loses nothing: the due index is the truth.
#[async_trait]
pub trait Hints: Send + Sync {
    async fn send(&self, subscription: &SubscriptionId, order_id: &str, hint: Hint);

    /// Whether no hint waits or is being worked on: only then is a run over. False when the queue does not say.
    async fn idle(&self) -> bool;
}

/// One runner's share of a run, as carried by the `billing-shards` queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardMessage {
    pub run_id: RunId,
    pub shard: u32,
    pub runners: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Handed on by an earlier runner of the same run.
    #[serde(default)]
    pub continued: bool,
}

/// Sends work to the runners. Delays end at 15 minutes; longer waits live in the due index.
#[async_trait]
pub trait Shards: Send + Sync {
    /// # Errors
    /// When the queue does not take it; the next tick sends again.
    async fn send(&self, message: &ShardMessage, delay: std::time::Duration) -> Result<(), QueueUnavailable>;
}

/// Says when a message that was received comes back, if it is not taken off its queue.
#[async_trait]
pub trait Postpone: Send + Sync {
    /// `receipt` names the delivery. At most some eleven hours from when it was received.
    ///
    /// # Errors
    /// When the queue does not answer: the message comes back at the queue's own time.
    async fn postpone(&self, receipt: &str, by: std::time::Duration) -> Result<(), QueueUnavailable>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is unavailable")]
pub struct QueueUnavailable;

/// Who acts, and when. Passed to every use case.
#[derive(Clone, Debug)]
pub struct Context {
    pub now: Timestamp,
    pub actor: Actor,
}

/// Field encryption. `aad` binds a ciphertext to its row (tenant and method id), so that it opens nowhere else.
#[async_trait]
pub trait Vault: Send + Sync {
    /// # Errors
    /// When no key is available.
    async fn seal(&self, plain: &str, aad: &str) -> Result<Sealed, VaultError>;

    /// # Errors
    /// When the key is gone or the ciphertext was made for another row.
    async fn open(&self, sealed: &Sealed, aad: &str) -> Result<SecretString, VaultError>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("data keys are unavailable")]
    Unavailable,
    #[error("the ciphertext does not open")]
    Refused,
}

/// Which dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeadQueue {
    FailedCharges,
    BillingShards,
    Documents,
    Notifications,
    Statistics,
}

impl DeadQueue {
    pub const ALL: [DeadQueue; 5] = [
        DeadQueue::FailedCharges,
        DeadQueue::BillingShards,
        DeadQueue::Documents,
        DeadQueue::Notifications,
        DeadQueue::Statistics,
    ];

    /// Name of the queue its messages came from, without the stage.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeadQueue::FailedCharges => "failed-charges",
            DeadQueue::BillingShards => "billing-shards",
            DeadQueue::Documents => "documents",
            DeadQueue::Notifications => "notifications",
            DeadQueue::Statistics => "statistics",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<DeadQueue> {
        DeadQueue::ALL.into_iter().find(|queue| queue.as_str() == text)
    }
}

/// A message nobody could work on. No `Debug`: whatever made it unworkable may be in its body.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: String,
    pub body: String,
    /// When it was sent to the queue it came from, wall clock.
    pub sent_at: Option<Timestamp>,
    /// Names this delivery of it.
    pub receipt: String,
}

/// The dead-letter queues. Receiving hides a message from others for a while; it is gone only once deleted.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// About how many there are.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn count(&self, queue: DeadQueue) -> Result<u64, QueueUnavailable>;

    /// Up to ten messages, hidden from others for `hidden`; none when there are none to be had now.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn receive(&self, queue: DeadQueue, hidden: std::time::Duration)
    -> Result<Vec<DeadLetter>, QueueUnavailable>;

    /// Shows a received message to others at once. Failing only means that it shows later.
    async fn give_back(&self, queue: DeadQueue, letter: &DeadLetter);

    /// Sends the message to the queue it came from, again.
    ///
    /// # Errors
    /// When that queue does not take it.
    async fn send_again(&self, queue: DeadQueue, letter: &DeadLetter) -> Result<(), QueueUnavailable>;

    /// # Errors
    /// When the queue does not answer: the message shows again.
    async fn delete(&self, queue: DeadQueue, letter: &DeadLetter) -> Result<(), QueueUnavailable>;
}

/// Who is told of events, each through a queue of its own. A consumer is idempotent by the event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consumer {
    /// Invoices, credit notes and the ledger.
    Documents,
    /// Mails and chat messages.
    Notices,
    /// Figures of days, and levels.
    Statistics,
}

impl Consumer {
    pub const ALL: [Consumer; 3] = [Consumer::Documents, Consumer::Notices, Consumer::Statistics];
}

/// Sends events on. No rule: what goes where is decided by whoever calls.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Sends bodies to a consumer's queue, in order, and says of each whether the queue took it.
    async fn send(&self, consumer: Consumer, bodies: &[String]) -> Vec<bool>;

    /// Puts the keys of a row that does not read where an operator finds them.
    ///
    /// # Errors
    /// When the queue does not take it: the row must come again.
    async fn set_aside(&self, pk: &str, sk: &str) -> Result<(), QueueUnavailable>;
}

/// A tax document to issue. Nothing of it is for logs.
#[derive(Clone, Copy)]
pub struct TaxOrder<'a> {
    /// Ours: issuing under it again is the same document.
    pub own_number: &'a str,
    pub kind: domain::tax::TaxKind,
    pub invoice: &'a domain::invoice::Invoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaxIssuerError {
    /// Nothing is known of the outcome; the same order may be sent again.
    #[error("the issuing service is unavailable")]
    Unavailable,
    /// Another document was issued under this number.
    #[error("the issuing service refused the document")]
    Refused,
}

/// A service that issues tax documents (세금계산서, 현금영수증) and reports them to the tax office.
#[async_trait]
pub trait TaxIssuer: Send + Sync {
    /// Issues the document and answers with its approval number; the same again for an order that was issued before.
    ///
    /// # Errors
    /// When it does not answer, or the number stands for something else.
    async fn issue(&self, order: &TaxOrder<'_>) -> Result<String, TaxIssuerError>;
}
