//! Three hundred charges in one run, and everything that can happen to the machines meanwhile: runners killed at random
//! instants, ten ticks at once, the cloud itself restarted, both gateways out. The sandbox's ledger judges: one capture
//! per cycle, none missing.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use domain::charge::Billable;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use crate::crash::processes;
use crate::harness::{Stack, seoul_morning, var};

const CHARGES: usize = 300;
/// Runners killed in one run.
const KILLS: usize = 8;

/// Active subscriptions, in pages.
async fn active(stack: &Stack) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/billing/subscriptions?status=ACTIVE&limit=100{cursor}");
        let page = stack.get(&path, Some(stack.ops().await)).await.expect(200);
        found.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// At least [`CHARGES`] subscriptions, paid up to a common day, and the first morning on which all of them owe a period.
async fn population(stack: &Stack) -> (Vec<String>, Timestamp) {
    for n in active(stack).await.len()..CHARGES {
        stack.onboard(if n % 2 == 0 { "toss" } else { "stripe" }, "starter").await;
    }
    let ids = active(stack).await.iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect();
    // Whatever earlier tests left owing is paid first: one period a run.
    let mut now = stack.now().await;
    for _ in 0..3 {
        now += SignedDuration::from_hours(24);
        stack.run(now).await;
    }
    (ids, now)
}

/// Captures by cycle.
async fn captured(stack: &Stack) -> BTreeMap<(String, u32), usize> {
    let mut counts = BTreeMap::new();
    for entry in stack.ledger().await.iter().filter(|e| e["kind"] == "capture") {
        let Some((billable, _)) = entry["orderId"].as_str().and_then(Billable::parse_order_id) else { continue };
        *counts.entry((billable.subscription.to_string(), billable.index)).or_default() += 1;
    }
    counts
}

/// A month on from `after`: all owe one period more.
async fn next_month(stack: &Stack, after: Timestamp) -> Timestamp {
    let seoul = jiff::tz::TimeZone::get("Asia/Seoul").unwrap();
    let day = after.to_zoned(seoul).date().checked_add(jiff::Span::new().days(31)).unwrap();
    let morning = seoul_morning(day);
    assert!(morning > stack.now().await);
    morning
}

async fn delay(stack: &Stack, millis: u64) {
    for gateway in ["toss", "stripe"] {
        let fault =
            json!({ "gateway": gateway, "operation": "charge", "fault": "delay", "times": 2_000, "delayMs": millis });
        stack.own(Method::POST, "/faults", fault).await;
    }
}

async fn heal(stack: &Stack) {
    let request = stack.http.delete(format!("{}/__sandbox/faults", stack.sandbox));
    assert!(stack.send(request).await.status < 300);
}

fn kill(function: &str) -> usize {
    let pids = processes(function);
    let killed = pids.iter().filter(|pid| Command::new("kill").args(["-9", pid]).status().unwrap().success());
    killed.count()
}

/// Runs until nothing is owed, then counts: since `before`, every subscription was charged once, and none twice ever.
async fn judge(stack: &Stack, what: &str, ids: &[String], due: Timestamp, before: &BTreeMap<(String, u32), usize>) {
    // Leases of the dead, probes of a breaker and the proofs of absence take up to two hours between them.
    for minutes in [20, 50, 95, 170] {
        stack.run(due + SignedDuration::from_mins(minutes)).await;
    }
    let after = captured(stack).await;
    let twice: Vec<_> = after.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "{what}: captured twice: {twice:?}");
    let new: BTreeMap<&String, usize> =
        after.keys().filter(|cycle| !before.contains_key(*cycle)).fold(BTreeMap::new(), |mut new, (id, _)| {
            *new.entry(id).or_default() += 1;
            new
        });
    let wrong: Vec<_> = ids.iter().filter(|id| new.get(id) != Some(&1)).collect();
    assert!(wrong.is_empty(), "{what}: not charged exactly once: {wrong:?}");
    let unsettled: Vec<_> = active(stack).await.into_iter().filter(|s| !s["dunning"].is_null()).collect();
    assert!(unsettled.is_empty(), "{what}: {unsettled:#?}");
    eprintln!("{what}: {} charged once", ids.len());
}

