//! `GET /openapi.json`: the document of this API, as it was when the function was built. Public.
//!
//! May touch: nothing.
use std::sync::Arc;

use functions::{SystemRandom, wall};
use shared::config::Env;
use shared::web::cached::Document;
use shared::web::{ApiError, Reply, Request, serve};

/// `make openapi` writes it; a test holds it against the code.
const OPENAPI: &str = include_str!("../../../openapi.json");

struct App {
    document: Document,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { document: Document::new(OPENAPI) }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    Ok(app.document.reply(&request))
}
