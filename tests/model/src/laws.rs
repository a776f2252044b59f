//! What must hold in every state, and what must be reachable for that to mean anything.

use domain::cycle::{Cycle, Outcome, State as Closed};
use domain::subscription::Status;
use stateright::Property;

use crate::gateway::Said;
use crate::protocol::Protocol;
use crate::state::{Pc, State};

type Law = Property<Protocol>;

pub const ONE_CAPTURE: &str = "at most one capture per cycle at the gateway";
pub const ATTACHED: &str = "every capture pays its cycle or is quarantined, once all is quiet";
pub const RIGHT_MONEY: &str = "a paid cycle holds one payment, of its amount, that was really taken";
pub const NO_OVERLAP: &str = "no attempt starts while another is open";
pub const NOT_AFTER_END: &str = "nothing is taken for a claim made after the end";
pub const QUIET_END: &str = "cancelled with nothing in flight means never captured again";
pub const ONE_REQUEST: &str = "one key, one request";
pub const NEVER_LOST: &str = "what is not over stays in the due index";

#[must_use]
pub fn all() -> Vec<Law> {
    vec![
        Law::always(ONE_CAPTURE, |_, s| s.gateway.taken.len() <= 1),
        Law::always(ATTACHED, |_, s| !s.quiet() || attached(s)),
        Law::always(RIGHT_MONEY, right_money),
        Law::always(NO_OVERLAP, |_, s| !s.overlapped),
        Law::always(NOT_AFTER_END, |_, s| s.gateway.taken.iter().all(|t| !t.after_end)),
        Law::always(QUIET_END, |_, s| s.taken_at_end.is_none_or(|n| s.gateway.taken.len() <= usize::from(n))),
        Law::always(ONE_REQUEST, |_, s| !s.altered),
        Law::always(NEVER_LOST, never_lost),
        Law::sometimes("paid at once", |m, s| s.claims == 1 && paid(m, s)),
        Law::sometimes("declined, then paid", |m, s| paid(m, s) && first_was(s, Outcome::Declined)),
        Law::sometimes("proved absent, then paid", |m, s| paid(m, s) && first_was(s, Outcome::Absent)),
        Law::sometimes("sent again, then paid", |m, s| {
            paid(m, s) && s.claims == 2 && cycle(s).is_some_and(|c| c.attempts.len() == 1)
        }),
        Law::sometimes("two sends of one key hear of the one capture", |_, s| {
            s.workers.iter().filter(|w| holds(w, 1)).count() == 2
        }),
        Law::sometimes("settled by somebody else meanwhile", |m, s| {
            paid(m, s) && s.workers.iter().any(|w| holds(w, 1) || holds(w, 2))
        }),
        Law::sometimes("a race is lost and decided again", |_, s| {
            s.workers.iter().any(|w| matches!(w, Pc::Lost { .. }))
        }),
        Law::sometimes("paid after a crash", |m, s| s.left.crashes < m.config.left.crashes && paid(m, s)),
        Law::sometimes("paid with a new card", |m, s| s.left.cards < m.config.left.cards && paid(m, s) && s.quiet()),
        Law::sometimes("wrong money is quarantined", |_, s| {
            cycle(s).is_some_and(|c| c.attempts.iter().any(|a| a.outcome == Outcome::Quarantined))
        }),
        Law::sometimes("a late capture pays after the cancellation", |m, s| {
            s.rows.subscription.status == Status::Cancelled && paid(m, s) && s.taken_at_end.is_none()
        }),
    ]
}

fn cycle(state: &State) -> Option<&Cycle> {
    state.rows.cycle.as_deref()
}

fn paid(protocol: &Protocol, state: &State) -> bool {
    state.rows.subscription.paid == Some(protocol.config.index())
}

fn first_was(state: &State, outcome: Outcome) -> bool {
    cycle(state).and_then(|c| c.attempt(1)).is_some_and(|a| a.outcome == outcome)
}

/// Whether a worker brings the answer "captured" to a send of attempt `n`.
fn holds(worker: &Pc, n: u32) -> bool {
    matches!(worker, Pc::Heard { told, .. } if matches!(told.said, Said::Took(_)) && told.n == Some(n))
}

fn attached(state: &State) -> bool {
    let row = &state.rows.subscription;
    (0..state.gateway.taken.len()).all(|which| {
        let which = u8::try_from(which).unwrap_or(u8::MAX);
        let capture = state.gateway.capture_of(which, &row.id, row.amount);
        cycle(state).is_some_and(|c| c.paid_by(&capture) != c.holds_in_quarantine(&capture))
    })
}

fn right_money(protocol: &Protocol, state: &State) -> bool {
    let row = &state.rows.subscription;
    let Some(cycle) = cycle(state) else { return !paid(protocol, state) };
    let successes = cycle.attempts.iter().filter(|a| a.outcome == Outcome::Succeeded).count();
    match &cycle.state {
        Closed::Paid(_) => {
            let real = (0..state.gateway.taken.len()).any(|which| {
                let which = u8::try_from(which).unwrap_or(u8::MAX);
                let capture = state.gateway.capture_of(which, &row.id, row.amount);
                cycle.paid_by(&capture) && capture.amount == cycle.amount
            });
            real && successes == 1 && paid(protocol, state)
        }
        Closed::Open | Closed::Void | Closed::Uncollectible => successes == 0 && !paid(protocol, state),
    }
}

/// A subscription leaves the index when it has ended, is parked, or (before the first payment) waits for its approval.
fn never_lost(_: &Protocol, state: &State) -> bool {
    let row = &state.rows.subscription;
    row.due_at.is_some() || row.live.is_none() && (row.parked || row.status == Status::Terminated)
}