#[tokio::test]
async fn three_hundred_charges_survive_whatever_happens_to_the_machines() {
    let stack = Stack::new();
    let (ids, mut due) = population(&stack).await;

    due = next_month(&stack, due).await;
    let before = captured(&stack).await;
    killed_at_random(&stack, due).await;
    judge(&stack, "runners killed", &ids, due, &before).await;

    due = next_month(&stack, due).await;
    let before = captured(&stack).await;
    ten_ticks(&stack, due).await;
    judge(&stack, "ten ticks at once", &ids, due, &before).await;

    due = next_month(&stack, due).await;
    let before = captured(&stack).await;
    cloud_restarted(&stack, due).await;
    judge(&stack, "cloud restarted", &ids, due, &before).await;

    due = next_month(&stack, due).await;
    let before = captured(&stack).await;
    gateways_out(&stack, due).await;
    judge(&stack, "gateways out", &ids, due, &before).await;
}

/// kill -9 for every process of the runner, again and again, while the gateway takes its time.
async fn killed_at_random(stack: &Stack, due: Timestamp) {
    delay(stack, 1_200).await;
    let (mut killed, mut tick) = (0, due);
    while killed < KILLS {
        stack.start_run(tick).await;
        stack.until("a runner works", || async { (!processes("BillingShard").is_empty()).then_some(()) }).await;
        let pause = rand::rng().random_range(150..1_500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        killed += kill("BillingShard");
        // The dead runner's lease runs out.
        tick += SignedDuration::from_mins(2);
    }
    heal(stack).await;
    eprintln!("{killed} runners killed");
}

/// Five messages of one run and five runs of their own, all at once.
async fn ten_ticks(stack: &Stack, due: Timestamp) {
    delay(stack, 400).await;
    let at = |n: i64| due + SignedDuration::from_secs(if n < 5 { 0 } else { n });
    let runs = join_all((0..10).map(|n| stack.start_run(at(n)))).await;
    for run in runs {
        stack.drained(&run).await;
    }
    heal(stack).await;
}

/// The emulated cloud is stopped as an operator would stop it, mid-run, and comes back with what it had saved.
async fn cloud_restarted(stack: &Stack, due: Timestamp) {
    delay(stack, 1_500).await;
    let run = stack.start_run(due).await;
    let begun = captured(stack).await.len();
    stack.until("charges flow", || async { (captured(stack).await.len() > begun).then_some(()) }).await;
    let command = var("RESTART_EMULATOR");
    let mut words = command.split_whitespace();
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "the emulator came back");
    heal(stack).await;
    stack
        .until("the API answers again", || async { (stack.get("/plans", None).await.status == 200).then_some(()) })
        .await;
    eprintln!("restarted during run {run}");
}

/// Every call to both gateways fails for a while, some after they did what was asked.
async fn gateways_out(stack: &Stack, due: Timestamp) {
    for gateway in ["toss", "stripe"] {
        for (fault, times) in [("error_after", 6), ("drop_after", 6), ("error_before", 2_000)] {
            let fault = json!({ "gateway": gateway, "operation": "*", "fault": fault, "times": times });
            stack.own(Method::POST, "/faults", fault).await;
        }
    }
    stack.start_run(due).await;
    stack
        .until("some attempts are in doubt", || async {
            let runs = stack.get("/ops/runs?limit=5", Some(stack.ops().await)).await.expect(200);
            let doubts =
                runs["items"].as_array().unwrap().iter().map(|r| r["unknown"].as_u64().unwrap_or(0)).sum::<u64>();
            (doubts > 0).then_some(())
        })
        .await;
    heal(stack).await;
}
