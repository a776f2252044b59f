//! A gateway in this process: approves every charge after a drawn latency, and keeps when each call arrived.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, Capture, GatewayName, Lookup};
use shared::gateway::{
    CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, IntentCancelled, KeysUnavailable, Refund,
    RefundAnswer, Register, Registered, SetUp, SetUpAnswer,
};
use tokio::time::Instant;

use crate::law::Law;

pub struct Modelled {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    law: Law,
    /// Microseconds since it began.
    arrivals: Vec<u64>,
    orders: HashMap<String, u32>,
    /// When the last answer would have come had call n been sent at n/rate: a sender that never waits.
    drawn: Vec<Duration>,
}

impl Modelled {
    pub fn new(law: Law) -> Modelled {
        let state = State { law, arrivals: Vec::new(), orders: HashMap::new(), drawn: Vec::new() };
        Modelled { began: Instant::now(), state: Mutex::new(state) }
    }

    pub fn arrivals(&self) -> Vec<u64> {
        self.state.lock().expect("whole").arrivals.clone()
    }

    /// Whether each of `charges` orders was captured exactly once.
    pub fn each_once(&self, charges: u64) -> bool {
        let state = self.state.lock().expect("whole");
        u64::try_from(state.orders.len()).is_ok_and(|n| n == charges) && state.orders.values().all(|n| *n == 1)
    }

    /// Until the last answer, if the same calls with the same latencies had left exactly `rate` per second.
    pub fn perfect(&self, rate: u32) -> Duration {
        let state = self.state.lock().expect("whole");
        let at = |n: usize| Duration::from_secs(u64::try_from(n).unwrap_or(0)) / rate;
        state.drawn.iter().enumerate().map(|(n, took)| at(n) + *took).max().unwrap_or_default()
    }
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
            let wait = state.law.draw();
            state.arrivals.push(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
            *state.orders.entry(charge.order_id.to_owned()).or_default() += 1;
            state.drawn.push(wait);
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

    async fn find(&self, _: &Find<'_>) -> Lookup {
        panic!("nothing here is ever unknown")
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
        RefundAnswer::Unknown { code: None }
    }

    async fn delete_method(&self, _: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        Err(GatewayError::Unknown)
    }
}
