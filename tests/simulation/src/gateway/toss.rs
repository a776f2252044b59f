//! Toss as facts say it is: one order id per attempt; a key is remembered for 15 days together with the API key and
//! the billing key it was used with, answers of 4xx included; look-ups go by order id.
//!
//! Where facts are silent the seed decides: whether a 5xx is stored, whether a declined order can be looked up, and
//! whether an order id still protects when its key is forgotten.

use std::collections::BTreeMap;

use domain::charge::{Answer, Capture, Decline, DeclineClass, Heard, Lookup};

use super::call::Moved;
use super::{Arrival, Fate, Request, unknown};
use crate::clock::DAY;
use crate::rng::Rng;

pub const KEY_LIFE: i64 = 15 * DAY;

/// Key, API key, billing key.
type Scope = (String, String, String);

struct Entry {
    first_at: i64,
    /// None while the first request runs.
    answer: Option<Answer>,
}

struct Order {
    at: i64,
    answer: Answer,
}

pub struct Server {
    keys: BTreeMap<Scope, Entry>,
    orders: BTreeMap<String, Order>,
    payments: u32,
    /// How many 5xx in ten thousand are stored.
    stores_errors: u32,
    keeps_declined: bool,
    protects_for_ever: bool,
}

impl Server {
    #[must_use]
    pub fn drawn(rng: &Rng) -> Server {
        Server {
            keys: BTreeMap::new(),
            orders: BTreeMap::new(),
            payments: 0,
            stores_errors: *rng.pick(&[0, 5_000, 10_000]),
            keeps_declined: rng.chance(5_000),
            protects_for_ever: rng.chance(5_000),
        }
    }

    fn scope(request: &Request) -> Scope {
        (request.key.clone(), request.key_version.clone(), request.token.clone())
    }

    /// A request comes in.
    pub fn arrive(&mut self, request: &Request, now: i64) -> Arrival {
        let scope = Server::scope(request);
        match self.keys.get(&scope).filter(|entry| now - entry.first_at < KEY_LIFE) {
            Some(Entry { answer: Some(answer), .. }) => Arrival::Answered(answer.clone()),
            Some(Entry { answer: None, .. }) => {
                Arrival::Answered(unknown(Heard::Nothing, "IDEMPOTENT_REQUEST_PROCESSING"))
            }
            None => {
                self.keys.insert(scope, Entry { first_at: now, answer: None });
                Arrival::Runs
            }
        }
    }

    /// The request that runs comes to its end.
    pub fn finish(
        &mut self,
        request: &Request,
        fate: Fate,
        verdict: Option<DeclineClass>,
        now: i64,
        rng: &Rng,
    ) -> (Answer, Option<Moved>) {
        let error = || unknown(Heard::Error, "FAILED_INTERNAL_SYSTEM_PROCESSING");
        let (answer, moved, stored) = match fate {
            Fate::ErrorBefore => (error(), None, true),
            Fate::ErrorUnstored => (error(), None, false),
            Fate::Refusal => (unknown(Heard::Refusal, "PROVIDER_ERROR"), None, true),
            Fate::Plain | Fate::ErrorAfter | Fate::ErrorThenEffect if self.taken(&request.order_id, now) => {
                (unknown(Heard::Refusal, "DUPLICATED_ORDER_ID"), None, true)
            }
            Fate::Plain => {
                let (answer, moved) = self.execute(request, verdict, now);
                (answer, Some(moved), true)
            }
            Fate::ErrorAfter => {
                let (_, moved) = self.execute(request, verdict, now);
                (error(), Some(moved), rng.chance(self.stores_errors))
            }
            // A gateway that answers and goes on working holds the key meanwhile, and keeps it.
            Fate::ErrorThenEffect => {
                let (_, moved) = self.execute(request, verdict, now);
                (error(), Some(moved), true)
            }
        };
        let scope = Server::scope(request);
        if stored {
            if let Some(entry) = self.keys.get_mut(&scope) {
                entry.answer = Some(answer.clone());
            }
        } else {
            self.keys.remove(&scope);
        }
        (answer, moved)
    }

    fn taken(&self, order_id: &str, now: i64) -> bool {
        self.orders.get(order_id).is_some_and(|order| {
            let captured = matches!(order.answer, Answer::Captured(_));
            captured && (self.protects_for_ever || now - order.at < KEY_LIFE)
        })
    }

    fn execute(&mut self, request: &Request, verdict: Option<DeclineClass>, now: i64) -> (Answer, Moved) {
        let Some(class) = verdict else {
            self.payments += 1;
            let capture = Capture {
                order_id: request.order_id.clone(),
                payment_id: format!("tpay-{}", self.payments),
                charge_id: None,
                amount: request.amount,
            };
            let answer = Answer::Captured(capture.clone());
            self.orders.insert(request.order_id.clone(), Order { at: now, answer: answer.clone() });
            return (answer, Moved::Captured(capture));
        };
        // Toss never asks the payer to authenticate: such a card is refused for good.
        let (class, code) = match class {
            DeclineClass::Soft => (DeclineClass::Soft, "REJECT_CARD_PAYMENT"),
            DeclineClass::Hard | DeclineClass::Auth => (DeclineClass::Hard, "INVALID_STOPPED_CARD"),
        };
        let decline = Decline { class, code: code.to_owned(), intent: None, charge_id: None };
        let answer = Answer::Declined(decline.clone());
        if self.keeps_declined {
            self.orders.insert(request.order_id.clone(), Order { at: now, answer: answer.clone() });
        }
        (answer, Moved::Declined(decline))
    }

    /// What a look-up by order id sees that shows what was there at `now`.
    #[must_use]
    pub fn find(&self, order_id: &str, now: i64) -> Lookup {
        match self.orders.get(order_id) {
            Some(order) if order.at <= now => Lookup::Found(order.answer.clone()),
            Some(_) | None => Lookup::NotFound,
        }
    }
}
