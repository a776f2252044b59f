//! The billing calendar: civil dates in Asia/Seoul, periods counted from the original anchor.
//!
//! Invariants: period k starts at `anchor + k intervals` clamped to the month's end, always from the *original*
//! anchor (31 Jan, 28 Feb, 31 Mar, never drifting); periods are half-open and contiguous.

use jiff::{Span, Timestamp, civil::Date, civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// The contract zone of every civil date in the system.
pub const ZONE: &str = "Asia/Seoul";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("date out of range")]
pub struct OutOfRange;

/// How often a plan bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Interval {
    Month,
    Year,
}

impl Interval {
    fn months(self) -> i64 {
        match self {
            Interval::Month => 1,
            Interval::Year => 12,
        }
    }
}

/// A half-open range of civil dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Period {
    pub start: Date,
    pub end: Date,
}

/// Period `index` of a subscription anchored at `anchor`.
///
/// # Errors
/// Past the year 9999.
pub fn period(anchor: Date, interval: Interval, index: u32) -> Result<Period, OutOfRange> {
    let start = nth_start(anchor, interval, index)?;
    let end = nth_start(anchor, interval, index.checked_add(1).ok_or(OutOfRange)?)?;
    Ok(Period { start, end })
}

fn nth_start(anchor: Date, interval: Interval, index: u32) -> Result<Date, OutOfRange> {
    let months = interval.months().checked_mul(i64::from(index)).ok_or(OutOfRange)?;
    let span = Span::new().try_months(months).map_err(|_| OutOfRange)?;
    anchor.checked_add(span).map_err(|_| OutOfRange)
}

/// The contract zone, from the time-zone data compiled into the program.
#[must_use]
pub fn zone() -> TimeZone {
    // The bundled database always holds Asia/Seoul; were it ever missing, Korea's offset (no summer time since
    // 1988) gives the same dates.
    TimeZone::get(ZONE).unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(9)))
}

/// The civil date in Seoul at an instant.
#[must_use]
pub fn seoul_date(at: Timestamp) -> Date {
    at.to_zoned(zone()).date()
}

/// The first instant of a civil date in Seoul.
///
/// # Errors
/// Past the range of instants.
pub fn seoul_midnight(date: Date) -> Result<Timestamp, OutOfRange> {
    date.to_zoned(zone()).map(|z| z.timestamp()).map_err(|_| OutOfRange)
}

/// The first instant of the Seoul day after the one `at` falls on.
///
/// # Errors
/// Past the range of instants.
pub fn next_seoul_day(at: Timestamp) -> Result<Timestamp, OutOfRange> {
    seoul_midnight(seoul_date(at).tomorrow().map_err(|_| OutOfRange)?)
}

/// `at` plus whole days of 24 hours.
///
/// # Errors
/// Past the range of instants.
pub fn plus_days(at: Timestamp, days: u32) -> Result<Timestamp, OutOfRange> {
    at.checked_add(jiff::SignedDuration::from_hours(i64::from(days).saturating_mul(24))).map_err(|_| OutOfRange)
}

/// The local hours in which scheduled charges go out, half-open. Binds scheduled renewals and dunning only:
/// banks have nightly cut-overs around midnight, and a decline at 3 a.m. helps nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargeWindow {
    pub from: Time,
    pub to: Time,
}

impl ChargeWindow {
    /// Reads `"09:00-21:00"`; `None` when it is not two times in order.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let time = |t: &str| {
            let (h, m) = t.split_once(':')?;
            Time::new(h.parse().ok()?, m.parse().ok()?, 0, 0).ok()
        };
        let window = ChargeWindow { from: time(from)?, to: time(to)? };
        (window.from < window.to).then_some(window)
    }

    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        let local = at.to_zoned(zone()).time();
        self.from <= local && local < self.to
    }

    /// Whether it opens later on the Seoul day of `at`.
    #[must_use]
    pub fn opens_later(&self, at: Timestamp) -> bool {
        at.to_zoned(zone()).time() < self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn month_end_anchor_clamps_and_returns() {
        let anchor = date(2027, 1, 31);
        let starts: Vec<Date> = (0..5).map(|k| period(anchor, Interval::Month, k).unwrap().start).collect();
        assert_eq!(
            starts,
            [date(2027, 1, 31), date(2027, 2, 28), date(2027, 3, 31), date(2027, 4, 30), date(2027, 5, 31)]
        );
        assert_eq!(period(date(2028, 2, 29), Interval::Year, 1).unwrap().start, date(2029, 2, 28));
        assert_eq!(period(date(2028, 2, 29), Interval::Year, 4).unwrap().start, date(2032, 2, 29));
    }

    #[test]
    fn seoul_day_starts_at_fifteen_utc() {
        assert_eq!(seoul_midnight(date(2026, 12, 1)).unwrap().to_string(), "2026-11-30T15:00:00Z");
        assert_eq!(seoul_date("2026-11-30T15:00:00Z".parse().unwrap()), date(2026, 12, 1));
        assert_eq!(seoul_date("2026-11-30T14:59:59Z".parse().unwrap()), date(2026, 11, 30));
    }

    #[test]
    fn charge_window_is_half_open_in_seoul() {
        let window = ChargeWindow::parse("09:00-21:00").unwrap();
        assert!(window.contains("2026-12-01T00:00:00Z".parse().unwrap()));
        assert!(!window.contains("2026-12-01T12:00:00Z".parse().unwrap()));
        assert_eq!(ChargeWindow::parse("21:00-09:00"), None);
    }

    proptest! {
        #[test]
        fn anchors_never_drift_over_a_thousand_months(y in 1900i16..2400, m in 1i8..=12, d in 1i8..=31) {
            let Ok(anchor) = Date::new(y, m, d) else { return Ok(()) };
            let mut previous_end = anchor;
            for k in 0..1_000u32 {
                let p = period(anchor, Interval::Month, k).unwrap();
                prop_assert_eq!(p.start, previous_end, "contiguous");
                prop_assert!(p.start < p.end, "never empty");
                prop_assert_eq!(p.start.day(), anchor.day().min(p.start.days_in_month()), "clamped from the original");
                let months = i32::from(p.start.year()) * 12 + i32::from(p.start.month());
                prop_assert_eq!(months - (i32::from(y) * 12 + i32::from(m)), i32::try_from(k).unwrap(), "one per month");
                previous_end = p.end;
            }
        }
    }
}
