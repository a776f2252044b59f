//! Forwarding: every event of the audit log goes to the queues of those who want its kind. No rule beyond that table.
//!
//! Invariants: an event is sent before the stream moves past it, so it is never lost; it may be sent twice, so consumers
//! are idempotent by its id; a row that does not read is set aside and never blocks the ones behind it.

use domain::event::Event;
use domain::ids::EventId;

use crate::ports::{Consumer, Outbox};

/// Who wants which kind of event.
pub const WANTED: [(&str, &[Consumer]); 5] = [
    ("payment.captured", &[Consumer::Documents]),
    ("payment.quarantined", &[Consumer::Documents]),
    ("quarantine.refunded", &[Consumer::Documents]),
    ("refund.failed", &[Consumer::Documents]),
    ("refund.succeeded", &[Consumer::Documents]),
];

/// A row of the audit log as its stream shows it.
pub struct Streamed {
    /// Where the stream goes back to when it must come again.
    pub sequence: String,
    pub event: Result<Event, Unreadable>,
}

/// Keys of a row that does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub pk: String,
    pub sk: String,
}

/// Who wants events of a kind.
#[must_use]
pub fn wanted(kind: &str) -> &'static [Consumer] {
    WANTED.iter().find(|(wanted, _)| *wanted == kind).map_or(&[], |(_, consumers)| consumers)
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Sequence number of the first row that must come again; none when all went.
    pub again: Option<String>,
    /// Events that somebody wants and that everybody who wants them was sent.
    pub taken: Vec<EventId>,
}

/// Sends a batch on.
pub async fn forward(outbox: &dyn Outbox, rows: &[Streamed]) -> Forwarded {
    let mut left: Vec<usize> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if let Err(Unreadable { pk, sk }) = &row.event {
            tracing::error!(pk, sk, "an event does not read");
            if outbox.set_aside(pk, sk).await.is_err() {
                left.push(at);
            }
        }
    }
    for consumer in [Consumer::Documents] {
        let mut positions = Vec::new();
        let mut bodies = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let Ok(event) = &row.event else { continue };
            if !wanted(&event.kind).contains(&consumer) {
                continue;
            }
            match serde_json::to_string(event) {
                Ok(body) => {
                    positions.push(at);
                    bodies.push(body);
                }
                // What was read from JSON can be written as JSON; were it not, it would come again until it is looked at.
                Err(_) => left.push(at),
            }
        }
        if bodies.is_empty() {
            continue;
        }
        let taken = outbox.send(consumer, &bodies).await;
        left.extend(positions.iter().enumerate().filter(|(n, _)| taken.get(*n) != Some(&true)).map(|(_, at)| *at));
    }
    let went =
        rows.iter().enumerate().filter(|(at, _)| !left.contains(at)).filter_map(|(_, row)| row.event.as_ref().ok());
    let taken = went.filter(|event| !wanted(&event.kind).is_empty()).map(|event| event.id.clone()).collect();
    let again = left.into_iter().min().and_then(|at| rows.get(at)).map(|row| row.sequence.clone());
    Forwarded { again, taken }
}
