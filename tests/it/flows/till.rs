//! The side of an adverse gateway that gives money back: it honours keys, never gives more than was taken, and can be
//! told to lose, delay or refuse.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::charge::{GatewayName, Heard};
use domain::refund::{Seen, SeenState};
use shared::gateway::{Refund, RefundAnswer, RefundsListed};

/// What becomes of a refund it sees for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Give {
    Done,
    /// Given back, and the answer never arrives.
    DoneUnheard,
    /// Given back, and a 5xx arrives.
    DoneThenError,
    /// Taken up, finished later.
    Pending,
    Silence,
    Error,
    /// A 4xx nobody knows, and nothing happened.
    Strange,
    Refuse,
}

#[derive(Default)]
pub struct Till {
    pub script: Mutex<VecDeque<Give>>,
    replies: Mutex<BTreeMap<String, RefundAnswer>>,
    /// By payment.
    pub rows: Mutex<BTreeMap<String, Vec<Seen>>>,
    /// What was taken, by payment.
    pub taken: Mutex<BTreeMap<String, i64>>,
    /// The bytes of every send, by key.
    sent: Mutex<BTreeMap<String, String>>,
    pub sends: AtomicU32,
    /// Questions yet to come that see nothing.
    pub blind: AtomicU32,
    numbers: AtomicU32,
}

impl Till {
    pub fn then(&self, acts: &[Give]) {
        self.script.lock().unwrap().extend(acts);
    }

    /// What stands as given back of a payment.
    pub fn given(&self, payment: &str) -> i64 {
        let rows = self.rows.lock().unwrap();
        let stands = |s: &&Seen| s.state != SeenState::Failed;
        rows.get(payment).map_or(0, |rows| rows.iter().filter(stands).map(|s| s.amount).sum())
    }

    fn left(&self, payment: &str) -> i64 {
        self.taken.lock().unwrap().get(payment).copied().unwrap_or(0) - self.given(payment)
    }

    /// Somebody refunds in the gateway's own console.
    pub fn by_hand(&self, payment: &str, amount: i64) -> Seen {
        assert!(amount <= self.left(payment));
        self.give(payment, None, amount, SeenState::Succeeded)
    }

    fn give(&self, payment: &str, refund_id: Option<&str>, amount: i64, state: SeenState) -> Seen {
        let gateway_refund_id = format!("re_{payment}_{}", self.numbers.fetch_add(1, Ordering::SeqCst));
        let refund_id = refund_id.map(str::to_owned);
        let seen = Seen { gateway_refund_id, refund_id, amount, currency: None, state, code: None };
        self.rows.lock().unwrap().entry(payment.to_owned()).or_default().push(seen.clone());
        seen
    }

    /// Ends what it had only taken up, or lets what it had done come back. Says how it stands now.
    pub fn turn(&self, payment: &str, to: SeenState) -> Seen {
        let mut rows = self.rows.lock().unwrap();
        let last = rows.get_mut(payment).unwrap().last_mut().unwrap();
        last.state = to;
        last.clone()
    }

    pub fn refund(&self, name: GatewayName, request: &Refund<'_>) -> RefundAnswer {
        self.sends.fetch_add(1, Ordering::SeqCst);
        let bytes =
            format!("{} {} {} {}", request.payment_id, request.amount.amount, request.refundable, request.order_id);
        let before = self.sent.lock().unwrap().insert(request.idempotency_key.to_owned(), bytes.clone());
        assert!(before.is_none_or(|b| b == bytes), "one key, one request");
        if let Some(reply) = self.replies.lock().unwrap().get(request.idempotency_key) {
            return reply.clone();
        }
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Give::Done);
        let left = self.left(request.payment_id);
        let refused = |code: &str| RefundAnswer::Refused { code: code.to_owned() };
        let unknown = |heard| RefundAnswer::Unknown { heard, code: None };
        let moves = matches!(act, Give::Done | Give::DoneUnheard | Give::DoneThenError | Give::Pending);
        let stale = name == GatewayName::Toss && request.refundable != left;
        if moves && (request.amount.amount > left || stale) {
            return refused("NOT_CANCELABLE_AMOUNT");
        }
        let give = |state| {
            let seen = self.give(request.payment_id, Some(request.refund_id), request.amount.amount, state);
            seen.gateway_refund_id
        };
        let done = |gateway_refund_id| RefundAnswer::Done { gateway_refund_id };
        let (stored, heard) = match act {
            Give::Done => (Some(done(give(SeenState::Succeeded))), None),
            Give::DoneUnheard => (Some(done(give(SeenState::Succeeded))), Some(unknown(Heard::Nothing))),
            Give::DoneThenError => (Some(done(give(SeenState::Succeeded))), Some(unknown(Heard::Error))),
            Give::Pending => (Some(RefundAnswer::Pending { gateway_refund_id: give(SeenState::Pending) }), None),
            Give::Refuse => (Some(refused("REFUND_REJECTED")), None),
            Give::Strange => (Some(unknown(Heard::Refusal)), None),
            Give::Silence => (None, Some(unknown(Heard::Nothing))),
            Give::Error => (Some(unknown(Heard::Error)), None),
        };
        if let Some(answer) = &stored {
            self.replies.lock().unwrap().insert(request.idempotency_key.to_owned(), answer.clone());
        }
        heard.or(stored).unwrap()
    }

    pub fn list(&self, payment: &str) -> RefundsListed {
        if self.blind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return RefundsListed::All(Vec::new());
        }
        RefundsListed::All(self.rows.lock().unwrap().get(payment).cloned().unwrap_or_default())
    }
}
