//! A world in miniature: the books, a gateway, workers that crash or freeze, late events, and time. It does what the
//! use cases do (start, send, settle, look up, resend) and checks the charge protocol at each step.

use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use domain::calendar::seoul_date;
use domain::cancelling::CancelAt;
use domain::charge::{Answer, GatewayName, Heard, LiveAttempt, Trigger};
use domain::cycle::{Outcome, State};
use domain::resolve::{Next, after_lookup};
use domain::settle::Report;
use domain::subscription::{Due, Status, Subscription};

use crate::books::Books;
use crate::fixtures::{by_call, by_event, method, minutes, refused, unknown};
use crate::gateway::{Call, Gateway};

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Never arrives; the worker hears nothing.
    LostOnTheWay,
    /// Executed; the answer is lost.
    AnswerLost,
    ErrorBefore,
    ErrorAfter,
    /// A 4xx nobody knows, not executed.
    Strange,
    /// Our key is refused, provably not executed.
    KeyRefused,
    DiesBefore,
    DiesAfter,
    /// The worker freezes with the request in hand and may send it at any later time.
    Frozen,
}

#[derive(Default, Debug, Clone, Copy)]
pub struct Seen {
    pub resends: u32,
    pub absents: u32,
    pub thawed: u32,
    pub suspended: u32,
    pub terminated: u32,
    pub lapsed: u32,
    pub cancelled: u32,
}

pub struct World {
    pub books: Books,
    pub gateway: Gateway,
    pub now: Timestamp,
    /// What becomes of a send while the gateway is away.
    pub away: Fate,
    pub events: Vec<Report>,
    pub frozen: Vec<Call>,
    pub seen: Seen,
    numbers: BTreeMap<u32, u32>,
    manual: BTreeSet<Timestamp>,
    cards: u128,
}

impl World {
    pub fn new(gateway: GatewayName) -> World {
        World {
            books: Books::approved(gateway),
            gateway: Gateway::new(gateway),
            now: crate::fixtures::birth(),
            away: Fate::ErrorBefore,
            events: Vec::new(),
            frozen: Vec::new(),
            seen: Seen::default(),
            numbers: BTreeMap::new(),
            manual: BTreeSet::new(),
            cards: 1,
        }
    }

    /// One pass of the run over this subscription.
    pub fn tick(&mut self, fate: Fate) {
        match self.books.due(self.now) {
            Due::Charge(trigger) => self.charge(trigger, fate),
            Due::Resolve => self.look(fate),
            due @ (Due::Suspend | Due::Cancel | Due::Terminate | Due::Lapse) => {
                let end = self.books.subscription.cancel_at;
                self.books.retire(due, self.now);
                let stopped = self.books.subscription.stopped_at;
                assert!(due != Due::Cancel || stopped == end, "as of the end that was set, however late the run comes");
                self.seen.cancelled += u32::from(due == Due::Cancel);
                self.seen.suspended += u32::from(due == Due::Suspend);
                self.seen.terminated += u32::from(due == Due::Terminate);
                self.seen.lapsed += u32::from(due == Due::Lapse);
            }
            Due::Nothing | Due::Wait(_) => {}
        }
    }

    /// A charge the rules may refuse.
    pub fn charge(&mut self, trigger: Trigger, fate: Fate) {
        if trigger != Trigger::Manual {
            self.nothing_was_tried_today(trigger);
        }
        let index = self.books.subscription.next_index();
        let Ok(live) = self.books.try_start(trigger, self.now) else {
            assert_eq!(trigger, Trigger::Manual, "what is due may start: {:?}", self.books.subscription);
            return;
        };
        if trigger == Trigger::Manual {
            self.manual.insert(self.now);
        }
        assert_eq!(live.index, index, "the oldest period first");
        assert_eq!(self.books.subscription.cancel_at, None, "nothing is charged once its end is set");
        let last = self.numbers.insert(index, live.n);
        assert!(last.is_none_or(|n| n < live.n), "attempt numbers strictly increase");
        self.send(&live, fate);
    }

    /// One new scheduled charge per civil day. A first payment waits for cards, not for days.
    fn nothing_was_tried_today(&self, trigger: Trigger) {
        let today = seoul_date(self.now);
        for attempt in self.books.cycles.values().flat_map(|c| &c.attempts) {
            let charged = matches!(attempt.outcome, Outcome::Succeeded | Outcome::Declined);
            let manual = trigger == Trigger::First || self.manual.contains(&attempt.at);
            assert!(manual || !charged || seoul_date(attempt.at) < today, "charged twice on {today}: {attempt:?}");
        }
    }

