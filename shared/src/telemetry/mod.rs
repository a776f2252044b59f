//! Logs: one JSON object a line on standard output, stamped by the platform that collects them.
//!
//! Invariants: nothing here reads personal data; libraries that could print URLs, headers or bodies are held at `warn`
//! whatever the configured level, because gateway URLs carry billing keys; a panic is logged by its place, never by its
//! message, which may quote a value.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Targets that must never be more talkative than this.
const HUSHED: [&str; 13] = [
    "aws_config=warn",
    "aws_credential_types=warn",
    "aws_runtime=warn",
    "aws_sdk_dynamodb=warn",
    "aws_sdk_secretsmanager=warn",
    "aws_sdk_sqs=warn",
    "aws_smithy_http_client=warn",
    "aws_smithy_runtime=warn",
    "h2=warn",
    "hyper=warn",
    "hyper_util=warn",
    // Repeats every error answer, ordinary refusals of the authorizer included; our own line has the causes.
    "lambda_runtime::layers=off",
    "reqwest=warn",
];

/// Starts logging at `filter` (the syntax of `RUST_LOG`). A second call changes nothing.
///
/// # Errors
/// When the filter does not parse.
pub fn init(filter: &str) -> Result<(), ParseError> {
    let filter = hushed(filter)?;
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).without_time();
    // Somebody else may have started logging first, in tests; theirs stays.
    let _ = lines.with_env_filter(filter).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}

fn hushed(filter: &str) -> Result<EnvFilter, ParseError> {
    let mut parsed = EnvFilter::builder().parse(filter)?;
    for directive in HUSHED {
        parsed = parsed.add_directive(directive.parse()?);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stay_quiet_whatever_is_asked_for() {
        let filter = hushed("trace,reqwest=trace,hyper_util=debug").unwrap().to_string();
        assert!(filter.contains("reqwest=warn") && filter.contains("hyper_util=warn"), "{filter}");
        assert!(!filter.contains("reqwest=trace"), "{filter}");
        assert!(hushed("info,shared=loud").is_err());
    }
}
