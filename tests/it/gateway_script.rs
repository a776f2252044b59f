//! A local HTTP server that plays a script, for what no well-behaved gateway does: cut lines, half answers, redirects.
//! Every request it ever read is kept raw, so a test can count sends and compare bytes.
#![allow(clippy::unwrap_used, reason = "helpers of a test may panic like the test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What to do with one request once it was read.
pub enum Step {
    /// Answer and keep the connection.
    Answer(String),
    /// Answer as if the connection stayed, then close it.
    AnswerAndClose(String),
    /// Close without a byte.
    Cut,
    /// Promise a body and close in the middle of it.
    Half,
}

pub struct Script {
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A complete answer.
pub fn answer(status: u16, body: &str) -> String {
    let headers = "content-type: application/json\r\nlocation: /elsewhere\r\n";
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

impl Script {
    /// Plays the steps in the order requests come; afterwards every request is cut.
    pub async fn play(steps: impl IntoIterator<Item = Step>) -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let steps = Arc::new(Mutex::new(steps.into_iter().collect::<VecDeque<_>>()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&steps), Arc::clone(&record)));
            }
        });
        Script { url, seen, task }
    }

    /// Every request read so far, head and body.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until `count` requests were read.
    pub async fn seen_at_least(&self, count: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.seen().len() < count {
            assert!(tokio::time::Instant::now() < deadline, "{} of {count} requests came", self.seen().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.seen()
    }
}

async fn serve(mut stream: TcpStream, steps: Arc<Mutex<VecDeque<Step>>>, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read(&mut stream).await {
        seen.lock().unwrap().push(request);
        let step = steps.lock().unwrap().pop_front().unwrap_or(Step::Cut);
        let (bytes, stays) = match step {
            Step::Answer(bytes) => (bytes, true),
            Step::AnswerAndClose(bytes) => (bytes, false),
            Step::Cut => (String::new(), false),
            Step::Half => ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half".to_owned(), false),
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() || !stays {
            return;
        }
    }
}

/// One request: head, then as much body as it announces.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut raw = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&raw);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    }
}
