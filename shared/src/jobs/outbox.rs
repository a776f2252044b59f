//! Sending events to the queues of their consumers, ten to a call.

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::json;

use crate::ports::{Consumer, Outbox, QueueUnavailable};

/// Messages of one call. An event is a kilobyte or so, so ten are far below the limit in bytes.
const BATCH: usize = 10;

pub struct SqsOutbox {
    client: Client,
    queues: OutboxQueues,
}

/// Addresses of the queues events go to.
pub struct OutboxQueues {
    pub documents: String,
    pub notices: String,
    pub statistics: String,
    pub unreadable: String,
}

impl SqsOutbox {
    #[must_use]
    pub fn new(client: Client, queues: OutboxQueues) -> SqsOutbox {
        SqsOutbox { client, queues }
    }

    fn url(&self, consumer: Consumer) -> &str {
        match consumer {
            Consumer::Documents => &self.queues.documents,
            Consumer::Notices => &self.queues.notices,
            Consumer::Statistics => &self.queues.statistics,
        }
    }

    /// Positions of the bodies that were taken.
    async fn send_batch(&self, url: &str, bodies: &[String]) -> Result<Vec<usize>, QueueUnavailable> {
        let entry = |(at, body): (usize, &String)| {
            SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body).build()
        };
        let entries: Result<Vec<_>, _> = bodies.iter().enumerate().map(entry).collect();
        let request = self.client.send_message_batch().queue_url(url);
        let request = request.set_entries(Some(entries.map_err(|_| QueueUnavailable)?));
        let answer = request.send().await.map_err(|e| {
            tracing::warn!(code = e.code().unwrap_or("no answer"), "outbox");
            QueueUnavailable
        })?;
        for refused in answer.failed() {
            tracing::warn!(code = refused.code(), "outbox");
        }
        Ok(answer.successful().iter().filter_map(|taken| taken.id().parse().ok()).collect())
    }
}

#[async_trait]
impl Outbox for SqsOutbox {
    async fn send(&self, consumer: Consumer, bodies: &[String]) -> Vec<bool> {
        let mut taken = Vec::with_capacity(bodies.len());
        for batch in bodies.chunks(BATCH) {
            let positions = self.send_batch(self.url(consumer), batch).await.unwrap_or_default();
            taken.extend((0..batch.len()).map(|at| positions.contains(&at)));
        }
        taken
    }

    async fn set_aside(&self, pk: &str, sk: &str) -> Result<(), QueueUnavailable> {
        let body = json!({ "pk": pk, "sk": sk }).to_string();
        let request = self.client.send_message().queue_url(&self.queues.unreadable).message_body(body);
        request.send().await.map(|_| ()).map_err(|_| QueueUnavailable)
    }
}
