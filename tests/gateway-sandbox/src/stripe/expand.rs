//! `expand[]`: ids replaced by the objects they name, up to four levels, `data.` first on lists.
//!
//! Invariant: paths are checked before a request has any effect, so a bad path never follows a charge.

use super::{
    failure::Failure,
    render,
    state::{Dispute, StripeState},
    table::Row,
};
use serde_json::{Value, json};

/// Deepest path.
const LEVELS: usize = 4;

/// (object, field) → the object the field names. `refunds` is a list inside the charge.
const EXPANDABLE: &[(&str, &str, &str)] = &[
    ("payment_intent", "latest_charge", "charge"),
    ("payment_intent", "customer", "customer"),
    ("payment_intent", "payment_method", "payment_method"),
    ("setup_intent", "customer", "customer"),
    ("setup_intent", "payment_method", "payment_method"),
    ("payment_method", "customer", "customer"),
    ("charge", "balance_transaction", "balance_transaction"),
    ("charge", "customer", "customer"),
    ("charge", "payment_intent", "payment_intent"),
    ("charge", "refunds", "list:refund"),
    ("refund", "charge", "charge"),
    ("refund", "payment_intent", "payment_intent"),
    ("refund", "balance_transaction", "balance_transaction"),
    ("refund", "failure_balance_transaction", "balance_transaction"),
    ("balance_transaction", "source", "charge"),
    ("dispute", "charge", "charge"),
    ("dispute", "payment_intent", "payment_intent"),
];

fn target(object: &str, field: &str) -> Option<&'static str> {
    EXPANDABLE.iter().find(|(from, name, _)| *from == object && *name == field).map(|(.., to)| *to)
}

/// Refuses paths that cannot be expanded on an answer of this kind (`payment_intent`, `list:charge`, …).
pub fn check(answer: &str, paths: &[&str]) -> Result<(), Failure> {
    for path in paths {
        let refused = || Failure::invalid("expand", &format!("This property cannot be expanded ({path})."));
        if path.split('.').count() > LEVELS {
            return Err(Failure::invalid("expand", "You cannot expand more than 4 levels of a property."));
        }
        let mut object = answer;
        for field in path.split('.') {
            object = match object.strip_prefix("list:") {
                Some(item) if field == "data" => item,
                _ => target(object, field).ok_or_else(refused)?,
            };
        }
    }
    Ok(())
}

/// Expands checked paths in an answer.
pub fn apply(state: &StripeState, now: i64, answer: &mut Value, paths: &[&str]) {
    for path in paths {
        let fields: Vec<&str> = path.split('.').collect();
        walk(state, now, answer, &fields);
    }
}

fn walk(state: &StripeState, now: i64, at: &mut Value, fields: &[&str]) {
    let Some((field, rest)) = fields.split_first() else { return };
    if let ("data", Some(items)) = (*field, at.get_mut("data").and_then(Value::as_array_mut)) {
        items.iter_mut().for_each(|item| walk(state, now, item, rest));
        return;
    }
    if *field == "refunds" && at.get("refunds").is_none() {
        at["refunds"] = refunds_of(state, at["id"].as_str().unwrap_or_default());
    }
    let Some(slot) = at.get_mut(*field) else { return };
    if let Some(object) = slot.as_str().and_then(|id| by_id(state, now, id)) {
        *slot = object;
    }
    walk(state, now, slot, rest);
}

fn refunds_of(state: &StripeState, charge: &str) -> Value {
    let data: Vec<Value> = state.refunds.newest().filter(|it| it.charge == charge).map(render::refund).collect();
    json!({ "object": "list", "data": data, "has_more": false, "url": format!("/v1/charges/{charge}/refunds") })
}

/// Any object that can stand where its id stands.
fn by_id(state: &StripeState, now: i64, id: &str) -> Option<Value> {
    let (kind, _) = id.rsplit_once('_')?;
    match kind {
        "cus" => state.customers.get(id).map(render::customer),
        "pm" => state.methods.get(id).map(render::method),
        "pi" => state.intents.get(id).map(render::intent),
        "ch" => state.charges.get(id).map(|it| render::charge(it, now)),
        "re" => state.refunds.get(id).map(render::refund),
        "dp" => state.disputes.get(id).map(|it| dispute(state, now, it)),
        "txn" => state.balances.get(id).map(|it| render::balance(it, now)),
        _ => None,
    }
}

/// With its movements, as it stands in an answer.
fn dispute(state: &StripeState, now: i64, it: &Dispute) -> Value {
    let moves = it.balances.iter().filter_map(|id| state.balances.get(id));
    let moves: Vec<Value> = moves.map(|it| render::balance(it, now)).collect();
    render::dispute(it, &moves)
}

/// "No such payment_intent: …" for an id in the path.
pub fn found<'a, T: Row>(object: Option<&'a T>, id: &str) -> Result<&'a T, Failure> {
    object.ok_or_else(|| Failure::not_found(T::KIND, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_checked_against_the_kind_of_answer() {
        assert!(check("payment_intent", &["latest_charge.balance_transaction", "customer"]).is_ok());
        assert!(check("list:payment_intent", &["data.latest_charge"]).is_ok());
        assert!(check("charge", &["refunds", "refunds.data.balance_transaction"]).is_ok());
        let refused = check("payment_intent", &["charges"]).unwrap_err();
        assert_eq!(refused.field("message"), Some("This property cannot be expanded (charges)."));
        assert!(check("list:payment_intent", &["latest_charge"]).is_err());
        assert!(
            check("payment_intent", &["latest_charge.payment_intent.latest_charge.payment_intent.customer"]).is_err()
        );
    }
}
