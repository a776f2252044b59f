//! Queue work with `ReportBatchItemFailures`: every record is answered by itself.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::runtime::{self, Invocation, JobError};
use crate::telemetry::metrics;

/// Records of one batch in work at the same time.
const IN_FLIGHT: usize = 4;

/// The part of an SQS event that is used. No `Debug`: bodies are not for logs.
#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    message_id: String,
    #[serde(default)]
    receipt_handle: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Attributes {
    approximate_receive_count: String,
}

/// What is known of one delivery besides its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub message_id: String,
    /// 1 the first time.
    pub receive_count: u32,
    /// Names this delivery to the queue.
    pub receipt: String,
    pub invocation: Invocation,
}

/// A message that is to come back later, and not because anything is wrong. Whoever answers with it has said when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not yet")]
pub struct NotYet;

type Work = Arc<dyn Fn(String, Delivery) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync>;

/// Serves a queue whose bodies are JSON `M`. A record whose handler fails, panics or whose body is not an `M` is
/// reported and comes back until it ends in the dead-letter queue.
///
/// # Errors
/// When the platform's runtime interface is gone.
pub async fn serve_sqs<A, M, F, Fut>(app: A, handle: F) -> Result<(), lambda_runtime::Error>
where
    A: Send + Sync + 'static,
    M: DeserializeOwned + Send + 'static,
    F: Fn(&'static A, M, Delivery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let app: &'static A = Box::leak(Box::new(app));
    run(erased(move |message, delivery| handle(app, message, delivery))).await
}

/// Serves a queue whose bodies are JSON `M`, all readable ones of a batch together: when the handler fails, all of those
/// come back. For work that is cheaper in one go and harmless to repeat.
///
/// # Errors
/// When the platform's runtime interface is gone.
pub async fn serve_sqs_together<A, M, F, Fut>(app: A, handle: F) -> Result<(), lambda_runtime::Error>
where
    A: Send + Sync + 'static,
    M: DeserializeOwned + Send + 'static,
    F: Fn(&'static A, Vec<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let app: &'static A = Box::leak(Box::new(app));
    let handle = Arc::new(handle);
    let work = move |event, _| {
        let handle = Arc::clone(&handle);
        together(event, move |messages| handle(app, messages)).boxed()
    };
    runtime::run(Arc::new(work)).await
}

async fn together<M, F, Fut>(event: Value, handle: F) -> Result<Value, JobError>
where
    M: DeserializeOwned,
    F: FnOnce(Vec<M>) -> Fut,
    Fut: Future<Output = Result<(), JobError>>,
{
    let batch = parsed(event)?;
    let (mut messages, mut ids, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for entry in batch.records {
        match serde_json::from_str(&entry.body) {
            Ok(message) => {
                messages.push(message);
                ids.push(entry.message_id);
            }
            Err(_) => {
                tracing::error!(message_id = entry.message_id, "the body is not a message of this queue");
                failed.push(entry.message_id);
            }
        }
    }
    if !messages.is_empty()
        && let Err(error) = handle(messages).await
    {
        tracing::error!(messages = ids.len(), causes = error.causes(), "queue records failed");
        failed.extend(ids);
    }
    if !failed.is_empty() {
        metrics::messages_failed(failed.len());
    }
    let failed: Vec<Value> = failed.into_iter().map(|id| json!({"itemIdentifier": id})).collect();
    Ok(json!({ "batchItemFailures": failed }))
}

fn erased<M, F, Fut>(handle: F) -> Work
where
    M: DeserializeOwned,
    F: Fn(M, Delivery) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    Arc::new(move |body, delivery| match serde_json::from_str(&body) {
        Ok(message) => handle(message, delivery).boxed(),
        // The parser's message may quote the body.
        Err(_) => futures::future::ready(Err("the body is not a message of this queue".into())).boxed(),
    })
}

async fn run(work: Work) -> Result<(), lambda_runtime::Error> {
    runtime::run(Arc::new(move |event, invocation| batch(Arc::clone(&work), event, invocation).boxed())).await
}

/// Works on every record and reports the ones that failed.
async fn batch(work: Work, event: Value, invocation: Invocation) -> Result<Value, JobError> {
    let batch = parsed(event)?;
    let outcomes = stream::iter(batch.records)
        .map(|entry| one(&work, entry, invocation.clone()))
        .buffered(IN_FLIGHT)
        .collect::<Vec<_>>()
        .await;
    let failed: Vec<Value> = outcomes.into_iter().flatten().map(|id| json!({"itemIdentifier": id})).collect();
    Ok(json!({ "batchItemFailures": failed }))
}

fn parsed(event: Value) -> Result<Batch, JobError> {
    let batch = serde_json::from_value(event).map_err(|_| {
        tracing::error!("not a queue event");
        "not a queue event"
    });
    Ok(batch?)
}

