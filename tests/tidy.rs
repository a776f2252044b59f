//! House rules a compiler cannot see (design.md §2): who may name what, how large a file may be, and that every
//! function binary has exactly one block in the template, with its own path and its own policies.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program: a panic is its answer")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml_ng::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below `dir` with this ending, as (path from the root, text).
fn files(dir: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left = vec![root().join(dir)];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {ending} files under {dir}: the rule would pass on nothing");
    found
}

fn all_rust() -> Vec<(String, String)> {
    ["shared", "functions", "tests"].into_iter().flat_map(|dir| files(dir, ".rs")).collect()
}

/// `word` may appear only in files whose path starts with one of `homes`.
fn only_in(sources: &[(String, String)], word: &str, homes: &[&str]) -> Vec<String> {
    let stray = |(path, text): &&(String, String)| text.contains(word) && !homes.iter().any(|h| path.starts_with(h));
    sources.iter().filter(stray).map(|(path, _)| format!("{path} names {word}")).collect()
}

#[test]
fn directions_hold() {
    let library: Vec<_> = files("shared", ".rs").into_iter().chain(files("functions", ".rs")).collect();
    let mut broken = Vec::new();
    broken.extend(only_in(&library, "aws_sdk_dynamodb", &["shared/src/store/", "shared/src/config/"]));
    broken.extend(only_in(&library, "reqwest", &["shared/src/gateway/", "shared/src/notices/", "shared/src/config/"]));
    broken.extend(only_in(&library, "std::env", &["shared/src/config/"]));
    broken.extend(only_in(&library, "Timestamp::now", &["functions/src/"]));
    broken.extend(only_in(&library, "SystemTime::now", &[]));
    let part = |dir: &str| library.iter().filter(|(p, _)| p.starts_with(dir)).cloned().collect::<Vec<_>>();
    for (dir, forbidden) in [
        ("shared/src/store/", vec!["crate::gateway", "crate::usecase", "crate::web", "crate::jobs"]),
        ("shared/src/gateway/", vec!["crate::store", "crate::usecase", "crate::web", "crate::jobs"]),
        ("shared/src/notices/", vec!["crate::store", "crate::usecase", "crate::web", "crate::jobs", "crate::gateway"]),
        ("shared/src/usecase/", vec!["crate::web", "crate::jobs", "crate::config", "crate::auth"]),
        ("shared/domain/", vec!["tokio", "reqwest", "aws_sdk", "rand::", "async fn"]),
    ] {
        for word in forbidden {
            broken.extend(only_in(&part(dir), word, &[]));
        }
    }
    // An entry booked beside the gate of its month could slip into a closed one: `book_entries::book` makes the writes.
    broken.extend(only_in(&library, "Write::New(Record::Posting", &["shared/src/usecase/book_entries.rs"]));
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn modules_say_what_they_are_for_and_stay_small() {
    let mut broken = Vec::new();
    for (path, text) in all_rust() {
        if !text.trim_start().starts_with("//!") {
            broken.push(format!("{path} does not open with //!"));
        }
        let lines = text.lines().count();
        if lines > 500 {
            broken.push(format!("{path} has {lines} lines"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn nothing_is_left_unfinished_or_unrun() {
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["#[ig", "nore"], ["todo", "!("], ["unimple", "mented!("]].map(|p| p.concat());
    let broken: Vec<String> = all_rust()
        .iter()
        .flat_map(|(path, text)| marks.iter().filter(|m| text.contains(*m)).map(move |m| format!("{path}: {m}")))
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn money_has_no_floating_point() {
    let broken: Vec<String> = files("shared", ".rs")
        .into_iter()
        .filter(|(path, _)| path.starts_with("shared/domain/src") || path.starts_with("shared/src/usecase"))
        .filter(|(_, text)| text.contains("f64") || text.contains("f32"))
        .map(|(path, _)| path)
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Without `biased`, `select!` draws which ready arm is taken, and a seed of the simulation is no longer one history.
#[test]
fn use_cases_leave_nothing_to_chance() {
    let library = files("shared/src/usecase", ".rs");
    let arms = |text: &str| text.split("select! {").skip(1).map(|arm| arm.trim_start().to_owned()).collect::<Vec<_>>();
    let found: Vec<_> =
        library.iter().flat_map(|(path, text)| arms(text).into_iter().map(move |a| (path, a))).collect();
    assert!(!found.is_empty(), "no select! found, the rule would pass on nothing");
    let drawn: Vec<_> = found.iter().filter(|(_, arm)| !arm.starts_with("biased;")).map(|(path, _)| path).collect();
    assert!(drawn.is_empty(), "{drawn:?}");
}

fn template() -> Value {
    serde_yaml_ng::from_str(&fs::read_to_string(root().join("template.yaml")).unwrap()).expect("template.yaml reads")
}

/// The functions of the template: (logical id, properties).
fn functions() -> Vec<(String, Value)> {
    let template = template();
    let resources = template["Resources"].as_mapping().expect("Resources").clone();
    let is_function = |v: &Value| v["Type"].as_str() == Some("AWS::Serverless::Function");
    let named = resources.into_iter().filter(|(_, v)| is_function(v));
    named.map(|(k, v)| (k.as_str().unwrap().to_owned(), v["Properties"].clone())).collect()
}

fn binaries() -> BTreeSet<String> {
    let names = files("functions/src/bin", ".rs");
    names.into_iter().map(|(path, _)| Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

/// A second block of a program that has one already.
const TWINS: [(&str, &str); 1] = [("AnswerOpsPreflightFunction", "answer_preflight")];

#[test]
fn every_binary_has_one_block_and_every_block_a_binary() {
    let mut blocks = BTreeSet::new();
    for (id, properties) in functions() {
        let uri = properties["CodeUri"].as_str().unwrap_or_else(|| panic!("{id} has no CodeUri"));
        let name = uri
            .strip_prefix("target/lambda/")
            .and_then(|u| u.strip_suffix('/'))
            .unwrap_or_else(|| panic!("{id}: {uri}"));
        let pascal: String = name.split('_').map(|w| w[..1].to_uppercase() + &w[1..]).collect();
        if !TWINS.contains(&(id.as_str(), name)) {
            assert_eq!(id, format!("{pascal}Function"));
            assert!(blocks.insert(name.to_owned()), "{name} has two blocks");
        }
        assert!(properties["Policies"].is_sequence(), "{id} has no policies of its own");
        // Each is a statement of some 480 bytes in the function's resource policy, of which Lambda takes 20 KB.
        let paths = properties["Events"].as_mapping().map_or(0, serde_yaml_ng::Mapping::len);
        assert!(paths <= 30, "{id} has {paths} events");
    }
    assert_eq!(blocks, binaries());
}

/// `make bench` starts every function without a stack: a variable it does not know would only show there.
#[test]
fn the_bench_knows_every_variable_of_the_template() {
    let bench = fs::read_to_string(root().join("tests/bench/src/aws.rs")).unwrap();
    let variables = |properties: &Value| -> Vec<String> {
        let names = properties["Environment"]["Variables"].as_mapping().cloned().unwrap_or_default();
        names.into_keys().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let mut all = variables(&template()["Globals"]["Function"]);
    assert!(all.contains(&"STAGE".to_owned()), "the template's own");
    all.extend(functions().iter().flat_map(|(_, properties)| variables(properties)));
    let unknown: Vec<_> = all.into_iter().filter(|name| !bench.contains(&format!("(\"{name}\","))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Every scalar of a value, tags opened.
fn scalars(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(s) => into.push(s.clone()),
        Value::Sequence(items) => items.iter().for_each(|v| scalars(v, into)),
        Value::Mapping(map) => map.values().for_each(|v| scalars(v, into)),
        Value::Tagged(tagged) => scalars(&tagged.value, into),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn no_policy_is_shared() {
    let template = template();
    let resources = template["Resources"].as_mapping().expect("Resources");
    let shared = ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"];
    for (id, resource) in resources {
        let kind = resource["Type"].as_str().unwrap_or_default();
        assert!(!shared.contains(&kind), "{id:?}: rights live in the block of the function that has them");
    }
}

#[test]
fn policies_name_what_they_allow() {
    for (id, properties) in functions() {
        // Not even a right to read: said in so many words.
        if properties["Policies"].as_sequence().is_some_and(Vec::is_empty) {
            continue;
        }
        let mut words = Vec::new();
        scalars(&properties["Policies"], &mut words);
        assert!(words.iter().any(|w| w.contains(':')), "{id}: no action found, the rule would pass on nothing");
        for word in words {
            // `${Table}/index/name` is fine; a star anywhere is not.
            assert!(!word.contains('*'), "{id}: {word}");
            assert!(!["dynamodb:Scan", "dynamodb:DeleteItem"].contains(&word.as_str()), "{id}: {word}");
        }
    }
}

/// The alarms of the template: (logical id, properties).
fn alarms() -> Vec<(String, Value)> {
    let template = template();
    let resources = template["Resources"].as_mapping().expect("Resources").clone();
    let alarms = resources.into_iter().filter(|(_, v)| v["Type"].as_str() == Some("AWS::CloudWatch::Alarm"));
    alarms.map(|(k, v)| (k.as_str().unwrap().to_owned(), v["Properties"].clone())).collect()
}

#[test]
fn every_alert_has_an_alarm_and_every_alarm_an_entry_in_the_runbook() {
    let alarms = alarms();
    let mut counted = Vec::new();
    for (_, properties) in alarms.iter().filter(|(_, p)| p["MetricName"].as_str() == Some("Alerts")) {
        counted.push(properties["Dimensions"][0]["Value"].as_str().unwrap().to_owned());
    }
    counted.sort();
    assert_eq!(counted, shared::usecase::stamp::ALERTS, "alarms count what is logged as an alert");
    let runbook = fs::read_to_string(root().join("infra/runbook.md")).unwrap();
    for (id, properties) in &alarms {
        let Value::Tagged(name) = &properties["AlarmName"] else { panic!("{id}: the name starts with the stage") };
        let name = name.value.as_str().unwrap().strip_prefix("${Stage}-").unwrap();
        assert!(runbook.contains(&format!("`{name}`")), "{id}: infra/runbook.md does not say what to do");
        assert!(!properties["AlarmActions"].is_null(), "{id} tells nobody");
    }
}

/// Name and dimensions of every metric in our own namespace that a value names: of alarms, or of the dashboard.
fn own_metrics() -> BTreeSet<(String, BTreeSet<String>)> {
    let template = template();
    let mut named = BTreeSet::new();
    for (_, properties) in alarms() {
        let Value::Tagged(namespace) = &properties["Namespace"] else { continue };
        assert_eq!(namespace.value.as_str(), Some("${Stage}-mindgarden-billing"));
        let dimensions = properties["Dimensions"].as_sequence().cloned().unwrap_or_default();
        let dimensions = dimensions.iter().map(|dimension| dimension["Name"].as_str().unwrap().to_owned()).collect();
        named.insert((properties["MetricName"].as_str().unwrap().to_owned(), dimensions));
    }
    let Value::Tagged(body) = &template["Resources"]["Dashboard"]["Properties"]["DashboardBody"] else {
        panic!("a Sub")
    };
    let body: serde_json::Value = serde_json::from_str(body.value.as_str().unwrap()).expect("the dashboard is JSON");
    for metric in
        body["widgets"].as_array().unwrap().iter().flat_map(|w| w["properties"]["metrics"].as_array().unwrap())
    {
        let words: Vec<&str> = metric.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        if words[0] == "${Stage}-mindgarden-billing" {
            named.insert((words[1].to_owned(), words[2..].iter().step_by(2).map(|word| (*word).to_owned()).collect()));
        }
    }
    named
}

/// An alarm on a metric that nobody says is silent for ever, and a metric nobody looks at is noise.
#[test]
fn every_metric_is_said_by_us_and_looked_at() {
    let mut said = BTreeSet::from([("Alerts".to_owned(), BTreeSet::from(["Alert".to_owned()]))]);
    for measure in shared::telemetry::metrics::MEASURES {
        let sets = measure.dimensions.iter().map(|set| set.iter().map(|name| (*name).to_owned()).collect());
        said.extend(sets.map(|set: BTreeSet<String>| (measure.name.to_owned(), set)));
    }
    let named = own_metrics();
    let strange: Vec<_> = named.difference(&said).collect();
    assert!(strange.is_empty(), "nobody says {strange:?}");
    let unseen = shared::telemetry::metrics::MEASURES.map(|m| m.name).into_iter();
    let unseen: Vec<_> = unseen.filter(|name| !named.iter().any(|(seen, _)| seen == name)).collect();
    assert!(unseen.is_empty(), "nobody looks at {unseen:?}");
}
