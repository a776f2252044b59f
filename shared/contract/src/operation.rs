//! One operation of the document: what it takes and answers, and what every operation has in common.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Guard, problems, schemas};

/// Groups of operations, in the order of a business's life.
pub const TAGS: [(&str, &str); 8] = [
    ("onboarding", "A business applies and an operator decides."),
    ("payment methods", "Cards, registered in the gateway's own window."),
    ("subscriptions", "What is billed, and each period's attempts."),
    ("refunds", "Giving a payment back."),
    ("invoices", "Receipts, tax documents and where their amounts come from."),
    ("operations", "For operators: runs, gateways, dead letters, the ledger."),
    ("session", "Operators' log-in."),
    ("webhooks", "What gateways say by themselves."),
];

/// An operation on its way into the document.
pub struct Operation {
    tag: &'static str,
    summary: &'static str,
    about: Option<&'static str>,
    parameters: Vec<Value>,
    body: Option<Value>,
    takes_body: bool,
    answers: BTreeMap<u16, Value>,
    refusals: BTreeMap<u16, Vec<&'static str>>,
    schemas: Map<String, Value>,
}

impl Operation {
    pub fn new(tag: &'static str, summary: &'static str) -> Operation {
        assert!(TAGS.iter().any(|(name, _)| *name == tag), "{tag} is not a tag");
        Operation {
            tag,
            summary,
            about: None,
            parameters: Vec::new(),
            body: None,
            takes_body: false,
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            schemas: Map::new(),
        }
    }

    /// More than fits in one line.
    pub fn about(self, text: &'static str) -> Operation {
        Operation { about: Some(text), ..self }
    }

    /// A body of this type. The example must be one the handler would read.
    pub fn takes<T: ToSchema + DeserializeOwned>(self, example: Value) -> Operation {
        self.body::<T>(example, true)
    }

    /// A body of this type that may be left out.
    pub fn may_take<T: ToSchema + DeserializeOwned>(self, example: Value) -> Operation {
        self.body::<T>(example, false)
    }

    fn body<T: ToSchema + DeserializeOwned>(mut self, example: Value, required: bool) -> Operation {
        if let Err(error) = serde_json::from_value::<T>(example.clone()) {
            panic!("the example of {} is not one: {error}", T::name());
        }
        let schema = schemas::request::<T>(&mut self.schemas);
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.body = Some(json!({ "required": required, "content": content }));
        self.takes_body = true;
        self
    }

    /// The answer to what went well.
    pub fn answers<T: ToSchema>(mut self, status: u16, text: &str, example: Value) -> Operation {
        let schema = schemas::answer::<T>(&mut self.schemas);
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.answers.insert(status, json!({ "description": text, "content": content }));
        self
    }

    /// A page of `T`, with the parameters that turn it.
    pub fn page<T: ToSchema>(mut self, text: &str, example: Value) -> Operation {
        let schema = json!({
            "type": "object",
            "required": ["items"],
            "properties": {
                "items": { "type": "array", "items": schemas::answer::<T>(&mut self.schemas) },
                "nextCursor": { "type": "string", "description": "Where the next page begins; absent on the last one." },
            },
        });
        let content = json!({ "application/json": { "schema": schema, "example": { "items": [example] } } });
        self.answers.insert(200, json!({ "description": text, "content": content }));
        self
    }

