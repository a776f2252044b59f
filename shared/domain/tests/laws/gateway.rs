//! A tiny gateway and its ledger: the judge of what was really taken. It honours idempotency keys for as long as the
//! real ones do and protects nobody beyond that: a key that has aged out is a new charge.

use std::collections::BTreeMap;

use domain::charge::{Answer, Capture, DeclineClass, GatewayName, LiveAttempt, Lookup, Profile};
use domain::subscription::Subscription;
use jiff::{SignedDuration, Timestamp};

use crate::fixtures::{billable, capture, days, decline, hours};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    Approves,
    Declines,
    Stopped,
}

/// A request on the wire.
#[derive(Clone, Debug)]
pub struct Call {
    pub key: String,
    pub order_id: String,
    /// All that is rendered from the frozen attempt.
    pub bytes: String,
    pub live: LiveAttempt,
}

impl Call {
    pub fn of(subscription: &Subscription, live: &LiveAttempt) -> Call {
        let billable = billable(&subscription.id, live);
        let order_id = billable.order_id(live.gateway, live.n);
        let method = live.method_id.as_str();
        Call {
            key: billable.key("charge", live.n),
            bytes: format!("{order_id} {method} {} {} v{}", live.amount, live.secret, live.request),
            order_id,
            live: live.clone(),
        }
    }
}

pub struct Gateway {
    pub name: GatewayName,
    pub card: Card,
    pub up: bool,
    /// What recovery is told of it.
    pub profile: Profile,
    /// How long it really keeps a key.
    pub keeps_keys: SignedDuration,
    /// Money taken: (cycle index, capture).
    pub captures: Vec<(u32, Capture)>,
    answers: BTreeMap<String, (Timestamp, Answer)>,
    declines: BTreeMap<(String, u32), Answer>,
    pub sent: BTreeMap<String, String>,
}

impl Gateway {
    pub fn new(name: GatewayName) -> Gateway {
        Gateway {
            name,
            card: Card::Approves,
            up: true,
            profile: name.profile(),
            keeps_keys: match name {
                GatewayName::Toss => days(15),
                GatewayName::Stripe => hours(24),
            },
            captures: Vec::new(),
            answers: BTreeMap::new(),
            declines: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Executes a charge, or repeats the answer the key stands for.
    pub fn execute(&mut self, subscription: &Subscription, call: &Call, now: Timestamp) -> Answer {
        if let Some((first, answer)) = self.answers.get(&call.key)
            && now.duration_since(*first) < self.keeps_keys
        {
            return answer.clone();
        }
        let answer = self.decide(subscription, call);
        self.answers.insert(call.key.clone(), (now, answer.clone()));
        match &answer {
            Answer::Captured(money) if !self.captures.iter().any(|(_, c)| c == money) => {
                self.captures.push((call.live.index, money.clone()));
            }
            Answer::Declined(_) => {
                self.declines.insert((call.order_id.clone(), call.live.n), answer.clone());
            }
            Answer::Captured(_) | Answer::Refused { .. } | Answer::Unknown { .. } => {}
        }
        answer
    }

    fn decide(&self, subscription: &Subscription, call: &Call) -> Answer {
        // One PaymentIntent serves a Stripe cycle and succeeds once.
        if self.name == GatewayName::Stripe
            && let Some(taken) = self.capture_under(&call.order_id)
        {
            return Answer::Captured(taken.clone());
        }
        match self.card {
            Card::Approves => {
                let serial = self.captures.len();
                let money = capture(subscription, &call.live);
                let payment_id = match self.name {
                    GatewayName::Toss => format!("{}#{serial}", money.payment_id),
                    GatewayName::Stripe => money.payment_id.clone(),
                };
                Answer::Captured(Capture { payment_id, ..money })
            }
            Card::Declines => Answer::Declined(decline(DeclineClass::Soft, &call.live)),
            Card::Stopped => Answer::Declined(decline(DeclineClass::Hard, &call.live)),
        }
    }

    fn capture_under(&self, order_id: &str) -> Option<&Capture> {
        self.captures.iter().map(|(_, c)| c).find(|c| c.order_id == order_id)
    }

    pub fn find(&self, call: &Call) -> Lookup {
        if !self.up || !self.profile.finds {
            return Lookup::Failed;
        }
        if let Some(money) = self.capture_under(&call.order_id) {
            return Lookup::Found(Answer::Captured(money.clone()));
        }
        match self.declines.get(&(call.order_id.clone(), call.live.n)) {
            Some(answer) => Lookup::Found(answer.clone()),
            None => Lookup::NotFound,
        }
    }
}
