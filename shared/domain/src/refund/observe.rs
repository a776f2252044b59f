//! What a gateway says about refunds of a payment: the call's answer, an event and a poll become [`Seen`] and take one
//! road. Its word about one refund only moves on, so the order in which it is heard does not matter.

use jiff::{SignedDuration, Timestamp};

use super::{Answer, Origin, Refund, Status, blank};
use crate::charge::{Doubt, Heard};
use crate::cycle::Cycle;
use crate::event::Fact;
use crate::ids::RefundId;

/// How often one is looked at that the gateway took and has not finished. It may be at it for days.
const PENDING_LOOK: SignedDuration = SignedDuration::from_hours(1);

/// A changed row and what happened, to be committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub cycle: Cycle,
    pub facts: Vec<Fact>,
}

/// One refund as a gateway shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub gateway_refund_id: String,
    /// Ours, when it carries one.
    pub refund_id: Option<String>,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217, in either case; none where the gateway says none.
    pub currency: Option<String>,
    pub state: SeenState,
    /// Why it failed.
    pub code: Option<String>,
}

/// In the order in which they follow each other; the later one is the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeenState {
    Pending,
    Succeeded,
    Failed,
}

impl Cycle {
    /// Takes in refunds a gateway shows. `None` when all of it is known.
    #[must_use]
    pub fn observe_refunds(&self, seen: &[Seen], now: Timestamp) -> Option<Change> {
        let mut after = Change { cycle: self.clone(), facts: Vec::new() };
        for one in seen {
            if let Some(change) = after.cycle.observe_one(one, now) {
                after.cycle = change.cycle;
                after.facts.extend(change.facts);
            }
        }
        (after.cycle != *self || !after.facts.is_empty()).then_some(after)
    }

    fn observe_one(&self, seen: &Seen, now: Timestamp) -> Option<Change> {
        self.payment()?;
        if seen.currency.as_ref().is_some_and(|c| !c.eq_ignore_ascii_case(self.amount.currency.code())) {
            return self.other_currency(seen);
        }
        let (mut cycle, known) = match self.known(seen) {
            Some(known) => (self.clone(), known.clone()),
            None if seen.amount < 1 => return None,
            None => {
                let id = RefundId::named(&format!("{} {}", self.subscription_id, seen.gateway_refund_id));
                let found = blank(id, seen.amount, Origin::Console, "gateway".to_owned(), now);
                let mut cycle = self.clone();
                cycle.refunds.push(found.clone());
                (cycle, found)
            }
        };
        if said_before(&known).is_some_and(|before| before >= seen.state) {
            return None;
        }
        let named = Refund { gateway_refund_id: Some(seen.gateway_refund_id.clone()), amount: seen.amount, ..known };
        match seen.state {
            SeenState::Pending => {
                let due_at = now.checked_add(PENDING_LOOK).ok();
                cycle = cycle.with_refund(Refund { status: Status::Pending, due_at, ..named });
                Some(Change { cycle, facts: Vec::new() })
            }
            SeenState::Succeeded => Some(cycle.succeeded(self, named)),
            SeenState::Failed => {
                let code = seen.code.clone().unwrap_or_else(|| "FAILED".to_owned());
                let Change { cycle, facts } = cycle.failed(&named, &code);
                // One that came to nothing before we ever heard of it is told to nobody, and remembered: its older events
                // may still come.
                let facts = if self.refund(&named.id).is_some() { facts } else { Vec::new() };
                Some(Change { cycle, facts })
            }
        }
    }

    /// Money in another currency than was paid is none of the payment's: it is booked nowhere, an operator must look.
    fn other_currency(&self, seen: &Seen) -> Option<Change> {
        let told = seen.currency.as_deref().unwrap_or_default().to_ascii_uppercase();
        let id = self.known(seen).map_or_else(
            || RefundId::named(&format!("{} {}", self.subscription_id, seen.gateway_refund_id)),
            |known| known.id.clone(),
        );
        let refund = blank(id, seen.amount, Origin::Console, "gateway".to_owned(), Timestamp::UNIX_EPOCH);
        let fact =
            self.refund_fact("payment.quarantined", &refund).with("refunded", self.refunded).with("currency", told);
        (seen.state != SeenState::Failed).then(|| Change { cycle: self.clone(), facts: vec![fact] })
    }

    fn known(&self, seen: &Seen) -> Option<&Refund> {
        let same_object = |r: &&Refund| r.gateway_refund_id.as_deref() == Some(&seen.gateway_refund_id);
        let ours = |r: &&Refund| r.gateway_refund_id.is_none() && seen.refund_id.as_deref() == Some(r.id.as_str());
        self.refunds.iter().find(same_object).or_else(|| self.refunds.iter().find(ours))
    }

