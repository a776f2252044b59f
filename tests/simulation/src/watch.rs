//! The invariants that can be seen the moment they break: at each send, at each movement of money and at each commit.
//!
//! Numbers I1 to I12 are those of the catalogue of invariants the project keeps (see the table in `judge`).

use domain::calendar::{next_seoul_day, period, plus_days, seoul_date};
use domain::charge::{Billable, GatewayName, LiveAttempt, Trigger};
use domain::cycle::{Attempt, Cycle, Outcome, State};
use domain::subscription::{Status, Subscription};
use jiff::Timestamp;

use crate::books::{Books, Claim, Payment, Send, Sent};
use crate::trace::Who;

/// The attempt a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub who: Who,
    pub index: u32,
    pub n: u32,
}

impl Books {
    /// A charge request arrives under a key. Says whose it is; nothing is charged that was not claimed.
    pub fn asked(&mut self, gateway: GatewayName, key: &str, sent: Sent, at: i64) -> Option<Named> {
        let named = self.named(gateway, key, &sent);
        let named = match named {
            Ok(named) => named,
            Err(text) => {
                self.broken("I7 key names its attempt", None, at, format!("{text}: key {key}, {sent:?}"));
                return None;
            }
        };
        if let Err(text) = self.as_claimed(gateway, named, &sent) {
            self.broken("I6 sent as stored", Some(named.who), at, format!("{text}: {sent:?}"));
        }
        match self.sent.get(key) {
            Some(first) if *first != sent => {
                let text = format!("first {first:?}, then {sent:?}");
                self.broken("I7 a resend is the same request", Some(named.who), at, text);
            }
            Some(_) => {}
            None => {
                self.sent.insert(key.to_owned(), sent);
                self.sends.push(Send { at, gateway, who: named.who, index: named.index });
            }
        }
        Some(named)
    }

