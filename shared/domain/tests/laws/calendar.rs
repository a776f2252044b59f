//! The calendar: periods meet without gap or overlap, anchors hold for ever, and due dates follow civil days.

use domain::Date;
use domain::calendar::{ChargeWindow, Interval, Period, next_seoul_day, period, plus_days, seoul_date, seoul_midnight};
use domain::charge::GatewayName;
use jiff::Timestamp;
use jiff::civil::date;
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::at;

fn any_date() -> impl Strategy<Value = Date> {
    (1900i16..2400, 1i8..=12, 1i8..=31).prop_filter_map("a real date", |(y, m, d)| Date::new(y, m, d).ok())
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    (-2_208_988_800i64..13_569_465_600).prop_map(|s| Timestamp::from_second(s).unwrap())
}

fn interval() -> impl Strategy<Value = Interval> {
    prop_oneof![Just(Interval::Month), Just(Interval::Year)]
}

#[test]
fn a_year_from_29_february_ends_on_the_28th_and_finds_its_way_back() {
    let starts: Vec<Date> = (0..9).map(|k| period(date(2028, 2, 29), Interval::Year, k).unwrap().start).collect();
    let days = [29, 28, 28, 28, 29, 28, 28, 28, 29];
    let expected: Vec<Date> = (2028..).zip(days).map(|(y, d)| date(y, 2, d)).collect();
    assert_eq!(starts, expected);
}

#[test]
fn a_year_from_29_february_knows_the_century_rule() {
    assert_eq!(period(date(2096, 2, 29), Interval::Year, 4).unwrap().start, date(2100, 2, 28));
    assert_eq!(period(date(2096, 2, 29), Interval::Year, 8).unwrap().start, date(2104, 2, 29));
}

#[test]
fn every_month_end_anchor_is_clamped_from_the_original_day() {
    for day in 28..=31 {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29];
        for (k, length) in (0u32..).zip(lengths) {
            let start = period(date(2027, 1, day), Interval::Month, k).unwrap().start;
            assert_eq!(start.day(), day.min(length), "month {k} after the {day}th");
        }
    }
}

#[test]
fn past_the_year_9999_is_an_error_and_not_a_date() {
    assert!(period(date(9999, 12, 1), Interval::Month, 0).is_err());
    assert!(period(date(2027, 1, 31), Interval::Year, u32::MAX).is_err());
    assert!(period(date(2027, 1, 31), Interval::Month, u32::MAX - 1).is_err());
    assert!(plus_days(Timestamp::MAX, 1).is_err() && next_seoul_day(Timestamp::MAX).is_err());
}

#[test]
fn a_charge_window_is_two_times_in_order() {
    for bad in ["", "09:00", "09:00-", "09:00-09:00", "21:00-09:00", "24:00-25:00", "9-21", "09:60-10:00"] {
        assert_eq!(ChargeWindow::parse(bad), None, "{bad}");
    }
    let window = ChargeWindow::parse("09:00-21:00").unwrap();
    for (instant, open) in [
        ("2026-12-31T23:59:59Z", false),
        ("2027-01-01T00:00:00Z", true),
        ("2027-01-01T11:59:59Z", true),
        ("2027-01-01T12:00:00Z", false),
    ] {
        assert_eq!(window.contains(at(instant)), open, "{instant}");
    }
}

proptest! {
    #[test]
    fn periods_are_contiguous_and_every_day_lies_in_exactly_one(anchor in any_date(), interval in interval(), k in 0u32..300, day in any::<prop::sample::Index>()) {
        let Period { start, end } = period(anchor, interval, k).unwrap();
        prop_assert!(start < end);
        prop_assert_eq!(end, period(anchor, interval, k + 1).unwrap().start);
        let length = usize::try_from(start.until(end).unwrap().get_days()).unwrap();
        let day = start.saturating_add(jiff::Span::new().days(i64::try_from(day.index(length)).unwrap()));
        let holding = (k.saturating_sub(2)..k + 3)
            .filter(|i| period(anchor, interval, *i).is_ok_and(|p| p.start <= day && day < p.end));
        prop_assert_eq!(holding.collect::<Vec<_>>(), vec![k]);
    }

    #[test]
    fn twelve_months_are_a_year(anchor in any_date(), k in 0u32..60) {
        let (year, month) = (period(anchor, Interval::Year, k).unwrap(), period(anchor, Interval::Month, 12 * k).unwrap());
        prop_assert_eq!(year.start, month.start);
    }

    #[test]
    fn a_seoul_day_begins_at_its_midnight_and_ends_before_the_next(instant in any_instant()) {
        let today = seoul_midnight(seoul_date(instant)).unwrap();
        let tomorrow = next_seoul_day(instant).unwrap();
        prop_assert!(today <= instant && instant < tomorrow);
        prop_assert_eq!(seoul_date(today), seoul_date(instant));
        prop_assert_eq!(seoul_date(tomorrow), seoul_date(instant).tomorrow().unwrap());
    }

    #[test]
    fn a_period_is_due_at_its_first_midnight_but_never_on_the_day_of_the_last_charge(late in 0i64..4_000, index in 0u32..40) {
        let subscription = Books::active(GatewayName::Toss).subscription;
        let anchor = subscription.anchor.unwrap();
        let charged = seoul_midnight(period(anchor, Interval::Month, index).unwrap().start).unwrap() + crate::fixtures::hours(late);
        let due = subscription.due_after(index, anchor, charged).unwrap();
        let begins = seoul_midnight(period(anchor, Interval::Month, index + 1).unwrap().start).unwrap();
        prop_assert!(due >= begins && seoul_date(due) > seoul_date(charged));
        prop_assert!(due == begins || due == next_seoul_day(charged).unwrap(), "and no later than that");
    }
}

#[test]
fn a_window_opens_later_only_before_it_opens() {
    let window = ChargeWindow::parse("09:00-21:00").unwrap();
    for (instant, later) in [
        ("2026-11-30T15:00:00Z", true),
        ("2026-11-30T23:59:59.999Z", true),
        ("2026-12-01T00:00:00Z", false),
        ("2026-12-01T11:59:59Z", false),
        ("2026-12-01T12:00:00Z", false),
    ] {
        assert_eq!(window.opens_later(at(instant)), later, "{instant}");
    }
}
