//! Rows as the stream of a table shows them: DynamoDB's own JSON, read back into what was written.
//!
//! Invariant: an image reads here exactly when the row reads from the table.

use domain::event::Event;
use serde_json::{Map, Number, Value};

use super::rows::{Item, decode};
use super::schema::Table;
use super::{Record, StoreError};

/// Reads the image of a row of the audit log.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not a row of it; nothing of the image is quoted.
pub fn event_of(image: &Value) -> Result<Event, StoreError> {
    let corrupt = || StoreError::Corrupt("stream: unreadable image".to_owned());
    let item = item(image).ok_or_else(corrupt)?;
    match decode(Table::AuditLog, item)? {
        Record::Event(event) => Ok(event),
        _ => Err(corrupt()),
    }
}

/// The keys of a row, as far as the image has them: enough to find it, and never personal data.
#[must_use]
pub fn keys_of(keys: &Value) -> (String, String) {
    let text = |name: &str| keys[name]["S"].as_str().unwrap_or_default().to_owned();
    (text("pk"), text("sk"))
}

fn item(image: &Value) -> Option<Item> {
    let fields = image.as_object()?.iter();
    fields.map(|(name, value)| Some((name.clone(), plain(value)?))).collect()
}

/// `{"S": "text"}` and the like as plain JSON. None for a type no row of ours has.
fn plain(value: &Value) -> Option<Value> {
    let (kind, content) = value.as_object().filter(|typed| typed.len() == 1)?.iter().next()?;
    match (kind.as_str(), content) {
        ("S", Value::String(_)) | ("BOOL", Value::Bool(_)) => Some(content.clone()),
        ("NULL", _) => Some(Value::Null),
        ("N", Value::String(digits)) => number(digits).map(Value::Number),
        ("L", Value::Array(values)) => values.iter().map(plain).collect::<Option<Vec<_>>>().map(Value::Array),
        ("M", Value::Object(fields)) => {
            let fields = fields.iter().map(|(name, value)| Some((name.clone(), plain(value)?)));
            fields.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        _ => None,
    }
}

fn number(digits: &str) -> Option<Number> {
    digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image() -> Value {
        json!({
            "pk": {"S": "2026-12-01#1"}, "sk": {"S": "evt_01KBAVXJ7MZQ8R5T2W4Y6A9C1E"}, "v": {"N": "1"}, "w": {"S": "c"},
            "at": {"N": "1796086800000"}, "kind": {"S": "payment.captured"},
            "actor": {"M": {"kind": {"S": "SYSTEM"}, "id": {"S": "billing_shard"}}},
            "changes": {"M": {"index": {"N": "3"}, "amount": {"N": "-132000"}, "list": {"L": [{"BOOL": true}, {"NULL": true}]}}},
            "by_subject_pk": {"S": "sub_01KBAVXJ7MZQ8R5T2W4Y6A9C1E"}, "by_subject_sk": {"S": "evt_01KBAVXJ7MZQ8R5T2W4Y6A9C1E"},
        })
    }

    /// The image with the partition its id belongs to.
    fn placed() -> Value {
        let id = domain::ids::EventId::parse("evt_01KBAVXJ7MZQ8R5T2W4Y6A9C1E").unwrap();
        let row = super::super::schema::RowKey::of(&crate::store::Key::Event(id));
        let mut image = image();
        image["pk"]["S"] = row.pk.into();
        image
    }

    #[test]
    fn an_image_reads_as_the_event_it_is() {
        let event = event_of(&placed()).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.subject.as_str()),
            ("payment.captured", "sub_01KBAVXJ7MZQ8R5T2W4Y6A9C1E")
        );
        assert_eq!(event.changes["amount"], json!(-132_000));
        assert_eq!(event.changes["list"], json!([true, null]));
        let again: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
        assert_eq!(again, event, "the form it travels in");
    }

    #[test]
    fn what_is_not_an_event_is_refused_and_named_by_its_keys_only() {
        let broken = |path: &str, value: Value| {
            let mut image = placed();
            image[path] = value;
            image
        };
        for image in [
            json!(null),
            json!({}),
            json!({"pk": {"S": "x"}}),
            broken("changes", json!({"S": "x"})),
            broken("at", json!({"N": "1.5"})),
            broken("at", json!({"B": "AA=="})),
            broken("pk", json!({"S": "2020-01-01#0"})),
        ] {
            let refused = event_of(&image).unwrap_err();
            assert!(matches!(refused, StoreError::Corrupt(_)), "{image}");
        }
        assert_eq!(keys_of(&json!({"pk": {"S": "a"}, "sk": {"S": "b"}})), ("a".to_owned(), "b".to_owned()));
        assert_eq!(keys_of(&json!(7)), (String::new(), String::new()));
    }
}
