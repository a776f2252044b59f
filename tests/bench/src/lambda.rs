//! Lambda's Runtime API, as a function sees it: hands out one event after another and notes when the first was asked for.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Notify, mpsc};

use crate::process::cpu;

/// Longest anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Api {
    events: Mutex<mpsc::Receiver<String>>,
    answers: mpsc::Sender<(StatusCode, Bytes)>,
    asked: Notify,
    handed: AtomicU64,
}

/// One environment of a function.
pub struct Function {
    child: Child,
    events: mpsc::Sender<String>,
    answers: mpsc::Receiver<(StatusCode, Bytes)>,
    server: tokio::task::JoinHandle<()>,
    /// From the spawn to the first `/next`.
    pub started_in: Duration,
}

impl Function {
    /// Starts `command` as the platform does, and waits until it asks for work.
    pub async fn start(mut command: Command) -> Function {
        let (events, receiver) = mpsc::channel(1);
        let (sender, answers) = mpsc::channel(1);
        let api =
            Api { events: Mutex::new(receiver), answers: sender, asked: Notify::new(), handed: AtomicU64::new(0) };
        let api = Arc::new(api);
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(Arc::clone(&api));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        command.env("AWS_LAMBDA_RUNTIME_API", address.to_string()).env("AWS_LAMBDA_FUNCTION_NAME", "bench");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command.env("AWS_LAMBDA_LOG_GROUP_NAME", "bench").env("AWS_LAMBDA_LOG_STREAM_NAME", "bench");
        command.stdout(Stdio::null()).kill_on_drop(true);
        let began = Instant::now();
        let child = command.spawn().expect("a function starts");
        tokio::time::timeout(PATIENCE, api.asked.notified()).await.expect("it asks for work");
        Function { child, events, answers, server, started_in: began.elapsed() }
    }

    /// One invocation.
    pub async fn invoke(&mut self, event: String) -> Value {
        self.events.send(event).await.expect("it takes events");
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await.expect("it answers in time");
        let (status, body) = answer.expect("it answers");
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, StatusCode::OK, "the function failed: {text}");
        serde_json::from_slice(&body).expect("an answer is JSON")
    }

    /// Processor time so far.
    pub fn cpu(&self) -> Duration {
        cpu(self.child.id())
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    api.asked.notify_one();
    let Some(event) = api.events.lock().await.recv().await else { return StatusCode::GONE.into_response() };
    let id = api.handed.fetch_add(1, Ordering::Relaxed);
    let deadline = functions::wall().as_millisecond() + 29_000;
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", format!("00000000-0000-0000-0000-{id:012}")),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:ap-northeast-2:000000000000:function:bench".to_owned()),
        ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned()),
    ];
    (headers, event).into_response()
}

async fn response(State(api): State<Arc<Api>>, body: Bytes) -> StatusCode {
    // Whoever waited for it may have given up.
    let _ = api.answers.send((StatusCode::OK, body)).await;
    StatusCode::ACCEPTED
}

async fn error(State(api): State<Arc<Api>>, body: Bytes) -> StatusCode {
    let _ = api.answers.send((StatusCode::INTERNAL_SERVER_ERROR, body)).await;
    StatusCode::ACCEPTED
}
