//! The verdict: what must hold while all is well again, and what must hold at the end, against the gateways' ledger.
//!
//! | rule | where it is checked |
//! | --- | --- |
//! | I1 one capture per cycle | at every capture (`watch`), at the end |
//! | I2 nothing due is missed | at the end |
//! | I3 money adds up, every capture attached | at the end; a paid cycle without real money at every commit; when a signed event is accepted; nothing captured is closed as absent |
//! | I4 nothing after the end | at every claim |
//! | I5 periods advance by one | at every commit |
//! | I6 sent as stored | at every send, at every commit |
//! | I7 one key per attempt, the same bytes | at every send |
//! | I8 never early, never twice a day | at every claim |
//! | I9 converges within two ticks | at every tick of the calm |
//! | I10 every capture told | at the end |
//! | I11 active means paid | at every commit |
//! | I12 no dead end | at every commit |

use std::sync::Arc;

use domain::calendar::{seoul_date, seoul_midnight};
use domain::charge::Answer;
use domain::cycle::{Cycle, Outcome, State};
use domain::subscription::{Status, Subscription};
use shared::store::typed;

use crate::books::{Books, Payment};
use crate::clock::MINUTE;
use crate::mail::Hook;
use crate::sim::Sim;
use crate::trace::Who;
use crate::world::{SETTLING, TICK};

/// What one tick's run may take: the message, the lease of a runner before it, the calls.
const RUN: i64 = 5 * MINUTE;

/// I9, at a tick of the calm: nothing has been due, and no attempt open, for more than two ticks.
pub fn alive(sim: &Arc<Sim>, now: i64) {
    let calm_from = sim.weather.lock().unwrap().calm_from;
    if now < calm_from + SETTLING {
        return;
    }
    let since = now - 2 * TICK - RUN;
    let late = {
        let books = sim.books.lock().unwrap();
        let overdue = |who: Who| -> Option<String> {
            let row = books.row(who)?;
            let from = match &row.live {
                Some(live) => sim.time.moment(live.started_at),
                None => sim.movable(row, sim.time.moment(row.due_at?)),
            };
            (from < since).then(|| format!("waits since {}", sim.time.stamp(from)))
        };
        books.due.iter().take_while(|(at, _)| *at < since).find_map(|(_, who)| Some((*who, overdue(*who)?)))
    };
    if let Some((who, text)) = late {
        sim.broken("I9 converges within two ticks", Some(who), text);
    }
}

/// I3, when a gateway's event was answered with 200: it will never be sent again, so the money it tells of is in the books
/// by now. Polls would bring it too; that they do not have to is what the event is for.
pub fn accepted(sim: &Sim, who: Who, hook: &Hook) {
    let Hook::Stripe { id, answer: Answer::Captured(capture), .. } = hook else { return };
    let booked = {
        let books = sim.books.lock().unwrap();
        ["captured", "quarantined"].iter().any(|kind| books.said.contains_key(&(capture.payment_id.clone(), *kind)))
    };
    if !booked {
        sim.broken("I3 an accepted event is booked", Some(who), format!("{id}: {capture:?}"));
    }
}

/// Everything else, when all is quiet.
pub async fn at_the_end(sim: &Arc<Sim>, count: u16) {
    for who in 0..count {
        let row = sim.books.lock().unwrap().row(who).cloned();
        let Some(row) = row else {
            return sim.broken("I2 nobody is forgotten", Some(who), "never got a subscription".to_owned());
        };
        let stored = typed::subscription(&sim.store, &row.id).await.unwrap();
        if stored.as_ref() != Some(&row) {
            return sim.broken("the judge's copy", Some(who), format!("{row:?}, stored {stored:?}"));
        }
        let mut cycles = Vec::new();
        for index in 0..=row.next_index() {
            cycles.extend(typed::cycle(&sim.store, &row.id, index, 0).await.unwrap());
        }
        if let Err((rule, text)) = one(sim, who, &row, &cycles) {
            return sim.broken(rule, Some(who), text);
        }
    }
}

