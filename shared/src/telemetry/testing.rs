//! Hears the metric lines of some work, for tests of other modules.

use std::sync::{Arc, LazyLock, Mutex};

use jiff::Timestamp;
use serde_json::Value;
use tracing_subscriber::prelude::*;

use super::emf::Emf;

/// Never heard. While it is the only subscriber, `tracing` remembers that a thread without one has no interest in a line,
/// for all threads; with a second one it asks each thread.
static SECOND: LazyLock<tracing::Dispatch> = LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

/// The metric lines of some work.
pub fn lines(work: impl FnOnce()) -> Vec<Value> {
    LazyLock::force(&SECOND);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let sink = Arc::new(move |line: &str| kept.lock().unwrap().push(serde_json::from_str(line).unwrap()));
    let emf = Emf::new("dev", || "2026-12-01T00:00:00Z".parse::<Timestamp>().unwrap(), sink);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(emf), work);
    let lines = lines.lock().unwrap();
    lines.clone()
}

/// The same as name, value and dimensions: `ServerErrors 1 Code=internal_error`.
pub fn said(work: impl FnOnce()) -> Vec<String> {
    lines(work).iter().map(told).collect()
}

fn told(line: &Value) -> String {
    let name = line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"].as_str().unwrap();
    let fields =
        line.as_object().unwrap().iter().filter(|(field, _)| !["_aws", "request_id", name].contains(&field.as_str()));
    let dimensions = fields.map(|(field, value)| format!(" {field}={}", value.as_str().unwrap()));
    format!("{name} {}{}", line[name], dimensions.collect::<String>())
}
