//! Processes of one's own, so that one side's processor time and memory are never the other's.
//!
//! A role prints one JSON line when it is ready or done; anything else on its standard output is its log and is only
//! counted. Children end with the handle.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Marks a role's own line among its log lines.
const MARK: &str = "BENCH ";

pub struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Bytes and lines of log so far.
    pub logged: (u64, u64),
}

impl Process {
    /// Starts this program in a role.
    pub fn role(role: &str, spec: &Value, environment: &[(&str, String)]) -> Process {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args(["role", role, &spec.to_string()]).envs(environment.iter().map(|(n, v)| (*n, v)));
        Process::start(command)
    }

    pub fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("a process starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        Process { child, lines, logged: (0, 0) }
    }

    /// The role's next line.
    pub async fn said(&mut self) -> Value {
        let mut last = String::new();
        while let Some(line) = self.lines.next_line().await.expect("output reads") {
            if let Some(said) = line.strip_prefix(MARK) {
                return serde_json::from_str(said).expect("a role speaks JSON");
            }
            let bytes = u64::try_from(line.len()).unwrap_or(0) + 1;
            self.logged = (self.logged.0 + bytes, self.logged.1 + 1);
            last = line;
        }
        panic!("a role ended without a word: {:?}, after {last}", self.child.wait().await);
    }
}

/// A role's word to whoever started it.
pub fn say(value: &Value) {
    println!("{MARK}{value}");
}

/// Processor time of all threads of a process, from the scheduler's own account (nanoseconds, not ticks).
pub fn cpu(pid: Option<u32>) -> Duration {
    let process = pid.map_or("self".to_owned(), |pid| pid.to_string());
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let spent = threads.filter_map(|thread| {
        let account = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        account.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Most memory this process ever had in use, in KiB.
pub fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the field is there");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

/// A binary built beside this one.
pub fn sibling(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(name);
    path.exists().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_processor_time_and_memory() {
        let before = cpu(None);
        let mut sum = 0_u64;
        let held: Vec<u64> = (0..3_000_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9)).collect();
        while cpu(None) - before < Duration::from_millis(20) {
            sum = held.iter().fold(sum, |a, n| a.wrapping_add(*n));
        }
        assert!(sum != 1 && peak_kib() > 20_000);
    }
}