type Verdict = Result<(), (&'static str, String)>;

fn one(sim: &Sim, who: Who, row: &Subscription, cycles: &[Cycle]) -> Verdict {
    let books = sim.books.lock().unwrap();
    let clean = sim.gateways.bank.lock().unwrap().never_refused(who);
    // What an operator has to sort out with the gateway may wait for longer than this history.
    if !books.mistaken(who) {
        missed(sim, row, clean)?;
    }
    let refused = books.refusals.iter().any(|r| r.who == who) || !clean;
    let left = books.leavers.contains(&who) || books.mistaken(who);
    if !matches!(row.status, Status::Active) && !refused && !left {
        return Err(("I2 nothing due is missed", format!("never refused, yet {:?}", row.status)));
    }
    if row.parked && !books.mistaken(who) {
        return Err(("I3 every capture is attached", "parked".to_owned()));
    }
    for cycle in cycles {
        paid_once(&books, who, cycle)?;
    }
    for payment in books.payments.iter().filter(|p| p.who == who) {
        attached(&books, cycles, payment)?;
    }
    let taken: i64 = books.payments.iter().filter(|p| p.who == who && !p.odd).map(|p| p.amount.amount).sum();
    let booked: i64 = cycles.iter().filter(|c| matches!(c.state, State::Paid(_))).map(|c| c.amount.amount).sum();
    if taken != booked {
        return Err(("I3 money adds up", format!("taken {taken}, booked {booked}")));
    }
    Ok(())
}

/// I2: what has begun is paid, or waits for a card within its deadline, or was given up after refusals.
fn missed(sim: &Sim, row: &Subscription, clean: bool) -> Verdict {
    let broken = |text: &str| Err(("I2 nothing due is missed", format!("{text}: {row:?}")));
    let now = sim.time.stamp(sim.now());
    let recently = sim.time.stamp(sim.now() - 2 * TICK - RUN);
    if let Some(live) = &row.live
        && live.started_at < recently
    {
        return broken("an attempt is still open");
    }
    match row.status {
        Status::Active if row.cancel_at.is_some() => {
            let overdue = row.cancel_at.is_some_and(|at| at < recently);
            if overdue { broken("its end has come and gone") } else { Ok(()) }
        }
        Status::Active if row.dunning.is_none() || clean => {
            let next = row.period(row.next_index(), seoul_date(now)).map_err(|_| ("calendar", String::new()))?;
            let begins = seoul_midnight(next.start).map_err(|_| ("calendar", String::new()))?;
            let movable = sim.time.stamp(sim.movable(row, sim.time.moment(begins)));
            if movable < recently { broken("a period begun is not paid") } else { Ok(()) }
        }
        Status::Active => match &row.dunning {
            Some(case) if case.deadline < recently => broken("a case past its deadline"),
            Some(_) | None => Ok(()),
        },
        Status::PendingActivation if clean => broken("the first payment is missing"),
        Status::PendingActivation if row.first_decline.is_none() && !row.spent() => broken("nothing was declined"),
        Status::PendingActivation | Status::Suspended | Status::Cancelled | Status::Terminated => Ok(()),
        Status::Draft => broken("a draft"),
    }
}

/// I1: a paid cycle has one capture of the right amount, another has none.
fn paid_once(books: &Books, who: Who, cycle: &Cycle) -> Verdict {
    let captures: Vec<&Payment> = books.captures(who, cycle.index).collect();
    let expected = usize::from(matches!(cycle.state, State::Paid(_)));
    if captures.len() != expected {
        return Err(("I1 one capture per paid cycle", format!("{captures:?}: {cycle:?}")));
    }
    Ok(())
}

/// I3 and I10: money is in exactly one paid cycle or in quarantine, and was told of.
fn attached(books: &Books, cycles: &[Cycle], payment: &Payment) -> Verdict {
    let pays = |cycle: &&Cycle| matches!(&cycle.state, State::Paid(p) if p.payment_id == payment.payment_id);
    let held = |cycle: &&Cycle| {
        let id = payment.charge_id.as_ref().unwrap_or(&payment.payment_id);
        cycle.attempts.iter().any(|a| a.outcome == Outcome::Quarantined && a.charge_id.as_ref() == Some(id))
    };
    let (paid, quarantined) = (cycles.iter().filter(pays).count(), cycles.iter().filter(held).count());
    if paid + quarantined != 1 {
        return Err(("I3 every capture is attached", format!("{paid} cycles and {quarantined} holds: {payment:?}")));
    }
    let told = |kind| books.said.get(&(payment.payment_id.clone(), kind)).copied().unwrap_or(0);
    let (captured, held) = (told("captured"), told("quarantined"));
    if payment.odd && paid != 0 {
        return Err(("I6 another amount is never applied", format!("{payment:?}")));
    }
    if (paid == 1 && captured != 1) || (quarantined == 1 && held == 0) {
        return Err(("I10 every capture is told of", format!("{captured} and {held}: {payment:?}")));
    }
    Ok(())
}
