//! `make bench`: every budget of the design, measured on this machine against a floor in the same run.
//!
//! Method: floors are interleaved with subjects (ABAB) and repeated; what is compared is processor time and memory of a
//! process of one's own, read from the kernel, and counts taken at the wire, never in our own code; correctness is the
//! gateway's ledger, not our tables. `BENCH_SLOW=1` spoils every subject, and then the program must fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a measuring program: a panic is its answer, and figures are fractions"
)]

mod aws;
mod bent;
mod drive;
mod lambda;
mod law;
mod model;
mod process;
mod report;
mod roles;
mod rows;
mod seed;
mod stripe;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use report::{Report, Row};
use rows::Scale;
use serde_json::{Value, json};

const HELP: &str = "\
bench: the budgets, measured. usage: bench [--quick] [--out FILE] [ROW...]

  ROW       counts (with cost), wall, strain, cpu, memory, webhooks, handlers, spawn (all without one)
  --quick   small numbers, to see that it works; the figures mean nothing
  --out     where the JSON goes (default bench.json in the target directory; the table goes beside it as .md)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, role, spec] = arguments.as_slice()
        && word == "role"
    {
        play(role, &serde_json::from_str(spec).expect("a role's specification is JSON"));
        return ExitCode::SUCCESS;
    }
    let (mut scale, mut out, mut wanted) = (Scale { quick: false }, None, Vec::new());
    let mut words = arguments.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => scale.quick = true,
            "--out" => out = Some(PathBuf::from(words.next().expect("--out FILE"))),
            "--help" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            row if QUESTIONS.contains(&row) => wanted.push(word),
            _ => {
                eprintln!("{word} is no row and no option\n\n{HELP}");
                return ExitCode::FAILURE;
            }
        }
    }
    let report = runtime(2).block_on(measure(scale, &wanted));
    finish(&report, &out.unwrap_or_else(beside))
}

/// `bench.json` in the target directory.
fn beside() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program.ancestors().nth(2).expect("it lies in target/<profile>").join("bench.json")
}

fn runtime(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime")
}

/// The runtime of the functions: one thread.
fn function_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn play(role: &str, spec: &Value) {
    match role {
        "emulator" => runtime(2).block_on(roles::emulator::run()),
        "gateway" => function_runtime().block_on(roles::gateway::run(spec)),
        "floor" => function_runtime().block_on(roles::floor::run(spec)),
        "webhooks" => runtime(2).block_on(roles::webhooks::run(spec)),
        "renewals" => function_runtime().block_on(roles::renewals::run(spec)),
        _ => panic!("no role {role}"),
    }
}

/// The questions, in the order they are asked.
const QUESTIONS: [&str; 8] = ["counts", "wall", "strain", "cpu", "memory", "webhooks", "handlers", "spawn"];

/// A full run takes half an hour: it says where it is, and shows each row once it is measured.
async fn measure(scale: Scale, wanted: &[String]) -> Report {
    let started = std::time::Instant::now();
    let mut report = Report { about: about(scale), rows: Vec::new() };
    for question in QUESTIONS.into_iter().filter(|q| wanted.is_empty() || wanted.iter().any(|w| w == q)) {
        eprintln!("{:>5} s  {question}", started.elapsed().as_secs());
        let rows = ask(question, scale, &mut report.about).await;
        rows.iter().for_each(|row| eprintln!("{}", row.line()));
        report.rows.extend(rows);
    }
    report.about["loadAfter"] = load();
    report
}

async fn ask(question: &str, scale: Scale, about: &mut Value) -> Vec<Row> {
    match question {
        "counts" => rows::counts::rows(scale, about).await,
        "wall" => rows::wall::rows(scale).await,
        "strain" => rows::strain::rows(scale).await,
        "cpu" => rows::cpu::rows(scale).await,
        "memory" => rows::memory::rows(scale).await,
        "webhooks" => rows::webhooks::rows(scale, about).await,
        "handlers" => rows::handlers::rows(scale).await,
        "spawn" => rows::spawn::rows(scale).await,
        other => unreachable!("{other} is among the questions"),
    }
}

fn about(scale: Scale) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile =
        std::env::current_exe().ok().and_then(|p| Some(p.parent()?.file_name()?.to_string_lossy().into_owned()));
    json!({ "profile": profile, "cores": cores, "quick": scale.quick, "spoiled": bent::spoiled(), "loadBefore": load() })
}

fn load() -> Value {
    std::fs::read_to_string("/proc/loadavg").map_or(Value::Null, |text| json!(text.trim()))
}

fn finish(report: &Report, out: &Path) -> ExitCode {
    let table = report.markdown();
    println!("{table}\nabout: {}", report.about);
    let written = std::fs::write(out, format!("{:#}\n", report.json()))
        .and_then(|()| std::fs::write(out.with_extension("md"), &table));
    if let Err(error) = written {
        eprintln!("{}: {error}", out.display());
        return ExitCode::FAILURE;
    }
    let missed = report.missed();
    for row in &missed {
        eprintln!("budget missed: {} ({})", row.what, row.id);
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
