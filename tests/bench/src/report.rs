//! Rows, their budgets and verdicts, and the two forms they are printed in.
//!
//! Invariant: a figure without a budget can neither pass nor miss; a miss fails the program unless [`EXPLAINED`] says
//! why it is one.

use serde_json::{Value, json};

/// Budgets known to be missed, by row, with the reason. Empty is how it should be.
pub const EXPLAINED: &[(&str, &str)] = &[];

/// Median, least and greatest of repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub repeats: usize,
}

impl Spread {
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Spread { median, least: sorted[0], most: sorted[sorted.len() - 1], repeats: sorted.len() }
    }

    pub fn shown(&self, unit: &str) -> String {
        if self.repeats == 1 {
            return format!("{}{unit}", short(self.median));
        }
        format!("{}{unit} ({}–{})", short(self.median), short(self.least), short(self.most))
    }
}

/// Three significant digits, and as many more as whole numbers need.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = 2 - value.abs().log10().floor().clamp(-6.0, 2.0) as i32;
    format!("{value:.*}", usize::try_from(digits).unwrap_or(0))
}

#[derive(Clone, Copy, Debug)]
pub enum Budget {
    AtMost(f64),
    AtLeast(f64),
    /// Shown beside a row that has one.
    None,
}

/// One line of the table.
pub struct Row {
    /// Stable name, for [`EXPLAINED`] and for comparing runs.
    pub id: String,
    pub what: String,
    /// What is judged, and its unit.
    pub value: Spread,
    pub unit: &'static str,
    pub budget: Budget,
    /// The two sides of a ratio, in words, when there are two.
    pub subject: String,
    pub floor: String,
    pub note: String,
}

impl Row {
    pub fn new(id: impl Into<String>, what: impl Into<String>, value: Spread, unit: &'static str) -> Row {
        let text = String::new;
        Row {
            id: id.into(),
            what: what.into(),
            value,
            unit,
            budget: Budget::None,
            subject: text(),
            floor: text(),
            note: text(),
        }
    }

    pub fn one(id: impl Into<String>, what: impl Into<String>, value: f64, unit: &'static str) -> Row {
        Row::new(id, what, Spread::of(&[value]), unit)
    }

    pub fn at_most(self, most: f64) -> Row {
        Row { budget: Budget::AtMost(most), ..self }
    }

    pub fn at_least(self, least: f64) -> Row {
        Row { budget: Budget::AtLeast(least), ..self }
    }

    pub fn sides(self, subject: String, floor: String) -> Row {
        Row { subject, floor, ..self }
    }

    pub fn note(self, note: impl Into<String>) -> Row {
        Row { note: note.into(), ..self }
    }

    /// Whether the median keeps the budget; none without one.
    pub fn passes(&self) -> Option<bool> {
        match self.budget {
            Budget::AtMost(most) => Some(self.value.median <= most),
            Budget::AtLeast(least) => Some(self.value.median >= least),
            Budget::None => None,
        }
    }

    fn explained(&self) -> Option<&'static str> {
        EXPLAINED.iter().find(|(id, _)| *id == self.id).map(|(_, why)| *why)
    }

    fn verdict(&self) -> String {
        match (self.passes(), self.explained()) {
            (None, _) => String::new(),
            (Some(true), _) => "pass".to_owned(),
            (Some(false), Some(why)) => format!("miss: {why}"),
            (Some(false), None) => "MISS".to_owned(),
        }
    }

    fn budget_text(&self) -> String {
        match self.budget {
            Budget::AtMost(most) => format!("≤ {most}{}", self.unit),
            Budget::AtLeast(least) => format!("≥ {least}{}", self.unit),
            Budget::None => String::new(),
        }
    }

    /// Its line of the table.
    pub fn line(&self) -> String {
        let cells = [
            &self.what,
            &self.subject,
            &self.floor,
            &self.value.shown(self.unit),
            &self.budget_text(),
            &self.verdict(),
        ];
        format!("| {} |", cells.map(String::as_str).join(" | "))
    }

    fn json(&self) -> Value {
        let (kind, bound) = match self.budget {
            Budget::AtMost(most) => ("at_most", Some(most)),
            Budget::AtLeast(least) => ("at_least", Some(least)),
            Budget::None => ("none", None),
        };
        json!({
            "id": self.id, "what": self.what, "median": self.value.median, "min": self.value.least, "max": self.value.most,
            "repeats": self.value.repeats, "unit": self.unit.trim(), "budget": { "kind": kind, "bound": bound },
            "subject": self.subject, "floor": self.floor, "note": self.note, "verdict": self.verdict(),
        })
    }
}

/// Everything one program run found out.
pub struct Report {
    pub about: Value,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({ "about": self.about, "rows": rows, "notShown": NOT_SHOWN })
    }

    pub fn markdown(&self) -> String {
        let mut text =
            "| what | subject | floor | measured | budget | |\n| --- | --- | --- | --- | --- | --- |\n".to_owned();
        for row in &self.rows {
            text.push_str(&row.line());
            text.push('\n');
        }
        let notes: Vec<String> =
            self.rows.iter().filter(|r| !r.note.is_empty()).map(|r| format!("* {}: {}", r.what, r.note)).collect();
        format!("{text}\n{}\n\nNot shown here: {}\n", notes.join("\n"), NOT_SHOWN.join("; "))
    }

    /// Rows that fail the program.
    pub fn missed(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.passes() == Some(false) && row.explained().is_none()).collect()
    }
}

/// What one machine with loopback cannot show.
pub const NOT_SHOWN: &[&str] = &[
    "real networks: loopback adds no distance and loses nothing, and there is no TLS on any of these calls",
    "DynamoDB's own latency, tails, throttles, splits and index back-pressure: the emulator answers from memory and never conflicts",
    "cold starts at p99, the platform's Init boost, ARM processors and a 256 MB share of one",
    "queues: a hand-on waits for the modelled time, not for SQS and Lambda's pollers",
    "the gateways' real latencies and limits",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_judged_and_both_ends_are_shown() {
        let spread = Spread::of(&[3.0, 1.0, 2.0, 9.0]);
        assert_eq!((spread.median, spread.least, spread.most), (2.5, 1.0, 9.0));
        let row = Row::new("r", "row", spread, " s").at_most(2.4);
        assert_eq!((row.passes(), row.verdict().as_str()), (Some(false), "MISS"));
        assert_eq!(Row::new("r", "row", spread, "").at_least(2.5).passes(), Some(true));
        assert_eq!(Row::new("r", "row", spread, "").passes(), None);
        assert_eq!(spread.shown(" s"), "2.50 s (1.00–9.00)");
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> = [0.0, 0.01234, 1.0251, 46.06, 1534.2].into_iter().map(short).collect();
        assert_eq!(shown, ["0", "0.0123", "1.03", "46.1", "1534"]);
    }

    #[test]
    fn a_miss_fails_the_program() {
        let row = |value| Row::one("r", "row", value, "").at_most(1.0);
        let report = Report { about: Value::Null, rows: vec![row(1.0), row(1.1)] };
        assert_eq!(report.missed().len(), 1);
        assert!(report.markdown().contains("MISS"));
    }
}
