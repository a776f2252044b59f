//! Stripe as facts say it is: one PaymentIntent serves a cycle and succeeds at most once; a key is remembered for 24
//! hours with the answer, errors included, and compared with the parameters; later the same key is a new request; an
//! answer never begun to execute is not stored.

use std::collections::BTreeMap;

use domain::charge::{Answer, Capture, Decline, DeclineClass, Heard, Lookup};
use domain::money::Money;
use shared::gateway::{Find, IntentCancelled};

use super::call::Moved;
use super::{Arrival, Fate, Request, unknown};
use crate::clock::{DAY, MINUTE};

pub const KEY_LIFE: i64 = DAY;

/// How far before the first send a look-up starts: the adapter's own slack.
const SLACK: i64 = 5 * MINUTE;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    RequiresConfirmation,
    Processing,
    RequiresMethod,
    Succeeded,
    Canceled,
}

#[derive(Clone, Debug)]
struct Intent {
    id: String,
    order_id: String,
    customer: String,
    amount: Money,
    created: i64,
    status: Status,
    charge: Option<String>,
    failure: Option<(DeclineClass, &'static str)>,
}

impl Intent {
    fn capture(&self) -> Capture {
        Capture {
            order_id: self.order_id.clone(),
            payment_id: self.id.clone(),
            charge_id: self.charge.clone(),
            amount: self.amount,
        }
    }

    fn decline(&self) -> Decline {
        let (class, code) = self.failure.unwrap_or((DeclineClass::Soft, "requires_payment_method"));
        Decline { class, code: code.to_owned(), intent: Some(self.id.clone()), charge_id: self.charge.clone() }
    }
}

/// Everything Stripe compares.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameters {
    order_id: String,
    amount: Money,
    token: String,
    customer: String,
    intent: Option<String>,
}

struct Entry {
    first_at: i64,
    parameters: Parameters,
    /// The intent the running request works on, and its state before.
    works_on: Option<Intent>,
    answer: Option<Answer>,
}

/// Key and API key.
type Scope = (String, String);

#[derive(Default)]
pub struct Server {
    keys: BTreeMap<Scope, Entry>,
    /// In the order they were created.
    intents: Vec<Intent>,
    charges: u32,
}

impl Server {
    fn scope(request: &Request) -> Scope {
        (request.key.clone(), request.key_version.clone())
    }

    fn at(&mut self, id: &str) -> Option<&mut Intent> {
        self.intents.iter_mut().rev().find(|intent| intent.id == id)
    }

    /// A request comes in: the key first, then the intent it creates or confirms.
    pub fn arrive(&mut self, request: &Request, fate: Fate, now: i64) -> Arrival {
        let scope = Server::scope(request);
        let parameters = Parameters {
            order_id: request.order_id.clone(),
            amount: request.amount,
            token: request.token.clone(),
            customer: request.customer.clone(),
            intent: request.intent.clone(),
        };
        if let Some(entry) = self.keys.get(&scope).filter(|entry| now - entry.first_at < KEY_LIFE) {
            return Arrival::Answered(match &entry.answer {
                _ if entry.parameters != parameters => unknown(Heard::Refusal, "idempotency_error"),
                Some(answer) => answer.clone(),
                None => unknown(Heard::Refusal, "idempotency_key_in_use"),
            });
        }
        let mut entry = Entry { first_at: now, parameters, works_on: None, answer: None };
        let begun = match &request.intent {
            Some(id) => self.confirm(id),
            None => Ok(self.create(request, fate, now)),
        };
        match begun {
            Ok(before) => {
                entry.works_on = before;
                self.keys.insert(scope, entry);
                Arrival::Runs
            }
            Err(answer) => {
                entry.answer = Some(answer.clone());
                self.keys.insert(scope, entry);
                Arrival::Answered(answer)
            }
        }
    }

    /// A new intent, as it was before anything was tried on it; none when the request fails before it is made.
    fn create(&mut self, request: &Request, fate: Fate, now: i64) -> Option<Intent> {
        let unmade = fate == Fate::ErrorBefore && self.intents.len().is_multiple_of(2);
        if unmade || fate == Fate::Refusal {
            return None;
        }
        let intent = Intent {
            id: format!("pi_{}", self.intents.len() + 1),
            order_id: request.order_id.clone(),
            customer: request.customer.clone(),
            amount: request.amount,
            created: now,
            status: Status::RequiresConfirmation,
            charge: None,
            failure: None,
        };
        self.intents.push(Intent { status: Status::Processing, ..intent.clone() });
        Some(intent)
    }

    fn confirm(&mut self, id: &str) -> Result<Option<Intent>, Answer> {
        let Some(intent) = self.at(id) else { return Err(unknown(Heard::Refusal, "resource_missing")) };
        match intent.status {
            Status::RequiresConfirmation | Status::RequiresMethod => {
                let before = intent.clone();
                intent.status = Status::Processing;
                Ok(Some(before))
            }
            // A 400 with the intent inside: it says that the money was taken before.
            Status::Succeeded => Err(Answer::Captured(intent.capture())),
            Status::Processing | Status::Canceled => Err(Answer::Unknown {
                heard: Heard::Refusal,
                code: Some("payment_intent_unexpected_state".to_owned()),
                intent: Some(id.to_owned()),
            }),
        }
    }