    /// Money went back. `before` is the row to keep when it cannot have: then an operator must look.
    fn succeeded(&self, before: &Cycle, refund: Refund) -> Change {
        let total = self.refunded.saturating_add(refund.amount);
        if total > self.amount.amount {
            let fact = self.refund_fact("payment.quarantined", &refund).with("refunded", self.refunded);
            return Change { cycle: before.clone(), facts: vec![fact] };
        }
        let vat = self.vat_of(total).saturating_sub(self.vat_refunded());
        let done =
            Refund { status: Status::Succeeded, vat: Some(vat), code: None, sending: None, due_at: None, ..refund };
        let fact = self.refund_fact("refund.succeeded", &done).with("vat", vat).with("refunded", total);
        let cycle = Cycle { refunded: total, ..self.with_refund(done) };
        Change { cycle, facts: vec![fact] }
    }

    /// Nothing went back, or it came back: the amount can be refunded again.
    pub(super) fn failed(&self, refund: &Refund, code: &str) -> Change {
        let returned = if refund.status == Status::Succeeded { refund.amount } else { 0 };
        let refunded = self.refunded.saturating_sub(returned);
        // What is owed and was given back in another way needs nobody's attention.
        let settled = refund.origin == Origin::Owed && code == "NOTHING_LEFT" && self.left_beside(Some(&refund.id)) < 1;
        let over = Refund {
            status: if settled { Status::Rejected } else { Status::Failed },
            code: Some(code.to_owned()),
            sending: None,
            due_at: None,
            ..refund.clone()
        };
        let kind = if settled { "refund.rejected" } else { "refund.failed" };
        let fact = self
            .refund_fact(kind, &over)
            .with("code", code)
            .with("from", refund.status.as_str())
            .with("refunded", refunded);
        let fact = if returned > 0 { fact.with("vat", refund.vat.unwrap_or_default()) } else { fact };
        Change { cycle: Cycle { refunded, ..self.with_refund(over) }, facts: vec![fact] }
    }

    /// Settles the answer to our own call. A negative one counts only under the claim it was sent under; money moved is
    /// money moved. `None` when nothing changes.
    #[must_use]
    pub fn settle_refund(&self, id: &RefundId, token: &str, answer: &Answer, now: Timestamp) -> Option<Change> {
        let refund = self.refund(id)?;
        let seen = |gateway_refund_id: &str, state| Seen {
            gateway_refund_id: gateway_refund_id.to_owned(),
            refund_id: Some(id.to_string()),
            amount: refund.amount,
            currency: None,
            state,
            code: None,
        };
        let sending = refund.sending.as_ref().filter(|s| s.token == token);
        let open = matches!(refund.status, Status::Started | Status::Unknown);
        match answer {
            Answer::Done { gateway_refund_id } => {
                self.observe_refunds(&[seen(gateway_refund_id, SeenState::Succeeded)], now)
            }
            Answer::Pending { gateway_refund_id } => {
                self.observe_refunds(&[seen(gateway_refund_id, SeenState::Pending)], now)
            }
            Answer::Refused { code } => sending.filter(|_| open).map(|_| self.failed(refund, code)),
            Answer::Unknown { heard, code } => {
                let sending = sending.filter(|_| open)?;
                let before = sending.doubt.as_ref();
                let heard = before.map_or(*heard, |d| d.heard.max(*heard));
                let looks = before.map_or(0, |d| d.looks);
                // Empty lookups from before this answer prove nothing about it.
                let doubt = Doubt { heard, empty: 0, last_empty_at: None, looks };
                let unknown = Refund {
                    status: Status::Unknown,
                    code: code.clone(),
                    due_at: crate::resolve::next_look(now, looks).ok(),
                    sending: Some(super::Sending { doubt: Some(doubt), ..sending.clone() }),
                    ..refund.clone()
                };
                let fact = self.refund_fact("refund.unknown", &unknown).with("code", code.clone().unwrap_or_default());
                Some(Change { cycle: self.with_refund(unknown), facts: vec![fact] })
            }
        }
    }
}

/// The gateway's own last word about a refund, if it ever had one. What we closed ourselves it may still contradict.
fn said_before(refund: &Refund) -> Option<SeenState> {
    refund.gateway_refund_id.as_ref()?;
    match refund.status {
        Status::Pending => Some(SeenState::Pending),
        Status::Succeeded => Some(SeenState::Succeeded),
        Status::Failed => Some(SeenState::Failed),
        Status::PendingApproval | Status::Requested | Status::Started | Status::Unknown | Status::Rejected => None,
    }
}

/// What a refusal of a *resend* proves: nothing about the first send, which may have given the money back.
#[must_use]
pub fn of_resend(answer: Answer) -> Answer {
    match answer {
        Answer::Refused { code } => Answer::Unknown { heard: Heard::Error, code: Some(code) },
        Answer::Done { .. } | Answer::Pending { .. } | Answer::Unknown { .. } => answer,
    }
}
