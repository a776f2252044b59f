//! `OPTIONS` on every path: what a browser asks before a page of another origin may call. Public.
//!
//! May touch: nothing.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::web::{ApiError, Reply, Request, serve};

struct App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    Env::init(wall, Arc::new(SystemRandom))?;
    serve(App, handle).await
}

/// The answer is in the headers, which every answer gets by its origin.
async fn handle(_: &App, _: Request) -> Result<Reply, ApiError> {
    Ok(Reply::empty(204))
}