/// `Some(message id)` when the record failed.
async fn one(work: &Work, entry: Entry, invocation: Invocation) -> Option<String> {
    let delivery = Delivery {
        message_id: entry.message_id.clone(),
        receive_count: entry.attributes.approximate_receive_count.parse().unwrap_or(1),
        receipt: entry.receipt_handle,
        invocation,
    };
    let receive_count = delivery.receive_count;
    let done = AssertUnwindSafe(async { work(entry.body, delivery).await }).catch_unwind().await;
    match done.unwrap_or_else(|_| Err("the handler panicked".into())) {
        Ok(()) => None,
        Err(error) if error.is::<NotYet>() => Some(entry.message_id),
        Err(error) => {
            let (message_id, causes) = (entry.message_id.as_str(), error.causes());
            tracing::error!(message_id, receive_count, causes, "queue record failed");
            metrics::messages_failed(1);
            Some(entry.message_id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::said;
    use futures::executor::block_on;

    #[derive(Deserialize)]
    struct Message {
        n: u32,
    }

    fn event(bodies: &[&str]) -> Value {
        let records: Vec<Value> = bodies
            .iter()
            .enumerate()
            .map(|(i, body)| {
                json!({"messageId": format!("m{i}"), "receiptHandle": "r", "body": body,
                    "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1"}, "eventSource": "aws:sqs"})
            })
            .collect();
        json!({ "Records": records })
    }

    fn answer(bodies: &[&str]) -> Value {
        let work = erased(|message: Message, delivery: Delivery| async move {
            assert_eq!((delivery.receive_count, delivery.receipt.as_str()), (3, "r"));
            match message.n {
                0 => Ok(()),
                1 => Err("odd".into()),
                2 => Err(NotYet.into()),
                _ => panic!("secret"),
            }
        });
        let invocation = Invocation { request_id: "r".to_owned(), deadline: jiff::Timestamp::MAX };
        block_on(batch(work, event(bodies), invocation)).unwrap()
    }

    #[test]
    fn only_what_failed_comes_back() {
        let failed = |ids: &[&str]| {
            let items: Vec<Value> = ids.iter().map(|id| json!({"itemIdentifier": id})).collect();
            json!({ "batchItemFailures": items })
        };
        assert_eq!(answer(&[r#"{"n":0}"#, r#"{"n":0}"#]), failed(&[]));
        assert_eq!(
            answer(&[r#"{"n":0}"#, r#"{"n":1}"#, "poison", r#"{"n":3}"#, "{}"]),
            failed(&["m1", "m2", "m3", "m4"])
        );
        assert_eq!(answer(&[r#"{"n":2}"#, r#"{"n":0}"#]), failed(&["m0"]), "it comes back");
        assert_eq!(answer(&[]), failed(&[]));
    }

    #[test]
    fn what_failed_is_measured() {
        let one = |body| said(|| drop(answer(&[body])));
        assert_eq!(one(r#"{"n":1}"#), ["MessagesFailed 1"]);
        assert_eq!(one("poison"), ["MessagesFailed 1"]);
        assert!(one(r#"{"n":0}"#).is_empty());
        assert!(one(r#"{"n":2}"#).is_empty(), "waiting is no failure");
        let fails = |_: Vec<Message>| async { Err(JobError::from("down")) };
        let batch = event(&[r#"{"n":0}"#, "poison", r#"{"n":0}"#]);
        assert_eq!(said(|| drop(block_on(together(batch, fails)))), ["MessagesFailed 3"]);
    }

    #[test]
    fn together_all_that_read_succeed_or_come_back() {
        let answer = |bodies: &[&str], well: bool| {
            let done = |messages: Vec<Message>| async move {
                assert!(messages.iter().all(|message| message.n < 9));
                if well { Ok(()) } else { Err(JobError::from("down")) }
            };
            let answer = block_on(together(event(bodies), done)).unwrap();
            let ids = answer["batchItemFailures"].as_array().unwrap().iter();
            ids.map(|item| item["itemIdentifier"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let bodies = [r#"{"n":0}"#, "poison", r#"{"n":1}"#];
        assert_eq!(answer(&bodies, true), ["m1"]);
        assert_eq!(answer(&bodies, false), ["m1", "m0", "m2"]);
        assert_eq!(answer(&["poison"], false), ["m0"]);
    }

    #[test]
    fn another_event_is_an_error() {
        let work = erased(|_: Message, _| async { Ok(()) });
        let invocation = Invocation { request_id: "r".to_owned(), deadline: jiff::Timestamp::MAX };
        assert!(block_on(batch(work, json!({"x": 1}), invocation)).is_err());
    }
}
