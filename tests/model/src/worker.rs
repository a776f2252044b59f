//! What one worker does next: `usecase::{runner, charge_subscription, release_intent, resolve_attempt, settle, retire,
//! cancel_subscription, change_method}`, one read, write or
//! call at a time.

use std::sync::Arc;

use domain::cancelling::CancelAt;
use domain::card::NO_CARD;
use domain::charge::{GatewayName, LiveAttempt, Trigger};
use domain::cycle::{Cycle, State::Open};
use domain::resolve::Next;
use domain::settle::{Report, Settled, Settlement, absent};
use domain::subscription::{Due, StartRefused, Status, Subscription};
use jiff::Timestamp;

use crate::config::{ATTEMPTS, LEASE, LOOKS, card_id, claim};
use crate::gateway::{Call, ERROR, Find, NOTHING, REFUSAL, Said, Seen, intent_number};
use crate::guards::Guard;
use crate::kept::Kept;
use crate::protocol::Protocol;
use crate::state::{Copied, Pc, Retire, State, Told, Why};

impl Protocol {
    /// A runner meets the subscription in the due index and does what is due. `None` when nothing is.
    pub(crate) fn run(&self, state: &State) -> Option<Pc> {
        let row = &state.rows.subscription;
        let at = state.now;
        let retire = |due| Some(Pc::Retiring { copy: state.read(), at, due, released: false });
        match self.guards.due(row, at).ok()? {
            Due::Charge(trigger) if state.dead_cards[usize::from(card_of(row))] => retire(Retire::NoCard(Why(trigger))),
            Due::Charge(trigger) => Some(self.chosen(state, trigger)),
            Due::Resolve => self.look(state),
            Due::Suspend => retire(Retire::Suspend),
            Due::Terminate => retire(Retire::Terminate),
            Due::Lapse => retire(Retire::Lapse),
            Due::Cancel => retire(Retire::Cancel),
            Due::Nothing | Due::Wait(_) => None,
        }
    }

    /// The first attempt of a cycle has no row to read.
    pub(crate) fn chosen(&self, state: &State, trigger: Trigger) -> Pc {
        let (mut copy, at, trigger) = (state.read(), state.now, Why(trigger));
        copy.cycle_fresh = copy.rows.cycle.is_none();
        copy.rows.cycle = None;
        if copy.rows.subscription.tries == 0 {
            Pc::Ready { copy, at, trigger, moved: false }
        } else {
            Pc::Chosen { copy, at, trigger }
        }
    }

    /// A person asks for a charge: refused outright if the rules say so.
    pub(crate) fn manual(&self, state: &State) -> Option<Pc> {
        let row = &state.rows.subscription;
        let usable = !row.parked && !state.dead_cards[usize::from(card_of(row))];
        let may = self.guards.start(row, claim(Trigger::Manual, String::new(), state.now, None)).is_ok();
        (usable && may).then(|| self.chosen(state, Trigger::Manual))
    }

    /// Begins to look a live attempt up, unless somebody's lease still runs.
    pub(crate) fn look(&self, state: &State) -> Option<Pc> {
        let live = state.rows.subscription.live.as_ref()?;
        let free = live.unknown.is_some() || live.lease_until <= state.now;
        free.then(|| Pc::Doubting { copy: state.read(), at: state.now })
    }

    /// The worker's next step by itself. `None` when it can only wait.
    pub(crate) fn step(&self, state: &mut State, who: usize) -> Option<()> {
        let pc = std::mem::replace(&mut state.workers[who], Pc::Idle);
        state.workers[who] = match pc {
            Pc::Idle | Pc::Waiting { .. } => return None,
            Pc::Chosen { mut copy, at, trigger } => {
                copy.rows.cycle = state.rows.cycle.clone();
                copy.cycle_fresh = true;
                if elsewhere(&copy) {
                    Pc::Moving { copy, at, trigger }
                } else {
                    Pc::Ready { copy, at, trigger, moved: false }
                }
            }
            Pc::Moving { mut copy, at, trigger } => match self.release(state, &copy) {
                Some(paid) => paid,
                None => {
                    let cycle = copy.rows.cycle.take().map(|c| Cycle { intent: None, ..Cycle::clone(&c) });
                    copy.rows.cycle = cycle.map(Kept::new);
                    Pc::Ready { copy, at, trigger, moved: true }
                }
            },
            Pc::Ready { copy, at, trigger, moved } => self.claim(state, who, copy, at, trigger, moved)?,
            Pc::Claimed { copy, claim, again } => self.send(state, copy, claim, again),
            Pc::Heard { copy, told } => self.settle(state, who, copy, told),
            Pc::Lost { told } => Pc::Heard { copy: state.read(), told },
            Pc::Doubting { copy, at } => {
                let seen = ask(state, &copy);
                Pc::Looked { copy, at, seen }
            }
            Pc::Looked { copy, at, seen } => self.resolve(state, who, copy, at, seen)?,
            Pc::Retiring { copy, at, due, released } => self.retire(state, who, copy, at, due, released),
            Pc::Replacing { copy, at } => self.replace(state, who, &copy, at),
        };
        Some(())
    }

