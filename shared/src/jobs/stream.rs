//! Serving the stream of the audit log: a batch of rows just written, in order.
//!
//! Invariants: a row that does not read is handed on as such, so that it never blocks the ones behind it; what must come
//! again is named by its sequence number, and the platform goes back to the first of those.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::runtime;
use crate::store::stream::{event_of, keys_of};
use crate::usecase::forward_events::{Streamed, Unreadable};

/// The part of a stream event that is used. No `Debug`: images are not for logs.
#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    event_name: String,
    dynamodb: Row,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    sequence_number: String,
    #[serde(default)]
    keys: Value,
    #[serde(default)]
    new_image: Value,
}

/// Serves the stream. The handler answers with the sequence number of the first record that must come again.
///
/// # Errors
/// When the platform's runtime interface is gone.
pub async fn serve_stream<A, F, Fut>(app: A, handle: F) -> Result<(), lambda_runtime::Error>
where
    A: Send + Sync + 'static,
    F: Fn(&'static A, Vec<Streamed>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Option<String>> + Send + 'static,
{
    let app: &'static A = Box::leak(Box::new(app));
    let serve = move |event: Value, _| match records(event) {
        Some(records) => handle(app, records).map(|again| Ok(answer(again))).boxed(),
        None => {
            tracing::error!("not a stream event");
            futures::future::ready(Err("not a stream event".into())).boxed()
        }
    };
    runtime::run(Arc::new(serve)).await
}

fn answer(again: Option<String>) -> Value {
    let failed: Vec<Value> = again.into_iter().map(|id| json!({ "itemIdentifier": id })).collect();
    json!({ "batchItemFailures": failed })
}

/// The rows of a batch that were inserted. The log is append-only: anything else is not an event of ours.
fn records(event: Value) -> Option<Vec<Streamed>> {
    let batch: Batch = serde_json::from_value(event).ok()?;
    let inserted = batch.records.into_iter().filter(|entry| entry.event_name == "INSERT");
    let streamed = inserted.map(|entry| {
        let (pk, sk) = keys_of(&entry.dynamodb.keys);
        let event = event_of(&entry.dynamodb.new_image).map_err(|_| Unreadable { pk, sk });
        Streamed { sequence: entry.dynamodb.sequence_number, event }
    });
    Some(streamed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_one_by_one_and_only_insertions() {
        let row = |name: &str, sequence: &str, image: Value| {
            json!({"eventName": name, "eventSource": "aws:dynamodb", "dynamodb": {
                "SequenceNumber": sequence, "Keys": {"pk": {"S": "p"}, "sk": {"S": sequence}}, "NewImage": image}})
        };
        let event = json!({"Records": [row("INSERT", "1", json!({"x": {"S": "y"}})), row("REMOVE", "2", json!(null)),
            row("INSERT", "3", json!(null))]});
        let read = records(event).unwrap();
        let seen: Vec<_> =
            read.iter().map(|r| (r.sequence.as_str(), r.event.as_ref().unwrap_err().sk.as_str())).collect();
        assert_eq!(seen, [("1", "1"), ("3", "3")]);
        assert!(records(json!({"Records": [{}]})).is_none() && records(json!(7)).is_none());
    }

    #[test]
    fn only_what_must_come_again_is_named() {
        assert_eq!(answer(None), json!({"batchItemFailures": []}));
        assert_eq!(answer(Some("7".into())), json!({"batchItemFailures": [{"itemIdentifier": "7"}]}));
    }
}
