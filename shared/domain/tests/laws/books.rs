//! The books: one subscription and its cycles, changed only through the crate's decisions. Every change is checked
//! against the laws that hold for any change whatsoever.

use std::collections::BTreeMap;

use domain::calendar::seoul_date;
use domain::cancelling::CancelAt;
use domain::charge::{Answer, GatewayName, LiveAttempt, Trigger};
use domain::cycle::{Cycle, Outcome, State};
use domain::event::{Actor, Event, Fact};
use domain::ids::{EventId, MethodId, ulid};
use domain::settle::{Report, Settlement, absent, settle};
use domain::statistics::{self, ACTIVE, COUNTED, DUNNING, Effect, MRR, Sums};
use domain::subscription::{Due, StartRefused, Status, Subscription};
use jiff::Timestamp;

use crate::fixtures::{birth, claim, unapproved};

#[derive(Clone, Debug, PartialEq)]
pub struct Books {
    pub subscription: Subscription,
    pub cycles: BTreeMap<(u32, u32), Cycle>,
}

impl Books {
    /// Approved at birth, unpaid.
    pub fn approved(gateway: GatewayName) -> Books {
        Books { subscription: unapproved(gateway).approved(birth()), cycles: BTreeMap::new() }
    }

    /// Activated at birth.
    pub fn active(gateway: GatewayName) -> Books {
        let mut books = Books::approved(gateway);
        books.take(Trigger::First, birth());
        assert_eq!(books.subscription.status, Status::Active);
        books
    }

    pub fn live(&self) -> LiveAttempt {
        self.subscription.live.clone().expect("an attempt in flight")
    }

    pub fn cycle(&self, index: u32) -> &Cycle {
        &self.cycles[&(index, 0)]
    }

    pub fn open_cycle(&self) -> Option<&Cycle> {
        self.cycles.get(&(self.subscription.next_index(), 0))
    }

    pub fn due(&self, now: Timestamp) -> Due {
        self.subscription.due(now).unwrap()
    }

    /// Starts an attempt and takes its claim.
    pub fn start(&mut self, trigger: Trigger, now: Timestamp) -> LiveAttempt {
        self.try_start(trigger, now).unwrap()
    }

    pub fn try_start(&mut self, trigger: Trigger, now: Timestamp) -> Result<LiveAttempt, StartRefused> {
        let mut claim = claim(trigger, now);
        claim.intent = self.open_cycle().and_then(|c| c.intent.clone());
        claim.token = format!("{} of {} at {now}", self.subscription.tries + 1, self.subscription.next_index());
        let started = self.subscription.start(claim)?;
        self.replace(started);
        Ok(self.live())
    }

    /// Settles a report and returns what was decided.
    pub fn settle(&mut self, report: &Report, now: Timestamp) -> Vec<Fact> {
        let cycle = self.cycles.get(&(report.index, report.seq));
        let settlement = settle(&self.subscription, cycle, report, now).unwrap();
        let stepped = matches!(&report.answer, Answer::Declined(_))
            && self.subscription.live.as_ref().is_some_and(|l| l.trigger == Trigger::Dunning);
        self.apply(settlement, stepped)
    }

    pub fn close_absent(&mut self, live: &LiveAttempt) -> Vec<Fact> {
        let settlement = absent(&self.subscription, self.cycles.get(&(live.index, live.seq)), live, None).unwrap();
        self.apply(settlement, false)
    }

    fn apply(&mut self, settlement: Settlement, may_step: bool) -> Vec<Fact> {
        let Settlement::Apply(settled) = settlement else { return Vec::new() };
        if let Some(after) = &settled.subscription {
            levels_follow(&self.subscription, after, &settled.facts);
        }
        if let (Some(before), Some(after)) =
            (&self.subscription.dunning, settled.subscription.as_ref().and_then(|s| s.dunning.as_ref()))
        {
            let moved = after.step - before.step;
            assert!(moved <= u32::from(may_step), "only a declined scheduled retry moves the step");
            assert_eq!(
                (before.opened_at, before.deadline),
                (after.opened_at, after.deadline),
                "the case's dates are fixed"
            );
        }
        if let Some(cycle) = settled.cycle {
            self.put_cycle(cycle);
        }
        if let Some(subscription) = settled.subscription {
            self.replace(subscription);
        }
        settled.facts
    }

    fn put_cycle(&mut self, cycle: Cycle) {
        if let Some(before) = self.cycles.get(&(cycle.index, cycle.seq)) {
            assert_eq!(before.amount, cycle.amount, "amounts are frozen");
            if before.state != State::Open && before.state != cycle.state {
                let late = !matches!(before.state, State::Paid(_)) && matches!(cycle.state, State::Paid(_));
                assert!(late, "a closed cycle stays as it is, unless its money comes after all: {:?}", before.state);
            }
            for old in before.attempts.iter().filter(|a| matches!(a.outcome, Outcome::Succeeded | Outcome::Quarantined))
            {
                let kept =
                    cycle.attempts.contains(old) || cycle.state != before.state && old.outcome == Outcome::Quarantined;
                assert!(kept, "money on record is never forgotten: {old:?}");
            }
        }
        let open = cycle.state == State::Open;
        self.cycles.insert((cycle.index, cycle.seq), cycle);
        let opened = self.cycles.values().filter(|c| c.state == State::Open).count();
        assert!(!open || opened == 1, "at most one open cycle");
    }

