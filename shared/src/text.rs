//! Values as people read them, and text made safe to stand in a page.

use domain::calendar::Period;
use domain::money::{Currency, Money};

/// Text as it may stand in HTML, in an attribute too.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `44,000 KRW`, `1,234.56 USD`.
#[must_use]
pub fn money(money: Money) -> String {
    format!("{} {}", figure(money), money.currency.code())
}

/// `44,000원`; other currencies as [`money`].
#[must_use]
pub fn korean_money(amount: Money) -> String {
    match amount.currency {
        Currency::KRW => format!("{}원", figure(amount)),
        Currency::JPY | Currency::USD => money(amount),
    }
}

fn figure(money: Money) -> String {
    let digits = usize::from(money.currency.exponent());
    let minor = format!("{:0>width$}", money.amount.unsigned_abs(), width = digits.saturating_add(1));
    let (whole, rest) = minor.split_at(minor.len().saturating_sub(digits));
    let mut grouped = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && whole.len().saturating_sub(i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(c);
    }
    let point = if digits > 0 { "." } else { "" };
    let sign = if money.amount < 0 { "-" } else { "" };
    format!("{sign}{grouped}{point}{rest}")
}

/// `2027-01-31 ~ 2027-02-27`: as people read periods, both days included.
#[must_use]
pub fn days(period: Period) -> String {
    format!("{} ~ {}", period.start, period.end.yesterday().unwrap_or(period.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_like_amounts() {
        let shown = |amount, currency| money(Money { amount, currency });
        assert_eq!(shown(0, Currency::KRW), "0 KRW");
        assert_eq!(shown(999, Currency::JPY), "999 JPY");
        assert_eq!(shown(1_000, Currency::KRW), "1,000 KRW");
        assert_eq!(shown(5, Currency::USD), "0.05 USD");
        assert_eq!(shown(123_456_789, Currency::USD), "1,234,567.89 USD");
        assert_eq!(shown(-1_500, Currency::KRW), "-1,500 KRW");
        assert_eq!(korean_money(Money::krw(1_044_000)), "1,044,000원");
        assert_eq!(korean_money(Money::new(5, Currency::USD)), "0.05 USD");
    }

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(escaped(r#"<a href="x">'&"#), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
