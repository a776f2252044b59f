//! Finds payment card numbers in what callers send, so that they are refused before anything keeps or logs them.
//!
//! A card number is 13 to 19 digits, single spaces or hyphens allowed between them, touching no ASCII letter or
//! digit, with an issued prefix (3, 4, 5, 6, 9 or 2221-2720) and a valid Luhn digit. Other scripts do not hide a
//! number: Korean particles are written straight after digits, and full-width digits read as digits. The value itself
//! never leaves this module; callers learn only where it was.

use serde_json::Value;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// The place of the first card number in a JSON value (`contact.phone`, `notes[2]`), or `None`. Numbers and object
/// keys count as text: a card number is no better for being unquoted. A key that is one is reported as its parent.
#[must_use]
pub fn find(value: &Value) -> Option<String> {
    let mut path = String::new();
    search(value, &mut path).then(|| if path.is_empty() { "body".to_owned() } else { path })
}

/// Whether the text holds a card number.
#[must_use]
pub fn contains_card(text: &str) -> bool {
    let groups = groups(text);
    groups.iter().enumerate().any(|(i, first)| first.free_before && card_starts_at(&groups[i..]))
}

/// Depth first; on success `path` names the place.
fn search(value: &Value, path: &mut String) -> bool {
    match value {
        Value::String(text) => contains_card(text),
        Value::Number(number) => contains_card(&number.to_string()),
        Value::Array(items) => items.iter().enumerate().any(|(i, item)| step(item, path, &format!("[{i}]"))),
        Value::Object(fields) => fields.iter().any(|(name, item)| {
            contains_card(name) || step(item, path, &if path.is_empty() { name.clone() } else { format!(".{name}") })
        }),
        Value::Null | Value::Bool(_) => false,
    }
}

fn step(value: &Value, path: &mut String, segment: &str) -> bool {
    let length = path.len();
    path.push_str(segment);
    let found = search(value, path);
    if !found {
        path.truncate(length);
    }
    found
}

/// A run of digits.
struct Group {
    digits: Vec<u8>,
    /// No ASCII letter right before or after it.
    free_before: bool,
    free_after: bool,
    /// Exactly one space or hyphen lies between this group and the one before.
    joined: bool,
}

fn digit(c: char) -> Option<u8> {
    let narrow = match c {
        '\u{ff10}'..='\u{ff19}' => u32::from(c).checked_sub(0xff10),
        _ => c.to_digit(10),
    };
    narrow.and_then(|d| u8::try_from(d).ok())
}

fn groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let (mut before, mut earlier) = (None::<char>, None::<char>);
    for c in text.chars() {
        match (digit(c), before.and_then(digit)) {
            (Some(d), Some(_)) => {
                if let Some(group) = groups.last_mut() {
                    group.digits.push(d);
                }
            }
            (Some(d), None) => groups.push(Group {
                digits: vec![d],
                free_before: !before.is_some_and(|b| b.is_ascii_alphabetic()),
                free_after: true,
                joined: matches!(before, Some(' ' | '-')) && earlier.and_then(digit).is_some(),
            }),
            (None, Some(_)) => {
                if let Some(group) = groups.last_mut() {
                    group.free_after = !c.is_ascii_alphabetic();
                }
            }
            (None, None) => {}
        }
        (earlier, before) = (before, Some(c));
    }
    groups
}

/// Whether some whole number of groups from the first one on is a card number.
fn card_starts_at(groups: &[Group]) -> bool {
    let mut digits: Vec<u8> = Vec::with_capacity(DIGITS_MAX);
    for (i, group) in groups.iter().enumerate() {
        if (i > 0 && !group.joined) || digits.len().saturating_add(group.digits.len()) > DIGITS_MAX {
            return false;
        }
        digits.extend_from_slice(&group.digits);
        if digits.len() >= DIGITS_MIN && group.free_after && issued(&digits) && luhn(&digits) {
            return true;
        }
    }
    false
}

