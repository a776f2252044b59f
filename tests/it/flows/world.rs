//! A small world for the use cases: settable clock, counted randomness, an open vault, and a gateway with a ledger
//! that obeys a script.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, Capture, Decline, DeclineClass, GatewayName, Heard, Lookup};
use domain::contact::Contact;
use domain::event::Actor;
use domain::ids::{RequestId, SubscriptionId};
use domain::method::{MaskedCard, Sealed};
use domain::onboarding::Verdict;
use domain::plan::{Addon, Plan};
use domain::settle::Hint;
use domain::subscription::Subscription;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use shared::gateway::{
    CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, Gateways, IntentCancelled, KeysUnavailable,
    OfPayment, OrderOf, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer,
};
use shared::ports::{Clock, Context, Hints, QueueUnavailable, Random, ShardMessage, Shards, Vault, VaultError};
use shared::store::{Commit, MemoryStore, Record, Store, Write, typed};
use shared::usecase::allowance::Unpaced;
use shared::usecase::decide_application::{Decided, Ruling, decide};
use shared::usecase::owner::Owner;
use shared::usecase::register_method::{Input, OwnedResult, register};
use shared::usecase::runner::{Runner, Settings};
use shared::usecase::submit_application::{Form, submit};
use shared::usecase::{Charging, run_billing};

/// What the gateway does with the next charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Capture,
    Soft,
    Hard,
    /// The money is taken, the answer never arrives.
    CaptureThenSilence,
    /// Nothing happens and no answer arrives.
    Silence,
    /// Nothing happens and a 5xx arrives.
    Error,
    /// Our key is refused.
    Misconfigured,
}

#[derive(Default)]
pub struct Scripted {
    pub script: Mutex<VecDeque<Script>>,
    /// What it does when the script is over.
    pub habit: Mutex<Option<Script>>,
    /// Answers by idempotency key: a replay says the same again.
    replies: Mutex<BTreeMap<String, Answer>>,
    /// Captures: order id, amount.
    pub ledger: Mutex<Vec<(String, i64)>>,
    pub calls: AtomicU64,
    /// Keys it forgot, and whether it refuses to.
    pub forgotten: Mutex<Vec<String>>,
    pub keeps: AtomicBool,
}

impl Scripted {
    pub fn then(&self, scripts: &[Script]) {
        self.script.lock().unwrap().extend(scripts);
    }

    pub fn captures(&self) -> usize {
        self.ledger.lock().unwrap().len()
    }

    fn take(&self, charge: &Charge<'_>) -> Answer {
        let capture = Capture {
            order_id: charge.order_id.to_owned(),
            payment_id: format!("pay_{}", charge.idempotency_key),
            charge_id: None,
            amount: charge.amount,
        };
        self.ledger.lock().unwrap().push((charge.order_id.to_owned(), charge.amount.amount));
        Answer::Captured(capture)
    }
}

#[async_trait]
impl Gateway for Scripted {
    fn name(&self) -> GatewayName {
        GatewayName::Toss
    }

    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable> {
        Ok(vec!["v1".to_owned()])
    }

    async fn set_up(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        let customer_key = Some(request.customer_key.to_owned());
        Ok(SetUpAnswer { client_key: "ck".to_owned(), customer_key, client_secret: None, customer: None })
    }

    async fn register(&self, request: &Register<'_>) -> Result<Registered, GatewayError> {
        let card = MaskedCard { brand: None, last4: Some("789*".to_owned()), exp_month: None, exp_year: None };
        let token = SecretString::from(format!("billing-{}", request.idempotency_key));
        Ok(Registered { token, customer: SecretString::from("customer"), card, holder_name: None })
    }