    fn named(&self, gateway: GatewayName, key: &str, sent: &Sent) -> Result<Named, &'static str> {
        let (billable, _) = Billable::parse_order_id(&sent.order_id).ok_or("a foreign order id")?;
        let who = self.number(billable.subscription.ulid()).ok_or("nobody's order id")?;
        let n = key.rsplit(':').next().and_then(|n| n.parse::<u32>().ok()).ok_or("no attempt in the key")?;
        if billable.key("charge", n) != key {
            return Err("the key is of another attempt");
        }
        if billable.order_id(gateway, n) != sent.order_id {
            return Err("the order id is of another attempt");
        }
        Ok(Named { who, index: billable.index, n })
    }

    fn as_claimed(&self, gateway: GatewayName, named: Named, sent: &Sent) -> Result<(), &'static str> {
        let claim = self.claims.get(&(named.who, named.index, named.n)).ok_or("never claimed")?;
        let names = self.methods.get(&claim.method).ok_or("an unknown method")?;
        let same = (claim.gateway, claim.amount) == (gateway, sent.amount)
            && (names.token.as_str(), names.customer.as_str()) == (sent.token.as_str(), sent.customer.as_str())
            && claim.secret == sent.key_version;
        if same { Ok(()) } else { Err("not what was claimed") }
    }

    /// Money moves.
    pub fn captured(&mut self, payment: Payment) {
        let (who, index, at) = (payment.who, payment.index, payment.at);
        if payment.odd {
            return self.payments.push(payment);
        }
        let earlier = self.captures(who, index).next().map(|p| format!("cycle {index}: first {p:?}, then {payment:?}"));
        if let Some(text) = earlier {
            self.broken("I1 one capture per cycle", Some(who), at, text);
        }
        if self.is_absent(who, index, payment.n) {
            self.broken("I3 absent is proved", Some(who), at, format!("closed as absent: {payment:?}"));
        }
        let owed = self.row(who).map(|row| row.amount);
        if owed != Some(payment.amount) {
            self.broken("I6 the amount owed", Some(who), at, format!("{owed:?} is owed: {payment:?}"));
        }
        self.payments.push(payment);
    }

    fn is_absent(&self, who: Who, index: u32, n: u32) -> bool {
        let attempt = self.cycles.get(&(who, index)).and_then(|cycle| cycle.attempt(n));
        attempt.is_some_and(|a| a.outcome == Outcome::Absent)
    }

    /// A subscription row is written.
    pub fn subscription(&mut self, who: Who, after: Subscription, at: i64, moment: impl Fn(Timestamp) -> i64) {
        let before = self.row(who).cloned();
        if let Some(row) = &before
            && row.version >= after.version
        {
            if row.version == after.version && *row != after {
                self.broken("I3 no write is lost", Some(who), at, format!("{row:?}, overwritten by {after:?}"));
            }
            return;
        }
        self.writes += 1;
        if let Err((rule, text)) = self.step(who, before.as_ref(), &after, at) {
            self.broken(rule, Some(who), at, text);
        }
        if let Some((row, due)) = before.as_ref().and_then(|row| Some((row, row.due_at?))) {
            self.due.remove(&(moment(due), who));
            self.due_in.entry(row.due_partition()).or_default().remove(&(moment(due), who));
        }
        if let Some(due) = after.due_at {
            self.due.insert((moment(due), who));
            self.due_in.entry(after.due_partition()).or_default().insert((moment(due), who));
        }
        let slot = usize::from(who);
        if self.rows.len() <= slot {
            self.rows.resize(slot + 1, None);
        }
        self.rows[slot] = Some(after);
    }

    fn step(&mut self, who: Who, before: Option<&Subscription>, after: &Subscription, at: i64) -> Step {
        never_stuck(after)?;
        let Some(before) = before else { return Ok(()) };
        if before.status != after.status && !before.status.may_become(after.status) {
            return Err(("I12 legal steps only", format!("{:?} -> {:?}", before.status, after.status)));
        }
        if before.anchor.is_some() && before.anchor != after.anchor {
            return Err(("I5 the anchor stays", format!("{:?} -> {:?}", before.anchor, after.anchor)));
        }
        self.advanced(who, before, after)?;
        match (&before.live, &after.live) {
            (_, None) => {}
            (None, Some(live)) => self.claimed(who, before, after, live, at)?,
            (Some(old), Some(new)) if frozen(old) == frozen(new) => {}
            // A capture settled and the next attempt begun in one write is no step the protocol knows.
            (Some(old), Some(new)) => {
                return Err(("I6 a claim is frozen", format!("{old:?} -> {new:?}")));
            }
        }
        Ok(())
    }

    fn advanced(&self, who: Who, before: &Subscription, after: &Subscription) -> Step {
        let Some(paid) = after.paid.filter(|paid| before.paid != Some(*paid)) else {
            let lost = before.paid.is_some() && after.paid.is_none();
            return if lost { Err(("I5 periods advance", "a paid period is forgotten".to_owned())) } else { Ok(()) };
        };
        let broken = |text: &str| Err(("I5 periods advance by one", format!("{text}: {:?} -> {paid}", before.paid)));
        if paid != before.next_index() {
            return broken("not the next period");
        }
        let Some(cycle) = self.cycles.get(&(who, paid)).filter(|cycle| matches!(cycle.state, State::Paid(_))) else {
            return broken("advanced without a paid cycle");
        };
        let expected = after.anchor.and_then(|anchor| period(anchor, after.interval(), paid).ok());
        if expected != Some(cycle.period) {
            return broken("another period");
        }
        let earlier = paid.checked_sub(1).and_then(|k| self.cycles.get(&(who, k)));
        match earlier {
            Some(earlier) if earlier.period.end != cycle.period.start => broken("a gap between periods"),
            Some(_) | None => Ok(()),
        }
    }

    /// A new attempt begins.
    fn claimed(&mut self, who: Who, before: &Subscription, after: &Subscription, live: &LiveAttempt, at: i64) -> Step {
        if live.index != before.next_index() || live.seq != 0 {
            return Err(("I1 the oldest unpaid period first", format!("{:?}, claimed {live:?}", before.paid)));
        }
        let over = matches!(before.status, Status::Cancelled | Status::Terminated | Status::Draft);
        if over || before.cancel_at.is_some() {
            return Err(("I4 nothing after the end", format!("{:?}: {live:?}", before.status)));
        }
        let date = seoul_date(live.started_at);
        let begun = after.period(live.index, date).map_err(|_| ("calendar", String::new()))?.start <= date;
        if !begun {
            return Err(("I8 never early", format!("period {} has not begun: {live:?}", live.index)));
        }
        self.kept_its_day(who, before, live)?;
        let claim = Claim {
            trigger: live.trigger,
            started_at: live.started_at,
            amount: domain::money::Money { amount: live.amount, currency: after.amount.currency },
            gateway: live.gateway,
            method: live.method_id.clone(),
            secret: live.secret.clone(),
            at,
        };
        match self.claims.insert((who, live.index, live.n), claim) {
            None => Ok(()),
            Some(_) => Err(("I7 a number is used once", format!("again: {live:?}"))),
        }
    }

    /// Scheduled charges: never before the retry's day, and never a second on the day of an earlier one that reached
    /// the card.
    fn kept_its_day(&self, who: Who, before: &Subscription, live: &LiveAttempt) -> Step {
        if !matches!(live.trigger, Trigger::Renewal | Trigger::Dunning) {
            return Ok(());
        }
        let day = seoul_date(live.started_at);
        let declined = |outcome| outcome == Outcome::Declined;
        let cycle = self.cycles.get(&(who, live.index));
        let attempts = cycle.map(|cycle| cycle.attempts.as_slice()).unwrap_or_default();
        let earlier = live.index.checked_sub(1).and_then(|k| self.cycles.get(&(who, k)));
        let paid = earlier.and_then(|cycle| match &cycle.state {
            State::Paid(payment) => Some(payment.at),
            State::Open | State::Void | State::Uncollectible => None,
        });
        // What a person asked for does not cost the last scheduled retry, though both fall on one day.
        let asked = |n| self.claims.get(&(who, live.index, n)).is_some_and(|c| c.trigger == Trigger::Manual);
        let deadline = before.dunning.as_ref().map(|case| case.deadline);
        let last = deadline.is_some_and(|end| next_seoul_day(live.started_at).is_ok_and(|tomorrow| tomorrow > end));
        let counts = |a: &&Attempt| declined(a.outcome) && !(last && asked(a.n));
        let reached = attempts.iter().filter(counts).map(|a| a.at).chain(paid);
        if let Some(same) = reached.into_iter().find(|at| seoul_date(*at) == day) {
            return Err(("I8 one charge a day", format!("{same} and again: {live:?}")));
        }
        if live.trigger == Trigger::Dunning {
            let first = attempts.iter().filter(|a| declined(a.outcome)).map(|a| a.at).min();
            let opened = first.into_iter().chain(before.dunning.as_ref().map(|case| case.opened_at)).min();
            let scheduled = |n| self.claims.get(&(who, live.index, n)).is_some_and(|c| c.trigger == Trigger::Dunning);
            let step = attempts.iter().filter(|a| declined(a.outcome) && scheduled(a.n)).count();
            let days = before.plan.retry_days.get(step).copied();
            let earliest = opened.zip(days).and_then(|(opened, days)| plus_days(opened, days).ok());
            if earliest.is_none_or(|earliest| live.started_at < earliest) {
                return Err(("I8 never before the retry's day", format!("not before {earliest:?}: {live:?}")));
            }
        }
        Ok(())
    }

    /// A cycle row is written.
    pub fn cycle(&mut self, who: Who, after: Cycle, at: i64) {
        let before = self.cycles.get(&(who, after.index));
        let broken = before.filter(|before| before.version < after.version).and_then(|before| {
            let money = before.amount != after.amount || before.lines != after.lines;
            let unpaid = matches!(before.state, State::Paid(_)) && before.state != after.state;
            let moved = matches!(before.state, State::Paid(_)) && before.period != after.period;
            (money || unpaid || moved).then(|| format!("{before:?} -> {after:?}"))
        });
        if let Some(text) = broken {
            self.broken("I5 a paid cycle stays", Some(who), at, text);
        }
        if let (State::Paid(payment), Some(who)) = (&after.state, Some(who)) {
            let real = self.payments.iter().any(|p| {
                (p.who, p.index) == (who, after.index)
                    && p.payment_id == payment.payment_id
                    && p.charge_id == payment.charge_id
            });
            if !real {
                self.broken("I3 paid with real money", Some(who), at, format!("{after:?}"));
            }
        }
        // Money that is booked for the cycle under another of its attempts is not lost: a worker that woke up late found it
        // under the order both share.
        let booked = |payment_id: &str| matches!(&after.state, State::Paid(paid) if paid.payment_id == payment_id);
        let lost = |a: &&Attempt| self.captures(who, after.index).any(|p| p.n == a.n && !booked(&p.payment_id));
        let taken = |a: &&Attempt| a.outcome == Outcome::Absent && lost(a);
        if let Some(attempt) = after.attempts.iter().find(taken).filter(|a| !self.is_absent(who, after.index, a.n)) {
            self.broken("I3 absent is proved", Some(who), at, format!("captured, and closed: {attempt:?}"));
        }
        if before_is_older(self.cycles.get(&(who, after.index)), &after) {
            self.cycles.insert((who, after.index), after);
        }
    }
}

fn before_is_older(before: Option<&Cycle>, after: &Cycle) -> bool {
    before.is_none_or(|before| before.version < after.version)
}

type Step = Result<(), (&'static str, String)>;

/// What no later write of the same attempt may change.
fn frozen(live: &LiveAttempt) -> (u32, u32, Timestamp, i64, GatewayName, &str, &str, u16) {
    let (method, secret) = (live.method_id.as_str(), live.secret.as_str());
    (live.index, live.n, live.started_at, live.amount, live.gateway, method, secret, live.request)
}

/// I12: whatever is not over is due some day; I11: active means paid.
fn never_stuck(row: &Subscription) -> Step {
    let waits = match row.status {
        Status::Draft => true,
        Status::PendingActivation => row.approved_at.is_none(),
        Status::Terminated => row.live.is_none(),
        Status::Active | Status::Suspended | Status::Cancelled => false,
    };
    if row.due_at.is_none() && !waits && !row.parked {
        return Err(("I12 no dead end", format!("nothing will ever look at it again: {row:?}")));
    }
    if row.status == Status::Active && row.paid.is_none() {
        return Err(("I11 active means paid", format!("{row:?}")));
    }
    Ok(())
}
