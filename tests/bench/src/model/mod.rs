//! The world in one process on a clock that jumps to the next timer, so that a thousand seconds of a run take few. The
//! runner is the product's own; the store, the gateway and the queue around it are models with stated latencies.

pub mod gateway;
pub mod lean;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use domain::ids::SubscriptionId;
use domain::method::Sealed;
use domain::settle::Hint;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use shared::gateway::{Gateway, Gateways};
use shared::ports::{Clock, Hints, Random, Vault, VaultError};
use shared::store::Store;
use shared::usecase::Charging;
use shared::usecase::allowance::Unpaced;
use tokio::time::Instant;

/// Billing time that runs with the runtime's clock.
struct Running {
    from: Timestamp,
    since: Instant,
}

#[async_trait]
impl Clock for Running {
    async fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).expect("in range");
        let now = self.from + passed;
        Timestamp::from_millisecond(now.as_millisecond()).expect("in range")
    }
}

struct Counted(AtomicU64);

impl Random for Counted {
    fn bits(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }
}

struct Open;

#[async_trait]
impl Vault for Open {
    async fn seal(&self, plain: &str, _: &str) -> Result<Sealed, VaultError> {
        Ok(Sealed { kid: "k".to_owned(), data: plain.to_owned() })
    }

    async fn open(&self, sealed: &Sealed, _: &str) -> Result<SecretString, VaultError> {
        Ok(SecretString::from(sealed.data.clone()))
    }
}

struct Nowhere;

#[async_trait]
impl Hints for Nowhere {
    async fn send(&self, _: &SubscriptionId, _: &str, _: Hint) {}

    async fn idle(&self) -> bool {
        true
    }
}

/// When every modelled run begins.
pub fn begin() -> Timestamp {
    "2026-12-01T01:00:00Z".parse().expect("an instant")
}

/// The product's ports over models.
pub fn charging(store: Arc<dyn Store>, gateway: Arc<dyn Gateway>) -> Charging {
    Charging {
        store,
        gateways: Gateways { toss: gateway.clone(), stripe: gateway },
        vault: Arc::new(Open),
        clock: Arc::new(Running { from: begin(), since: Instant::now() }),
        random: Arc::new(Counted(AtomicU64::new(1))),
        hints: Arc::new(Nowhere),
        allowance: Arc::new(Unpaced),
    }
}

/// Runs `work` on a runtime of its own whose clock jumps.
pub async fn jumping<T: Send + 'static>(work: impl FnOnce(&tokio::runtime::Runtime) -> T + Send + 'static) -> T {
    let on_its_own = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        work(&runtime.expect("a runtime"))
    };
    tokio::task::spawn_blocking(on_its_own).await.expect("it ends")
}
