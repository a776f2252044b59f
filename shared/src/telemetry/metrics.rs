//! What is measured while we work, as log lines that CloudWatch turns into metrics (its embedded metric format).
//!
//! Invariants: a measure has a fixed name, unit and dimensions ([`MEASURES`]); a dimension's values come from lists of our
//! own, never from a request; nothing measured names a person, a card or an amount. What a commit stands for is counted
//! after it was committed ([`crate::store::CountedStore`]), one line an event.

use domain::event::Event;
use serde_json::Value;

/// Target of the records that become metric lines; no configured level hides them.
pub const TARGET: &str = "metric";

/// A measure as CloudWatch knows it, below the namespace `<stage>-mindgarden-billing`.
#[derive(Debug, PartialEq, Eq)]
pub struct Measure {
    pub name: &'static str,
    pub unit: &'static str,
    /// Each set is a metric of its own; one that names a dimension a line lacks is left out of that line.
    pub dimensions: &'static [&'static [&'static str]],
}

pub const CHARGES: Measure =
    Measure { name: "Charges", unit: "Count", dimensions: &[&["Outcome"], &["Gateway", "Outcome"]] };
pub const DECLINES: Measure =
    Measure { name: "Declines", unit: "Count", dimensions: &[&["Class"], &["Gateway", "Class"]] };
pub const BREAKER: Measure = Measure { name: "Breaker", unit: "Count", dimensions: &[&["Gateway", "State"]] };
pub const WEBHOOKS_REFUSED: Measure =
    Measure { name: "WebhooksRefused", unit: "Count", dimensions: &[&[], &["Reason"]] };
pub const LOG_INS_REFUSED: Measure = Measure { name: "LogInsRefused", unit: "Count", dimensions: &[&[]] };
pub const DUE_OLDEST_AGE: Measure = Measure { name: "DueOldestAge", unit: "Seconds", dimensions: &[&[]] };
pub const SERVER_ERRORS: Measure = Measure { name: "ServerErrors", unit: "Count", dimensions: &[&[], &["Code"]] };
pub const MESSAGES_FAILED: Measure = Measure { name: "MessagesFailed", unit: "Count", dimensions: &[&[]] };

/// All there are.
pub const MEASURES: [&Measure; 8] = [
    &CHARGES,
    &DECLINES,
    &BREAKER,
    &WEBHOOKS_REFUSED,
    &LOG_INS_REFUSED,
    &DUE_OLDEST_AGE,
    &SERVER_ERRORS,
    &MESSAGES_FAILED,
];

/// A delivery that was not taken; `reason` is the code of the answer.
pub fn webhook_refused(reason: &'static str) {
    tracing::info!(target: TARGET, measure = WEBHOOKS_REFUSED.name, value = 1_i64, Reason = reason);
}

/// A log-in that was not let in.
pub fn log_in_refused() {
    tracing::info!(target: TARGET, measure = LOG_INS_REFUSED.name, value = 1_i64);
}

/// How long the oldest thing due has waited, in whole seconds; 0 when nothing waits.
pub fn due_oldest_age(seconds: i64) {
    tracing::info!(target: TARGET, measure = DUE_OLDEST_AGE.name, value = seconds);
}

/// An answer that blames us; `code` is that of the problem.
pub fn server_error(code: &'static str) {
    tracing::info!(target: TARGET, measure = SERVER_ERRORS.name, value = 1_i64, Code = code);
}

/// Messages of a queue that come back because we failed; a dead letter has failed often.
pub fn messages_failed(count: usize) {
    let value = i64::try_from(count).unwrap_or(i64::MAX);
    tracing::info!(target: TARGET, measure = MESSAGES_FAILED.name, value);
}

/// Counts what an event stands for; nothing for most.
pub fn count(event: &Event) {
    match event.kind.as_str() {
        "payment.captured" => charge(event, "captured"),
        "payment.declined" => {
            charge(event, "declined");
            let (gateway, class) = (text(event, "gateway"), text(event, "class"));
            tracing::info!(target: TARGET, measure = DECLINES.name, value = 1_i64, Gateway = gateway, Class = class);
        }
        "payment.quarantined" => charge(event, "quarantined"),
        "attempt.unknown" => charge(event, "unknown"),
        "attempt.absent" => charge(event, "absent"),
        "gateway.opened" => breaker(event, "open"),
        "gateway.closed" => breaker(event, "closed"),
        _ => {}
    }
}

fn charge(event: &Event, outcome: &'static str) {
    let gateway = text(event, "gateway");
    tracing::info!(target: TARGET, measure = CHARGES.name, value = 1_i64, Gateway = gateway, Outcome = outcome);
}

/// The subject of a switch's event is its row, `gateway#toss`.
fn breaker(event: &Event, state: &'static str) {
    let gateway = event.subject.strip_prefix("gateway#");
    tracing::info!(target: TARGET, measure = BREAKER.name, value = 1_i64, Gateway = gateway, State = state);
}

fn text<'a>(event: &'a Event, field: &str) -> Option<&'a str> {
    event.changes.get(field).and_then(Value::as_str)
}
