//! The sandbox program: flags, one line on standard output, a clean end on SIGTERM and SIGINT.
use std::{io, net::Ipv4Addr, process::ExitCode};

use gateway_sandbox::{
    Options,
    core::{Endpoint, Gateway},
    serve,
};
use tokio::{net::TcpListener, signal::unix};
use tracing_subscriber::EnvFilter;

const HELP: &str = "\
gateway-sandbox: Toss Payments and Stripe on one loopback port, for tests and local runs

usage: gateway-sandbox [--port PORT] [--state FILE] [--toss-webhook URL]
                       [--stripe-webhook URL --stripe-webhook-secret whsec_...] [--retry-speed N]

  --port PORT                    port on 127.0.0.1 (default 4570; 0 takes a free one)
  --state FILE                   load the state at start, save it on SIGTERM or SIGINT
  --toss-webhook URL             where Toss events go
  --stripe-webhook URL           where Stripe events go
  --stripe-webhook-secret SECRET what Stripe events are signed with
  --retry-speed N                webhook retry delays are divided by N (default 60; 1 is the gateways' own pace)
  --help                         this text

Toss wire   /v1/billing/..., /v1/payments/..., /v1/transactions, /v1/settlements; SDK script /v2/standard
Stripe wire /v1/customers, /v1/setup_intents, /v1/payment_methods, /v1/payment_intents, /v1/refunds, ...
Own side    /__sandbox/health clock ledger faults behaviour webhooks webhooks/replay webhook-endpoints
            toss/auth-keys toss/switches window reset
Keys: any test_sk_... Live keys are refused.";

fn main() -> ExitCode {
    let (port, options) = match read_flags(std::env::args().skip(1)) {
        Ok(Some(flags)) => flags,
        Ok(None) => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::WARN.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(run(port, options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("gateway sandbox: {broken}");
            ExitCode::FAILURE
        }
    }
}

async fn run(port: u16, options: Options) -> io::Result<()> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let sandbox = serve(listener, options).await?;
    say(&format!("gateway sandbox listening on {}", sandbox.url));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    sandbox.stop().await
}

#[expect(clippy::print_stdout, reason = "the one line scripts wait for, and --help")]
fn say(text: &str) {
    println!("{text}");
}

/// Port and options; `None` if help was asked for.
fn read_flags(mut words: impl Iterator<Item = String>) -> Result<Option<(u16, Options)>, String> {
    let mut port = 4570;
    let mut options = Options::default();
    let (mut toss, mut stripe, mut secret) = (None, None, None);
    while let Some(flag) = words.next() {
        if matches!(flag.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("{flag}: not a number: {value}"));
        match flag.as_str() {
            "--port" => port = number()?.try_into().map_err(|_| format!("--port: too large: {value}"))?,
            "--retry-speed" => options.retry_speed = number()?,
            "--state" => options.state = Some(value.into()),
            "--toss-webhook" => toss = Some(value),
            "--stripe-webhook" => stripe = Some(value),
            "--stripe-webhook-secret" => secret = Some(value),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    if stripe.is_some() != secret.is_some() {
        return Err("--stripe-webhook and --stripe-webhook-secret go together".to_owned());
    }
    let to = |gateway, url: String, secret| Endpoint { gateway, url, secret, previous_secret: None };
    options.endpoints.extend(toss.map(|url| to(Gateway::Toss, url, None)));
    options.endpoints.extend(stripe.map(|url| to(Gateway::Stripe, url, secret)));
    Ok(Some((port, options)))
}
