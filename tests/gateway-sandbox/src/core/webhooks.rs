//! What webhooks were sent, to where, and how they were received. The sending itself is in `courier`.
use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Core, Gateway, courier};

/// How long a receiver may take before the post counts as failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Records kept for listing and replay; the oldest leave first.
const KEPT: usize = 20_000;
/// Most posts one replay call makes.
const REPLAYED: usize = 5_000;

/// How a delivery proves where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// Transmission headers only; nothing is signed.
    Toss,
    /// `Stripe-Signature`, made anew for each post.
    Stripe,
}

/// An event to send.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub gateway: Gateway,
    /// For choosing what to replay; Stripe: the metadata order id.
    pub order_id: Option<String>,
    pub event_type: String,
    /// JSON, sent as these exact bytes.
    pub body: Vec<u8>,
    pub sign: Signing,
}

/// Where a gateway's events go. One per gateway.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    pub gateway: Gateway,
    pub url: String,
    /// Stripe's `whsec_…`.
    #[serde(default)]
    pub secret: Option<String>,
    /// During a roll each post carries a second signature with this one.
    #[serde(default)]
    pub previous_secret: Option<String>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Being sent, or waiting for its next try.
    Pending,
    Delivered,
    /// Out of tries.
    Failed,
    /// Nobody was listening when it happened; a replay can still send it.
    NoEndpoint,
}

/// One post of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// By the sandbox's clock.
    pub at: Timestamp,
    /// What the receiver answered; none if it could not be reached in time.
    pub status: Option<u16>,
    /// Made by a replay, outside the retry schedule.
    pub replay: bool,
}

/// An event and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Counts up; also the order of events.
    pub id: u64,
    /// Toss's transmission id, equal for all posts of one event.
    pub transmission_id: String,
    pub gateway: Gateway,
    pub order_id: Option<String>,
    pub event_type: String,
    pub body: String,
    pub sign: Signing,
    pub at: Timestamp,
    pub stage: Stage,
    pub attempts: Vec<Attempt>,
}

impl Record {
    /// Scheduled tries so far.
    pub(super) fn tries(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.replay).count()
    }
}

/// In which order a replay sends what it chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Same,
    Reversed,
    Shuffled,
}

/// Deliver again: events of one order, or all.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replay {
    #[serde(default)]
    pub order_id: Option<String>,
    #[serde(default)]
    pub order: Order,
    #[serde(default = "once")]
    pub times: usize,
    /// Sign with a secret the receiver does not know (Stripe).
    #[serde(default)]
    pub wrong_signature: bool,
}

fn once() -> usize {
    1
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Webhooks {
    endpoints: Vec<Endpoint>,
    records: VecDeque<Record>,
    sent: u64,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Webhooks {
    pub(super) fn with(endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints, ..Self::default() }
    }

    pub(super) fn take_endpoints(&mut self) -> Vec<Endpoint> {
        std::mem::take(&mut self.endpoints)
    }

    pub(super) fn endpoint(&self, gateway: Gateway) -> Option<Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.gateway == gateway).cloned()
    }

    pub(super) fn record(&self, id: u64) -> Option<&Record> {
        let index = self.records.binary_search_by_key(&id, |record| record.id).ok()?;
        self.records.get(index)
    }

    pub(super) fn record_mut(&mut self, id: u64) -> Option<&mut Record> {
        let index = self.records.binary_search_by_key(&id, |record| record.id).ok()?;
        self.records.get_mut(index)
    }

    fn pending(&self) -> Vec<u64> {
        self.records.iter().filter(|record| record.stage == Stage::Pending).map(|record| record.id).collect()
    }

    /// Ids of what a replay sends, in its order.
    fn chosen(&self, replay: &Replay) -> Vec<u64> {
        let wanted = |record: &&Record| replay.order_id.is_none() || record.order_id == replay.order_id;
        let mut once: Vec<u64> = self.records.iter().filter(wanted).map(|record| record.id).collect();
        if replay.order == Order::Reversed {
            once.reverse();
        }
        let mut all = Vec::new();
        for _ in 0..replay.times {
            if replay.order == Order::Shuffled {
                once.shuffle(&mut rand::rng());
            }
            all.extend(once.iter().copied().take(REPLAYED.saturating_sub(all.len())));
        }
        all
    }
}

impl Core {
    /// From now on `endpoint.gateway`'s events go there.
    pub fn set_endpoint(&self, endpoint: Endpoint) {
        let mut state = self.state();
        state.webhooks.endpoints.retain(|old| old.gateway != endpoint.gateway);
        state.webhooks.endpoints.push(endpoint);
    }

    /// Sends an event in the background, with the gateway's retries. Returns its record's id.
    pub fn deliver(self: &Arc<Self>, delivery: Delivery) -> u64 {
        let transmission_id = format!("whtrans_a01{}", self.token(24).to_lowercase());
        let (id, stage) = {
            let mut state = self.state();
            let at = state.clock_now();
            let webhooks = &mut state.webhooks;
            webhooks.sent += 1;
            let id = webhooks.sent;
            let heard = webhooks.endpoint(delivery.gateway).is_some();
            let stage = if heard { Stage::Pending } else { Stage::NoEndpoint };
            webhooks.records.push_back(Record {
                id,
                transmission_id,
                gateway: delivery.gateway,
                order_id: delivery.order_id,
                event_type: delivery.event_type,
                body: String::from_utf8_lossy(&delivery.body).into_owned(),
                sign: delivery.sign,
                at,
                stage,
                attempts: Vec::new(),
            });
            while webhooks.records.len() > KEPT {
                webhooks.records.pop_front();
            }
            (id, stage)
        };
        if stage == Stage::Pending {
            tokio::spawn(courier::carry(Arc::clone(self), id));
        }
        id
    }

    /// Takes up deliveries that were pending when the state was saved.
    pub(crate) fn resume_deliveries(self: &Arc<Self>) {
        let pending = self.state().webhooks.pending();
        for id in pending {
            tokio::spawn(courier::carry(Arc::clone(self), id));
        }
    }

    /// All kept deliveries, oldest first.
    pub fn deliveries(&self) -> Vec<Record> {
        self.state().webhooks.records.iter().cloned().collect()
    }

    /// Delivers again, one after the other, and returns the receiver's status for each (none: not reached).
    pub async fn replay(self: &Arc<Self>, replay: &Replay) -> Vec<(u64, Option<u16>)> {
        let chosen = self.state().webhooks.chosen(replay);
        let mut answers = Vec::with_capacity(chosen.len());
        for id in chosen {
            answers.push((id, courier::post_again(self, id, replay.wrong_signature).await));
        }
        answers
    }
}
