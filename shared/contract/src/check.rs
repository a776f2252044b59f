//! Holds an answer against the document: for tests that talk to the API.
//!
//! Reads the part of JSON Schema that the document uses; a keyword it does not know says nothing. Everything it reports
//! names where in the answer it is.

use serde_json::{Map, Value};

/// An answer that was given.
pub struct Answer<'a> {
    pub method: &'a str,
    /// With its parameters filled in, without the query.
    pub path: &'a str,
    pub status: u16,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

/// What is wrong with an answer; nothing when the document has it.
#[must_use]
pub fn complaints(document: &Value, answer: &Answer) -> Vec<String> {
    let Answer { method, path, status, content_type, body } = answer;
    let Some(operation) = operation(document, method, path) else {
        return vec![format!("{method} {path} is not in the document")];
    };
    let Some(response) = operation["responses"].get(status.to_string()) else {
        return vec![format!("{method} {path} may not answer {status}")];
    };
    let response = resolved(document, response);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some(content) = response.get("content") else {
        return if body.is_empty() { vec![] } else { vec![format!("{method} {path} {status} has a body")] };
    };
    let Some(media) = content.get(essence) else {
        return vec![format!("{method} {path} {status} may not be {essence:?}")];
    };
    if !essence.ends_with("json") {
        return vec![];
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return vec![format!("{method} {path} {status} is not JSON")];
    };
    let found = mismatches(document, &media["schema"], &value, "body");
    found.into_iter().map(|what| format!("{method} {path} {status}: {what}")).collect()
}

/// What a reference stands for; anything else is itself.
#[must_use]
pub fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

/// The operation of a method and a path; a spelled-out segment goes before a parameter.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let wanted: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let segments: Vec<&str> = template.split('/').collect();
        let same = segments.len() == wanted.len();
        same && segments.iter().zip(&wanted).all(|(s, w)| s.starts_with('{') || s == w)
    };
    let paths = document["paths"].as_object()?;
    let best = paths.iter().filter(|(template, _)| fits(template)).min_by_key(|(t, _)| t.matches('{').count());
    best?.1.get(method.to_ascii_lowercase())
}

/// Where `value` is not what `schema` says.
#[must_use]
pub fn mismatches(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(Value::String(reference)) = schema.get("$ref") {
        match reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)) {
            Some(schema) => found.extend(mismatches(document, schema, value, at)),
            None => found.push(format!("{reference} is not in the document")),
        }
    }
    for all in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(mismatches(document, all, value, at));
    }
    for word in ["oneOf", "anyOf"] {
        let Some(Value::Array(choices)) = schema.get(word) else { continue };
        let fitting = choices.iter().filter(|choice| mismatches(document, choice, value, at).is_empty()).count();
        if fitting == 0 || (word == "oneOf" && fitting > 1) {
            found.push(format!("{at} fits {fitting} of {word}"));
        }
    }
    if let Some(types) = schema.get("type")
        && !is_one_of(types, value)
    {
        found.push(format!("{at} is not {types}"));
    }
    if schema.get("const").is_some_and(|constant| constant != value) {
        found.push(format!("{at} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{at} is {value}, which is none of its words"));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64())
        && number < least
    {
        found.push(format!("{at} is below {least}"));
    }
    match value {
        Value::Object(fields) => found.extend(fields_of(document, schema, fields, at)),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                let of = |(i, item)| mismatches(document, schema, item, &format!("{at}[{i}]"));
                found.extend(items.iter().enumerate().flat_map(of));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

fn fields_of(document: &Value, schema: &Value, fields: &Map<String, Value>, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{at}.{name} is missing"));
        }
    }
    for (name, value) in fields {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(mismatches(document, schema, value, &format!("{at}.{name}"))),
            None if schema["additionalProperties"] == false => found.push(format!("{at}.{name} is unknown")),
            None => {}
        }
    }
    found
}

fn is_one_of(types: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => false,
    };
    match types {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}
