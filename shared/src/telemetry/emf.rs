//! Turns records of [`metrics::TARGET`] into lines of CloudWatch's embedded metric format.
//!
//! Invariants: the time of a line is the wall clock's, also where billing time travels, because CloudWatch refuses what is
//! far from now; a line carries the request id of the span it was made in, as all log lines do.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::metrics::{self, MEASURES, Measure};

/// Where lines go, each without its end.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// The layer that makes the lines.
pub struct Emf {
    namespace: String,
    wall: fn() -> Timestamp,
    sink: Sink,
}

/// The request id of a span.
struct RequestId(String);

impl Emf {
    /// Metrics of a stage.
    #[must_use]
    pub fn new(stage: &str, wall: fn() -> Timestamp, sink: Sink) -> Emf {
        Emf { namespace: format!("{stage}-mindgarden-billing"), wall, sink }
    }

    fn line(&self, record: Record, request_id: Option<String>) -> Option<String> {
        let measure = MEASURES.iter().find(|measure| measure.name == record.measure)?;
        let mut line = Map::new();
        line.insert("_aws".to_owned(), self.declared(measure, &record.dimensions));
        line.insert(measure.name.to_owned(), record.value.into());
        line.extend(record.dimensions.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))));
        line.extend(request_id.map(|id| ("request_id".to_owned(), Value::String(id))));
        Some(Value::Object(line).to_string())
    }

    fn declared(&self, measure: &Measure, has: &BTreeMap<&'static str, String>) -> Value {
        let sets = measure.dimensions.iter().filter(|set| set.iter().all(|name| has.contains_key(name)));
        json!({
            "Timestamp": (self.wall)().as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": self.namespace,
                "Dimensions": sets.collect::<Vec<_>>(),
                "Metrics": [{ "Name": measure.name, "Unit": measure.unit }],
            }],
        })
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Emf {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut seen = Seen::default();
        attributes.record(&mut seen);
        if let (Some(request_id), Some(span)) = (seen.request_id, context.span(id)) {
            span.extensions_mut().insert(RequestId(request_id));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != metrics::TARGET {
            return;
        }
        let mut record = Record::default();
        event.record(&mut record);
        let scope = context.event_scope(event).into_iter().flatten();
        let request_id = scope.filter_map(|span| span.extensions().get::<RequestId>().map(|id| id.0.clone())).next();
        if let Some(line) = self.line(record, request_id) {
            (self.sink)(&line);
        }
    }
}

/// What a record says: the measure, its value, and a dimension for each further field.
#[derive(Default)]
struct Record {
    measure: String,
    value: i64,
    dimensions: BTreeMap<&'static str, String>,
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "measure" {
            value.clone_into(&mut self.measure);
        } else {
            self.dimensions.insert(field.name(), value.to_owned());
        }
    }

    fn record_i64(&mut self, _: &Field, value: i64) {
        self.value = value;
    }

    /// No measure has a field of another kind.
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Looks for a span's request id.
#[derive(Default)]
struct Seen {
    request_id: Option<String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "request_id" {
            self.request_id = Some(format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::{lines, said};

    #[test]
    fn a_line_is_what_cloudwatch_reads() {
        let seen = lines(|| {
            let request_id = "r-1";
            tracing::info_span!("request", request_id = %request_id)
                .in_scope(|| metrics::webhook_refused("bad_signature"));
        });
        let expected = json!({
            "_aws": {
                "Timestamp": 1_796_083_200_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "dev-mindgarden-billing",
                    "Dimensions": [[], ["Reason"]],
                    "Metrics": [{ "Name": "WebhooksRefused", "Unit": "Count" }],
                }],
            },
            "WebhooksRefused": 1,
            "Reason": "bad_signature",
            "request_id": "r-1",
        });
        assert_eq!(seen, [expected]);
    }

    #[test]
    fn a_set_whose_dimension_is_missing_is_left_out() {
        let seen =
            lines(|| tracing::info!(target: metrics::TARGET, measure = "Charges", value = 1_i64, Outcome = "absent"));
        assert_eq!(seen[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["Outcome"]]));
        assert!(seen[0].get("request_id").is_none());
    }

    #[test]
    fn everything_else_is_no_metric() {
        assert!(lines(|| tracing::info!(measure = "Charges", value = 1_i64, "a log line")).is_empty());
        assert!(lines(|| tracing::info!(target: metrics::TARGET, measure = "Unheard", value = 1_i64)).is_empty());
    }

    /// The failures of ours that have no event: each is one line.
    #[test]
    fn what_was_refused_or_failed_is_said_once() {
        assert_eq!(said(metrics::log_in_refused), ["LogInsRefused 1"]);
        assert_eq!(said(|| metrics::server_error("internal_error")), ["ServerErrors 1 Code=internal_error"]);
        assert_eq!(said(|| metrics::messages_failed(3)), ["MessagesFailed 3"]);
        assert_eq!(said(|| metrics::due_oldest_age(86_401)), ["DueOldestAge 86401"]);
    }
}
