//! Scheduled work. The event says nothing a handler needs: the tick is the message.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::Value;

use super::runtime::{self, Invocation, JobError};

/// Serves a schedule. A failure is logged and handed to the platform, which counts it and may try again.
///
/// # Errors
/// When the platform's runtime interface is gone.
pub async fn serve_schedule<A, F, Fut>(app: A, handle: F) -> Result<(), lambda_runtime::Error>
where
    A: Send + Sync + 'static,
    F: Fn(&'static A, Invocation) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let app: &'static A = Box::leak(Box::new(app));
    let tick = move |_: Value, invocation: Invocation| {
        let work = handle(app, invocation);
        async move {
            let result = work.await;
            if let Err(error) = &result {
                tracing::error!(causes = error.causes(), "scheduled job failed");
            }
            result.map(|()| Value::Null)
        }
        .boxed()
    };
    runtime::run(Arc::new(tick)).await
}
