//! The dead-letter queues behind SQS.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use jiff::Timestamp;

use crate::ports::{DeadLetter, DeadLetters, DeadQueue, QueueUnavailable};

/// Most messages of one call.
const BATCH: i32 = 10;

/// A queue and the dead letters of it, by address.
#[derive(Clone)]
pub struct Source {
    pub url: String,
    pub dead_letters_url: String,
}

pub struct SqsDeadLetters {
    client: Client,
    source: Box<dyn Fn(DeadQueue) -> Source + Send + Sync>,
}

impl SqsDeadLetters {
    /// `source` says where each queue is.
    #[must_use]
    pub fn new(client: Client, source: impl Fn(DeadQueue) -> Source + Send + Sync + 'static) -> SqsDeadLetters {
        SqsDeadLetters { client, source: Box::new(source) }
    }
}

#[async_trait]
impl DeadLetters for SqsDeadLetters {
    async fn count(&self, queue: DeadQueue) -> Result<u64, QueueUnavailable> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let request = self.client.get_queue_attributes().queue_url((self.source)(queue).dead_letters_url);
        let answer = request.attribute_names(name.clone()).send().await.map_err(|e| away("count", e.code()))?;
        let count = answer.attributes.as_ref().and_then(|all| all.get(&name)).and_then(|n| n.parse().ok());
        count.ok_or(QueueUnavailable)
    }

    async fn receive(&self, queue: DeadQueue, hidden: Duration) -> Result<Vec<DeadLetter>, QueueUnavailable> {
        let seconds = i32::try_from(hidden.as_secs()).unwrap_or(0);
        let request = self.client.receive_message().queue_url((self.source)(queue).dead_letters_url);
        let request = request.max_number_of_messages(BATCH).visibility_timeout(seconds).wait_time_seconds(0);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let answer = request.send().await.map_err(|e| away("receive", e.code()))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(letter).collect())
    }

    async fn give_back(&self, queue: DeadQueue, letter: &DeadLetter) {
        let request = self.client.change_message_visibility().queue_url((self.source)(queue).dead_letters_url);
        if let Err(e) = request.receipt_handle(&letter.receipt).visibility_timeout(0).send().await {
            away("give back", e.code());
        }
    }

    async fn send_again(&self, queue: DeadQueue, letter: &DeadLetter) -> Result<(), QueueUnavailable> {
        let request = self.client.send_message().queue_url((self.source)(queue).url).message_body(&letter.body);
        request.send().await.map(|_| ()).map_err(|e| away("send again", e.code()))
    }

    async fn delete(&self, queue: DeadQueue, letter: &DeadLetter) -> Result<(), QueueUnavailable> {
        let request = self.client.delete_message().queue_url((self.source)(queue).dead_letters_url);
        request.receipt_handle(&letter.receipt).send().await.map(|_| ()).map_err(|e| away("delete", e.code()))
    }
}

/// A message without an id or a receipt cannot be worked on; SQS sends none.
fn letter(message: Message) -> Option<DeadLetter> {
    let sent = message.attributes.as_ref().and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp));
    let sent_at = sent.and_then(|ms| ms.parse().ok()).and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Some(DeadLetter {
        id: message.message_id?,
        body: message.body.unwrap_or_default(),
        sent_at,
        receipt: message.receipt_handle?,
    })
}

fn away(action: &'static str, code: Option<&str>) -> QueueUnavailable {
    tracing::warn!(action, code = code.unwrap_or("no answer"), "dead-letter queue");
    QueueUnavailable
}
