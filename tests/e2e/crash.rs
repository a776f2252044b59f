//! A billing runner is killed while the gateway is working: the money is taken, nobody was there to hear it. The next
//! run must find and settle it, with one capture.

use std::fs;
use std::process::Command;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Stack, morning_after, var};

/// Processes of one function of this stage, found by the name Lambda gives them in their environment.
pub fn processes(function: &str) -> Vec<String> {
    let stage = format!("STAGE={}", var("STAGE"));
    let endpoint = format!("AWS_ENDPOINT_URL={}", var("AWS_ENDPOINT_URL"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let variables: Vec<String> =
            environment.split(|b| *b == 0).map(|v| String::from_utf8_lossy(v).into_owned()).collect();
        let named = variables.iter().any(|v| v.starts_with("AWS_LAMBDA_FUNCTION_NAME=") && v.contains(function));
        if named && variables.contains(&stage) && variables.contains(&endpoint) {
            found.push(pid);
        }
    }
    found
}

#[tokio::test]
async fn a_killed_runner_is_finished_by_the_next_run() {
    for gateway in ["toss", "stripe"] {
        let stack = Stack::new();
        let (_, id) = stack.onboard(gateway, "starter").await;
        let due = morning_after(&stack.subscription(&id).await);
        // The gateway works for a while; the effect happens whether or not anybody still listens.
        let fault =
            json!({ "gateway": gateway, "operation": "charge", "fault": "delay", "times": 50, "delayMs": 8_000 });
        stack.own(Method::POST, "/faults", fault).await;
        stack.start_run(due).await;
        stack
            .until("an attempt is in flight", || async {
                let cycles = stack.cycles(&id).await;
                cycles
                    .iter()
                    .flat_map(|c| c["attempts"].as_array().unwrap())
                    .any(|a| a["outcome"] == "STARTED")
                    .then_some(())
            })
            .await;
        let pids = processes("BillingShard");
        assert!(!pids.is_empty(), "no billing_shard process found to kill");
        for pid in &pids {
            assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
        }
        stack
            .until("the gateway captured it all the same", || async {
                (stack.captures(&id).await.len() == 2).then_some(())
            })
            .await;
        let request = stack.http.delete(format!("{}/__sandbox/faults", stack.sandbox));
        assert!(stack.send(request).await.status < 300);
        // Toss sends no event for a billing charge, so nobody can know yet. Stripe's event may have settled it already.
        if gateway == "toss" {
            let paid = stack.cycles(&id).await.iter().filter(|c| c["status"] == "PAID").count();
            assert_eq!(paid, 1, "nobody was there to hear the answer");
        }
        // The lease of the dead runner and of its attempt run out; the next run looks the attempt up.
        stack.run(due + SignedDuration::from_mins(20)).await;
        let cycles = stack.cycles(&id).await;
        assert_eq!(cycles.iter().filter(|c| c["status"] == "PAID").count(), 2, "{cycles:#?}");
        assert_eq!(stack.captures(&id).await.len(), 2, "settled, not charged again");
    }
}
