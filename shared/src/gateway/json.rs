//! Lenient reading of gateway JSON: unknown fields and values never fail an answer, a field of another type is absent.
//!
//! Invariant: amounts are read from their text, exactly; nothing goes through floating point.

use domain::money::{Currency, Money};
use serde_json::Value;

/// A text field that is there and not empty.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A text field, owned.
pub(super) fn owned(value: &Value, field: &str) -> Option<String> {
    text(value, field).map(str::to_owned)
}

/// A field that is an object's id, or the object itself with that `id` inside (Stripe expands on request).
pub(super) fn id(value: &Value, field: &str) -> Option<String> {
    owned(value, field).or_else(|| value.get(field).and_then(|object| owned(object, "id")))
}

/// A whole number, also when written `5000.0`.
pub(super) fn whole(value: &Value, field: &str) -> Option<i64> {
    let number = match value.get(field)? {
        Value::Number(number) => number,
        _ => return None,
    };
    let written = number.to_string();
    let integer = match written.split_once('.') {
        Some((integer, zeros)) if zeros.bytes().all(|b| b == b'0') => integer,
        Some(_) => return None,
        None => written.as_str(),
    };
    integer.parse().ok()
}

/// An amount in minor units beside its currency field.
pub(super) fn money(value: &Value, amount: &str, currency: &str) -> Option<Money> {
    Some(Money::new(whole(value, amount)?, Currency::parse(text(value, currency)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_exact_or_absent() {
        for (written, read) in [
            ("33000", Some(33_000)),
            ("5000.0", Some(5_000)),
            ("5000.00", Some(5_000)),
            ("-700", Some(-700)),
            ("9223372036854775807", Some(i64::MAX)),
            ("5000.5", None),
            ("1e300", None),
            ("9223372036854775808", None),
            ("\"5000\"", None),
            ("null", None),
            ("[1]", None),
        ] {
            let value: Value = serde_json::from_str(&format!("{{\"amount\":{written}}}")).unwrap();
            assert_eq!(whole(&value, "amount"), read, "{written}");
        }
    }

    #[test]
    fn ids_come_plain_or_expanded() {
        assert_eq!(id(&json!({"c": "ch_1"}), "c").as_deref(), Some("ch_1"));
        assert_eq!(id(&json!({"c": {"id": "ch_1"}}), "c").as_deref(), Some("ch_1"));
        assert_eq!(id(&json!({"c": null}), "c"), None);
        assert_eq!(money(&json!({"a": 5, "c": "krw"}), "a", "c"), Some(Money::krw(5)));
        assert_eq!(money(&json!({"a": 5, "c": "eur"}), "a", "c"), None);
    }
}
