//! A gateway whose every send and look-up can be scripted, under either name, with a ledger as the judge. It honours
//! idempotency keys and protects from nothing else: a second key is a second payment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, Capture, Decline, DeclineClass, GatewayName, Heard, Lookup, Profile};
use domain::ids::{RequestId, SubscriptionId};
use domain::method::MaskedCard;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use shared::gateway::{
    CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, Gateways, IntentCancelled, KeysUnavailable,
    OfPayment, OrderOf, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer,
};
use shared::ports::Clock;
use shared::usecase::owner::Owner;
use shared::usecase::register_method::{Input, OwnedResult, RegisterError, Registration, register};
use shared::usecase::run_billing;
use tokio::time::Instant;

use super::till::Till;
use super::world::{SetClock, World};

/// What the gateway does with a charge it sees for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Take,
    /// The money is taken, the answer never arrives.
    TakeUnheard,
    /// The money is taken, a 5xx arrives.
    TakeThenError,
    Silence,
    /// A 5xx, and nothing happened.
    Error,
    /// A 4xx nobody knows, and nothing happened.
    Strange,
    Soft,
    Hard,
    /// Our API key is refused.
    KeyRefused,
    /// A 4xx from in front of the gateway: this request was not even looked at.
    Limited,
}

pub struct Adverse {
    pub name: GatewayName,
    script: Mutex<VecDeque<Act>>,
    habit: Mutex<Act>,
    /// Answers by idempotency key, and when they were first given.
    replies: Mutex<BTreeMap<String, (String, Answer, Timestamp)>>,
    /// Money taken, by order id.
    pub ledger: Mutex<Vec<String>>,
    /// Every send: key and time.
    pub sends: Mutex<Vec<(String, Instant)>>,
    /// Look-ups made.
    pub asked: AtomicU32,
    /// Look-ups yet to come that see nothing.
    pub blind: AtomicU32,
    /// What recovery is told of it; the published profile of its name unless a test says otherwise.
    pub profile: Mutex<Profile>,
    /// How long it keeps a key, by whose clock; for ever where nothing is said. One that forgets stores no errors either.
    pub keeps: Mutex<Option<(Arc<SetClock>, SignedDuration)>>,
    /// Nobody there: nothing is executed, nothing answered.
    pub away: AtomicBool,
    /// PaymentIntents that can capture no more.
    pub cancelled: Mutex<BTreeSet<String>>,
    /// Cancellations yet to come that are not answered, and not carried out.
    pub deaf: AtomicU32,
    /// What it gives back.
    pub till: Till,
    pub charge_takes: Mutex<Duration>,
    pub find_takes: Mutex<Duration>,
}

impl Adverse {
    pub fn new(name: GatewayName) -> Arc<Adverse> {
        Arc::new(Adverse {
            name,
            script: Mutex::default(),
            habit: Mutex::new(Act::Take),
            replies: Mutex::default(),
            ledger: Mutex::default(),
            sends: Mutex::default(),
            asked: AtomicU32::new(0),
            blind: AtomicU32::new(0),
            profile: Mutex::new(name.profile()),
            keeps: Mutex::default(),
            away: AtomicBool::new(false),
            cancelled: Mutex::default(),
            deaf: AtomicU32::new(0),
            till: Till::default(),
            charge_takes: Mutex::default(),
            find_takes: Mutex::default(),
        })
    }

    pub fn then(&self, acts: &[Act]) {
        self.script.lock().unwrap().extend(acts);
    }

    pub fn always(&self, act: Act) {
        *self.habit.lock().unwrap() = act;
    }

    pub fn captures(&self) -> usize {
        self.ledger.lock().unwrap().len()
    }

    pub fn sent(&self) -> usize {
        self.sends.lock().unwrap().len()
    }

    fn unknown(&self, heard: Heard) -> Answer {
        Answer::Unknown { heard, code: None, intent: None }
    }

    fn take(&self, charge: &Charge<'_>) -> Answer {
        self.ledger.lock().unwrap().push(charge.order_id.to_owned());
        let stripe = self.name == GatewayName::Stripe;
        let payment_id = if stripe { intent(charge) } else { format!("pay_{}", charge.idempotency_key) };
        self.till.taken.lock().unwrap().insert(payment_id.clone(), charge.amount.amount);
        Answer::Captured(Capture {
            order_id: charge.order_id.to_owned(),
            payment_id,
            charge_id: stripe.then(|| format!("ch_{}", charge.idempotency_key)),
            amount: charge.amount,
        })
    }