    fn commit(&self, state: &mut State, who: usize, copy: &Copied, row: Subscription) -> bool {
        state.commit(who, copy, Some(row), None, !self.guards.stands(Guard::VersionCondition))
    }

    /// Writes the claim. `None` beyond the attempts that are looked at.
    fn claim(
        &self,
        state: &mut State,
        who: usize,
        mut copy: Copied,
        at: Timestamp,
        Why(trigger): Why,
        moved: bool,
    ) -> Option<Pc> {
        let intent = copy.rows.cycle.as_ref().and_then(|c| c.intent.clone());
        let token = token(state);
        let Ok(started) = self.guards.start(&copy.rows.subscription, claim(trigger, token, at, intent)) else {
            return Some(Pc::Idle);
        };
        let live = started.live.as_ref().expect("it was started");
        if live.n > ATTEMPTS || live.index != self.config.index() {
            return None;
        }
        let open = state.rows.subscription.live.is_some();
        let cycle = copy.rows.cycle.as_deref().filter(|_| moved).cloned();
        let force = !self.guards.stands(Guard::VersionCondition);
        if !state.commit(who, &copy, Some(started), cycle, force) {
            return Some(Pc::Idle);
        }
        copy.cycle_fresh |= moved;
        state.overlapped |= open;
        Some(self.claimed(state, copy, false))
    }

    fn claimed(&self, state: &mut State, copy: Copied, again: bool) -> Pc {
        state.claims += 1;
        let mut copy = Copied { subscription_fresh: true, ..copy };
        copy.rows.subscription = state.rows.subscription.clone();
        Pc::Claimed { copy, claim: state.claims, again }
    }

    /// Sends the request, unless it is too late for this lease.
    fn send(&self, state: &mut State, copy: Copied, claim: u8, again: bool) -> Pc {
        let row = &copy.rows.subscription;
        let live = row.live.as_ref().expect("a claim");
        if state.now > live.lease_until - live.gateway.profile().timeout {
            let told = told(live, silence(live));
            return Pc::Heard { copy, told };
        }
        let frozen = !again || self.guards.stands(Guard::FrozenRequest);
        let (gateway, card, amount) = if frozen {
            (live.gateway, number_of(&live.method_id), live.amount)
        } else {
            (row.gateway, card_of(row), row.amount.amount)
        };
        state.altered |= (gateway, card, amount) != (live.gateway, number_of(&live.method_id), live.amount);
        let dies = self.guards.stands(Guard::RequestsDie);
        state.wire.push(Call {
            claim,
            gateway,
            index: live.index,
            n: live.n,
            card,
            amount,
            intent: live.intent.as_deref().and_then(intent_number),
            lost_at: if dies { live.lease_until + self.config.late } else { Timestamp::MAX },
            after_end: matches!(row.status, Status::Cancelled | Status::Terminated),
        });
        Pc::Waiting { copy, claim, again }
    }

    /// One round of `settle_report`.
    fn settle(&self, state: &mut State, who: usize, copy: Copied, told: Told) -> Pc {
        let row = &copy.rows.subscription;
        let report = Report {
            index: told.index,
            seq: 0,
            n: told.n,
            answer: state.gateway.answer(told.said, &row.id, row.amount),
            token: told.token.clone(),
        };
        let cycle = copy.rows.cycle.as_deref();
        match self.guards.settle(row, cycle, &report, state.now).expect("within the calendar") {
            Settlement::Nothing => Pc::Idle,
            Settlement::Apply(settled) => {
                if self.write(state, who, &copy, *settled) {
                    Pc::Idle
                } else {
                    Pc::Lost { told }
                }
            }
        }
    }

