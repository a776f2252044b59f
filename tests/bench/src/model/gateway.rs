//! A gateway in this process: approves every charge after a drawn latency, and keeps when each call arrived.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Answer, Capture, GatewayName, Lookup};
use shared::gateway::{
    CancelIntent, Charge, DeleteMethod, Find, Gateway, GatewayError, IntentCancelled, KeysUnavailable, OfPayment,
    OrderOf, Refund, RefundAnswer, RefundsListed, Register, Registered, SetUp, SetUpAnswer,
};
use tokio::time::Instant;

use crate::law::Law;
use crate::roles::gateway::Seen;

pub struct Modelled {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    law: Law,
    seen: Seen,
}

impl Modelled {
    pub fn new(law: Law) -> Modelled {
        Modelled { began: Instant::now(), state: Mutex::new(State { law, seen: Seen::default() }) }
    }

    /// What it saw, and from zero again.
    pub fn seen(&self) -> Seen {
        std::mem::take(&mut self.state.lock().expect("whole").seen)
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
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
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