    fn decline(&self, charge: &Charge<'_>, class: DeclineClass, code: &str) -> Answer {
        let stripe = self.name == GatewayName::Stripe;
        Answer::Declined(Decline {
            class,
            code: code.to_owned(),
            intent: stripe.then(|| intent(charge)),
            charge_id: stripe.then(|| format!("ch_{}", charge.idempotency_key)),
        })
    }
}

fn intent(charge: &Charge<'_>) -> String {
    charge.intent.map_or_else(|| format!("pi_{}", charge.idempotency_key), str::to_owned)
}

#[async_trait]
impl Gateway for Adverse {
    fn name(&self) -> GatewayName {
        self.name
    }

    fn profile(&self) -> Profile {
        *self.profile.lock().unwrap()
    }

    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable> {
        Ok(vec!["v1".to_owned()])
    }

    async fn set_up(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        let customer_key = Some(request.customer_key.to_owned());
        Ok(SetUpAnswer { client_key: "ck".to_owned(), customer_key, client_secret: None, customer: None })
    }

    async fn register(&self, request: &Register<'_>) -> Result<Registered, GatewayError> {
        let token = SecretString::from(format!("token-{}", request.idempotency_key));
        let customer = SecretString::from("customer");
        Ok(Registered { token, customer, card: MaskedCard::default(), holder_name: None })
    }

    async fn charge(&self, charge: &Charge<'_>) -> Answer {
        self.sends.lock().unwrap().push((charge.idempotency_key.to_owned(), Instant::now()));
        let takes = *self.charge_takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let act = {
            let next = self.script.lock().unwrap().pop_front();
            next.unwrap_or(*self.habit.lock().unwrap())
        };
        // A wrong API key is refused before anything else is looked at.
        if act == Act::KeyRefused {
            return Answer::Refused { code: "UNAUTHORIZED_KEY".to_owned() };
        }
        if act == Act::Limited {
            return self.unknown(Heard::Refusal);
        }
        if self.away.load(Ordering::SeqCst) {
            return self.unknown(Heard::Nothing);
        }
        let keeps = self.keeps.lock().unwrap().clone();
        let now = match &keeps {
            Some((clock, _)) => clock.now().await,
            None => Timestamp::UNIX_EPOCH,
        };
        let fresh = |first: Timestamp| keeps.as_ref().is_none_or(|(_, kept)| now.duration_since(first) < *kept);
        if let Some((_, reply, first)) = self.replies.lock().unwrap().get(charge.idempotency_key)
            && fresh(*first)
        {
            return reply.clone();
        }
        if charge.intent.is_some_and(|intent| self.cancelled.lock().unwrap().contains(intent)) {
            return self.unknown(Heard::Refusal);
        }
        let (stored, heard) = match act {
            Act::Take => (Some(self.take(charge)), None),
            Act::TakeUnheard => (Some(self.take(charge)), Some(self.unknown(Heard::Nothing))),
            Act::TakeThenError => (Some(self.take(charge)), Some(self.unknown(Heard::Error))),
            Act::Soft => (Some(self.decline(charge, DeclineClass::Soft, "REJECT_CARD_PAYMENT")), None),
            Act::Hard => (Some(self.decline(charge, DeclineClass::Hard, "INVALID_STOPPED_CARD")), None),
            Act::Strange if keeps.is_some() => (None, Some(self.unknown(Heard::Refusal))),
            Act::Strange => (Some(self.unknown(Heard::Refusal)), None),
            Act::Silence | Act::KeyRefused | Act::Limited => (None, Some(self.unknown(Heard::Nothing))),
            Act::Error => (None, Some(self.unknown(Heard::Error))),
        };
        if let Some(answer) = &stored {
            let entry = (charge.order_id.to_owned(), answer.clone(), now);
            let mut replies = self.replies.lock().unwrap();
            // A key it forgot is another charge: what the first one did stays done.
            let forgotten = replies.remove(charge.idempotency_key);
            replies.extend(forgotten.map(|old| (format!("{} once", charge.idempotency_key), old)));
            replies.insert(charge.idempotency_key.to_owned(), entry);
        }
        heard.or(stored).unwrap()
    }

