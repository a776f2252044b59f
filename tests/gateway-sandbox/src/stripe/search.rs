//! `GET /v1/payment_intents/search`: behind by a configurable number of seconds, unlike lists.
//!
//! The language: clauses joined by `AND` (or a space): `field:'value'`, `field>number` and the like, `metadata['key']:'v'`;
//! a leading `-` negates. Metadata compares without case. `OR` is refused rather than misread.

use super::{call::Call, failure::Failure, lists, render, state::Intent};
use serde_json::{Value, json};

/// Parameters.
pub const FIELDS: &[&str] = &["query", "limit", "page", "expand[]"];

#[derive(Debug, PartialEq, Eq)]
struct Clause {
    negated: bool,
    field: String,
    operator: String,
    value: String,
}

fn bad(query: &str) -> Failure {
    Failure::invalid("query", &format!("We were unable to parse your search query: {query}"))
}

/// Splits a query into clauses. Errors on anything but conjunctions of simple clauses.
fn parse(query: &str) -> Result<Vec<Clause>, Failure> {
    let mut clauses = Vec::new();
    let mut rest = query.trim();
    while !rest.is_empty() {
        let (negated, after) = rest.strip_prefix('-').map_or((false, rest), |after| (true, after));
        let at = after.find([':', '<', '>']).ok_or_else(|| bad(query))?;
        let field = after[..at].trim().replace('"', "'");
        let tail = &after[at..];
        let length = if tail.starts_with("<=") || tail.starts_with(">=") { 2 } else { 1 };
        let (operator, tail) = tail.split_at(length);
        let (value, tail) = value(tail).ok_or_else(|| bad(query))?;
        clauses.push(Clause { negated, field, operator: operator.to_owned(), value });
        let tail = tail.trim_start();
        rest = tail.strip_prefix("AND ").unwrap_or(tail).trim_start();
        if rest.starts_with("OR ") {
            return Err(bad(query));
        }
    }
    if clauses.is_empty() { Err(bad(query)) } else { Ok(clauses) }
}

fn value(text: &str) -> Option<(String, &str)> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote) {
            let end = inner.find(quote)?;
            return Some((inner[..end].to_owned(), &inner[end + 1..]));
        }
    }
    let end = text.find(' ').unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

fn matches(clause: &Clause, intent: &Intent) -> Result<bool, Failure> {
    let text = |value: Option<&str>| Ok(value.is_some_and(|value| value.eq_ignore_ascii_case(&clause.value)));
    let number = |value: i64| {
        let bound: i64 = clause.value.parse().map_err(|_| bad(&clause.value))?;
        Ok(match clause.operator.as_str() {
            "<" => value < bound,
            "<=" => value <= bound,
            ">" => value > bound,
            ">=" => value >= bound,
            _ => value == bound,
        })
    };
    let key = clause.field.strip_prefix("metadata['").and_then(|rest| rest.strip_suffix("']"));
    let hit = match (clause.field.as_str(), key) {
        (_, Some(key)) => text(intent.metadata.get(key).map(String::as_str)),
        ("customer", _) => text(intent.customer.as_deref()),
        ("status", _) => text(Some(&intent.status)),
        ("currency", _) => text(Some(&intent.currency)),
        ("amount", _) => number(intent.amount),
        ("created", _) => number(intent.created),
        (field, _) => Err(Failure::invalid("query", &format!("Field `{field}` is an unsupported search field."))),
    }?;
    Ok(hit != clause.negated)
}

/// Answers a search over what the index has seen so far.
pub fn intents(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let clauses = parse(call.form.required("query")?)?;
    let limit = lists::limit(call.form)?;
    let seen_until = call.now() - call.state.settings.search_lag_seconds;
    let mut hits = Vec::new();
    for intent in call.state.intents.newest().filter(|it| it.created <= seen_until) {
        let mut all = true;
        for clause in &clauses {
            all = all && matches(clause, intent)?;
        }
        if all {
            hits.push(intent);
        }
    }
    let from = match call.form.text("page") {
        None => 0,
        Some(page) => {
            hits.iter().position(|it| it.id == page).ok_or_else(|| Failure::invalid("page", "Invalid page."))?
        }
    };
    let data: Vec<Value> = hits.iter().skip(from).take(limit).map(|it| render::intent(it)).collect();
    let next = hits.get(from + limit).map(|it| it.id.as_str());
    Ok(
        json!({ "object": "search_result", "url": call.path, "has_more": next.is_some(), "next_page": next, "data": data }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conjunctions_are_read_and_the_rest_refused() {
        let clauses = parse("metadata['order_id']:'A-0-0' AND -status:\"canceled\" amount>=100").unwrap();
        let intent = Intent { amount: 100, status: "succeeded".into(), ..Intent::default() };
        let intent = Intent { metadata: [("order_id".to_owned(), "a-0-0".to_owned())].into(), ..intent };
        assert!(clauses.iter().all(|clause| matches(clause, &intent).unwrap()));
        assert!(!matches(&parse("amount<100").unwrap()[0], &intent).unwrap());
        assert!(parse("status:'a' OR status:'b'").is_err());
        assert!(parse("nonsense").is_err());
        assert!(matches(&parse("colour:'red'").unwrap()[0], &intent).is_err());
    }
}
