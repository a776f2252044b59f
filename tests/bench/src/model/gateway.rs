//! A gateway in this process: approves every charge after a drawn latency, and keeps when each call arrived. For a while
//! it may take fewer calls than it should, and turns the others away (429).

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, Capture, GatewayName, Heard, Lookup};
use shared::gateway::{
    CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, IntentCancelled, KeysUnavailable, OfPayment,
    OrderOf, RATE_LIMITED, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer,
};
use tokio::time::Instant;

use crate::law::Law;
use crate::roles::gateway::Seen;

pub struct Modelled {
    began: Instant,
    drop: Option<Drop>,
    state: Mutex<State>,
}

/// Fewer calls a second than agreed, between two instants of the run.
#[derive(Clone, Copy, Debug)]
pub struct Drop {
    pub from: Duration,
    pub to: Duration,
    pub rate: u32,
}

struct State {
    law: Law,
    seen: Seen,
    /// When the dropped rate has room for another call.
    free: Instant,
    refused: Vec<u64>,
}

impl Modelled {
    pub fn new(law: Law, drop: Option<Drop>) -> Modelled {
        let began = Instant::now();
        let state = State { law, seen: Seen::default(), free: began, refused: Vec::new() };
        Modelled { began, drop, state: Mutex::new(state) }
    }

    /// When calls were turned away, in microseconds since it began.
    pub fn refused(&self) -> Vec<u64> {
        self.state.lock().expect("whole").refused.clone()
    }

    /// Whether a call is turned away now.
    fn turns_away(&self, state: &mut State) -> bool {
        let (now, at) = (Instant::now(), self.began.elapsed());
        let Some(drop) = self.drop.filter(|drop| drop.from <= at && at < drop.to) else { return false };
        if state.free > now {
            state.refused.push(micros(at));
            return true;
        }
        // A tenth of a second's calls may come at once.
        let earliest = now.checked_sub(Duration::from_millis(100)).unwrap_or(now);
        state.free = state.free.max(earliest) + Duration::from_secs(1) / drop.rate;
        false
    }

    /// What it saw, and from zero again.
    pub fn seen(&self) -> Seen {
        std::mem::take(&mut self.state.lock().expect("whole").seen)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Gateway for Modelled {
    fn name(&self) -> GatewayName {
        GatewayName::Toss
    }

    async fn key_versions(&self) -> Result<Vec<String>, KeysUnavailable> {
        Ok(vec!["v1".to_owned()])
    }

    async fn charge(&self, charge: &Charge<'_>) -> Answer {
        let wait = {
            let mut state = self.state.lock().expect("whole");
            if self.turns_away(&mut state) {
                return Answer::Unknown { heard: Heard::Refusal, code: Some(RATE_LIMITED.to_owned()), intent: None };
            }
            let wait = state.law.draw();
            state.seen.arrivals.push(micros(self.began.elapsed()));
            state.seen.latencies.push(micros(wait));
            *state.seen.orders.entry(charge.order_id.to_owned()).or_default() += 1;
            wait
        };
        tokio::time::sleep(wait).await;
        Answer::Captured(Capture {
            order_id: charge.order_id.to_owned(),
            payment_id: format!("pay_{}", charge.order_id),
            charge_id: None,
            amount: charge.amount,
        })
    }

    /// Every capture is answered here, so only what was turned away is ever asked about.
    async fn find(&self, _: &Find<'_>) -> Lookup {
        if self.turns_away(&mut self.state.lock().expect("whole")) { Lookup::Failed } else { Lookup::NotFound }
    }

    async fn cancel_intent(&self, _: &CancelIntent<'_>) -> IntentCancelled {
        panic!("nothing here has an intent")
    }

    async fn set_up(&self, _: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        Err(GatewayError::Unknown)
    }

    async fn register(&self, _: &Register<'_>) -> Result<Registered, GatewayError> {
        Err(GatewayError::Unknown)
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

    async fn delete_method(&self, _: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        Err(GatewayError::Unknown)
    }
}
