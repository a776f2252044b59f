//! The canonical bytes of an event: its stored JSON form, spelled in one way.
//!
//! | value | bytes |
//! | --- | --- |
//! | null, true, false | `z`, `t`, `f` |
//! | number | `n`, length, its decimal digits as JSON writes them |
//! | text | `s`, length, UTF-8 |
//! | list | `l`, how many, the values |
//! | map | `m`, how many, then key and value for each, in the order of the keys' UTF-8; a key is spelled as a text |
//!
//! Lengths and counts are unsigned, 64 bits, big-endian. Every value says where it ends, so the bytes read back in one way
//! only. The form is that of [`Event`]'s own serialisation, so a field that is added to events is in it from then on, and
//! one that is absent leaves no trace: what was sealed before stays as it was.

use serde_json::Value;

use crate::event::Event;

/// The bytes a seal is computed from.
#[must_use]
pub fn canonical(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    // Made of texts, numbers and maps with text keys, an event always has a JSON form.
    value(&serde_json::to_value(event).unwrap_or(Value::Null), &mut bytes);
    bytes
}

fn value(of: &Value, into: &mut Vec<u8>) {
    match of {
        Value::Null => into.push(b'z'),
        Value::Bool(true) => into.push(b't'),
        Value::Bool(false) => into.push(b'f'),
        Value::Number(number) => tagged(b'n', number.to_string().as_bytes(), into),
        Value::String(text) => tagged(b's', text.as_bytes(), into),
        Value::Array(values) => {
            into.push(b'l');
            count(values.len(), into);
            for one in values {
                value(one, into);
            }
        }
        Value::Object(fields) => {
            into.push(b'm');
            count(fields.len(), into);
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
            for (name, one) in fields {
                tagged(b's', name.as_bytes(), into);
                value(one, into);
            }
        }
    }
}

fn tagged(tag: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(tag);
    count(bytes.len(), into);
    into.extend(bytes);
}

fn count(n: usize, into: &mut Vec<u8>) {
    into.extend(u64::try_from(n).unwrap_or(u64::MAX).to_be_bytes());
}
