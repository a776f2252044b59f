//! Thirteen months, many subscriptions, anchors on every awkward day, both gateways: one capture per cycle, none
//! missing, periods contiguous, judged by the sandbox's ledger.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use serde_json::Value;

use crate::harness::{Stack, seoul_morning, var};

/// Subscriptions in the test; `MONTHS_SUBSCRIPTIONS` overrides it.
fn population() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test program's own knob")]
    std::env::var("MONTHS_SUBSCRIPTIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// The first 27 January after the stack's present day, so that anchors fall on 27 to 31 January.
fn first_day(now: Date) -> Date {
    let this = date(now.year(), 1, 27);
    if now < this { this } else { date(now.year() + 1, 1, 27) }
}

#[tokio::test]
async fn thirteen_months_charge_every_cycle_once() {
    let stack = Stack::new();
    let _ = var("STAGE");
    let seoul = jiff::tz::TimeZone::get("Asia/Seoul").unwrap();
    let start = first_day(stack.now().await.to_zoned(seoul).date());
    let days: Vec<Date> = (0..5).map(|d| start.checked_add(jiff::Span::new().days(d)).unwrap()).collect();
    let mut subscriptions: BTreeMap<String, Date> = BTreeMap::new();
    for (i, day) in days.iter().enumerate() {
        stack.run(seoul_morning(*day)).await;
        let todays = (0..population()).filter(|n| n % days.len() == i);
        for n in todays {
            let gateway = if n % 2 == 0 { "toss" } else { "stripe" };
            let (_, id) = stack.onboard(gateway, "starter").await;
            subscriptions.insert(id, *day);
        }
    }
    for month in 1..=13 {
        let anchor = start.with().day(31).build().unwrap();
        let end = anchor.checked_add(jiff::Span::new().months(month)).unwrap();
        let run = stack.run(seoul_morning(end)).await;
        assert_eq!(run["unknown"], 0, "{run:#}");
    }
    let ledger = stack.ledger().await;
    for (id, anchor) in &subscriptions {
        let cycles = stack.cycles(id).await;
        assert_eq!(cycles.len(), 14, "{id} anchored on {anchor}");
        judge(id, *anchor, &cycles, &ledger);
    }
}

fn judge(id: &str, anchor: Date, cycles: &[Value], ledger: &[Value]) {
    let ulid = id.trim_start_matches("sub_");
    let captured = |e: &&Value| e["kind"] == "capture" && e["orderId"].as_str().is_some_and(|o| o.starts_with(ulid));
    assert_eq!(ledger.iter().filter(captured).count(), 14, "one capture per cycle of {id}");
    for (k, cycle) in cycles.iter().enumerate() {
        assert_eq!(cycle["status"], "PAID");
        let day = |field: &str| cycle["period"][field].as_str().unwrap().parse::<Date>().unwrap();
        let nth = |k: usize| anchor.checked_add(jiff::Span::new().months(i64::try_from(k).unwrap())).unwrap();
        assert_eq!((day("start"), day("end")), (nth(k), nth(k + 1)), "from the original anchor, contiguous");
        let prefix = format!("{ulid}-{k}-0");
        let ours = ledger.iter().filter(|e| {
            let order = e["orderId"].as_str().unwrap_or_default();
            e["kind"] == "capture" && (order == prefix || order.starts_with(&format!("{prefix}-")))
        });
        assert_eq!(ours.count(), 1, "cycle {k} of {id}");
    }
}
