//! The event loop under every function that is not an HTTP endpoint, type-erased so that binaries share it.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use tracing::Instrument;

/// What the platform says about one invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub request_id: String,
    /// Wall-clock instant at which the function is stopped.
    pub deadline: Timestamp,
}

impl Invocation {
    /// Time left at `now`, which must be the wall clock and not a travelled one.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.deadline.duration_since(now)).unwrap_or_default()
    }
}

/// Why a job did not succeed. The causes go to the log; the platform is told the outermost text.
#[derive(Debug)]
pub struct JobError(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for JobError {
    fn from(error: E) -> JobError {
        JobError(error.into())
    }
}

impl JobError {
    /// The causes, outermost first.
    #[must_use]
    pub fn causes(&self) -> String {
        let mut text = self.0.to_string();
        let mut next = self.0.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }

    /// Whether it is this error.
    #[must_use]
    pub fn is<E: Error + 'static>(&self) -> bool {
        self.0.is::<E>()
    }

    /// The outermost text.
    #[must_use]
    pub fn message(&self) -> String {
        self.0.to_string()
    }
}

/// Serves raw events: whatever JSON comes in, whatever JSON goes out. For functions with an event of their own kind,
/// such as the authorizer; an error's text becomes the platform's `errorMessage`.
///
/// # Errors
/// When the platform's runtime interface is gone.
pub async fn serve_event<A, F, Fut>(app: A, handle: F) -> Result<(), lambda_runtime::Error>
where
    A: Send + Sync + 'static,
    F: Fn(&'static A, Value, Invocation) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, JobError>> + Send + 'static,
{
    // One process serves one app for its whole life.
    let app: &'static A = Box::leak(Box::new(app));
    run(Arc::new(move |event, invocation| handle(app, event, invocation).boxed())).await
}

pub(super) type Handler = Arc<dyn Fn(Value, Invocation) -> BoxFuture<'static, Result<Value, JobError>> + Send + Sync>;

pub(super) async fn run(handler: Handler) -> Result<(), lambda_runtime::Error> {
    let service = lambda_runtime::service_fn(move |event: LambdaEvent<Value>| {
        let (payload, context) = event.into_parts();
        let deadline = i64::try_from(context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let invocation = Invocation { request_id: context.request_id, deadline: deadline.unwrap_or(Timestamp::MAX) };
        let span = tracing::info_span!("job", request_id = %invocation.request_id);
        let work = handler(payload, invocation);
        async move {
            work.await.map_err(|error| Diagnostic { error_type: "JobError".to_owned(), error_message: error.message() })
        }
        .instrument(span)
    });
    lambda_runtime::run(service).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_ends_at_zero() {
        let invocation = Invocation { request_id: String::new(), deadline: "2026-12-01T00:01:00Z".parse().unwrap() };
        assert_eq!(invocation.remaining("2026-12-01T00:00:15Z".parse().unwrap()), Duration::from_secs(45));
        assert_eq!(invocation.remaining("2026-12-01T00:02:00Z".parse().unwrap()), Duration::ZERO);
    }

    #[test]
    fn causes_are_chained() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::fmt::Error);
        let error = JobError::from(Outer(std::fmt::Error));
        assert_eq!((error.causes().starts_with("outer: "), error.message()), (true, "outer".to_owned()));
    }
}