    /// The request that runs comes to its end.
    pub fn finish(
        &mut self,
        request: &Request,
        fate: Fate,
        verdict: Option<DeclineClass>,
        _now: i64,
    ) -> (Answer, Option<Moved>) {
        let scope = Server::scope(request);
        let before = self.keys.get_mut(&scope).and_then(|entry| entry.works_on.take());
        let known =
            |heard, code: &str| Answer::Unknown { heard, code: Some(code.to_owned()), intent: request.intent.clone() };
        let (answer, moved) = match (fate, before) {
            (Fate::Plain | Fate::Mistake, Some(before)) => {
                let before = Intent { amount: request.amount, ..before };
                let (answer, moved) = self.execute(before, verdict);
                (answer, Some(moved))
            }
            (Fate::ErrorAfter | Fate::ErrorThenEffect, Some(before)) => {
                let (_, moved) = self.execute(before, verdict);
                (known(Heard::Error, "api_error"), Some(moved))
            }
            (Fate::Refusal, before) => (self.undone(before, known(Heard::Refusal, "parameter_unknown")), None),
            (_, before) => (self.undone(before, known(Heard::Error, "api_error")), None),
        };
        if fate == Fate::ErrorUnstored {
            self.keys.remove(&scope);
        } else if let Some(entry) = self.keys.get_mut(&scope) {
            entry.answer = Some(answer.clone());
        }
        (answer, moved)
    }

    /// Nothing came of it: the intent is as it was.
    fn undone(&mut self, before: Option<Intent>, answer: Answer) -> Answer {
        if let Some(before) = before
            && let Some(intent) = self.at(&before.id)
        {
            *intent = before;
        }
        answer
    }

    fn execute(&mut self, before: Intent, verdict: Option<DeclineClass>) -> (Answer, Moved) {
        self.charges += 1;
        let charge = Some(format!("ch_{}", self.charges));
        let after = match verdict {
            None => Intent { status: Status::Succeeded, charge, failure: None, ..before },
            Some(class) => {
                let code = match class {
                    DeclineClass::Soft => "insufficient_funds",
                    DeclineClass::Hard => "lost_card",
                    DeclineClass::Auth => "authentication_required",
                };
                Intent { status: Status::RequiresMethod, charge, failure: Some((class, code)), ..before }
            }
        };
        let (answer, moved) = match after.status {
            Status::Succeeded => (Answer::Captured(after.capture()), Moved::Captured(after.capture())),
            _ => (Answer::Declined(after.decline()), Moved::Declined(after.decline())),
        };
        if let Some(intent) = self.at(&after.id) {
            *intent = after;
        }
        (answer, moved)
    }

    /// A look-up: of the intent, or of the customer's intents for the order since the attempt began.
    #[must_use]
    pub fn find(&self, find: &Find<'_>, since: i64) -> Lookup {
        use secrecy::ExposeSecret;
        if let Some(id) = find.intent {
            let intent = self.intents.iter().rev().find(|intent| intent.id == id);
            return intent.map_or(Lookup::Failed, |intent| judge(intent, find));
        }
        let own = |intent: &&Intent| {
            intent.order_id == find.order_id
                && intent.customer == find.customer.expose_secret()
                && intent.created >= since - SLACK
        };
        let mut newest_first = self.intents.iter().rev().filter(own);
        let paid = newest_first.clone().find(|intent| intent.status == Status::Succeeded);
        paid.or_else(|| newest_first.next()).map_or(Lookup::NotFound, |intent| judge(intent, find))
    }
}

impl Server {
    /// The payer completes an open intent without us, as its client secret or the console allows.
    pub fn completed_by_payer(&mut self, id: &str) -> Option<Capture> {
        let charge = format!("ch_{}", self.charges + 1);
        let intent = self.at(id).filter(|intent| intent.status == Status::RequiresMethod)?;
        (intent.status, intent.charge, intent.failure) = (Status::Succeeded, Some(charge), None);
        let capture = intent.capture();
        self.charges += 1;
        Some(capture)
    }

    /// Cancels an intent that nothing is tried on.
    pub fn cancel(&mut self, id: &str) -> IntentCancelled {
        let Some(intent) = self.at(id) else { return IntentCancelled::Unknown };
        match intent.status {
            Status::Succeeded => IntentCancelled::Captured(intent.capture()),
            Status::Processing => IntentCancelled::Unknown,
            Status::RequiresConfirmation | Status::RequiresMethod | Status::Canceled => {
                intent.status = Status::Canceled;
                IntentCancelled::Cancelled
            }
        }
    }
}

/// What the adapter reads from an intent about the attempt that is looked up.
fn judge(intent: &Intent, find: &Find<'_>) -> Lookup {
    let earlier = intent.charge.as_ref().is_some_and(|charge| find.known_charges.contains(charge));
    match intent.status {
        Status::Succeeded => Lookup::Found(Answer::Captured(intent.capture())),
        Status::Processing => Lookup::Pending,
        Status::RequiresMethod if intent.charge.is_some() && !earlier => {
            Lookup::Found(Answer::Declined(intent.decline()))
        }
        Status::RequiresMethod | Status::RequiresConfirmation => Lookup::NotFound,
        // Final: it captured nothing and never will.
        Status::Canceled => Lookup::Found(Answer::Declined(Decline { intent: None, ..intent.decline() })),
    }
}