    /// `limit` and `cursor`.
    pub fn paged(self) -> Operation {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 20 });
        let cursor = json!({ "type": "string", "minLength": 1, "maxLength": 2048 });
        self.query("limit", limit, "Items on the page.").query("cursor", cursor, "`nextCursor` of the page before.")
    }

    /// An answer without a body.
    pub fn empty(mut self, status: u16, text: &str) -> Operation {
        self.answers.insert(status, json!({ "description": text }));
        self
    }

    /// The same answer as a page to read, beside JSON or alone.
    pub fn page_of_html(mut self, status: u16, text: &str) -> Operation {
        let answer = self.answers.entry(status).or_insert_with(|| json!({ "description": text, "content": {} }));
        answer["content"]["text/html"] = json!({ "schema": { "type": "string" } });
        self
    }

    /// The same answer as a sheet.
    pub fn sheet(mut self, status: u16) -> Operation {
        if let Some(answer) = self.answers.get_mut(&status) {
            answer["content"]["text/csv"] = json!({ "schema": { "type": "string" } });
        }
        self
    }

    /// A header of an answer that was described before.
    pub fn header(mut self, status: u16, name: &str, text: &str) -> Operation {
        if let Some(answer) = self.answers.get_mut(&status) {
            answer["headers"][name] = json!({ "description": text, "schema": { "type": "string" } });
        }
        self
    }

    /// Any JSON object.
    pub fn answers_object(mut self, status: u16, text: &str) -> Operation {
        let content = json!({ "application/json": { "schema": { "type": "object" } } });
        self.answers.insert(status, json!({ "description": text, "content": content }));
        self
    }

    /// An optional query parameter.
    pub fn query(self, name: &str, schema: Value, text: &str) -> Operation {
        self.parameter(json!({ "name": name, "in": "query", "schema": schema, "description": text }))
    }

    /// A query parameter of a type the API has.
    pub fn query_of<T: ToSchema>(mut self, name: &str, text: &str) -> Operation {
        let schema = schemas::request::<T>(&mut self.schemas);
        self.query(name, schema, text)
    }

    /// Any parameter, as OpenAPI spells it.
    pub fn parameter(mut self, parameter: Value) -> Operation {
        self.parameters.push(parameter);
        self
    }

    /// Takes an `Idempotency-Key`.
    pub fn keyed(self) -> Operation {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" });
        let text = "Makes repeating the request harmless for 24 hours.";
        self.parameter(json!({ "name": "Idempotency-Key", "in": "header", "schema": schema, "description": text }))
    }

    /// Codes of refusals that are this operation's own. What all have in common is added by itself.
    pub fn refuses(mut self, status: u16, codes: &[&'static str]) -> Operation {
        self.refusals.entry(status).or_default().extend(codes);
        self
    }

    /// What every operation may answer, from what it takes and who may call it.
    fn common_refusals(&mut self, path: &str, guard: &Guard) {
        let mut add = |status, codes: &[&'static str]| self.refusals.entry(status).or_default().extend(codes);
        add(400, &["bad_request"]);
        if self.takes_body {
            add(400, &["invalid_json"]);
            add(413, &["body_too_large", "payload_too_large"]);
            add(415, &["unsupported_media_type"]);
        }
        if matches!(guard, Guard::Roles(_)) {
            add(401, &["unauthorized"]);
            add(403, &["forbidden"]);
        }
        if path.contains('{') {
            add(404, &["not_found"]);
        }
        add(422, &problems::fields());
        add(429, &["rate_limited"]);
        add(500, &["internal_error"]);
        add(503, &["unavailable"]);
        add(504, &["internal_error"]);
    }

    /// The operation as OpenAPI has it; its schemas join `schemas`.
    pub fn finish(
        mut self,
        method: &str,
        path: &str,
        name: &str,
        guard: &Guard,
        schemas: &mut Map<String, Value>,
    ) -> Value {
        self.common_refusals(path, guard);
        let mut responses = Map::new();
        for (status, codes) in &self.refusals {
            responses.insert(status.to_string(), problems::response(*status, codes));
        }
        for (status, mut answer) in self.answers {
            // A status that is a page here and a problem there: both are told.
            if let Some(problem) = responses.get(&status.to_string()) {
                answer["content"]["application/problem+json"] = problem["content"]["application/problem+json"].clone();
            }
            answer["headers"]["X-Request-Id"] = json!({ "$ref": "#/components/headers/X-Request-Id" });
            responses.insert(status.to_string(), answer);
        }
        let parameters: Vec<Value> = path_parameters(path).into_iter().chain(self.parameters).collect();
        schemas::join(schemas, self.schemas);
        let mut operation = json!({
            "operationId": name, "tags": [self.tag], "summary": self.summary, "parameters": parameters,
            "responses": responses, "security": security(method, guard),
        });
        if let Some(about) = self.about {
            operation["description"] = about.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if let Guard::Roles(route) = guard {
            operation["x-roles"] = json!(route.allowed());
        }
        operation
    }
}

fn security(method: &str, guard: &Guard) -> Value {
    match guard {
        Guard::Nobody => json!([]),
        Guard::Roles(_) if method == "get" => json!([{ "bearer": [] }, { "session": [] }]),
        Guard::Roles(_) => json!([{ "bearer": [] }, { "session": [], "csrf": [] }]),
    }
}

/// Headers that many answers have.
pub fn headers() -> Value {
    json!({
        "X-Request-Id": { "description": "Names the request in our log.", "schema": { "type": "string" } },
        "Retry-After": { "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 0 } },
        "WWW-Authenticate": { "description": "`Bearer`.", "schema": { "type": "string" } },
    })
}

/// A month of the ledger.
pub const MONTH: &str = "^[0-9]{4}-(0[1-9]|1[0-2])$";

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| path_parameter(path, name)).collect()
}

/// What a name between braces stands for.
fn path_parameter(path: &str, name: &str) -> Value {
    let (schema, text) = match name {
        // Whatever it is, the answer is the same.
        "id" if path.ends_with("/{id}/token") => (json!({ "type": "string" }), "The application's id."),
        "id" => {
            let pattern = id_pattern(path).unwrap_or_else(|| panic!("say in {} what {{id}} is in {path}", file!()));
            (json!({ "type": "string", "pattern": pattern }), "An id; a malformed one reads like an absent one.")
        }
        "index" => {
            let schema = json!({ "type": "integer", "format": "int32", "minimum": 0 });
            (schema, "Index of the cycle; 0 is the first payment.")
        }
        "refundId" => (json!({ "type": "string", "pattern": ulid("rf") }), "A refund's id."),
        "gateway" => (json!({ "$ref": "#/components/schemas/Gateway" }), "A payment gateway."),
        "orderId" => (json!({ "type": "string" }), "The attempt's order id, as `attempts[].orderId` shows it."),
        "month" => {
            (json!({ "type": "string", "pattern": MONTH }), "`YYYY-MM`; a malformed one reads like an absent one.")
        }
        "token" => (json!({ "type": "string" }), "The signed token of the link."),
        _ => panic!("say in {} what {{{name}}} is in {path}", file!()),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": text })
}

fn id_pattern(path: &str) -> Option<String> {
    let kinds = [
        ("/onboarding/requests/{id}", "req"),
        ("/billing/payment-methods/{id}", "mth"),
        ("/billing/subscriptions/{id}", "sub"),
        ("/ops/runs/{id}", "run"),
    ];
    if path.contains("/billing/invoices/{id}") {
        return Some("^inv_[0-7][0-9A-HJKMNP-TV-Z]{25}-[0-9]{1,10}-[0-9]{1,10}$".to_owned());
    }
    kinds.into_iter().find(|(start, _)| path.contains(start)).map(|(_, prefix)| ulid(prefix))
}

/// Schema of an id.
pub fn id_schema(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": ulid(prefix) })
}

/// Ids are a prefix and 26 characters of Crockford's base 32.
fn ulid(prefix: &str) -> String {
    format!("^{prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::auth::permissions::Route;

    #[test]
    fn every_route_says_what_its_parameters_are() {
        for route in Route::ALL {
            let braces = route.path().matches('{').count();
            assert_eq!(path_parameters(route.path()).len(), braces, "{route:?}");
        }
    }
}