    fn write(&self, state: &mut State, who: usize, copy: &Copied, settled: Settled) -> bool {
        let force = !self.guards.stands(Guard::VersionCondition);
        let wrote = state.commit(who, copy, settled.subscription, settled.cycle, force);
        if let Some(method) = settled.invalid_method.filter(|_| wrote) {
            state.dead_cards[usize::from(number_of(&method))] = true;
        }
        wrote
    }

    /// Acts on what the look-up saw. `None` beyond the looks that are looked at.
    fn resolve(&self, state: &mut State, who: usize, copy: Copied, at: Timestamp, seen: Seen) -> Option<Pc> {
        let row = &copy.rows.subscription;
        let live = row.live.clone().expect("an attempt that is looked up");
        let lookup = state.gateway.looked(seen, &row.id, row.amount);
        let chargeable = !state.dead_cards[usize::from(number_of(&live.method_id))];
        let resendable = chargeable && self.guards.may_resend(row);
        Some(match self.guards.after_lookup(&live, lookup, resendable, at).expect("within the calendar") {
            Next::Settle(_) => {
                let Seen::Found(said) = seen else { unreachable!("only what was found is settled") };
                let told = told(&live, said);
                self.settle(state, who, copy, told)
            }
            Next::Absent => {
                let settlement = absent(row, copy.rows.cycle.as_deref(), &live, None).expect("within the calendar");
                if let Settlement::Apply(settled) = settlement {
                    self.write(state, who, &copy, *settled);
                }
                Pc::Idle
            }
            Next::Resend => {
                let token = token(state);
                let again = LiveAttempt { token, lease_until: at + LEASE, unknown: None, ..live };
                let row = Subscription { live: Some(again), ..Subscription::clone(row) };
                if !self.commit(state, who, &copy, row) {
                    return Some(Pc::Idle);
                }
                self.claimed(state, copy, true)
            }
            Next::Look { doubt, at } => {
                if doubt.looks > LOOKS {
                    return None;
                }
                let waiting = LiveAttempt { unknown: Some(doubt), ..live };
                let row = Subscription { live: Some(waiting), due_at: Some(at), ..Subscription::clone(row) };
                self.commit(state, who, &copy, row);
                Pc::Idle
            }
        })
    }

    /// `release_intent`: nothing can be captured under the intent of the open cycle any more. It was paid: that is settled
    /// instead.
    fn release(&self, state: &mut State, copy: &Copied) -> Option<Pc> {
        let cycle = copy.rows.cycle.as_ref().filter(|c| c.state == Open)?;
        let intent = cycle.intent.as_deref().and_then(intent_number)?;
        let said = Arc::make_mut(&mut state.gateway).cancel(intent)?;
        let Said::Took(which) = said else { unreachable!("it is cancelled, or it was paid") };
        let row = &copy.rows.subscription;
        if cycle.holds_in_quarantine(&state.gateway.capture_of(which, &row.id, row.amount)) {
            return None;
        }
        let told = Told { index: cycle.index, n: None, said, token: None };
        Some(Pc::Heard { copy: state.read(), told })
    }

    /// What is left to do before the subscription may enter the status `due` leads to, and then the step itself.
    fn retire(&self, state: &mut State, who: usize, copy: Copied, at: Timestamp, due: Retire, released: bool) -> Pc {
        let row = &copy.rows.subscription;
        let decided = match due {
            Retire::Suspend => row.suspended(at),
            Retire::Terminate => row.terminated(),
            Retire::Lapse => row.lapsed(at),
            Retire::Cancel => row.cancelled_as_of(at),
            Retire::CancelNow => match row.cancelled(CancelAt::Now, at) {
                Ok(Some(cancelled)) => Ok(cancelled),
                Ok(None) | Err(_) => return Pc::Idle,
            },
            Retire::NoCard(Why(trigger)) => row.without_card(trigger, NO_CARD, at).map_err(StartRefused::from),
        };
        let Ok((after, _)) = decided else { return Pc::Idle };
        let closed = copy.rows.cycle.as_ref().and_then(|c| row.closing(after.status, c)).map(|(cycle, _)| cycle);
        if closed.as_ref().is_some_and(|c| c.intent.is_some()) && !released {
            return self.release(state, &copy).unwrap_or(Pc::Retiring { copy, at, due, released: true });
        }
        let force = !self.guards.stands(Guard::VersionCondition);
        let ends = after.status == Status::Cancelled && after.live.is_none();
        if state.commit(who, &copy, Some(after), closed, force) && ends {
            state.taken_at_end = u8::try_from(state.gateway.taken.len()).ok();
        }
        Pc::Idle
    }

