//! What the judge knows: the gateways' ledger of money that moved, every attempt as it was frozen when it was claimed,
//! and a copy of the rows that were committed, kept without decoding anything.
//!
//! Invariant: the ledger is written by the gateway models alone, at the moment money moves.

use std::collections::{BTreeMap, BTreeSet};

use domain::charge::{DeclineClass, GatewayName, Trigger};
use domain::cycle::Cycle;
use domain::ids::{MethodId, SubscriptionId};
use domain::money::Money;
use domain::subscription::Subscription;
use jiff::Timestamp;

use crate::trace::Who;

/// One broken invariant: the first one ends the seed.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: &'static str,
    pub who: Option<Who>,
    /// Virtual milliseconds.
    pub at: i64,
    pub text: String,
}

/// An attempt as frozen by its claim.
#[derive(Clone, Debug)]
pub struct Claim {
    pub trigger: Trigger,
    pub started_at: Timestamp,
    pub amount: Money,
    pub gateway: GatewayName,
    pub method: MethodId,
    pub secret: String,
    /// Virtual milliseconds of the commit.
    pub at: i64,
}

/// What was sent under a key; a resend must equal it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub order_id: String,
    pub amount: Money,
    pub order_name: String,
    pub token: String,
    pub customer: String,
    pub key_version: String,
    pub request_version: u16,
    pub intent: Option<String>,
}

/// Money that moved.
#[derive(Clone, Debug)]
pub struct Payment {
    pub at: i64,
    pub gateway: GatewayName,
    pub who: Who,
    pub index: u32,
    pub n: u32,
    pub payment_id: String,
    pub charge_id: Option<String>,
    pub amount: Money,
}

#[derive(Clone, Debug)]
pub struct Refusal {
    pub at: i64,
    pub who: Who,
    pub index: u32,
    pub n: u32,
    pub class: DeclineClass,
}

/// Token and customer of a stored method.
#[derive(Clone, Debug)]
pub struct Names {
    pub token: String,
    pub customer: String,
}

#[derive(Default)]
pub struct Books {
    /// Numbers of subscriptions, by the ULID all ids of one applicant share.
    pub numbers: BTreeMap<String, Who>,
    /// The subscription row as last committed.
    pub rows: Vec<Option<Subscription>>,
    pub cycles: BTreeMap<(Who, u32), Cycle>,
    /// When something falls due: the rows' own truth.
    pub due: BTreeSet<(i64, Who)>,
    /// The same by partition of the due index.
    pub due_in: BTreeMap<String, BTreeSet<(i64, Who)>>,
    pub methods: BTreeMap<MethodId, Names>,
    pub claims: BTreeMap<(Who, u32, u32), Claim>,
    pub sent: BTreeMap<String, Sent>,
    pub payments: Vec<Payment>,
    pub refusals: Vec<Refusal>,
    /// Facts about money: (payment id, kind), and how often each was said.
    pub said: BTreeMap<(String, &'static str), u32>,
    /// Who ever asked to cancel.
    pub leavers: BTreeSet<Who>,
    pub violation: Option<Violation>,
}

impl Books {
    /// The number of whoever an id belongs to.
    #[must_use]
    pub fn number(&self, ulid: &str) -> Option<Who> {
        self.numbers.get(ulid).copied()
    }

    #[must_use]
    pub fn row(&self, who: Who) -> Option<&Subscription> {
        self.rows.get(usize::from(who)).and_then(Option::as_ref)
    }

    pub fn add(&mut self, who: Who, id: &SubscriptionId) {
        self.numbers.insert(id.ulid().to_owned(), who);
    }

    /// Keeps the first violation.
    pub fn broken(&mut self, rule: &'static str, who: Option<Who>, at: i64, text: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { rule, who, at, text });
        }
    }

    /// Captures of one cycle.
    pub fn captures(&self, who: Who, index: u32) -> impl Iterator<Item = &Payment> {
        self.payments.iter().filter(move |p| (p.who, p.index) == (who, index))
    }
}
