//! The document agrees with the code, the template and itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program: a panic is its answer")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use contract::check::{Answer, complaints, mismatches, resolved};
use contract::{codes, document};
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;
use shared::auth::permissions::Route;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every operation: (METHOD path, value).
fn operations(document: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "servers") {
            found.insert(format!("{} {path}", method.to_uppercase()), operation.clone());
        }
    }
    found
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let committed = fs::read_to_string(root().join("openapi.json")).expect("openapi.json: run `make openapi`");
    let committed: Value = serde_json::from_str(&committed).unwrap();
    assert!(
        committed == document(),
        "openapi.json is not what the code says: run `make openapi` and look at the change"
    );
}

#[test]
fn routes_methods_and_roles_are_those_of_the_permission_table() {
    let document = document();
    let operations = operations(&document);
    for route in Route::ALL {
        let name = format!("{} {}", route.method(), route.path());
        let operation = operations.get(&name).unwrap_or_else(|| panic!("{name} is not in the document"));
        assert_eq!(operation["x-roles"], json!(route.allowed()), "{name}");
        assert!(!operation["security"].as_array().unwrap().is_empty(), "{name}");
    }
    let open = operations.iter().filter(|(_, o)| o["security"] == json!([])).count();
    assert_eq!(operations.len(), Route::ALL.len() + open, "nothing but public routes and the table's");
}

/// METHOD path of every HTTP event of the template, and whether the authorizer stands before it.
fn deployed() -> BTreeMap<String, bool> {
    let template: Yaml = serde_yaml_ng::from_str(&fs::read_to_string(root().join("template.yaml")).unwrap()).unwrap();
    let mut found = BTreeMap::new();
    for resource in template["Resources"].as_mapping().unwrap().values() {
        for event in resource["Properties"]["Events"].as_mapping().into_iter().flat_map(|events| events.values()) {
            if event["Type"].as_str() == Some("Api") {
                let properties = &event["Properties"];
                let name =
                    format!("{} {}", properties["Method"].as_str().unwrap(), properties["Path"].as_str().unwrap());
                let open = properties["Auth"]["Authorizer"].as_str() == Some("NONE");
                assert!(found.insert(name.clone(), !open).is_none(), "{name} is deployed twice");
            }
        }
    }
    found
}

#[test]
fn the_template_deploys_what_is_documented() {
    let document = document();
    let mut operations = operations(&document);
    operations.retain(|name, _| !name.contains("/payments/webhook"));
    let documented: BTreeMap<String, bool> =
        operations.iter().map(|(name, o)| (name.clone(), o["security"] != json!([]))).collect();
    let mut deployed = deployed();
    deployed.retain(|name, _| !name.starts_with("OPTIONS "));
    assert_eq!(documented, deployed, "left: the document (true: behind the authorizer), right: template.yaml");
}

#[test]
fn a_browser_may_ask_about_every_path_without_a_token() {
    let document = document();
    let paths = document["paths"].as_object().unwrap().keys().filter(|path| !path.contains("/payments/webhook"));
    let wanted: BTreeMap<String, bool> = paths.map(|path| (format!("OPTIONS {path}"), false)).collect();
    let mut deployed = deployed();
    deployed.retain(|name, _| name.starts_with("OPTIONS "));
    assert_eq!(wanted, deployed, "left: OPTIONS of every path (false: without a token), right: template.yaml");
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = document();
    let mut held = 0;
    let mut broken = Vec::new();
    for (name, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap().values();
        let responses = responses.map(|response| &resolved(&document, response)["content"]);
        for content in responses.chain([&operation["requestBody"]["content"]]) {
            for media in content.as_object().into_iter().flat_map(|content| content.values()) {
                if let Some(example) = media.get("example") {
                    held += 1;
                    let found = mismatches(&document, &media["schema"], example, "example");
                    broken.extend(found.into_iter().map(|what| format!("{name}: {what}")));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(held > 200, "{held} examples");
}

#[test]
fn every_reference_is_there_and_ids_are_used_once() {
    let document = document();
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
        match value {
            Value::Object(map) => left.extend(map.values()),
            Value::Array(values) => left.extend(values),
            _ => {}
        }
    }
    let operations = operations(&document);
    let ids: BTreeSet<_> = operations.values().map(|o| o["operationId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), operations.len());
}

/// The first string after `marker` that is spelled like a code.
fn code_after(text: &str) -> Option<&str> {
    let end = text.char_indices().nth(160).map_or(text.len(), |(i, _)| i);
    let single =
        ["conflict", "forbidden", "invalid", "parked", "required", "unauthorized", "unavailable", "unpriceable"];
    let literals = text[..end].split('"').skip(1).step_by(2);
    let spelled = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    literals.filter(spelled).find(|word| word.contains('_') || single.contains(word))
}

#[test]
fn every_code_the_handlers_say_is_documented() {
    let markers =
        ["ApiError::new(", "ApiError::conflict(", "invalid_field(", "FieldError::new(", "SubmitError::Invalid("];
    let known = codes();
    let mut said = BTreeSet::new();
    for directory in ["shared/src/web", "shared/src/usecase", "functions/src/bin"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            for marker in markers {
                for (start, _) in text.match_indices(marker) {
                    let Some(code) = code_after(&text[start + marker.len()..]) else { continue };
                    assert!(known.contains(&code), "{}: say in problems.rs what the code {code} means", path.display());
                    said.insert(code.to_owned());
                }
            }
        }
    }
    assert!(said.len() > 60, "{} codes found: the rule would pass on nothing", said.len());
}

#[test]
fn an_answer_that_is_not_documented_is_complained_about() {
    let document = document();
    let plans = json!({ "plans": [] }).to_string();
    let answer = |path, status, content_type, body: &str| {
        complaints(&document, &Answer { method: "GET", path, status, content_type, body: body.as_bytes() })
    };
    let json = "application/json";
    assert_eq!(answer("/api/v1/plans", 200, "application/json; charset=utf-8", &plans), Vec::<String>::new());
    for (path, status, content_type, body) in [
        ("/api/v1/planes", 200, json, plans.as_str()),
        ("/api/v1/plans", 201, json, &plans),
        ("/api/v1/plans", 200, "text/plain", &plans),
        ("/api/v1/plans", 200, json, "{"),
        ("/api/v1/plans", 200, json, "{}"),
        ("/api/v1/plans", 200, json, r#"{"plans":{}}"#),
        ("/api/v1/plans", 200, json, r#"{"plans":[{"code":"a"}]}"#),
        (
            "/api/v1/plans",
            500,
            "application/problem+json",
            r#"{"type":"about:blank","title":"t","code":"oops","requestId":"r"}"#,
        ),
    ] {
        assert!(!answer(path, status, content_type, body).is_empty(), "{path} {status} {content_type} {body}");
    }
    let gone = r#"{"type":"about:blank","title":"Not Found","status":404,"code":"not_found","requestId":"r"}"#;
    let one = "/api/v1/billing/subscriptions/sub_1";
    assert_eq!(answer(one, 404, "application/problem+json", gone), Vec::<String>::new());
}
