//! Forwarding: every event of the audit log goes to the queues of those who want its kind. No rule beyond that.
//!
//! Invariants: an event is sent before the stream moves past it, so it is never lost; it may be sent twice, so consumers
//! are idempotent by its id; a row that does not read is set aside and never blocks the ones behind it.

use domain::event::Event;
use domain::ids::EventId;

use crate::ports::{Consumer, Outbox};

/// What is made into documents and booked. The other consumers list what they want themselves.
const DOCUMENTED: [&str; 5] =
    ["payment.captured", "payment.quarantined", "quarantine.refunded", "refund.failed", "refund.succeeded"];

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

fn wants(consumer: Consumer, kind: &str) -> bool {
    match consumer {
        Consumer::Documents => DOCUMENTED.contains(&kind),
        Consumer::Notices => domain::notice::KINDS.iter().any(|(told, _)| *told == kind),
        Consumer::Statistics => domain::statistics::COUNTED.contains(&kind),
    }
}

/// Whether anybody wants events of a kind.
#[must_use]
pub fn wanted(kind: &str) -> bool {
    Consumer::ALL.into_iter().any(|consumer| wants(consumer, kind))
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
    for consumer in Consumer::ALL {
        let mut positions = Vec::new();
        let mut bodies = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let Ok(event) = &row.event else { continue };
            if !wants(consumer, &event.kind) {
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
    let taken = went.filter(|event| wanted(&event.kind)).map(|event| event.id.clone()).collect();
    let again = left.into_iter().min().and_then(|at| rows.get(at)).map(|row| row.sequence.clone());
    Forwarded { again, taken }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_consumer_gets_what_it_asked_for() {
        let who = |kind| Consumer::ALL.into_iter().filter(|c| wants(*c, kind)).collect::<Vec<_>>();
        assert_eq!(who("payment.captured"), [Consumer::Documents, Consumer::Notices, Consumer::Statistics]);
        assert_eq!(who("attempt.unknown"), [Consumer::Statistics]);
        assert_eq!(who("application.submitted"), [Consumer::Notices]);
        assert!(wanted("gateway.paused") && !wanted("operator.logged_in"));
    }
}
