//! The outage drill: runs stop for forty days across two month ends and start again. The gateways' ledger says whether
//! every period was charged once, the oldest first, and one a day at most.

use std::collections::BTreeMap;
use std::fmt;

use domain::calendar::seoul_date;
use domain::charge::GatewayName;
use jiff::civil::Date;

use crate::books::{Books, Payment};
use crate::clock::{DAY, SECOND};
use crate::sim::Sim;
use crate::trace::Who;
use crate::world::{CALM, Config, inspect};

const SUBSCRIPTIONS: u16 = 200;
/// Everybody has paid for a first month by then.
const STOPS: i64 = 27;
/// Requests begun together may overtake each other by a few turns of the pace: at the slowest, by this much, milliseconds.
const TOGETHER: i64 = 3_000;

/// What the ledger showed.
pub struct Drill {
    pub subscriptions: usize,
    /// Renewals that fell due while nothing ran.
    pub missed: usize,
    /// Days on which they were charged after the restart, and how many on each.
    pub caught_up: BTreeMap<Date, usize>,
    /// From the restart to the last charge of the first day, virtual seconds.
    pub seconds: i64,
}

/// Stops the runs of a world of good cards for `days` and judges what follows.
///
/// # Errors
/// Says what the ledger shows that it should not.
pub fn run(seed: u64, days: i64) -> Result<Drill, String> {
    let resumes = STOPS + days;
    let config = Config {
        subscriptions: SUBSCRIPTIONS,
        days: resumes + 5,
        faults: false,
        quiet: true,
        no_ticks: Some((STOPS, resumes)),
        ..Config::default()
    };
    inspect(seed, &config, |outcome, sim| {
        if let Some(finding) = &outcome.finding {
            return Err(format!("{}: {}", finding.violation.rule, finding.violation.text));
        }
        judged(sim, resumes * DAY, (resumes + 5) * DAY + CALM)
    })
}

fn judged(sim: &Sim, resumes: i64, end: i64) -> Result<Drill, String> {
    let books = sim.books.lock().unwrap();
    let day = |at: i64| seoul_date(sim.time.stamp(at));
    let mut of_subscription: BTreeMap<Who, Vec<&Payment>> = BTreeMap::new();
    books.payments.iter().for_each(|payment| of_subscription.entry(payment.who).or_default().push(payment));
    let mut caught_up = BTreeMap::new();
    let mut missed = 0;
    let first_second = |index| if index == 1 { resumes } else { resumes + DAY };
    for (who, payments) in &of_subscription {
        let indices: Vec<u32> = payments.iter().map(|p| p.index).collect();
        let row = books.row(*who).ok_or("no row")?;
        let begun =
            (0..).take_while(|k| row.period(*k, day(end)).is_ok_and(|p| p.start <= day(end))).collect::<Vec<_>>();
        if indices != begun {
            return Err(format!("subscription {who}: charged {indices:?}, begun {begun:?}"));
        }
        let mut days: Vec<Date> = payments.iter().map(|p| day(p.at)).collect();
        let charges = days.len();
        days.dedup();
        if days.len() != charges {
            return Err(format!("subscription {who}: two charges on one day"));
        }
        for payment in payments.iter().filter(|p| p.at >= resumes) {
            let fell_due = row.period(payment.index, day(end)).map_err(|e| e.to_string())?.start;
            if fell_due < day(resumes) {
                missed += 1;
                *caught_up.entry(day(payment.at)).or_insert(0) += 1;
                if day(payment.at) != day(first_second(payment.index)) {
                    return Err(format!("subscription {who}: not on its day: {payment:?}"));
                }
            }
        }
    }
    if of_subscription.len() != usize::from(SUBSCRIPTIONS) || missed != 2 * usize::from(SUBSCRIPTIONS) {
        return Err(format!("no drill: {} subscriptions, {missed} periods missed", of_subscription.len()));
    }
    for gateway in GatewayName::ALL {
        oldest_first(&books, gateway, resumes)?;
    }
    let first_day = books.payments.iter().filter(|p| p.at >= resumes && day(p.at) == day(resumes));
    let seconds = first_day.map(|p| (p.at - resumes) / SECOND).max().unwrap_or(0);
    Ok(Drill { subscriptions: of_subscription.len(), missed, caught_up, seconds })
}

/// Requests left in the order in which their periods fell due.
fn oldest_first(books: &Books, gateway: GatewayName, resumes: i64) -> Result<(), String> {
    let mut newest: Option<(Date, i64)> = None;
    let sends = books.sends.iter().filter(|s| s.gateway == gateway && s.index == 1 && s.at >= resumes);
    for send in sends {
        let row = books.row(send.who).ok_or("no row")?;
        let due = row.anchor.and_then(|anchor| row.period(send.index, anchor).ok()).ok_or("no period")?.start;
        match newest {
            Some((later, at)) if later > due && send.at - at > TOGETHER => {
                return Err(format!("{}: due {later} was sent {} ms before {due}", gateway.as_str(), send.at - at));
            }
            Some((later, _)) if later >= due => {}
            Some(_) | None => newest = Some((due, send.at)),
        }
    }
    Ok(())
}

impl fmt::Display for Drill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "outage drill: {} subscriptions, {} periods fell due while nothing ran; each charged once, the oldest first, one \
             a day: {:?}; the first day's took {} virtual seconds",
            self.subscriptions, self.missed, self.caught_up, self.seconds
        )
    }
}
