//! What to do about a live attempt nobody answered for: look first, and only then settle, resend or give up.
//!
//! Invariants (design.md §5, step 4): an expired lease means *look up*, never *charge again*; nothing is resent
//! outside the gateway's key window; absence takes two empty lookups one profile delay apart, both after the lease, when
//! no send can still be on its way.

use jiff::{SignedDuration, Timestamp};

use crate::calendar::OutOfRange;
use crate::charge::{Answer, Doubt, Heard, LiveAttempt, Lookup, Profile};
use crate::event::Fact;
use crate::ids::SubscriptionId;

/// So many looks left the outcome open, which takes most of a day: an operator is told, and again after as many more.
const STUCK_LOOKS: u32 = 24;

/// What operators are told when an attempt has been unknown for too long. `doubt` is what is remembered after this look.
#[must_use]
pub fn stuck(id: &SubscriptionId, live: &LiveAttempt, doubt: &Doubt) -> Option<Fact> {
    let told = doubt.looks > 0 && doubt.looks.is_multiple_of(STUCK_LOOKS);
    told.then(|| {
        Fact::new("attempt.stuck", id.as_str())
            .with("index", live.index)
            .with("seq", live.seq)
            .with("attempt", live.n)
            .with("orderId", live.billable(id).order_id(live.gateway, live.n))
            .with("gateway", live.gateway.as_str())
            .with("since", live.started_at.to_string())
    })
}

/// What follows from a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Settle(Answer),
    /// Send the same bytes under the same key again.
    Resend,
    /// Proven never to have captured.
    Absent,
    /// Not decided yet: remember what was seen and look again then.
    Look {
        doubt: Doubt,
        at: Timestamp,
    },
}

/// Decides after a lookup. `resendable` is whether the frozen method, secret and request version are still there and
/// the subscription lets the attempt be sent again ([`crate::subscription::Subscription::may_resend`]).
///
/// # Errors
/// Past the range of instants.
pub fn after_lookup(
    live: &LiveAttempt,
    profile: &Profile,
    lookup: Lookup,
    resendable: bool,
    now: Timestamp,
) -> Result<Next, OutOfRange> {
    let doubt =
        live.unknown.clone().unwrap_or(Doubt { heard: Heard::Nothing, empty: 0, last_empty_at: None, looks: 0 });
    let seen = Doubt { looks: doubt.looks.saturating_add(1), ..doubt.clone() };
    let again = |doubt: Doubt| Ok(Next::Look { at: next_look(now, doubt.looks)?, doubt });
    let in_window = live.started_at.checked_add(profile.key_window).map_err(|_| OutOfRange)? > now;
    let may_resend = doubt.heard == Heard::Nothing && in_window && resendable;
    match lookup {
        // The gateway knows it: an earlier empty lookup was too early and proves nothing.
        Lookup::Found(Answer::Unknown { .. }) | Lookup::Pending => {
            again(Doubt { empty: 0, last_empty_at: None, ..seen })
        }
        // It cannot be asked: sending again under the same key is how to hear.
        Lookup::Failed if may_resend && !profile.finds => Ok(Next::Resend),
        Lookup::Failed => again(seen),
        Lookup::Found(answer) => Ok(Next::Settle(answer)),
        Lookup::NotFound => {
            if may_resend {
                return Ok(Next::Resend);
            }
            // A send may still be on its way: what is not there yet proves nothing.
            if now < live.lease_until {
                return Ok(Next::Look { doubt: seen, at: live.lease_until });
            }
            let delay = match doubt.heard {
                Heard::Refusal => profile.absent_after_refusal,
                Heard::Nothing | Heard::Error => profile.absent_after_error,
            };
            match doubt.last_empty_at {
                Some(last) if last.checked_add(delay).map_err(|_| OutOfRange)? <= now => Ok(Next::Absent),
                Some(last) => Ok(Next::Look { at: last.checked_add(delay).map_err(|_| OutOfRange)?, doubt: seen }),
                None => {
                    let at = now.checked_add(delay).map_err(|_| OutOfRange)?;
                    Ok(Next::Look { doubt: Doubt { empty: 1, last_empty_at: Some(now), ..seen }, at })
                }
            }
        }
    }
}

/// When to look again after `looks` looks: 30 s, 2 min, 8 min, then hourly.
///
/// # Errors
/// Past the range of instants.
pub fn next_look(now: Timestamp, looks: u32) -> Result<Timestamp, OutOfRange> {
    let seconds = 30i64.saturating_mul(4i64.saturating_pow(looks.min(8))).min(3_600);
    now.checked_add(SignedDuration::from_secs(seconds)).map_err(|_| OutOfRange)
}

/// When to look after a send that left the outcome open, at the earliest: an attempt that was sent again and again to no
/// avail is asked for less and less often, at least hourly.
///
/// # Errors
/// Past the range of instants.
pub fn look_after_silence(now: Timestamp, started_at: Timestamp) -> Result<Timestamp, OutOfRange> {
    let silent = now.duration_since(started_at).as_secs().clamp(0, 7_200);
    now.checked_add(SignedDuration::from_secs(silent.div_euclid(2))).map_err(|_| OutOfRange)
}
