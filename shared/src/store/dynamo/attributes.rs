//! Items as the SDK's attributes and back, by moving: every text is handed over, none is copied. A generic serde bridge
//! does the same through two more maps a row, which was the largest part of a renewal's processor time that was ours.
//!
//! Invariants: what [`to_attributes`] makes is what `serde_dynamo` makes (its tests compare), so rows stay readable by it;
//! a set, bytes or a number with a fraction is no value of ours and does not read.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Number, Value};

use super::super::StoreError;
use super::super::rows::Item;
use super::super::schema::Table;
use super::Attributes;

pub(super) fn to_attributes(item: Item) -> Attributes {
    item.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

fn attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(yes) => AttributeValue::Bool(yes),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(attribute).collect()),
        Value::Object(fields) => AttributeValue::M(to_attributes(fields)),
    }
}

/// # Errors
/// [`StoreError::Corrupt`], naming the table only: an item may hold personal data.
pub(super) fn to_item(table: Table, attributes: Attributes) -> Result<Item, StoreError> {
    fields(attributes).ok_or_else(|| StoreError::Corrupt(format!("{}: unreadable row", table.name())))
}

fn fields(attributes: Attributes) -> Option<Item> {
    attributes.into_iter().map(|(name, attribute)| Some((name, value(attribute)?))).collect()
}

fn value(attribute: AttributeValue) -> Option<Value> {
    Some(match attribute {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(yes) => Value::Bool(yes),
        AttributeValue::N(digits) => Value::Number(number(&digits)?),
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(members) => Value::Array(members.into_iter().map(value).collect::<Option<_>>()?),
        AttributeValue::M(members) => Value::Object(fields(members)?),
        _ => return None,
    })
}

fn number(digits: &str) -> Option<Number> {
    digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_same_attributes_as_the_serde_bridge_and_back(value in any_value()) {
            let item: Item = [("field".to_owned(), value)].into_iter().collect();
            let ours = to_attributes(item.clone());
            let theirs: Attributes = serde_dynamo::aws_sdk_dynamodb_1::to_item(&item).unwrap();
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(to_item(Table::Tenant, ours).unwrap(), item);
        }
    }

    #[test]
    fn foreign_values_do_not_read() {
        for foreign in [
            AttributeValue::N("1.5".into()),
            AttributeValue::N("1e3".into()),
            AttributeValue::N("18446744073709551616".into()),
            AttributeValue::Ss(vec!["a".into()]),
            AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new("x")),
        ] {
            let inside = AttributeValue::L(vec![AttributeValue::M([("a".to_owned(), foreign)].into())]);
            let row: Attributes = [("pk".to_owned(), inside)].into();
            assert!(matches!(to_item(Table::Tenant, row), Err(StoreError::Corrupt(_))));
        }
        assert_eq!(json!(-5), value(AttributeValue::N("-5".into())).unwrap());
    }
}