    fn send(&mut self, live: &LiveAttempt, fate: Fate) {
        let call = Call::of(&self.books.subscription, live);
        let before = self.gateway.sent.insert(call.key.clone(), call.bytes.clone());
        assert!(before.is_none_or(|b| b == call.bytes), "one key, one request");
        let gone = || unknown(Heard::Nothing, live);
        let fate = if self.gateway.up || fate == Fate::Frozen { fate } else { self.away };
        let answer = match fate {
            Fate::Answered => Some(self.execute(&call)),
            Fate::LostOnTheWay => Some(gone()),
            Fate::AnswerLost => {
                self.execute(&call);
                Some(gone())
            }
            Fate::ErrorBefore => Some(unknown(Heard::Error, live)),
            Fate::ErrorAfter => {
                self.execute(&call);
                Some(unknown(Heard::Error, live))
            }
            Fate::Strange => Some(unknown(Heard::Refusal, live)),
            Fate::KeyRefused => Some(refused()),
            Fate::DiesBefore => None,
            Fate::DiesAfter => {
                self.execute(&call);
                None
            }
            Fate::Frozen => {
                self.frozen.push(call);
                None
            }
        };
        if let Some(answer) = answer {
            self.books.settle(&by_call(live, answer), self.now);
        }
    }

    fn execute(&mut self, call: &Call) -> Answer {
        let answer = self.gateway.execute(&self.books.subscription, call, self.now);
        self.events.push(by_event(&call.live, answer.clone()));
        answer
    }

    /// A frozen worker wakes, sends what it held, and reports under the claim it had.
    pub fn thaw(&mut self) {
        let Some(call) = self.frozen.pop() else { return };
        self.seen.thawed += 1;
        let answer = self.execute(&call);
        self.books.settle(&by_call(&call.live, answer), self.now);
    }

    /// Delivers an event, not for the last time. A signed one (Stripe) speaks for whatever is in flight, unless an
    /// earlier attempt already recorded its charge.
    pub fn deliver(&mut self, which: usize) {
        let Some(report) = self.events.get(which % self.events.len().max(1)).cloned() else { return };
        let live = self.books.subscription.live.as_ref().filter(|_| report.n.is_none());
        let known = self.books.cycles.get(&(report.index, report.seq)).map(|c| c.known_charges()).unwrap_or_default();
        let old =
            matches!(&report.answer, Answer::Declined(d) if d.charge_id.as_ref().is_some_and(|c| known.contains(c)));
        let token = live.filter(|_| !old).map(|l| l.token.clone());
        self.books.settle(&Report { token, ..report }, self.now);
    }

    pub fn new_card(&mut self) {
        self.cards += 1;
        let (card, gateway) = (method(self.cards), self.gateway.name);
        if let Ok(after) = self.books.subscription.with_method(card, gateway, self.now) {
            self.books.replace(after);
        }
    }

    pub fn cancel(&mut self, at: CancelAt) {
        self.books.cancel(at, self.now);
        if self.books.subscription.cancel_at.is_none() {
            let status = self.books.subscription.status;
            assert!(matches!(status, Status::Cancelled | Status::Terminated), "it is over: {status:?}");
        }
        let once = self.books.clone();
        assert_eq!(self.books.cancel(at, self.now), [], "asking again changes nothing");
        assert_eq!(self.books, once);
    }

    fn look(&mut self, fate: Fate) {
        let live = self.books.live();
        let call = Call::of(&self.books.subscription, &live);
        let lookup = self.gateway.find(&call);
        let resendable = self.books.subscription.may_resend();
        match after_lookup(&live, &self.gateway.profile, lookup, resendable, self.now).unwrap() {
            Next::Settle(answer) => {
                self.books.settle(&by_call(&live, answer), self.now);
            }
            Next::Absent => {
                self.seen.absents += 1;
                self.books.close_absent(&live);
            }
            Next::Look { doubt, at } => {
                assert!(at > self.now, "looking again takes time");
                let waiting = LiveAttempt { unknown: Some(doubt), ..live };
                let after = Subscription { live: Some(waiting), due_at: Some(at), ..self.books.subscription.clone() };
                self.books.replace(after);
            }
            Next::Resend => self.resend(live, fate),
        }
    }

    fn resend(&mut self, live: LiveAttempt, fate: Fate) {
        self.seen.resends += 1;
        let paid = self.books.cycles.get(&(live.index, live.seq)).is_some_and(|c| c.state != State::Open);
        assert!(!paid, "what is settled is not sent again");
        assert!(self.now < live.started_at + self.gateway.profile.key_window, "no resend outside the key window");
        let token = format!("resent {}", self.now);
        let again = LiveAttempt { token, lease_until: self.now + minutes(2), unknown: None, ..live };
        let after = Subscription { live: Some(again.clone()), ..self.books.subscription.clone() };
        self.books.replace(after);
        self.send(&again, fate);
    }
}
