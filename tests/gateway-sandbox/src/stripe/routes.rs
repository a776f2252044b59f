//! Every endpoint of the Stripe side: address, parameters, what it may expand, which faults hit it.

use super::{
    call::Call, charges, customers, events, failure::Failure, intents, lists, methods, refunds, search, setups,
};
use crate::core::Operation;
use serde_json::Value;

/// Answers one request; the text is the id in the address, empty where there is none.
pub type Endpoint = fn(&mut Call<'_>, &str) -> Result<Value, Failure>;

/// One endpoint.
pub struct Route {
    method: &'static str,
    /// Below `/v1/`, with `*` for an id.
    address: &'static str,
    /// Which faults hit it; `Any` is hit by `*` only.
    pub operation: Operation,
    /// What it answers with, for expansion.
    pub answers: &'static str,
    /// Parameters it knows.
    pub known: &'static [&'static [&'static str]],
    pub endpoint: Endpoint,
}

const EXPAND: &[&str] = &["expand[]"];

#[rustfmt::skip]
const ROUTES: &[Route] = &[
    post("customers", Operation::Register, "customer", &[customers::FIELDS], customers::create),
    get("customers", Operation::Any, "list:customer", &[lists::COMMON, &["email"]], customers::list),
    get("customers/*", Operation::Any, "customer", &[EXPAND], customers::get),
    post("customers/*", Operation::Register, "customer", &[customers::FIELDS], customers::update),
    delete("customers/*", Operation::Register, "customer", &[], customers::delete),
    get("customers/*/payment_methods", Operation::Any, "list:payment_method", &[lists::COMMON, &["type"]], customers::methods),
    post("setup_intents", Operation::Register, "setup_intent", &[setups::CREATE], setups::create),
    get("setup_intents/*", Operation::Any, "setup_intent", &[EXPAND, &["client_secret"]], setups::get),
    post("setup_intents/*/confirm", Operation::Register, "setup_intent", &[setups::CONFIRM], setups::confirm),
    post("setup_intents/*/cancel", Operation::Register, "setup_intent", &[setups::CANCEL], setups::cancel),
    post("payment_methods", Operation::Register, "payment_method", &[methods::CREATE], methods::create),
    get("payment_methods", Operation::Any, "list:payment_method", &[lists::COMMON, &["type", "customer"]], methods::list),
    get("payment_methods/*", Operation::Any, "payment_method", &[EXPAND], methods::get),
    post("payment_methods/*", Operation::Register, "payment_method", &[methods::UPDATE], methods::update),
    post("payment_methods/*/attach", Operation::Register, "payment_method", &[EXPAND, &["customer"]], methods::attach),
    post("payment_methods/*/detach", Operation::Register, "payment_method", &[EXPAND], methods::detach),
    post("payment_intents", Operation::Charge, "payment_intent", &[intents::CREATE], intents::create),
    get("payment_intents", Operation::Find, "list:payment_intent", &[lists::COMMON, &["customer"]], intents::list),
    get("payment_intents/search", Operation::Find, "list:payment_intent", &[search::FIELDS], search::intents),
    get("payment_intents/*", Operation::Find, "payment_intent", &[EXPAND, &["client_secret"]], intents::get),
    post("payment_intents/*", Operation::Any, "payment_intent", &[intents::UPDATE], intents::update),
    post("payment_intents/*/confirm", Operation::Charge, "payment_intent", &[intents::CONFIRM], intents::confirm),
    post("payment_intents/*/cancel", Operation::Any, "payment_intent", &[intents::CANCEL], intents::cancel),
    get("charges", Operation::Find, "list:charge", &[lists::COMMON, &["payment_intent", "customer"]], charges::list),
    get("charges/*", Operation::Find, "charge", &[EXPAND], charges::get),
    post("refunds", Operation::Refund, "refund", &[refunds::CREATE], refunds::create),
    get("refunds", Operation::Find, "list:refund", &[lists::COMMON, &["payment_intent", "charge"]], refunds::list),
    get("refunds/*", Operation::Find, "refund", &[EXPAND], refunds::get),
    get("balance_transactions", Operation::Any, "list:balance_transaction",
        &[lists::COMMON, &["source", "type", "currency"]], charges::balances),
    get("balance_transactions/*", Operation::Any, "balance_transaction", &[EXPAND], charges::balance),
    get("events", Operation::Any, "list:event", &[lists::COMMON, &["type", "types[]", "delivery_success"]], events::list),
    get("events/*", Operation::Any, "event", &[EXPAND], events::get),
    post("webhook_endpoints", Operation::Any, "webhook_endpoint", &[events::CREATE], events::create_hook),
    get("webhook_endpoints", Operation::Any, "list:webhook_endpoint", &[lists::COMMON], events::list_hooks),
    get("webhook_endpoints/*", Operation::Any, "webhook_endpoint", &[EXPAND], events::get_hook),
];

/// First segments below `/v1/`.
pub const ROOMS: [&str; 9] = [
    "customers",
    "setup_intents",
    "payment_methods",
    "payment_intents",
    "charges",
    "refunds",
    "balance_transactions",
    "events",
    "webhook_endpoints",
];

type Known = &'static [&'static [&'static str]];

const fn get(
    address: &'static str,
    operation: Operation,
    answers: &'static str,
    known: Known,
    endpoint: Endpoint,
) -> Route {
    Route { method: "GET", address, operation, answers, known, endpoint }
}

const fn post(
    address: &'static str,
    operation: Operation,
    answers: &'static str,
    known: Known,
    endpoint: Endpoint,
) -> Route {
    Route { method: "POST", address, operation, answers, known, endpoint }
}

const fn delete(
    address: &'static str,
    operation: Operation,
    answers: &'static str,
    known: Known,
    endpoint: Endpoint,
) -> Route {
    Route { method: "DELETE", address, operation, answers, known, endpoint }
}

/// The endpoint for a method and a path, and the id in it.
pub fn find<'p>(method: &str, path: &'p str) -> Result<(&'static Route, &'p str), Failure> {
    let below = path.strip_prefix("/v1/").unwrap_or(path).trim_end_matches('/');
    let fits = |route: &&Route| route.method == method && id_in(route.address, below).is_some();
    let route = ROUTES.iter().find(fits).ok_or_else(|| Failure::no_route(method, path))?;
    Ok((route, id_in(route.address, below).unwrap_or_default()))
}

/// The segment where the address has `*` (empty if it has none); `None` if they do not fit.
fn id_in<'p>(address: &str, below: &'p str) -> Option<&'p str> {
    let mut id = "";
    let (mut wanted, mut given) = (address.split('/'), below.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(id),
            (Some("*"), Some(segment)) if !segment.is_empty() => id = segment,
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_find_their_endpoint_and_id() {
        let at = |method: &str, path: &'static str| find(method, path).map(|(route, id)| (route.address, id));
        assert_eq!(at("GET", "/v1/payment_intents/search").unwrap(), ("payment_intents/search", ""));
        assert_eq!(at("GET", "/v1/payment_intents/pi_1").unwrap(), ("payment_intents/*", "pi_1"));
        assert_eq!(at("POST", "/v1/payment_intents/pi_1/confirm").unwrap(), ("payment_intents/*/confirm", "pi_1"));
        assert_eq!(at("DELETE", "/v1/payment_intents/pi_1").unwrap_err().status, 404);
        assert!(ROUTES.iter().all(|route| ROOMS.iter().any(|room| route.address.starts_with(room))));
    }
}
