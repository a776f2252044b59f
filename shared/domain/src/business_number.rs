//! Korean business registration numbers: ten digits with a check digit (National Tax Service weighting).

/// Reads a number written with or without hyphens; `None` when the digits or the check digit are wrong.
#[must_use]
pub fn parse(text: &str) -> Option<String> {
    let digits: Vec<u32> = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(10)).collect::<Option<_>>()?;
    let [head @ .., check] = digits.as_slice() else { return None };
    if head.len() != 9 || text.len() > 12 {
        return None;
    }
    let weights = [1u32, 3, 7, 1, 3, 7, 1, 3, 5];
    let sum: u32 = head.iter().zip(weights).map(|(d, w)| d.saturating_mul(w)).sum();
    let carry = head.last()?.saturating_mul(5) / 10;
    let expected = 10u32.saturating_sub(sum.saturating_add(carry) % 10) % 10;
    (expected == *check).then(|| digits.iter().filter_map(|d| char::from_digit(*d, 10)).collect())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn check_digit_decides() {
        assert_eq!(parse("120-81-47521").as_deref(), Some("1208147521"));
        assert_eq!(parse("1208147521").as_deref(), Some("1208147521"));
        for bad in ["1208147522", "120814752", "12081475211", "abc", "", "120-81-4752A"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
