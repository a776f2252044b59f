//! Telling people: letters as mails and bulletins as chat messages, and the two services that deliver them.
//!
//! Invariants: what is rendered shows what the domain decided and computes nothing; every value is escaped for where it
//! stands; a mail loads nothing and runs nothing; an address is handed to the mail service and to nobody else; no error
//! and no log line holds an address, a URL or a text.

mod alarm;
mod bulletins;
mod letters;
mod mail;
mod ses;
mod slack;
mod wire;

use async_trait::async_trait;
use domain::ids::{RequestId, SubscriptionId};
use secrecy::SecretString;
use serde_json::Value;

pub use alarm::Alarm;
pub use bulletins::render as render_bulletin;
pub use mail::render as render_letter;
pub use ses::{Ses, SesAccess};
pub use slack::{Slack, SlackUrl};

/// A mail, rendered. No `Debug`: it is personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub text: String,
    pub html: String,
    /// Which letter it is, for the mail service's own figures.
    pub tag: &'static str,
}

/// Why a message was not delivered. It is tried again, and ends in the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The service said no, with this HTTP status.
    #[error("the service refused the message ({0})")]
    Refused(u16),
    /// Nobody answered: it may have been delivered.
    #[error("the service gave no answer")]
    NoAnswer,
    /// The secret it needs is missing or malformed.
    #[error("the service's secret is unavailable")]
    NoSecret,
}

/// Sends mails. At least once: asking again after [`NotSent::NoAnswer`] may send twice.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// # Errors
    /// When it was not accepted, or nobody knows.
    async fn send(&self, to: &str, mail: &Mail) -> Result<(), NotSent>;
}

/// Posts to the operators' chat.
#[async_trait]
pub trait Chat: Send + Sync {
    /// # Errors
    /// When it was not accepted, or nobody knows.
    async fn post(&self, message: &Value) -> Result<(), NotSent>;
}

/// Makes the signed tokens of links in mails. Whoever calls keeps none.
#[async_trait]
pub trait LinkTokens: Send + Sync {
    /// Opens a subscription's payment guide.
    ///
    /// # Errors
    /// [`NotSent::NoSecret`].
    async fn guide(&self, subscription: &SubscriptionId) -> Result<SecretString, NotSent>;

    /// Acts for an application.
    ///
    /// # Errors
    /// [`NotSent::NoSecret`].
    async fn application(&self, id: &RequestId) -> Result<SecretString, NotSent>;
}

/// Where links lead. Bases without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// Base of `/api/v1`.
    pub api: String,
    /// Where tenants look after cards and subscriptions; none where they are asked to reply instead.
    pub portal: Option<String>,
}
