//! Logs: one JSON object a line on standard output, stamped by the platform that collects them. Some are metrics.
//!
//! Invariants: nothing here reads personal data; libraries that could print URLs, headers or bodies are held at `warn`
//! whatever the configured level, because gateway URLs carry billing keys (records of the `log` crate, which the
//! HTTP client of the gateways uses, are not collected at all); a panic is logged by its place, never by its
//! message, which may quote a value.

pub mod emf;
pub mod metrics;
#[cfg(test)]
pub mod testing;

use std::io::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{ParseError, Targets, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use self::emf::Emf;

/// Libraries that may say what went wrong and nothing more, by the start of their names.
const HUSHED: [&str; 5] = ["aws_", "h2", "hyper", "rustls", "tower"];
/// Repeats every error answer, ordinary refusals of the authorizer included; our own line has the causes.
const SILENT: &str = "lambda_runtime::layers";

/// Starts logging at `filter`: levels by target, like `info,shared=debug`. (The fuller syntax of `RUST_LOG` would bring a
/// regular-expression engine into every function.) Metrics of the stage are said whatever the filter. A second call changes
/// nothing.
///
/// # Errors
/// When the filter does not parse.
pub fn init(filter: &str, stage: &str, wall: fn() -> Timestamp) -> Result<(), ParseError> {
    let filter: Targets = filter.parse()?;
    let lines = fmt::layer().json().flatten_event(true).with_span_list(false).without_time();
    let wanted =
        move |metadata: &Metadata<'_>| filter.would_enable(metadata.target(), metadata.level()) && speaks(metadata);
    let lines = lines.with_filter(filter_fn(wanted));
    // Somebody else may have started logging first, in tests; theirs stays.
    let _ = tracing_subscriber::registry().with(Emf::new(stage, wall, Arc::new(say))).with(lines).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}

/// One line, whole. A log that cannot be written is nobody's reason to fail.
fn say(line: &str) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// What no configured level can widen.
fn speaks(metadata: &Metadata<'_>) -> bool {
    may_speak(metadata.target(), *metadata.level())
}

fn may_speak(target: &str, level: Level) -> bool {
    let hushed = HUSHED.iter().any(|library| target.starts_with(library));
    !target.starts_with(SILENT) && target != metrics::TARGET && (!hushed || level <= Level::WARN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stay_quiet_whatever_is_asked_for() {
        assert!(!may_speak("hyper_util::client::legacy::connect::http", Level::INFO));
        assert!(!may_speak("aws_smithy_runtime::client::orchestrator", Level::DEBUG));
        assert!(may_speak("hyper_util::client", Level::WARN));
        assert!(may_speak("shared::usecase::runner", Level::TRACE) && may_speak("charge_recovery", Level::DEBUG));
        assert!(!may_speak("lambda_runtime::layers::panic", Level::ERROR));
    }

    #[test]
    fn a_filter_must_parse() {
        assert!(init("info,shared=loud", "dev", || Timestamp::UNIX_EPOCH).is_err());
    }
}
