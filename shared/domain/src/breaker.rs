//! The switch of one gateway: whether new charges may be sent to it. An operator pauses and resumes it; by itself it
//! opens when the gateway stops answering, lets one probe through at a time, and flows again after the first answer.
//!
//! Invariants: an operator's pause wins over everything and ends only by a resume; a resume also forgets the outage;
//! a decline is an answer and never counts as an outage; while nothing flows nothing is lost, because subscriptions
//! stay due. "Open" is meant as of a circuit: an open breaker lets nothing through.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::charge::GatewayName;
use crate::event::Fact;

/// Before the first probe of an outage, and between probes until they have failed a few times.
pub const PROBE_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// Between probes, at most.
pub const PROBE_INTERVAL_MAX: SignedDuration = SignedDuration::from_secs(60);
/// How long a probe that says nothing keeps others from probing: longer than a gateway may take to answer.
pub const PROBE_LEASE: SignedDuration = SignedDuration::from_secs(75);
/// This many outage-class answers in a row open the breaker.
pub const IN_A_ROW: usize = 20;
/// So does a bad half of this many.
pub const SAMPLE: usize = 50;

/// State of one gateway's switch, as kept in `control`. The default lets everything flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Switch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
}

/// An operator stopped the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub by: String,
    pub reason: String,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
}

/// The breaker is open: the gateway was found to be out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub since: Timestamp,
    /// From when on one probe may go.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub probe_at: Timestamp,
    /// Probes that failed since it opened.
    pub probes: u32,
}

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Charges flow.
    Flows,
    /// One charge may go, to find out whether the gateway is back: take it with [`Switch::probing`] first.
    Probe,
    /// Nothing goes before `until`; with none, not before an operator resumes.
    Stopped { until: Option<Timestamp> },
}

/// Name of a gateway's row in `control` and subject of its events.
#[must_use]
pub fn row_name(gateway: GatewayName) -> String {
    format!("gateway#{}", gateway.as_str())
}

impl Switch {
    #[must_use]
    pub fn admits(&self, now: Timestamp) -> Admission {
        match (&self.paused, &self.open) {
            (Some(_), _) => Admission::Stopped { until: None },
            (None, Some(open)) if now < open.probe_at => Admission::Stopped { until: Some(open.probe_at) },
            (None, Some(_)) => Admission::Probe,
            (None, None) => Admission::Flows,
        }
    }

    /// Paused by an operator. `None` when it is paused already: the first pause and its reason stand.
    #[must_use]
    pub fn paused(&self, gateway: GatewayName, by: &str, reason: &str, now: Timestamp) -> Option<(Switch, Fact)> {
        if self.paused.is_some() {
            return None;
        }
        let pause = Pause { by: by.to_owned(), reason: reason.to_owned(), at: now };
        let after = Switch { paused: Some(pause), open: self.open.clone() };
        Some((after, Fact::new("gateway.paused", row_name(gateway))))
    }

    /// Resumed by an operator, who also forgets an outage. `None` when everything flows already.
    #[must_use]
    pub fn resumed(&self, gateway: GatewayName) -> Option<(Switch, Fact)> {
        if *self == Switch::default() {
            return None;
        }
        let fact = Fact::new("gateway.resumed", row_name(gateway))
            .with("pausedAt", self.paused.as_ref().map(|p| p.at.to_string()))
            .with("openSince", self.open.as_ref().map(|o| o.since.to_string()));
        Some((Switch::default(), fact))
    }

    /// Opened because the gateway is out. `None` when nothing flows anyway.
    #[must_use]
    pub fn tripped(&self, gateway: GatewayName, now: Timestamp) -> Option<(Switch, Fact)> {
        if self.admits(now) != Admission::Flows {
            return None;
        }
        let open = Open { since: now, probe_at: later(now, PROBE_INTERVAL), probes: 0 };
        let fact = Fact::new("gateway.opened", row_name(gateway)).with("probeAt", open.probe_at.to_string());
        Some((Switch { paused: None, open: Some(open) }, fact))
    }

    /// Takes the one probe: until it is heard, or its lease ends, nobody else probes. `None` when no probe may go.
    #[must_use]
    pub fn probing(&self, now: Timestamp) -> Option<Switch> {
        let open = self.open.as_ref().filter(|_| self.admits(now) == Admission::Probe)?;
        Some(self.with_probe(Open { probe_at: later(now, PROBE_LEASE), ..open.clone() }))
    }

