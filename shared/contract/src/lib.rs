//! The API as one OpenAPI 3.1 document, for clients, tests and the function that serves it.
//!
//! Invariants: paths, methods and roles come from the permission table, bodies from the types the handlers read and
//! write, so neither can be told differently here; a route that says nothing about itself does not compile
//! ([`routes`]); the committed `openapi.json` is what [`document`] makes, which a test compares. Nothing of this is
//! built into a function.

pub mod check;
mod examples;
mod operation;
mod problems;
mod public;
mod routes;
mod schemas;

use serde_json::{Map, Value, json};
use shared::auth::authorizer::{CSRF_HEADER, SESSION_COOKIE};
use shared::auth::permissions::Route;

use operation::Operation;
use public::Public;

pub use problems::codes;

/// Who may call an operation.
enum Guard {
    Nobody,
    Roles(Route),
}

/// The whole document. Keys are sorted, so that the same API gives the same bytes.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for public in Public::ALL {
        let (method, path) = public.entry();
        add(&mut paths, &mut schemas, method, path, public.name(), &Guard::Nobody, public::describe(public));
    }
    for route in Route::ALL {
        let (method, name) = (route.method(), camel(&format!("{route:?}")));
        let guard = Guard::Roles(route);
        add(&mut paths, &mut schemas, method.as_str(), route.path(), &name, &guard, routes::describe(route));
    }
    public::webhooks(&mut paths);
    schemas.insert("Problem".to_owned(), problems::schema());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{ "url": "/", "description": "Where this document came from; a stage's name comes before it." }],
        "tags": operation::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes(), "headers": operation::headers() },
    });
    problems::share(&mut document);
    document.sort_all_objects();
    document
}

fn add(
    paths: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
    method: &str,
    path: &str,
    name: &str,
    guard: &Guard,
    operation: Operation,
) {
    let method = method.to_ascii_lowercase();
    let value = operation.finish(&method, path, name, guard, schemas);
    let item = paths.entry(path).or_insert_with(|| json!({}));
    assert!(item.get(&method).is_none(), "{method} {path} is described twice");
    item[method] = value;
}

/// `GetInvoice` as `getInvoice`.
fn camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn info() -> Value {
    json!({
        "title": "MindGarden Billing",
        "version": "1",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        "description": "Onboarding and recurring billing.\n\n\
            Amounts are integers in minor units of the currency beside them. Instants are RFC 3339, periods are civil dates \
            in Asia/Seoul with an exclusive end. Fields may be added to answers; those that are here keep name, type and \
            meaning. Unknown fields in requests are refused.\n\n\
            Errors are RFC 9457 problem documents with a stable `code`; codes may be added. What does not exist and what is \
            somebody else's look alike: 404. A POST may carry an `Idempotency-Key`: for 24 hours the same key with the same \
            request gives the same answer, and with another request 422. Lists are pages: `nextCursor` of one is `cursor` \
            of the next. Payment card numbers are refused wherever they are found.",
    })
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A token of `POST /auth/login` (operators), of an application (applicants) or of the identity \
                provider (tenants). `x-roles` names the roles an operation lets in.",
        },
        "session": {
            "type": "apiKey", "in": "cookie", "name": SESSION_COOKIE,
            "description": "The operators' session cookie; a change also needs the header of `csrf`, or is answered 403.",
        },
        "csrf": {
            "type": "apiKey", "in": "header", "name": CSRF_HEADER,
            "description": "Any value: another site cannot send it without our permission.",
        },
    })
}
