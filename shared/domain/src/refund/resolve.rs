//! What to do about a refund nobody answered for: look first, and only then settle, send the same again, or give it up.
//!
//! Invariants: an expired lease means *look*, never *send again*; nothing is sent again outside the gateway's key window or
//! after an answer that the key may have stored; that nothing went back takes two empty looks a profile delay apart, both after
//! the lease, when no send can still be on its way.

use jiff::Timestamp;

use super::{Change, Refund, STUCK_AFTER, Seen, Sending, Status};
use crate::charge::{Doubt, Heard, Profile};
use crate::cycle::Cycle;
use crate::ids::RefundId;

/// What asking for a payment's refunds brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// All of them.
    All(Vec<Seen>),
    /// The question failed; says nothing.
    Failed,
}

/// The claim a resend would be made under; none when it may not be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resend {
    pub token: String,
    pub lease_until: Timestamp,
}

/// What follows from a look. `send` says that the change claims a resend: commit it, then send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub change: Change,
    pub send: bool,
}

impl Cycle {
    /// Decides after a look at the gateway. `None` when nothing changes, not even when to look again: somebody else is at
    /// it.
    #[must_use]
    pub fn refund_looked_up(
        &self,
        id: &RefundId,
        listed: &Listed,
        profile: &Profile,
        resend: Option<Resend>,
        now: Timestamp,
    ) -> Option<Looked> {
        let mut change = Change { cycle: self.clone(), facts: Vec::new() };
        if let Listed::All(seen) = listed
            && let Some(observed) = self.observe_refunds(seen, now)
        {
            change = observed;
        }
        let Some(refund) = change.cycle.refund(id).filter(|r| waits(r, now)).cloned() else {
            return (change.cycle != *self || !change.facts.is_empty()).then_some(Looked { change, send: false });
        };
        let mut send = false;
        match listed {
            _ if refund.status == Status::Pending => change.cycle = change.cycle.looked_again(&refund, None, now),
            Listed::Failed => change.cycle = change.cycle.looked_again(&refund, None, now),
            Listed::All(_) => match after_empty(&refund, profile, resend, now) {
                After::Send(sending) => {
                    send = true;
                    let due_at = Some(sending.lease_until);
                    let status = Status::Started;
                    change.cycle =
                        change.cycle.with_refund(Refund { status, sending: Some(sending), due_at, ..refund });
                }
                After::Gone => {
                    let gone = change.cycle.failed(&refund, refund.code.as_deref().unwrap_or("ABSENT"));
                    change.facts.extend(gone.facts);
                    change.cycle = gone.cycle;
                }
                After::Wait(doubt, at) => change.cycle = change.cycle.looked_again(&refund, Some((doubt, at)), now),
            },
        }
        let told = change.cycle.tell_if_stuck(id, now);
        if let Some(told) = told {
            change.cycle = told.cycle;
            change.facts.extend(told.facts);
        }
        Some(Looked { change, send })
    }

    /// Looked, and nothing is decided: remembers when to look again.
    fn looked_again(&self, refund: &Refund, waited: Option<(Doubt, Timestamp)>, now: Timestamp) -> Cycle {
        let pending = refund.status == Status::Pending;
        let (doubt, due_at) = match waited {
            Some((doubt, at)) => (doubt, Some(at)),
            None => {
                let before = doubt_of(refund);
                let looks = if pending { 9 } else { before.looks.saturating_add(1) };
                (Doubt { looks, ..before }, crate::resolve::next_look(now, looks).ok())
            }
        };
        let status = if pending { Status::Pending } else { Status::Unknown };
        let sending = refund.sending.clone().map(|s| Sending { doubt: Some(doubt), ..s });
        self.with_refund(Refund { status, sending, due_at, ..refund.clone() })
    }

    /// Tells an operator once about a refund whose outcome is open for too long.
    fn tell_if_stuck(&self, id: &RefundId, now: Timestamp) -> Option<Change> {
        let refund = self.refund(id).filter(|r| !r.stuck && matches!(r.status, Status::Started | Status::Unknown))?;
        let since = refund.sending.as_ref()?.started_at;
        if now.duration_since(since) < STUCK_AFTER {
            return None;
        }
        let fact = self.refund_fact("refund.stuck", refund).with("since", since.to_string());
        Some(Change { cycle: self.with_refund(Refund { stuck: true, ..refund.clone() }), facts: vec![fact] })
    }
}

/// Whether its outcome is open and nobody is waiting for an answer right now.
fn waits(refund: &Refund, now: Timestamp) -> bool {
    match refund.status {
        Status::Unknown | Status::Pending => true,
        Status::Started => refund.sending.as_ref().is_some_and(|s| s.lease_until <= now),
        Status::PendingApproval | Status::Requested | Status::Succeeded | Status::Failed | Status::Rejected => false,
    }
}

enum After {
    Send(Sending),
    Gone,
    Wait(Doubt, Timestamp),
}

fn doubt_of(refund: &Refund) -> Doubt {
    let doubt = refund.sending.as_ref().and_then(|s| s.doubt.clone());
    doubt.unwrap_or(Doubt { heard: Heard::Nothing, empty: 0, last_empty_at: None, looks: 0 })
}

/// The gateway shows nothing of it.
fn after_empty(refund: &Refund, profile: &Profile, resend: Option<Resend>, now: Timestamp) -> After {
    let doubt = doubt_of(refund);
    let seen = Doubt { looks: doubt.looks.saturating_add(1), ..doubt.clone() };
    // A row without a claim was never sent.
    let Some(sending) = &refund.sending else { return After::Gone };
    let fresh = sending.started_at.checked_add(profile.key_window).is_ok_and(|end| end > now);
    if let Some(claim) = resend.filter(|_| doubt.heard == Heard::Nothing && fresh) {
        // The doubt stays, so that a second silence is not a first one.
        let Resend { token, lease_until } = claim;
        return After::Send(Sending { token, lease_until, doubt: Some(seen), ..sending.clone() });
    }
    if doubt.heard == Heard::Nothing && fresh {
        // Whoever may send will: not having been sent again proves nothing.
        let at = crate::resolve::next_look(now, seen.looks).unwrap_or(now);
        return After::Wait(seen, at);
    }
    // A send may still be on its way: what is not there yet proves nothing.
    if now < sending.lease_until {
        return After::Wait(seen, sending.lease_until);
    }
    let delay = match doubt.heard {
        Heard::Refusal => profile.absent_after_refusal,
        Heard::Nothing | Heard::Error => profile.absent_after_error,
    };
    match doubt.last_empty_at {
        Some(last) if last.checked_add(delay).is_ok_and(|at| at <= now) => After::Gone,
        Some(last) => After::Wait(seen, last.checked_add(delay).unwrap_or(now)),
        None => {
            let at = now.checked_add(delay).unwrap_or(now);
            After::Wait(Doubt { empty: 1, last_empty_at: Some(now), ..seen }, at)
        }
    }
}
