//! A hello world: what the platform's own loop and an HTTP event cost.

use lambda_http::{Body, Error, Request, Response, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(|_: Request| async { Ok::<_, Error>(Response::new(Body::Text(r#"{"hello":"world"}"#.to_owned()))) }))
        .await
}
