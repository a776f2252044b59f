//! All rows of the stack's tables, to show that a refused request changed nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;

use crate::harness::var;

/// `forwarded` is not here: the forwarder keeps its marks whenever it gets to it.
const TABLES: [&str; 19] = [
    "onboarding_request",
    "tenant",
    "plan",
    "ops_payment_method",
    "subscription",
    "subscription_cycle",
    "invoice",
    "posting",
    "settlement",
    "ops_audit_log",
    "webhook_inbox",
    "idempotency",
    "run",
    "statistic",
    "control",
    "seal",
    "book",
    "operator",
    "demo_request",
];

pub fn client() -> Client {
    let keys = Credentials::from_keys("test", "test", None);
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("ap-northeast-2"))
        .endpoint_url(var("AWS_ENDPOINT_URL"))
        .credentials_provider(keys)
        .build();
    Client::from_conf(config)
}

/// A value in one spelling: maps of the SDK have no order of their own.
fn spell(value: &AttributeValue) -> String {
    match value {
        AttributeValue::M(map) => {
            let mut fields: Vec<String> = map.iter().map(|(k, v)| format!("{k}={}", spell(v))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(" "))
        }
        AttributeValue::L(items) => format!("[{}]", items.iter().map(spell).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

/// Every row of every table, sorted: equal dumps are equal stores.
pub async fn dump() -> Vec<String> {
    let client = client();
    let mut rows = Vec::new();
    for table in TABLES {
        let name = format!("{}-{table}", var("STAGE"));
        let mut pages = client.scan().table_name(name).into_paginator().items().send();
        while let Some(item) = pages.next().await {
            rows.push(format!("{table}: {}", spell(&AttributeValue::M(item.unwrap()))));
        }
    }
    rows.sort();
    rows
}

/// What of a row has to stay the same. A run whose machine died goes on when its message comes back, minutes later and in
/// the middle of another test: of runs and runners it counts that they are there.
fn at_rest(row: &str) -> &str {
    if !row.starts_with("run: ") && !row.starts_with("control: {pk=S(\"runner#") {
        return row;
    }
    let key = row.find(" pk=S(").or_else(|| row.find("{pk=S(")).expect("every row has a key");
    row[key + 1..].split(' ').next().unwrap_or_default()
}

/// A dump of a store that has come to rest: two equal ones this far apart. Gateways send their events when they like,
/// so those of an earlier test may still arrive; and documents are written after the payments they are about.
pub async fn quiet(apart: Duration) -> Vec<String> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(180);
    let mut last = dump().await;
    loop {
        tokio::time::sleep(apart).await;
        let next = dump().await;
        if next.iter().map(|row| at_rest(row)).eq(last.iter().map(|row| at_rest(row))) {
            return next;
        }
        assert!(tokio::time::Instant::now() < deadline, "the store does not come to rest");
        last = next;
    }
}

/// Fails with the rows that differ.
#[track_caller]
pub fn unchanged(what: &str, before: &[String], after: &[String]) {
    let rests = |rows: &'_ [String]| -> BTreeSet<String> { rows.iter().map(|row| at_rest(row).to_owned()).collect() };
    let (before, after) = (rests(before), rests(after));
    let gone: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(gone.is_empty() && new.is_empty(), "{what}: the store changed\ngone: {gone:#?}\nnew: {new:#?}");
}
