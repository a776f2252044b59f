//! Sending to our queues.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use domain::ids::SubscriptionId;
use domain::settle::Hint;
use serde_json::json;

use crate::ports::{Hints, Postpone, QueueUnavailable, ShardMessage, Shards};

/// Longest delay the queue takes.
const DELAY_MAX: Duration = Duration::from_secs(900);

/// Before an open attempt is looked up.
const LOOK_AFTER: Duration = Duration::from_secs(30);

/// One queue behind a client.
#[derive(Clone)]
struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    async fn send(&self, body: String, delay: Duration) -> Result<(), QueueUnavailable> {
        let seconds = i32::try_from(delay.min(DELAY_MAX).as_secs()).unwrap_or(0);
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        // The queue's own default applies to "no delay"; ours is zero.
        match request.delay_seconds(seconds).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let code = error.as_service_error().and_then(|e| e.meta().code()).unwrap_or("no answer");
                tracing::warn!(code, "queue");
                Err(QueueUnavailable)
            }
        }
    }
}

/// What a queue holds, visible or not.
const HELD: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
];

/// Hints to `failed-charges`. A hint that is lost is only logged: the due index is the truth.
pub struct SqsHints(Queue);

impl SqsHints {
    #[must_use]
    pub fn new(client: Client, url: String) -> SqsHints {
        SqsHints(Queue { client, url })
    }
}

#[async_trait]
impl Hints for SqsHints {
    async fn send(&self, subscription: &SubscriptionId, order_id: &str, hint: Hint) {
        let body = hint_body(subscription, order_id, hint);
        // An open outcome is best asked for when the gateway has had time to make up its mind.
        let delay = if hint == Hint::Unknown { LOOK_AFTER } else { Duration::ZERO };
        if self.0.send(body, delay).await.is_err() {
            tracing::warn!(subscription = subscription.as_str(), "hint lost");
        }
    }

    async fn idle(&self) -> bool {
        let request = self.0.client.get_queue_attributes().queue_url(&self.0.url);
        let Ok(answer) = request.set_attribute_names(Some(HELD.to_vec())).send().await else { return false };
        let attributes = answer.attributes.unwrap_or_default();
        HELD.iter().all(|name| attributes.get(name).is_some_and(|n| n == "0"))
    }
}

/// Work to `billing-shards`.
pub struct SqsShards(Queue);

impl SqsShards {
    #[must_use]
    pub fn new(client: Client, url: String) -> SqsShards {
        SqsShards(Queue { client, url })
    }
}

#[async_trait]
impl Shards for SqsShards {
    async fn send(&self, message: &ShardMessage, delay: Duration) -> Result<(), QueueUnavailable> {
        let body = serde_json::to_string(message).map_err(|_| QueueUnavailable)?;
        self.0.send(body, delay).await
    }
}

/// Longest a message may stay hidden: SQS allows twelve hours from when it was received.
const HIDDEN_MAX: Duration = Duration::from_secs(12 * 3_600 - 300);

/// Postpones messages of one queue.
pub struct SqsPostpone(Queue);

impl SqsPostpone {
    #[must_use]
    pub fn new(client: Client, url: String) -> SqsPostpone {
        SqsPostpone(Queue { client, url })
    }
}

#[async_trait]
impl Postpone for SqsPostpone {
    async fn postpone(&self, receipt: &str, by: Duration) -> Result<(), QueueUnavailable> {
        let seconds = i32::try_from(by.min(HIDDEN_MAX).as_secs()).unwrap_or(0);
        let request = self.0.client.change_message_visibility().queue_url(&self.0.url);
        match request.receipt_handle(receipt).visibility_timeout(seconds).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let code = error.as_service_error().and_then(|e| e.meta().code()).unwrap_or("no answer");
                tracing::warn!(code, "a message could not be postponed");
                Err(QueueUnavailable)
            }
        }
    }
}

fn hint_body(subscription: &SubscriptionId, order_id: &str, hint: Hint) -> String {
    let reason = match hint {
        Hint::Declined => "DECLINED",
        Hint::Unknown => "UNKNOWN",
    };
    json!({"subscriptionId": subscription.as_str(), "orderId": order_id, "reason": reason}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_what_the_consumers_read() {
        let id = SubscriptionId::parse("sub_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let body: serde_json::Value = serde_json::from_str(&hint_body(&id, "o-1", Hint::Unknown)).unwrap();
        assert_eq!(body, json!({"subscriptionId": id.as_str(), "orderId": "o-1", "reason": "UNKNOWN"}));
    }
}
