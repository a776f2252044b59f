//! Models of both gateways behind the port, without a wire: each keeps its own truth and answers as the real adapter
//! would after reading the real gateway's answer.
//!
//! The server's side of a request runs by itself: a caller that dies, freezes or stops listening changes nothing there.

pub mod bank;
mod call;
pub mod keyring;
pub mod stripe;
pub mod toss;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::charge::{Answer, GatewayName, Heard, Lookup};
use domain::method::MaskedCard;
use domain::money::Money;
use secrecy::{ExposeSecret, SecretString};
use shared::gateway::{
    CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, IntentCancelled, KeysUnavailable, OfPayment,
    OrderOf, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer, WindowResult,
};

use crate::clock::{DAY, HOUR, SECOND, sleep};
use crate::rng::Rng;
use crate::sim::Sim;
use crate::trace::{NOBODY, Step, Who};
use crate::weather::Kind;
use bank::Bank;
use keyring::Keyring;

/// Everything on the other side.
pub struct Gateways {
    pub bank: Mutex<Bank>,
    pub toss: Mutex<toss::Server>,
    pub stripe: Mutex<stripe::Server>,
    toss_keys: Mutex<Keyring>,
    stripe_keys: Mutex<Keyring>,
}

impl Gateways {
    #[must_use]
    pub fn new(rng: &Rng) -> Gateways {
        Gateways {
            bank: Mutex::new(Bank::default()),
            toss: Mutex::new(toss::Server::drawn(rng)),
            stripe: Mutex::new(stripe::Server::default()),
            toss_keys: Mutex::new(Keyring::new(7 * DAY)),
            stripe_keys: Mutex::new(Keyring::new(DAY)),
        }
    }

    pub fn keys(&self, gateway: GatewayName) -> &Mutex<Keyring> {
        match gateway {
            GatewayName::Toss => &self.toss_keys,
            GatewayName::Stripe => &self.stripe_keys,
        }
    }
}

/// A charge request as it arrives.
#[derive(Clone, Debug)]
pub struct Request {
    pub who: Who,
    pub index: u32,
    pub n: u32,
    pub key: String,
    pub order_id: String,
    pub amount: Money,
    pub token: String,
    pub customer: String,
    pub key_version: String,
    pub intent: Option<String>,
}

/// What happens to one request at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Plain,
    ErrorBefore,
    ErrorAfter,
    /// The answer comes before the effect.
    ErrorThenEffect,
    ErrorUnstored,
    Refusal,
    /// Another amount is taken.
    Mistake,
}

/// What the door says to a request.
#[derive(Debug)]
pub enum Arrival {
    Answered(Answer),
    /// It is executed; [`toss::Server::finish`] or its twin says how it ends.
    Runs,
}

pub(crate) fn unknown(heard: Heard, code: &str) -> Answer {
    Answer::Unknown { heard, code: Some(code.to_owned()), intent: None }
}

/// A gateway as one process reaches it.
pub struct Line {
    pub sim: Arc<Sim>,
    pub name: GatewayName,
    pub process: u32,
    /// Code of the version before renders the request version before.
    pub old_code: bool,
}

impl Line {
    /// How long an idempotency key lives here.
    fn key_life(&self) -> i64 {
        match self.name {
            GatewayName::Toss => toss::KEY_LIFE,
            GatewayName::Stripe => stripe::KEY_LIFE,
        }
    }

    /// A question that changes nothing: whether it gets through, after its time.
    async fn ask(&self) -> bool {
        sleep(self.sim.rng.range(40, 400)).await;
        let down = self.sim.weather.lock().unwrap().down(self.name, self.sim.now());
        if down.is_some() || self.sim.strikes(Kind::LookupFailed, NOBODY) {
            // Some failures are quick, some are silence.
            let patience = if self.sim.rng.below(2) == 0 { 0 } else { 10 * SECOND };
            sleep(patience).await;
            return false;
        }
        true
    }
}

#[async_trait]
impl Gateway for Line {
    fn name(&self) -> GatewayName {
        self.name
    }

    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable> {
        if self.sim.strikes(Kind::KeysUnavailable, NOBODY) {
            return Err(KeysUnavailable);
        }
        Ok(self.sim.gateways.keys(self.name).lock().unwrap().offered())
    }

