//! A person to write to. Personal data: no plain `Debug`, so that it cannot reach a log by accident.

use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Contact {
    pub name: String,
    pub email: String,
    pub phone: String,
}

impl std::fmt::Debug for Contact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contact(..)")
    }
}

/// Whether an e-mail address is plausible: one `@`, a dotted domain, no spaces, at most 254 characters (RFC 5321).
/// Only a message that arrives proves more.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.len() <= 254
        && !local.is_empty()
        && local.len() <= 64
        && local.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c))
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.contains('.')
        && domain.split('.').all(label)
}

/// Whether a telephone number is plausible: an optional `+`, 8 to 15 digits (E.164), single hyphens or spaces between.
#[must_use]
pub fn is_phone(text: &str) -> bool {
    let body = text.strip_prefix('+').unwrap_or(text);
    let digits = body.chars().filter(char::is_ascii_digit).count();
    let separator = |c: char| c == '-' || c == ' ';
    (8..=15).contains(&digits)
        && body.chars().all(|c| c.is_ascii_digit() || separator(c))
        && body.starts_with(|c: char| c.is_ascii_digit())
        && body.ends_with(|c: char| c.is_ascii_digit())
        && !body.as_bytes().windows(2).any(|w| w.iter().all(|b| separator(char::from(*b))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plausible_addresses_only() {
        for good in ["owner@example.kr", "a.b+c@sub.example.co.kr"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "owner",
            "@example.kr",
            "a@b",
            "a b@example.kr",
            "a@exa mple.kr",
            "a@@example.kr",
            ".a@example.kr",
            "a@-x.kr",
            "원장@example.kr",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
        for good in ["010-1234-5678", "+82 10 1234 5678", "0212345678"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in ["", "1234567", "010--1234-5678", "phone", "+", "010-1234-567a", "1234567890123456", "-0101234567"] {
            assert!(!is_phone(bad), "{bad}");
        }
    }
}
