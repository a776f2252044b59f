//! Schemas of the types that travel, as utoipa derives them, made exact for the side they are on.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// A reference to the schema of a request's type, which joins `schemas` with all it is made of.
pub fn request<T: ToSchema>(schemas: &mut Map<String, Value>) -> Value {
    collect::<T>(schemas, false)
}

/// The same for an answer: a field without a value is left out of it, so none of its fields is ever null.
pub fn answer<T: ToSchema>(schemas: &mut Map<String, Value>) -> Value {
    collect::<T>(schemas, true)
}

fn collect<T: ToSchema>(schemas: &mut Map<String, Value>, answer: bool) -> Value {
    let mut found = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut found);
    let mut own = Map::new();
    for (name, schema) in found {
        let mut schema = serde_json::to_value(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        if answer {
            without_null(&mut schema);
        }
        own.insert(name, schema);
    }
    join(schemas, own);
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

/// Adds schemas; two of one name must be the same.
pub fn join(schemas: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, schema) in more {
        if let Some(there) = schemas.get(&name) {
            assert_eq!(*there, schema, "two different types are called {name} in the document");
        }
        schemas.insert(name, schema);
    }
}

/// Takes "or null" out of the fields of a schema.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("oneOf") {
                choices.retain(|choice| *choice != json!({ "type": "null" }));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    map.remove("oneOf");
                    map.extend(only);
                }
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
