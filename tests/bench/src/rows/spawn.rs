//! From spawning a function to its first request for work, against a hello world; and the size of what ships.

use std::path::Path;

use tokio::process::Command;

use super::Scale;
use crate::aws::Stand;
use crate::bent::spoiled;
use crate::lambda::Function;
use crate::process::sibling;
use crate::report::{Row, Spread};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

pub async fn rows(scale: Scale) -> Vec<Row> {
    let stand = Stand::start(Value::Null).await;
    let environment = stand.environment("spawn");
    let mut worst: Option<(String, Spread, Spread, Spread)> = None;
    let mut all = Vec::new();
    for name in functions() {
        let Some(program) = sibling(&name) else { continue };
        let hello = sibling("bench_hello").expect("bench-floor is built with the functions");
        let (mut subjects, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..scale.of(11, 3) {
            for (program, times) in [(&hello, &mut floors), (&program, &mut subjects)] {
                let mut command = if spoiled() && *program != hello { slowly(program) } else { Command::new(program) };
                command.envs(environment.iter().map(|(n, v)| (*n, v)));
                times.push(Function::start(command).await.started_in.as_secs_f64() * 1e3);
            }
        }
        let ratios: Vec<f64> = subjects.iter().zip(&floors).map(|(subject, floor)| subject / floor).collect();
        let found = (name, Spread::of(&ratios), Spread::of(&subjects), Spread::of(&floors));
        all.push(format!("{} {:.2}", found.0, found.1.median));
        if worst.as_ref().is_none_or(|known| known.1.median < found.1.median) {
            worst = Some(found);
        }
    }
    let spawn = worst.map(|(name, ratio, subject, floor)| {
        Row::new("spawn", format!("spawn to first /next ÷ hello world, worst of {} ({name})", all.len()), ratio, "")
            .at_most(2.0)
            .sides(subject.shown(" ms"), floor.shown(" ms"))
            .note(format!("medians: {}", all.join(", ")))
    });
    spawn.into_iter().chain([size()]).collect()
}

/// Names of the functions, from their sources.
fn functions() -> Vec<String> {
    let sources = std::fs::read_dir(Path::new(ROOT).join("functions/src/bin")).expect("sources");
    let stem = |path: std::path::PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = sources.filter_map(|entry| stem(entry.ok()?.path())).collect();
    names.sort();
    names
}

/// A start spoiled on request.
fn slowly(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 0.05; exec \"$0\""]).arg(program);
    command
}

/// The largest zip of `make package`.
fn size() -> Row {
    let zips = std::fs::read_dir(Path::new(ROOT).join("dist")).into_iter().flatten().flatten();
    let zips = zips.filter(|entry| entry.path().extension().is_some_and(|e| e == "zip"));
    let bytes = |entry: &std::fs::DirEntry| entry.metadata().map_or(0, |m| u32::try_from(m.len()).unwrap_or(u32::MAX));
    let sizes: Vec<u32> = zips.map(|entry| bytes(&entry)).collect();
    let extra = if spoiled() { 2.0 } else { 0.0 };
    match sizes.iter().max() {
        Some(largest) => {
            Row::one("zip", "largest zip of a function, shipped profile", f64::from(*largest) / 1e6 + extra, " MB")
                .at_most(3.5)
                .note(format!("{} zips of `make package`", sizes.len()))
        }
        None => Row::one("zip", "largest zip of a function", 0.0, " MB")
            .note("not measured: dist/ is empty, run `make package` first"),
    }
}