fn issued(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(4).fold(0u32, |n, d| n.saturating_mul(10).saturating_add(u32::from(*d)));
    matches!(digits.first(), Some(3 | 4 | 5 | 6 | 9)) || (2221..=2720).contains(&prefix)
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |d: u8| if d > 4 { d.saturating_mul(2).saturating_sub(9) } else { d.saturating_mul(2) };
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(i, d)| u32::from(if i % 2 == 1 { doubled(*d) } else { *d })).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::charge::{Billable, GatewayName};
    use domain::ids::SubscriptionId;
    use proptest::prelude::*;
    use serde_json::json;

    /// Issued-looking digits of the wanted length with a right check digit.
    fn number(prefix: &str, body: &[u8], length: usize) -> String {
        let mut digits: Vec<u8> = prefix.bytes().map(|b| b - b'0').collect();
        digits.extend(body.iter().map(|b| b % 10));
        digits.truncate(length - 1);
        let check = (0..10).find(|c| luhn(&[digits.clone(), vec![*c]].concat())).unwrap();
        digits.push(check);
        digits.iter().map(|d| char::from(b'0' + d)).collect()
    }

    fn spaced(number: &str, separator: &str) -> String {
        let groups: Vec<String> = number.as_bytes().chunks(4).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
        groups.join(separator)
    }

    proptest! {
        #[test]
        fn every_issued_number_is_found(prefix in prop::sample::select(vec!["3", "4", "5", "6", "9", "2221", "2720", "2500"]),
            body in prop::collection::vec(0u8..10, 19), length in 13usize..=19, separator in prop::sample::select(vec!["", " ", "-"]),
            before in prop::sample::select(vec!["", "my card: ", "카드", "(", "1, ", "010-1234-5678, "]), after in prop::sample::select(vec!["", " 12/29", "입니다", ".", " ok"])) {
            let number = number(prefix, &body, length);
            let text = format!("{before}{}{after}", spaced(&number, separator));
            prop_assert!(contains_card(&text));
            prop_assert_eq!(find(&json!({"contact": {"notes": ["x", text]}})), Some("contact.notes[1]".to_owned()));
        }

        #[test]
        fn a_wrong_check_digit_or_a_neighbouring_letter_passes(body in prop::collection::vec(0u8..10, 19), off in 1u8..10) {
            let good = number("4", &body, 16);
            let last = (good.as_bytes()[15] - b'0' + off) % 10;
            let wrong = format!("{}{last}", &good[..15]);
            prop_assert!(!contains_card(&wrong));
            let (before, after) = (format!("x{good}"), format!("{good}Z"));
            prop_assert!(!contains_card(&before) && !contains_card(&after));
        }

        #[test]
        fn our_own_identifiers_pass(ms in 1_600_000_000_000u64..2_000_000_000_000, random in any::<u128>(), index in 0u32..1_000, n in 1u32..100) {
            let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap();
            let subscription = SubscriptionId::new(domain::ids::ulid(at, random));
            let billable = Billable { subscription: subscription.clone(), index, seq: 0 };
            prop_assert!(!contains_card(subscription.as_str()));
            prop_assert!(!contains_card(&billable.order_id(GatewayName::Toss, n)));
            prop_assert!(!contains_card(&billable.order_id(GatewayName::Stripe, n)));
            prop_assert!(!contains_card(&ms.to_string()), "epoch milliseconds");
        }

        #[test]
        fn phones_and_business_numbers_pass(a in 0u32..10_000, b in 0u32..10_000, c in 100u32..1_000, d in 10u32..100, e in 0u32..100_000) {
            for text in [format!("010-{a:04}-{b:04}"), format!("+82 10 {a:04} {b:04}"), format!("010{a:04}{b:04}"), format!("{c}-{d}-{e:05}")] {
                prop_assert!(!contains_card(&text), "{}", text);
            }
        }

        #[test]
        fn nothing_panics(text in ".{0,80}") {
            let _ = contains_card(&text);
        }
    }

    #[test]
    fn well_known_shapes() {
        assert!(contains_card("4242 4242 4242 4242"));
        assert!(contains_card("4242-4242-4242-4242 12 29"), "expiry and code written behind it");
        assert!(contains_card("４２４２４２４２４２４２４２４２"), "full-width digits");
        assert!(!contains_card("4242  4242 4242 4242"), "two spaces are not one number");
        assert!(!contains_card("00000000000000"), "nobody issues 0");
        assert_eq!(find(&json!({"note": 4_242_424_242_424_242_u64})), Some("note".to_owned()));
        assert_eq!(find(&json!({"a": {"4242424242424242": 1}})), Some("a".to_owned()));
        assert_eq!(find(&json!({"amount": 33_000, "phone": "010-1234-5678"})), None);
        assert_eq!(find(&json!("4242424242424242")), Some("body".to_owned()));
    }
}