    /// The probe found the gateway still out: the next one waits twice as long, up to a minute. `None` when the
    /// breaker is not open any more.
    #[must_use]
    pub fn probe_failed(&self, now: Timestamp) -> Option<Switch> {
        let open = self.open.as_ref()?;
        let probes = open.probes.saturating_add(1);
        Some(self.with_probe(Open { probe_at: later(now, interval(probes)), probes, ..open.clone() }))
    }

    /// The probe was taken and not sent: the next may go at once. `None` when the breaker is not open any more.
    #[must_use]
    pub fn probe_unused(&self, now: Timestamp) -> Option<Switch> {
        let open = self.open.as_ref()?;
        Some(self.with_probe(Open { probe_at: now, ..open.clone() }))
    }

    /// The gateway answered: charges flow again, unless an operator paused it. `None` when the breaker is not open.
    #[must_use]
    pub fn recovered(&self, gateway: GatewayName) -> Option<(Switch, Fact)> {
        let open = self.open.as_ref()?;
        let fact = Fact::new("gateway.closed", row_name(gateway))
            .with("openSince", open.since.to_string())
            .with("probes", open.probes);
        Some((Switch { paused: self.paused.clone(), open: None }, fact))
    }

    fn with_probe(&self, open: Open) -> Switch {
        Switch { paused: self.paused.clone(), open: Some(open) }
    }
}