    async fn charge(&self, charge: &Charge<'_>) -> Answer {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(reply) = self.replies.lock().unwrap().get(charge.idempotency_key) {
            return reply.clone();
        }
        let habit = self.habit.lock().unwrap().unwrap_or(Script::Capture);
        let script = self.script.lock().unwrap().pop_front().unwrap_or(habit);
        let declined = |class, code: &str| {
            Answer::Declined(Decline { class, code: code.to_owned(), intent: None, charge_id: None })
        };
        let silence = Answer::Unknown { heard: Heard::Nothing, code: None, intent: None };
        let (stored, heard) = match script {
            Script::Capture => (Some(self.take(charge)), None),
            Script::CaptureThenSilence => (Some(self.take(charge)), Some(silence)),
            Script::Soft => (Some(declined(DeclineClass::Soft, "REJECT_CARD_PAYMENT")), None),
            Script::Hard => (Some(declined(DeclineClass::Hard, "INVALID_STOPPED_CARD")), None),
            Script::Silence => (None, Some(silence)),
            Script::Error => {
                (None, Some(Answer::Unknown { heard: Heard::Error, code: Some("500".to_owned()), intent: None }))
            }
            Script::Misconfigured => (None, Some(Answer::Refused { code: "UNAUTHORIZED_KEY".to_owned() })),
        };
        if let Some(answer) = &stored {
            self.replies.lock().unwrap().insert(charge.idempotency_key.to_owned(), answer.clone());
        }
        heard.or(stored).unwrap()
    }

    async fn find(&self, find: &Find<'_>) -> Lookup {
        let replies = self.replies.lock().unwrap();
        let ours = replies.values().find(|a| matches!(a, Answer::Captured(c) if c.order_id == find.order_id));
        ours.map_or(Lookup::NotFound, |a| Lookup::Found(a.clone()))
    }

    async fn cancel_intent(&self, _: &CancelIntent<'_>) -> IntentCancelled {
        IntentCancelled::Cancelled
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
        if self.keeps.load(Ordering::SeqCst) {
            return Err(GatewayError::Unknown);
        }
        self.forgotten.lock().unwrap().push(request.token.expose_secret().to_owned());
        Ok(())
    }
}

pub struct SetClock(AtomicI64);

#[async_trait]
impl Clock for SetClock {
    async fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

struct Counted(AtomicU64);

impl Random for Counted {
    fn bits(&self) -> u128 {
        let n = u128::from(self.0.fetch_add(1, Ordering::SeqCst));
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).wrapping_add(n)
    }
}

struct OpenVault;

#[async_trait]
impl Vault for OpenVault {
    async fn seal(&self, plain: &str, aad: &str) -> Result<Sealed, VaultError> {
        Ok(Sealed { kid: "k1".to_owned(), data: format!("{aad}|{plain}") })
    }

    async fn open(&self, sealed: &Sealed, aad: &str) -> Result<SecretString, VaultError> {
        sealed.data.strip_prefix(&format!("{aad}|")).map(SecretString::from).ok_or(VaultError::Refused)
    }
}

#[derive(Default)]
pub struct Recorded(pub Mutex<Vec<(SubscriptionId, String, Hint)>>);

#[async_trait]
impl Hints for Recorded {
    async fn send(&self, subscription: &SubscriptionId, order_id: &str, hint: Hint) {
        self.0.lock().unwrap().push((subscription.clone(), order_id.to_owned(), hint));
    }

    /// Nobody works on hints here: the run must get by without them.
    async fn idle(&self) -> bool {
        true
    }
}

/// The `billing-shards` queue: messages with the instant from which they may be received.
#[derive(Default)]
pub struct Queue(pub Mutex<VecDeque<(ShardMessage, Duration)>>);

#[async_trait]
impl Shards for Queue {
    async fn send(&self, message: &ShardMessage, delay: Duration) -> Result<(), QueueUnavailable> {
        self.0.lock().unwrap().push_back((message.clone(), delay));
        Ok(())
    }
}

pub struct World {
    pub store: MemoryStore,
    pub gateway: Arc<Scripted>,
    pub clock: Arc<SetClock>,
    pub hints: Arc<Recorded>,
    pub queue: Queue,
    pub charging: Charging,
}

pub const BEGIN: &str = "2026-12-01T01:00:00Z";

impl World {
    pub async fn new() -> World {
        let store = MemoryStore::new();
        let gateway = Arc::new(Scripted::default());
        let begin: Timestamp = BEGIN.parse().unwrap();
        let clock = Arc::new(SetClock(AtomicI64::new(begin.as_millisecond())));
        let hints = Arc::new(Recorded::default());
        let charging = Charging {
            store: Arc::new(store.clone()),
            gateways: Gateways { toss: gateway.clone(), stripe: gateway.clone() },
            vault: Arc::new(OpenVault),
            clock: clock.clone(),
            random: Arc::new(Counted(AtomicU64::new(1))),
            hints: hints.clone(),
            allowance: Arc::new(Unpaced),
        };
        let world = World { store, gateway, clock, hints, queue: Queue::default(), charging };
        let writes = vec![Write::New(Record::Plan(starter()))];
        world.store.commit(&Commit { id: "seed".to_owned(), writes, events: Vec::new() }).await.unwrap();
        world
    }

