//! The answer of `GET /ops/metrics`. Counts are of the days asked for; recurring revenue, active subscriptions, open dunning,
//! unknowns and what is due are of now.

use std::collections::BTreeMap;

use domain::money::Currency;
use domain::statistics::{ACTIVE, DUNNING, MRR, Sums, by_currency, share};
use serde::Serialize;
use serde_json::Number;

use crate::usecase::metrics::Metrics;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Metrics))]
#[serde(rename_all = "camelCase")]
pub struct MetricsBody {
    /// Seoul date.
    from: String,
    /// Seoul date, inclusive.
    to: String,
    #[serde(flatten)]
    figures: FiguresBody,
    /// Recurring revenue per month of what is active now.
    mrr: Vec<AmountBody>,
    /// Active subscriptions now.
    active: i64,
    /// Dunning cases open now, those of suspended subscriptions included.
    open_dunning: i64,
    /// Attempts whose outcome is not known now.
    unknowns: u64,
    /// False when more was due than was looked at: `unknowns` is then a lower bound.
    unknowns_complete: bool,
    /// The oldest instant something was due at that has not been done; absent when nothing is late.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_due: Option<String>,
    /// Days that saw anything, in order.
    days: Vec<DayBody>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = MetricsOfDay))]
#[serde(rename_all = "camelCase")]
struct DayBody {
    /// Seoul date.
    date: String,
    #[serde(flatten)]
    figures: FiguresBody,
}

/// What happened.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Figures))]
#[serde(rename_all = "camelCase")]
struct FiguresBody {
    /// Charges that were answered: captured and declined.
    charges: i64,
    captured: i64,
    declined: i64,
    /// Captured of charges, between 0 and 1 with four decimals; absent when there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    success_rate: Option<Number>,
    captured_amounts: Vec<AmountBody>,
    refunded_amounts: Vec<AmountBody>,
    /// The most frequent first.
    declines: Vec<DeclinesBody>,
    /// Payments that ended a dunning case.
    recovered: i64,
    /// Attempts whose outcome was unknown for a while.
    unknown: i64,
    /// Attempts that were proved never to have happened.
    absent: i64,
    /// Payments nobody asked for in this amount.
    quarantined: i64,
    subscriptions: ChangesBody,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AmountOf))]
struct AmountBody {
    currency: &'static str,
    amount: i64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeclinesOf))]
struct DeclinesBody {
    class: String,
    code: String,
    count: i64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SubscriptionChanges))]
struct ChangesBody {
    activated: i64,
    suspended: i64,
    cancelled: i64,
    terminated: i64,
}

#[must_use]
pub fn metrics_body(metrics: &Metrics) -> MetricsBody {
    let level = |name: &str| metrics.levels.get(name).copied().unwrap_or(0);
    let day = |(date, sums): &(String, Sums)| DayBody { date: date.clone(), figures: figures(sums) };
    MetricsBody {
        from: metrics.from.to_string(),
        to: metrics.to.to_string(),
        figures: figures(&metrics.total),
        mrr: amounts(&by_currency(&metrics.levels, MRR, None)),
        active: level(ACTIVE),
        open_dunning: level(DUNNING),
        unknowns: metrics.open.unknowns,
        unknowns_complete: metrics.open.complete,
        oldest_due: metrics.open.oldest_due.map(|at| at.to_string()),
        days: metrics.days.iter().map(day).collect(),
    }
}

fn figures(sums: &Sums) -> FiguresBody {
    let count = |name: &str| sums.get(name).copied().unwrap_or(0);
    let captured: i64 = by_currency(sums, "captured", Some("count")).values().sum();
    let declines = declines(sums);
    let declined: i64 = declines.iter().map(|d| d.count).sum();
    let charges = captured.saturating_add(declined);
    FiguresBody {
        charges,
        captured,
        declined,
        success_rate: rate(captured, charges),
        captured_amounts: amounts(&by_currency(sums, "captured", Some("amount"))),
        refunded_amounts: amounts(&by_currency(sums, "refunded", Some("amount"))),
        declines,
        recovered: count("recovered"),
        unknown: count("unknown"),
        absent: count("absent"),
        quarantined: count("quarantined"),
        subscriptions: ChangesBody {
            activated: count("activated"),
            suspended: count("suspended"),
            cancelled: count("cancelled"),
            terminated: count("terminated"),
        },
    }
}

fn declines(sums: &Sums) -> Vec<DeclinesBody> {
    let mut found = Vec::new();
    for (name, count) in sums {
        if let Some((class, code)) = name.strip_prefix("declined.").and_then(|rest| rest.split_once('.')) {
            found.push(DeclinesBody { class: class.to_owned(), code: code.to_owned(), count: *count });
        }
    }
    // Sums are in order of their names, and the sort keeps it among equals.
    found.sort_by_key(|d| std::cmp::Reverse(d.count));
    found
}

fn amounts(by_currency: &BTreeMap<Currency, i64>) -> Vec<AmountBody> {
    by_currency.iter().map(|(currency, amount)| AmountBody { currency: currency.code(), amount: *amount }).collect()
}

/// A share as a JSON number, made from its digits: no arithmetic in floating point.
fn rate(part: i64, whole: i64) -> Option<Number> {
    let share = share(part, whole)?;
    serde_json::from_str(&format!("{}.{:04}", share.div_euclid(10_000), share.rem_euclid(10_000))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usecase::metrics::Open;
    use serde_json::json;

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
        let body = serde_json::to_value(metrics_body(&metrics)).unwrap();
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
    fn rates_are_exact_to_four_digits_and_absent_of_nothing() {
        assert_eq!(rate(0, 0), None);
        for (part, whole, text) in [(1, 3, "0.3333"), (2, 2, "1.0"), (0, 5, "0.0"), (9_999, 10_000, "0.9999")] {
            assert_eq!(rate(part, whole).unwrap().to_string(), text);
        }
    }
}