    async fn find(&self, find: &Find<'_>) -> Lookup {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let takes = *self.find_takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if self.away.load(Ordering::SeqCst) || !self.profile.lock().unwrap().finds {
            return Lookup::Failed;
        }
        if self.blind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Lookup::NotFound;
        }
        let replies = self.replies.lock().unwrap();
        if find.intent.is_some_and(|intent| self.cancelled.lock().unwrap().contains(intent)) {
            let code = "canceled".to_owned();
            let gone = Decline { class: DeclineClass::Soft, code, intent: None, charge_id: None };
            return Lookup::Found(Answer::Declined(gone));
        }
        let mut ours = replies.values().filter(|(order, ..)| order == find.order_id).map(|(_, answer, _)| answer);
        let new = |charge: &Option<String>| charge.as_ref().is_some_and(|c| !find.known_charges.contains(c));
        let found = ours.find(|answer| match answer {
            Answer::Captured(_) => true,
            // Toss keeps no payment of a declined approval; Stripe's intent shows the last charge.
            Answer::Declined(d) => new(&d.charge_id),
            Answer::Refused { .. } | Answer::Unknown { .. } => false,
        });
        found.map_or(Lookup::NotFound, |answer| Lookup::Found(answer.clone()))
    }

    async fn cancel_intent(&self, request: &CancelIntent<'_>) -> IntentCancelled {
        if self.deaf.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return IntentCancelled::Unknown;
        }
        let replies = self.replies.lock().unwrap();
        let paid = replies.values().find_map(|(_, answer, _)| match answer {
            Answer::Captured(capture) if capture.payment_id == request.intent => Some(capture.clone()),
            _ => None,
        });
        if paid.is_none() {
            self.cancelled.lock().unwrap().insert(request.intent.to_owned());
        }
        paid.map_or(IntentCancelled::Cancelled, IntentCancelled::Captured)
    }

    async fn refund(&self, request: &Refund<'_>) -> RefundAnswer {
        self.till.refund(self.name, request)
    }

    async fn find_refunds(&self, payment_id: &str) -> RefundsListed {
        self.till.list(payment_id)
    }

    async fn order_of(&self, payment: &OfPayment<'_>) -> OrderOf {
        let replies = self.replies.lock().unwrap();
        let made = replies.values().find_map(|(_, answer, _)| match answer {
            Answer::Captured(c) if Some(c.payment_id.as_str()) == payment.payment_id => Some(c.clone()),
            Answer::Captured(c) if c.charge_id.is_some() && c.charge_id.as_deref() == payment.charge_id => {
                Some(c.clone())
            }
            _ => None,
        });
        if let (Some(id), Some(claimed)) = (payment.payment_id, payment.secret)
            && claimed.expose_secret() != format!("ps_{id}")
        {
            return OrderOf::Forged;
        }
        let order = |c: Capture| OrderOf::Order { order_id: c.order_id, payment_id: c.payment_id };
        made.map_or(OrderOf::Foreign, order)
    }

    async fn delete_method(&self, _: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        Ok(())
    }
}

/// A world whose charges go to one adverse gateway, whatever its name.
pub async fn world(name: GatewayName) -> (World, Arc<Adverse>) {
    let mut world = World::new().await;
    let gateway = Adverse::new(name);
    world.charging.gateways = Gateways { toss: gateway.clone(), stripe: gateway.clone() };
    (world, gateway)
}

/// Registers a card; `once` is the single-use key the window returned.
pub async fn card(
    world: &World,
    id: &RequestId,
    gateway: GatewayName,
    once: &str,
) -> Result<Registration, RegisterError> {
    let application = shared::store::typed::application(&world.store, id).await.unwrap().unwrap();
    let result = match gateway {
        GatewayName::Toss => {
            OwnedResult::Toss { auth_key: once.to_owned(), customer_key: application.customer_key.clone() }
        }
        GatewayName::Stripe => OwnedResult::SetupIntent(once.to_owned()),
    };
    let address = "127.0.0.1".to_owned();
    let input = Input { gateway, result, holder_name: None, address, per_address: 1_000_000 };
    let active = world.try_subscription(&id.subscription()).await.is_some_and(|s| s.paid.is_some());
    let owner = if active { Owner::Tenant(id.tenant()) } else { Owner::Applicant(id.clone()) };
    register(&world.charging, &world.context().await, &owner, input, Duration::from_secs(5)).await
}

/// Applies, registers a card and is approved.
pub async fn onboard(world: &World, gateway: GatewayName) -> SubscriptionId {
    let id = world.apply().await;
    card(world, &id, gateway, &format!("first-{id}")).await.unwrap();
    world.approve(&id).await;
    id.subscription()
}

/// A tick and the runners' messages; failures are what a dead process leaves: its messages come again with the next tick.
pub async fn run(world: &World) {
    let now = world.context().await.now;
    let _ = run_billing::tick(&world.store, &world.queue, world.charging.random.as_ref(), now, 1).await;
    for _ in 0..80 {
        let Some((message, delay)) = world.queue.0.lock().unwrap().pop_front() else { return };
        world.wait(SignedDuration::try_from(delay).unwrap());
        let _ = world.runner().run(&message).await;
    }
    panic!("the run does not come to rest");
}