    pub async fn context(&self) -> Context {
        Context { now: self.clock.now().await, actor: Actor::Operator("ops".to_owned()) }
    }

    pub fn wait(&self, time: SignedDuration) {
        self.clock.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn travel(&self, to: Timestamp) {
        self.clock.0.store(to.as_millisecond(), Ordering::SeqCst);
    }

    pub async fn apply(&self) -> RequestId {
        let form = Form {
            business_name: "봄날".to_owned(),
            business_number: None,
            category: None,
            region: None,
            contact: Contact {
                name: "김하나".to_owned(),
                email: "a@example.kr".to_owned(),
                phone: "010-1234-5678".to_owned(),
            },
            plan_code: "starter".to_owned(),
            addon_codes: vec!["sms".to_owned()],
            note: None,
            checklist: Vec::new(),
            consents: [true; 3],
        };
        let context = self.context().await;
        submit(&self.store, self.charging.random.as_ref(), &context, form, |_| Vec::new()).await.unwrap().id
    }

    pub async fn register(
        &self,
        id: &RequestId,
        auth_key: &str,
    ) -> Option<shared::usecase::charge_subscription::ChargeResult> {
        let application = typed::application(&self.store, id).await.unwrap().unwrap();
        let result = OwnedResult::Toss { auth_key: auth_key.to_owned(), customer_key: application.customer_key };
        let input = Input {
            gateway: GatewayName::Toss,
            result,
            holder_name: None,
            address: "127.0.0.1".to_owned(),
            per_address: 1_000,
        };
        let owner = Owner::Applicant(id.clone());
        register(&self.charging, &self.context().await, &owner, input, Duration::from_secs(5)).await.unwrap().charge
    }

    pub async fn approve(&self, id: &RequestId) -> Decided {
        let ruling = Ruling { id: id.clone(), verdict: Verdict::Approved, note: None, by: "ops".to_owned() };
        decide(&self.charging, &self.context().await, ruling, Duration::from_secs(5), Vec::new()).await.unwrap()
    }

    /// Applies, registers and is approved; the first payment goes as the script says.
    pub async fn onboard(&self) -> SubscriptionId {
        let id = self.apply().await;
        self.register(&id, &format!("auth-{id}")).await;
        self.approve(&id).await;
        id.subscription()
    }

    pub async fn subscription(&self, id: &SubscriptionId) -> Subscription {
        self.try_subscription(id).await.unwrap()
    }

    pub async fn try_subscription(&self, id: &SubscriptionId) -> Option<Subscription> {
        typed::subscription(&self.store, id).await.unwrap()
    }

    /// A tick, and runners until the queue is empty or every message is delayed beyond `patience`. Delays pass.
    pub async fn run(&self) {
        let now = self.clock.now().await;
        run_billing::tick(&self.store, &self.queue, self.charging.random.as_ref(), now, 1).await.unwrap();
        for _ in 0..50 {
            let Some((message, delay)) = self.queue.0.lock().unwrap().pop_front() else { return };
            self.wait(SignedDuration::try_from(delay).unwrap());
            self.runner().run(&message).await.unwrap();
        }
        panic!("the run does not come to rest");
    }

    pub fn runner(&self) -> Runner<'_> {
        let reserve = Duration::from_secs(80);
        let settings = Settings { window: None, toss_rate: 100_000, stripe_rate: 100_000, reserve, hold_factor: 0 };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(900);
        Runner { charging: &self.charging, shards: &self.queue, settings, deadline }
    }

    /// Captures in the gateway's ledger for one subscription, by cycle index.
    pub fn captured(&self, id: &SubscriptionId) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for (order, _) in self.gateway.ledger.lock().unwrap().iter() {
            let (billable, _) = domain::charge::Billable::parse_order_id(order).unwrap();
            if billable.subscription == *id {
                *counts.entry(billable.index).or_default() += 1;
            }
        }
        counts
    }
}

fn starter() -> Plan {
    let krw = domain::money::Money::krw;
    Plan {
        code: "starter".to_owned(),
        version: 1,
        name: "Starter".to_owned(),
        description: String::new(),
        price: krw(33_000),
        interval: domain::calendar::Interval::Month,
        addons: vec![Addon { code: "sms".to_owned(), name: "SMS".to_owned(), price: krw(11_000) }],
        on_sale: true,
        retry_days: vec![1, 3, 7],
    }
}