    /// Writes a new state of the subscription, if it keeps the laws.
    pub fn replace(&mut self, after: Subscription) {
        let before = &self.subscription;
        assert!(
            before.status == after.status || before.status.may_become(after.status),
            "{:?} never becomes {:?}",
            before.status,
            after.status
        );
        assert!(before.anchor.is_none() || before.anchor == after.anchor, "the anchor never moves");
        if before.paid != after.paid {
            assert_eq!(after.paid, Some(before.paid.map_or(0, |k| k + 1)), "paid one by one");
        }
        let rests = after.parked || after.status == Status::Terminated || after.approved_at.is_none();
        assert!(after.due_at.is_some() || rests && after.live.is_none(), "nothing is lost from the index: {after:?}");
        if let (Some(old), Some(new)) = (&before.live, &after.live) {
            assert_eq!((old.index, old.seq, old.n), (new.index, new.seq, new.n), "never two attempts in flight");
        }
        let ended = matches!(after.status, Status::Cancelled | Status::Terminated);
        assert!(after.dunning.is_none() || !ended, "an end closes the case");
        let ending = after.cancel_at.is_some();
        assert!(!ending || after.status == Status::Active, "only what is active can have an end set");
        assert!(
            !ending || after.live.is_some() || after.due_at == after.cancel_at,
            "the end set is not missed: {after:?}"
        );
        let active = after.status == Status::Active;
        let late =
            active && after.dunning.as_ref().is_some_and(|case| case.next_at.is_some_and(|at| at > case.deadline));
        assert!(!late, "no retry is promised after the deadline");
        self.subscription = after;
    }

    /// A charge the gateway captures at once.
    pub fn take(&mut self, trigger: Trigger, now: Timestamp) -> Vec<Fact> {
        let live = self.start(trigger, now);
        let answer = crate::fixtures::captured(&self.subscription, &live);
        self.settle(&crate::fixtures::by_call(&live, answer), now)
    }

    /// A charge the gateway answers at once with `answer`.
    pub fn hear(&mut self, trigger: Trigger, now: Timestamp, answer: impl Fn(&LiveAttempt) -> Answer) -> LiveAttempt {
        let live = self.start(trigger, now);
        self.settle(&crate::fixtures::by_call(&live, answer(&live)), now);
        live
    }

    /// Puts another card on it.
    pub fn new_card(&mut self, card: MethodId, now: Timestamp) {
        let gateway = self.subscription.gateway;
        let after = self.subscription.with_method(card, gateway, now).unwrap();
        self.replace(after);
    }

    /// What the run does when no charge is due.
    pub fn retire(&mut self, due: Due, now: Timestamp) -> Vec<Fact> {
        let (after, fact) = match due {
            Due::Suspend => self.subscription.suspended(now).unwrap(),
            Due::Cancel => self.subscription.cancelled_as_of(now).unwrap(),
            Due::Terminate => self.subscription.terminated().unwrap(),
            Due::Lapse => self.subscription.lapsed(now).unwrap(),
            Due::Nothing | Due::Wait(_) | Due::Resolve | Due::Charge(_) => {
                panic!("{due:?} is no step of the life cycle")
            }
        };
        self.end(after, fact)
    }

    /// Somebody cancels.
    pub fn cancel(&mut self, at: CancelAt, now: Timestamp) -> Vec<Fact> {
        match self.subscription.cancelled(at, now).unwrap() {
            Some((after, fact)) => self.end(after, fact),
            None => Vec::new(),
        }
    }

    /// A step and what it means for the open cycle, in one commit.
    fn end(&mut self, after: Subscription, fact: Fact) -> Vec<Fact> {
        let mut facts = vec![fact];
        levels_follow(&self.subscription, &after, &facts);
        let closed = self.open_cycle().and_then(|open| self.subscription.closing(after.status, open));
        if let Some((cycle, fact)) = closed {
            facts.push(fact);
            self.put_cycle(cycle);
        }
        self.replace(after);
        facts
    }

    /// The attempt's record.
    pub fn outcome(&self, live: &LiveAttempt) -> Option<Outcome> {
        self.cycles.get(&(live.index, live.seq)).and_then(|c| c.attempt(live.n)).map(|a| a.outcome)
    }

    /// The first instant of the period owed next that lies in Seoul's today or before, as a test of being behind.
    pub fn owes_on(&self, now: Timestamp) -> bool {
        let today = seoul_date(now);
        self.subscription.period(self.subscription.next_index(), today).unwrap().start <= today
    }
}

/// What facts say began and ended is what began and ended.
fn levels_follow(before: &Subscription, after: &Subscription, facts: &[Fact]) {
    let mut told = Sums::new();
    for fact in facts {
        let event = Event {
            id: EventId::new(ulid(birth(), 1)),
            at: birth(),
            kind: fact.kind.to_owned(),
            subject: fact.subject.clone(),
            actor: Actor::System("laws".to_owned()),
            reason: None,
            changes: fact.changes.clone(),
        };
        let effect = statistics::effect(&event);
        let counted = COUNTED.contains(&fact.kind) || effect == Effect::default();
        assert!(counted, "{} counts and is not forwarded", fact.kind);
        statistics::add(&mut told, &effect.levels);
    }
    let levels = |s: &Subscription| {
        let active = i64::from(s.status == Status::Active);
        let monthly = active * statistics::monthly(s.amount, s.interval());
        [
            (ACTIVE.to_owned(), active),
            (DUNNING.to_owned(), i64::from(s.dunning.is_some())),
            (format!("{MRR}.KRW"), monthly),
        ]
    };
    let moved = levels(before).into_iter().zip(levels(after)).map(|((name, was), (_, is))| (name, is - was));
    let moved: Sums = moved.filter(|(_, by)| *by != 0).collect();
    assert_eq!(told, moved, "{facts:?}");
}