    async fn set_up(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        if !self.ask().await {
            return Err(GatewayError::Unknown);
        }
        let toss = self.name == GatewayName::Toss;
        Ok(SetUpAnswer {
            client_key: "client".to_owned(),
            customer_key: toss.then(|| request.customer_key.to_owned()),
            client_secret: (!toss).then(|| "secret".to_owned()),
            customer: (!toss).then(|| format!("cus-{}", request.owner)),
        })
    }

    async fn register(&self, request: &Register<'_>) -> Result<Registered, GatewayError> {
        if !self.ask().await {
            return Err(GatewayError::Unknown);
        }
        let (once, customer) = match request.result {
            WindowResult::Toss { auth_key, customer_key } => (auth_key, customer_key.to_owned()),
            WindowResult::StripeSetupIntent { id } | WindowResult::StripePaymentMethod { id } => {
                (id, request.customer.ok_or(GatewayError::NotFound)?.to_owned())
            }
        };
        let mut bank = self.sim.gateways.bank.lock().unwrap();
        let card = bank.exchange(self.name, once, request.idempotency_key, &customer)?;
        Ok(Registered {
            token: SecretString::from(card.token),
            customer: SecretString::from(card.customer),
            card: MaskedCard::default(),
            holder_name: None,
        })
    }

    async fn charge(&self, charge: &Charge<'_>) -> Answer {
        self.call(charge).await
    }

    async fn find(&self, find: &Find<'_>) -> Lookup {
        if self.sim.now() - self.sim.time.moment(find.since) > self.key_life() {
            self.sim.count(Kind::KeyExpired, NOBODY);
        }
        let found = if self.ask().await { self.look(find) } else { Lookup::Failed };
        self.sim.looked_up(self.name, find.order_id, &found);
        found
    }

    async fn cancel_intent(&self, request: &CancelIntent<'_>) -> IntentCancelled {
        if self.name == GatewayName::Toss {
            return IntentCancelled::Cancelled;
        }
        if !self.ask().await {
            return IntentCancelled::Unknown;
        }
        let answer = self.sim.gateways.stripe.lock().unwrap().cancel(request.intent);
        sleep(self.sim.rng.range(5, 50)).await;
        // Lost on its way back like any other answer.
        if self.sim.strikes(Kind::AnswerLost, NOBODY) { IntentCancelled::Unknown } else { answer }
    }

    async fn refund(&self, _: &Refund<'_>) -> RefundAnswer {
        RefundAnswer::Unknown { heard: Heard::Nothing, code: None }
    }

    async fn find_refunds(&self, _: &str) -> RefundsListed {
        RefundsListed::Failed
    }

    async fn order_of(&self, _: &OfPayment<'_>) -> OrderOf {
        OrderOf::Failed
    }

    async fn delete_method(&self, request: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        if !self.ask().await {
            return Err(GatewayError::Unknown);
        }
        match self.sim.gateways.bank.lock().unwrap().card_mut(request.token.expose_secret()) {
            Some(card) => card.removed = true,
            None => return Err(GatewayError::NotFound),
        }
        Ok(())
    }
}

impl Line {
    fn look(&self, find: &Find<'_>) -> Lookup {
        let (now, gateways) = (self.sim.now(), &self.sim.gateways);
        match self.name {
            GatewayName::Toss => {
                let behind = self.sim.strikes(Kind::LookupBehind, NOBODY);
                let lag = if behind { HOUR / 120 } else { 0 };
                gateways.toss.lock().unwrap().find(find.order_id, now - lag)
            }
            GatewayName::Stripe => {
                let since = self.sim.time.moment(find.since);
                gateways.stripe.lock().unwrap().find(find, since)
            }
        }
    }
}

impl Sim {
    fn looked_up(&self, gateway: GatewayName, order_id: &str, found: &Lookup) {
        let Some((billable, _)) = domain::charge::Billable::parse_order_id(order_id) else { return };
        let who = self.books.lock().unwrap().number(billable.subscription.ulid()).unwrap_or(NOBODY);
        let what = match found {
            Lookup::Found(answer) => call::spoken(answer),
            Lookup::Pending => "pending".to_owned(),
            Lookup::NotFound => "nothing".to_owned(),
            Lookup::Failed => "failed".to_owned(),
        };
        self.say(&what, |what| Step::LookedUp { gateway, who, index: billable.index, what });
    }
}
