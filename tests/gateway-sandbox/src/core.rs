//! What both wires share: clock, ledger, faults, card behaviours, webhook delivery and the persisted state.
//!
//! Invariants: every lock is held only between two awaits, never across one, and a wire's state is locked before
//! the core's; the clock never goes back; webhook delivery never blocks the request that caused it.
mod behaviours;
mod clock;
mod courier;
mod faults;
mod ledger;
mod persistence;
mod webhooks;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

pub use clock::Clock;
pub use courier::stripe_signature;
pub use faults::{Armed, Fault, FaultKind, Operation, Outage, under_fault};
pub use ledger::{Kind, LedgerEntry};
pub use webhooks::{Attempt, Delivery, Endpoint, Order, Record, Replay, Signing, Stage};

use crate::{stripe::StripeState, toss::TossState};

/// Webhook posts in flight at once; more wait their turn.
const COURIERS: usize = 32;

/// Which wire an effect, fault or webhook belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gateway {
    Toss,
    Stripe,
}

/// The part of the core that is written to the state file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CoreState {
    clock: Clock,
    ledger: Vec<LedgerEntry>,
    faults: Vec<Armed>,
    behaviours: behaviours::Behaviours,
    webhooks: webhooks::Webhooks,
    /// What was posted to the chat, oldest first.
    chat: Vec<serde_json::Value>,
}

impl CoreState {
    /// For code that already holds the lock.
    fn clock_now(&self) -> jiff::Timestamp {
        self.clock.read()
    }
}

/// Shared by both wires and by the `/__sandbox` side.
pub struct Core {
    state: Mutex<CoreState>,
    /// The Toss wire's objects.
    pub toss: Mutex<TossState>,
    /// The Stripe wire's objects.
    pub stripe: Mutex<StripeState>,
    client: reqwest::Client,
    /// Webhook retry delays are divided by this (1 = the gateways' own schedule).
    retry_speed: u32,
    couriers: Semaphore,
    closing: watch::Sender<bool>,
}

impl Core {
    /// An empty sandbox. Errors only if no HTTP client can be built.
    pub fn new(retry_speed: u32) -> std::io::Result<Arc<Self>> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(webhooks::PATIENCE)
            .timeout(webhooks::PATIENCE)
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Arc::new(Self {
            state: Mutex::default(),
            toss: Mutex::default(),
            stripe: Mutex::default(),
            client,
            retry_speed: retry_speed.max(1),
            couriers: Semaphore::new(COURIERS),
            closing: watch::Sender::new(false),
        }))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, CoreState> {
        lock(&self.state)
    }

    /// `length` characters of `[0-9A-Za-z]` for ids that a gateway would make up.
    pub fn token(&self, length: usize) -> String {
        rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect()
    }

    /// Keeps a chat message.
    pub fn chatted(&self, message: serde_json::Value) {
        self.state().chat.push(message);
    }

    /// Every chat message, oldest first.
    pub fn chat(&self) -> Vec<serde_json::Value> {
        self.state().chat.clone()
    }

    /// Forgets payments, cards, faults, behaviours, webhooks and the ledger. The clock (it never goes back) and the
    /// webhook endpoints stay.
    pub fn reset(&self) {
        {
            let mut state = self.state();
            let clock = std::mem::take(&mut state.clock);
            let endpoints = state.webhooks.take_endpoints();
            *state = CoreState { clock, webhooks: webhooks::Webhooks::with(endpoints), ..CoreState::default() };
        }
        *lock(&self.toss) = TossState::default();
        *lock(&self.stripe) = StripeState::default();
    }

    /// Tells webhook couriers to stop; what they had not delivered stays pending in the state file.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // An error means the sender is gone, which is the same news.
        let _ = closing.wait_for(|closed| *closed).await;
    }
}

/// Locks; a panic elsewhere while holding the lock does not take the sandbox down with it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
