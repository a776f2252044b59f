//! Serving queue, stream and schedule events, and sending to queues.
//!
//! Invariants: a queue record is answered by itself (`ReportBatchItemFailures`), so one bad record never repeats its
//! neighbours; a record that does not parse fails like any other and ends in the dead-letter queue; bodies are never
//! logged; every failure leaves one log line with its causes.

mod dead_letters;
mod outbox;
mod queue;
mod runtime;
mod schedule;
mod sqs;
mod stream;

pub use dead_letters::{Source, SqsDeadLetters};
pub use outbox::{OutboxQueues, SqsOutbox};
pub use queue::{SqsHints, SqsPostpone, SqsShards};
pub use runtime::{Invocation, JobError, serve_event};
pub use schedule::serve_schedule;
pub use sqs::{Delivery, NotYet, serve_sqs, serve_sqs_together};
pub use stream::serve_stream;
