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