    /// A new card is put to use and pays what waits for it.
    fn replace(&self, state: &mut State, who: usize, copy: &Copied, at: Timestamp) -> Pc {
        let (row, gateway) = (&copy.rows.subscription, self.config.next_gateway);
        let after = match row.with_method(card_id(1), gateway, at) {
            Ok(after) => after,
            Err(StartRefused::LiveAttempt) => row.with_next_method(card_id(1), gateway),
            Err(_) => return Pc::Idle,
        };
        if !self.commit(state, who, copy, after) || !state.rows.subscription.waits_for_card() {
            return Pc::Idle;
        }
        self.manual(state).unwrap_or(Pc::Idle)
    }

    /// The answer to request `call` reaches whoever waits for it.
    pub(crate) fn hear(&self, state: &mut State, call: &Call, said: Said) {
        for worker in &mut state.workers {
            if let Pc::Waiting { copy, claim, again } = worker
                && *claim == call.claim
            {
                let live = copy.rows.subscription.live.as_ref().expect("a claim");
                let told = told(live, if *again { of_resend(said) } else { said });
                *worker = Pc::Heard { copy: copy.clone(), told };
            }
        }
    }

    /// The worker waits no longer.
    pub(crate) fn time_out(&self, state: &mut State, who: usize) -> Option<()> {
        let Pc::Waiting { copy, .. } = &state.workers[who] else { return None };
        let live = copy.rows.subscription.live.as_ref().expect("a claim");
        state.workers[who] = Pc::Heard { copy: copy.clone(), told: told(live, silence(live)) };
        Some(())
    }

    /// The gateway executes a request.
    pub(crate) fn execute(&self, state: &mut State, which: usize, effect: crate::gateway::Effect) -> (Call, Said) {
        let call = state.wire.remove(which);
        let now = state.now;
        let said = Arc::make_mut(&mut state.gateway).execute(&call, effect, now);
        (call, said)
    }
}

/// A token nobody else will have: of two workers that would write the same one, one loses the race and forgets it.
fn token(state: &State) -> String {
    format!("t{}", state.claims + 1)
}

fn told(live: &LiveAttempt, said: Said) -> Told {
    Told { index: live.index, n: Some(live.n), said, token: Some(live.token.clone()) }
}

fn silence(live: &LiveAttempt) -> Said {
    Said::Unknown { heard: NOTHING, intent: live.intent.as_deref().and_then(intent_number) }
}

/// What the answer to a resend proves (`gateway::of_resend` and `charge_subscription::send_and_settle`).
fn of_resend(said: Said) -> Said {
    match said {
        Said::Refused => Said::Unknown { heard: NOTHING, intent: None },
        Said::Unknown { heard: REFUSAL, intent } => Said::Unknown { heard: ERROR, intent },
        Said::Took(_) | Said::Declined { .. } | Said::Withdrawn { .. } | Said::Unknown { .. } => said,
    }
}

fn ask(state: &State, copy: &Copied) -> Seen {
    let live = copy.rows.subscription.live.as_ref().expect("an attempt that is looked up");
    let known = copy.rows.cycle.as_ref().map(|c| c.known_charges()).unwrap_or_default();
    state.gateway.find(&Find {
        gateway: live.gateway,
        index: live.index,
        n: live.n,
        intent: live.intent.as_deref().and_then(intent_number),
        known: &known,
        since: live.started_at,
    })
}

/// Whether the open cycle has a PaymentIntent, and another gateway is about to charge it.
fn elsewhere(copy: &Copied) -> bool {
    copy.rows.subscription.gateway != GatewayName::Stripe
        && copy.rows.cycle.as_ref().is_some_and(|c| c.intent.is_some())
}

fn card_of(row: &Kept<Subscription>) -> u8 {
    number_of(&row.method_id)
}

fn number_of(method: &domain::ids::MethodId) -> u8 {
    u8::from(*method == card_id(1))
}
