//! The answer of `GET /ops/metrics`.

use std::collections::BTreeMap;

use domain::money::Currency;
use domain::statistics::{ACTIVE, DUNNING, MRR, Sums, by_currency, share};
use serde_json::{Value, json};

use crate::usecase::metrics::Metrics;

/// Counts are of the days asked for; `mrr`, `active`, `openDunning`, `unknowns` and `oldestDue` are of now. Rates are between
/// 0 and 1 with four decimals, null of nothing.
#[must_use]
pub fn metrics_body(metrics: &Metrics) -> Value {
    let mut body = figures(&metrics.total);
    let level = |name: &str| metrics.levels.get(name).copied().unwrap_or(0);
    let mrr = by_currency(&metrics.levels, MRR, None);
    let days: Vec<Value> = metrics.days.iter().map(|(date, sums)| dated(date, sums)).collect();
    let rest = json!({
        "from": metrics.from.to_string(), "to": metrics.to.to_string(),
        "mrr": amounts(&mrr), "active": level(ACTIVE), "openDunning": level(DUNNING),
        "unknowns": metrics.open.unknowns, "unknownsComplete": metrics.open.complete,
        "oldestDue": metrics.open.oldest_due.map(|at| at.to_string()), "days": days,
    });
    if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
        body.extend(rest);
    }
    body
}

fn dated(date: &str, sums: &Sums) -> Value {
    let mut day = figures(sums);
    if let Value::Object(day) = &mut day {
        day.insert("date".to_owned(), date.into());
    }
    day
}

/// What happened, from sums.
fn figures(sums: &Sums) -> Value {
    let count = |name: &str| sums.get(name).copied().unwrap_or(0);
    let captured: i64 = by_currency(sums, "captured", Some("count")).values().sum();
    let declines = declines(sums);
    let declined: i64 = declines.iter().map(|(_, _, n)| n).sum();
    let listed = declines.iter().map(|(class, code, n)| json!({ "class": class, "code": code, "count": n }));
    json!({
        "charges": captured.saturating_add(declined),
        "captured": captured,
        "declined": declined,
        "successRate": rate(captured, captured.saturating_add(declined)),
        "capturedAmounts": amounts(&by_currency(sums, "captured", Some("amount"))),
        "refundedAmounts": amounts(&by_currency(sums, "refunded", Some("amount"))),
        "declines": listed.collect::<Vec<_>>(),
        "recovered": count("recovered"),
        "unknown": count("unknown"),
        "absent": count("absent"),
        "quarantined": count("quarantined"),
        "subscriptions": {
            "activated": count("activated"), "suspended": count("suspended"),
            "cancelled": count("cancelled"), "terminated": count("terminated"),
        },
    })
}

/// Class, code and number, the most frequent first.
fn declines(sums: &Sums) -> Vec<(&str, &str, i64)> {
    let mut found: Vec<(&str, &str, i64)> = Vec::new();
    for (name, n) in sums {
        if let Some((class, code)) = name.strip_prefix("declined.").and_then(|rest| rest.split_once('.')) {
            found.push((class, code, *n));
        }
    }
    found.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
    found
}

fn amounts(by_currency: &BTreeMap<Currency, i64>) -> Vec<Value> {
    by_currency.iter().map(|(currency, amount)| json!({ "currency": currency.code(), "amount": amount })).collect()
}

/// A share as a JSON number, made from its digits: no arithmetic in floating point.
fn rate(part: i64, whole: i64) -> Value {
    let Some(share) = share(part, whole) else { return Value::Null };
    let text = format!("{}.{:04}", share.div_euclid(10_000), share.rem_euclid(10_000));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usecase::metrics::Open;

    #[test]
    fn figures_are_told_with_their_rates() {
        let sums = |pairs: &[(&str, i64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Sums>();
        let day = sums(&[
            ("captured.KRW.amount", 99_000),
            ("captured.KRW.count", 3),
            ("declined.HARD.INVALID_STOPPED_CARD", 1),
            ("declined.SOFT.REJECT_CARD_PAYMENT", 2),
            ("recovered", 1),
        ]);
        let metrics = Metrics {
            from: "2027-01-01".parse().unwrap(),
            to: "2027-01-31".parse().unwrap(),
            days: vec![("2027-01-31".to_owned(), day.clone())],
            total: day,
            levels: sums(&[("active", 2), ("dunning", 1), ("mrr.KRW", 66_000)]),
            open: Open { unknowns: 4, oldest_due: Some("2027-01-31T00:00:00Z".parse().unwrap()), complete: true },
        };
        let body = metrics_body(&metrics);
        assert_eq!((&body["charges"], &body["captured"], &body["declined"]), (&json!(6), &json!(3), &json!(3)));
        assert_eq!(body["successRate"].to_string(), "0.5");
        assert_eq!(body["declines"][0], json!({"class": "SOFT", "code": "REJECT_CARD_PAYMENT", "count": 2}));
        assert_eq!(body["declines"][1], json!({"class": "HARD", "code": "INVALID_STOPPED_CARD", "count": 1}));
        assert_eq!(body["mrr"], json!([{"currency": "KRW", "amount": 66_000}]));
        assert_eq!((&body["openDunning"], &body["unknowns"], &body["active"]), (&json!(1), &json!(4), &json!(2)));
        assert_eq!((&body["days"][0]["date"], &body["days"][0]["recovered"]), (&json!("2027-01-31"), &json!(1)));
        assert_eq!(body["oldestDue"], "2027-01-31T00:00:00Z");
    }

    #[test]
    fn rates_are_exact_to_four_digits_and_null_of_nothing() {
        assert_eq!(rate(0, 0), Value::Null);
        for (part, whole, text) in [(1, 3, "0.3333"), (2, 2, "1.0"), (0, 5, "0.0"), (9_999, 10_000, "0.9999")] {
            assert_eq!(rate(part, whole).to_string(), text);
        }
    }
}
