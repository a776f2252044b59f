//! The verifier of `payment_webhook` for programs that sign in other languages: a JSON line `{"body", "header", "secrets",
//! "now"}` in, a line `accepted <event type>` or `refused` out.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on standard output")]

use std::error::Error;
use std::io::BufRead as _;
use std::process::ExitCode;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use shared::gateway::webhook::{parse_stripe, verify_signature, within_tolerance};

fn main() -> ExitCode {
    for line in std::io::stdin().lock().lines() {
        match line.map_err(Into::into).and_then(|line| judged(&line)) {
            Ok(verdict) => println!("{verdict}"),
            Err(error) => {
                println!("verify_webhook: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn judged(line: &str) -> Result<String, Box<dyn Error>> {
    let asked: Value = serde_json::from_str(line)?;
    let text = |field: &str| asked[field].as_str().ok_or(format!("no {field}"));
    let (body, header) = (text("body")?.as_bytes(), text("header")?);
    let secrets = asked["secrets"].as_array().ok_or("no secrets")?;
    let secrets: Vec<SecretString> = secrets.iter().filter_map(Value::as_str).map(SecretString::from).collect();
    let now = Timestamp::from_second(asked["now"].as_i64().ok_or("no now")?)?;
    let fresh = verify_signature(body, header, &secrets).is_ok_and(|at| within_tolerance(at, now));
    let event = fresh.then(|| parse_stripe(body).ok()).flatten();
    Ok(event.map_or_else(|| "refused".to_owned(), |event| format!("accepted {}", event.event_type)))
}