fn interval(failed: u32) -> SignedDuration {
    let doubled = PROBE_INTERVAL.checked_mul(1_i32.checked_shl(failed.min(8)).unwrap_or(i32::MAX));
    doubled.unwrap_or(PROBE_INTERVAL_MAX).min(PROBE_INTERVAL_MAX)
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// The last answers of a gateway, as one process heard them.
#[derive(Clone, Debug, Default)]
pub struct Window {
    outages: VecDeque<bool>,
}

impl Window {
    /// Adds an answer; true when the breaker should open now: [`IN_A_ROW`] outage-class answers, or more than half of
    /// the last [`SAMPLE`]. It then starts afresh, so that an old outage does not open the breaker a second time.
    pub fn heard(&mut self, outage: bool) -> bool {
        if self.outages.len() >= SAMPLE {
            self.outages.pop_front();
        }
        self.outages.push_back(outage);
        let in_a_row = self.outages.iter().rev().take_while(|out| **out).count();
        let bad = self.outages.iter().filter(|out| **out).count();
        let trip = in_a_row >= IN_A_ROW || (self.outages.len() == SAMPLE && bad > SAMPLE / 2);
        if trip {
            self.outages.clear();
        }
        trip
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOSS: GatewayName = GatewayName::Toss;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn open(now: Timestamp) -> Switch {
        Switch::default().tripped(TOSS, now).unwrap().0
    }

    #[test]
    fn an_outage_opens_probes_and_closes() {
        let (switch, fact) = Switch::default().tripped(TOSS, at(0)).unwrap();
        assert_eq!((fact.kind, fact.subject.as_str()), ("gateway.opened", "gateway#toss"));
        assert_eq!(switch.admits(at(9)), Admission::Stopped { until: Some(at(10)) });
        assert_eq!(switch.probing(at(9)), None);
        assert_eq!(switch.admits(at(10)), Admission::Probe);
        let taken = switch.probing(at(10)).unwrap();
        assert_eq!(taken.admits(at(84)), Admission::Stopped { until: Some(at(85)) }, "one probe at a time");
        assert_eq!(taken.admits(at(85)), Admission::Probe, "a prober that died is replaced");
        let (closed, fact) = taken.recovered(TOSS).unwrap();
        assert_eq!((fact.kind, closed.admits(at(11))), ("gateway.closed", Admission::Flows));
    }

    #[test]
    fn probes_back_off_to_a_minute() {
        let mut switch = open(at(0));
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..5 {
            let Admission::Stopped { until: Some(next) } = switch.admits(now) else { panic!("{switch:?}") };
            waits.push(next.duration_since(now).as_secs());
            now = next;
            switch = switch.probing(now).unwrap().probe_failed(now).unwrap();
        }
        assert_eq!(waits, [10, 20, 40, 60, 60]);
        assert_eq!(switch.open.as_ref().unwrap().since, at(0));
        assert_eq!(switch.probe_unused(now).unwrap().admits(now), Admission::Probe);
    }

    #[test]
    fn a_pause_wins_and_a_resume_forgets_the_outage() {
        let (switch, fact) = open(at(0)).paused(TOSS, "ops", "fraud", at(5)).unwrap();
        assert_eq!(fact.kind, "gateway.paused");
        assert_eq!(switch.admits(at(1_000)), Admission::Stopped { until: None });
        assert_eq!(switch.probing(at(1_000)), None);
        assert_eq!(switch.tripped(TOSS, at(6)), None);
        assert_eq!(switch.paused(TOSS, "other", "again", at(7)), None, "the first pause stands");
        let (answered, _) = switch.recovered(TOSS).unwrap();
        assert_eq!(answered.admits(at(8)), Admission::Stopped { until: None });
        let (resumed, fact) = switch.resumed(TOSS).unwrap();
        assert_eq!((fact.kind, resumed.admits(at(8))), ("gateway.resumed", Admission::Flows));
        assert_eq!(resumed.resumed(TOSS), None);
    }

    #[test]
    fn rows_read_back_and_an_empty_one_flows() {
        let (switch, _) = open(at(0)).paused(TOSS, "ops", "점검", at(5)).unwrap();
        let stored = serde_json::to_value(&switch).unwrap();
        assert_eq!(stored["open"]["probeAt"], at(10).as_millisecond());
        assert_eq!(serde_json::from_value::<Switch>(stored).unwrap(), switch);
        assert_eq!(serde_json::from_str::<Switch>("{}").unwrap().admits(at(0)), Admission::Flows);
    }

    #[test]
    fn twenty_in_a_row_open_it() {
        let mut window = Window::default();
        assert!((0..19).all(|_| !window.heard(true)));
        assert!(!window.heard(false), "an answer, declined or not, breaks the row");
        assert!((0..19).all(|_| !window.heard(true)));
        assert!(window.heard(true));
        assert!(!window.heard(true), "an outage that was acted on does not open it again");
    }

    #[test]
    fn more_than_half_of_fifty_open_it() {
        let half = (0..SAMPLE).map(|i| i % 2 == 0);
        let mut window = Window::default();
        assert!(half.clone().all(|outage| !window.heard(outage)), "exactly half is borne");
        assert!(!window.heard(true), "the oldest outage left the window");
        assert!(window.heard(true), "26 of 50");
        let mut young = Window::default();
        assert!((0..40).all(|i| !young.heard(i % 4 != 0)), "30 of 40 say too little");
    }

    proptest! {
        #[test]
        fn answers_never_open_it_while_most_are_good(outages in proptest::collection::vec(any::<bool>(), 0..400)) {
            let mut window = Window::default();
            let mut since = 0_usize;
            for (i, outage) in outages.iter().enumerate() {
                let trip = window.heard(*outage);
                let seen = &outages[since..=i];
                let last = &seen[seen.len().saturating_sub(SAMPLE)..];
                let row = last.iter().rev().take_while(|o| **o).count();
                let bad = last.iter().filter(|o| **o).count();
                prop_assert_eq!(trip, row >= IN_A_ROW || (last.len() == SAMPLE && bad * 2 > SAMPLE));
                if trip { since = i + 1; }
            }
        }

        #[test]
        fn only_a_resume_ends_a_pause(steps in proptest::collection::vec(0u8..6, 1..60)) {
            let mut switch = Switch::default().paused(TOSS, "ops", "why", at(0)).unwrap().0;
            for (i, step) in (1_i64..).zip(&steps) {
                let now = at(i * 7);
                let after = match step {
                    0 => switch.tripped(TOSS, now).map(|(s, _)| s),
                    1 => switch.probing(now),
                    2 => switch.probe_failed(now),
                    3 => switch.recovered(TOSS).map(|(s, _)| s),
                    4 => switch.probe_unused(now),
                    _ => switch.paused(TOSS, "b", "c", now).map(|(s, _)| s),
                };
                switch = after.unwrap_or(switch);
                prop_assert_eq!(switch.admits(now), Admission::Stopped { until: None });
            }
        }

        #[test]
        fn one_probe_in_any_lease(gaps in proptest::collection::vec(0i64..40, 1..80)) {
            let mut switch = open(at(0));
            let (mut now, mut last) = (0, None::<i64>);
            for gap in gaps {
                now += gap;
                if let Some(after) = switch.probing(at(now)) {
                    prop_assert!(last.is_none_or(|l| now - l >= PROBE_LEASE.as_secs()));
                    (switch, last) = (after, Some(now));
                }
            }
        }
    }
}
