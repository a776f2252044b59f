//! Counted work at list prices (us-east-1, no free tier): what 10,000 renewals cost, and a month without any.

use super::counts::Counted;
use crate::report::{Row, short};

/// Dollars per million write and read units on demand.
const WRITE_UNITS: f64 = 0.625;
const READ_UNITS: f64 = 0.125;
/// Dollars per GB-second on ARM, and per million invocations.
const GB_SECOND: f64 = 1.333_34e-5;
const INVOCATIONS: f64 = 0.20;
/// Memory of a function, in GB.
const MEMORY: f64 = 0.25;
/// Dollars per million SQS requests.
const QUEUE_REQUESTS: f64 = 0.40;
/// Dollars per GB of log taken in.
const LOGS: f64 = 0.50;
/// Dollars per thousand e-mails.
const MAILS: f64 = 0.10;
/// Dollars a month per secret and per alarm; per ten thousand reads of a secret.
const SECRET: f64 = 0.40;
const ALARM: f64 = 0.10;
const SECRET_READS: f64 = 0.05;

/// The rate renewals are priced at: a slower account pays for longer waiting.
const RATE: f64 = 25.0;
const GATEWAY_P99: f64 = 6.0;
const RENEWALS: f64 = 10_000.0;

/// Ticks of a month, one in ten minutes.
const TICKS: f64 = 6.0 * 24.0 * 30.0;
/// Lambda asks an idle queue with five long polls of 20 s.
const POLLS: f64 = 5.0 * 3.0 * 60.0 * 24.0 * 30.0;
/// An idle invocation with its start, in seconds; generous.
const IDLE_SECONDS: f64 = 0.2;

const TEMPLATE: &str = include_str!("../../../../template.yaml");

fn millions(count: f64, price: f64) -> f64 {
    count / 1e6 * price
}

pub fn rows(counted: &Counted, idle: &Counted) -> Vec<Row> {
    vec![charge_path(counted), mails(), idle_month(idle)]
}

fn charge_path(counted: &Counted) -> Row {
    let times = RENEWALS / counted.renewals;
    let seconds = RENEWALS / RATE + GATEWAY_P99;
    let lambda = |seconds: f64| seconds * MEMORY * GB_SECOND + millions(seconds / 800.0 + 1.0, INVOCATIONS);
    let parts = [
        ("writes", millions(counted.counts.written() * times, WRITE_UNITS)),
        ("reads", millions(counted.counts.read() * times, READ_UNITS)),
        ("runner", lambda(seconds)),
        ("queues", millions(f64::from(counted.counts.to("AmazonSQS")) * times, QUEUE_REQUESTS)),
        ("logs", counted.log_bytes * times / 1e9 * LOGS),
    ];
    let slow = lambda(RENEWALS / 4.0) - lambda(seconds);
    Row::one("cost", "cost of the charge path per 10,000 renewals", total(&parts), " $").at_most(0.10).note(format!(
        "{}; the runner at {RATE}/s, and at the 4/s of a small account {} $ more",
        shown(&parts),
        short(slow)
    ))
}

fn mails() -> Row {
    Row::one("cost-mail", "e-mail per 10,000 renewals, one each", RENEWALS / 1e3 * MAILS, " $")
}

fn idle_month(idle: &Counted) -> Row {
    let count =
        |kind: &str| f64::from(u32::try_from(TEMPLATE.matches(&format!("Type: {kind}\n")).count()).unwrap_or(0));
    let (secrets, alarms) = (count("AWS::SecretsManager::Secret"), count("AWS::CloudWatch::Alarm"));
    let fed = f64::from(u32::try_from(TEMPLATE.matches("Type: SQS\n").count()).unwrap_or(0));
    assert!(secrets > 0.0 && alarms > 0.0 && fed > 0.0, "the template reads");
    let parts = [
        ("secrets", secrets * SECRET),
        ("alarms", alarms * ALARM),
        ("polling of queues", millions(fed * POLLS, QUEUE_REQUESTS)),
        ("reads of secrets", f64::from(idle.counts.to("secretsmanager")) * TICKS / 1e4 * SECRET_READS),
        ("queue requests", millions((f64::from(idle.counts.to("AmazonSQS")) + 3.0) * TICKS, QUEUE_REQUESTS)),
        ("writes", millions(idle.counts.written() * TICKS, WRITE_UNITS)),
        ("reads", millions(idle.counts.read() * TICKS, READ_UNITS)),
        ("functions", 2.0 * TICKS * IDLE_SECONDS * MEMORY * GB_SECOND + millions(2.0 * TICKS, INVOCATIONS)),
        ("logs", idle.log_bytes * TICKS / 1e9 * LOGS),
    ];
    Row::one("idle", "a month without customers", total(&parts), " $").at_most(5.0).note(format!(
        "{}; a tick in ten minutes counted at the wire, {secrets} secrets, {alarms} alarms and {fed} fed queues of the \
         template; data stored is not in it",
        shown(&parts)
    ))
}

fn total(parts: &[(&str, f64)]) -> f64 {
    parts.iter().map(|(_, dollars)| dollars).sum()
}

fn shown(parts: &[(&str, f64)]) -> String {
    parts.iter().map(|(name, dollars)| format!("{name} {}", short(*dollars))).collect::<Vec<_>>().join(", ")
}
