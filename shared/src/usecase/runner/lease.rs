//! The lease of a runner's share. It saves work; it is not what keeps charges single (claims are), so losing it is
//! harmless.
//!
//! Invariants: it is short and renewed while the runner lives, so that a dead runner delays its successor by a minute at
//! most; it carries when the last calls were sent, so that a successor keeps the account's rate; it names its holder, so
//! that one whose write was applied and not heard of still gives it back.

use std::time::Duration;

use domain::charge::GatewayName;
use domain::ids::RunId;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::pacer::Pacer;
use crate::store::{Commit, Control, Record, StoreError, Write, typed};
use crate::usecase::{Charging, stamp};

/// How long a lease lasts unless it is renewed.
const LASTS: Duration = Duration::from_secs(60);
/// How often it is renewed.
pub(super) const RENEWED: Duration = Duration::from_secs(20);

/// A held lease.
pub(super) struct Lease {
    row: Control,
}

/// What asking for a lease came to.
pub(super) enum Asked {
    Taken(Lease),
    /// Somebody holds it, for this run if the holder said so.
    Held {
        for_run: Option<String>,
    },
}

fn name(shard: u32) -> String {
    format!("runner#{shard}")
}

/// Takes the lease of a share for a run.
///
/// # Errors
/// When the store fails.
pub(super) async fn acquire(charging: &Charging, shard: u32, run: &RunId) -> Result<Asked, StoreError> {
    let now = charging.clock.now().await;
    let row = typed::control(charging.store.as_ref(), &name(shard)).await?;
    let field = |name: &str| row.as_ref().and_then(|r| r.value.get(name)).cloned();
    if field("until").and_then(|u| u.as_i64()).unwrap_or(0) > now.as_millisecond() {
        return Ok(Asked::Held { for_run: field("run").and_then(|r| r.as_str().map(str::to_owned)) });
    }
    let holder = stamp::token(charging.random.as_ref());
    let value = json!({ "until": until(now), "run": run.as_str(), "holder": holder, "sent": field("sent") });
    let version = row.as_ref().map(|r| r.version);
    match write(charging, Control { name: name(shard), value, version: version.unwrap_or(0) }, version.is_none()).await
    {
        Ok(row) => Ok(Asked::Taken(Lease { row })),
        Err(StoreError::Conflict { .. }) => Ok(Asked::Held { for_run: None }),
        Err(e) => Err(e),
    }
}

impl Lease {
    /// Tells the pace when the share's last calls were sent.
    pub(super) fn hand_over(&self, pacer: &Pacer, now: Timestamp) {
        for gateway in GatewayName::ALL {
            let sent = self.row.value.get("sent").and_then(|s| s.get(gateway.as_str())).and_then(Value::as_i64);
            if let Some(sent) = sent {
                let ago = now.as_millisecond().saturating_sub(sent);
                pacer.continue_after(gateway, SignedDuration::from_millis(ago));
            }
        }
    }

    /// Keeps the lease for another while.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else has it; or the store fails.
    pub(super) async fn renew(&mut self, charging: &Charging, pacer: &Pacer) -> Result<(), StoreError> {
        let now = charging.clock.now().await;
        self.write(charging, pacer, now, until(now)).await
    }

    /// Gives the lease back, with the time of the last calls. If it was lost meanwhile there is nothing to give.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn release(&mut self, charging: &Charging, pacer: &Pacer) -> Result<(), StoreError> {
        let now = charging.clock.now().await;
        for _ in 0..2 {
            match self.write(charging, pacer, now, 0).await {
                // A renewal cut off by the end of the work may have been applied: then it is still ours.
                Err(StoreError::Conflict { .. }) => {}
                other => return other,
            }
            let row = typed::control(charging.store.as_ref(), &self.row.name).await?;
            match row.filter(|r| r.value.get("holder") == self.row.value.get("holder")) {
                Some(row) => self.row = row,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    async fn write(
        &mut self,
        charging: &Charging,
        pacer: &Pacer,
        now: Timestamp,
        until: i64,
    ) -> Result<(), StoreError> {
        let mut value = self.row.value.clone();
        value["until"] = json!(until);
        for gateway in GatewayName::ALL {
            if let Some(ago) = pacer.last_sent(gateway) {
                // Rounded to later: a millisecond too early would be one call too many.
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX).saturating_sub(1);
                value["sent"][gateway.as_str()] = json!(now.as_millisecond().saturating_sub(ago));
            }
        }
        self.row = write(charging, Control { value, ..self.row.clone() }, false).await?;
        Ok(())
    }
}

async fn write(charging: &Charging, row: Control, new: bool) -> Result<Control, StoreError> {
    let record = Record::Control(row.clone());
    let write = if new { Write::New(record) } else { Write::Replace(record) };
    let commit = Commit { id: stamp::token(charging.random.as_ref()), writes: vec![write], events: Vec::new() };
    charging.store.commit(&commit).await?;
    Ok(Control { version: row.version.saturating_add(1), ..row })
}

/// The end of a lease taken now, in milliseconds.
fn until(now: Timestamp) -> i64 {
    let lasts = SignedDuration::try_from(LASTS).unwrap_or(SignedDuration::ZERO);
    now.saturating_add(lasts).unwrap_or(now).as_millisecond()
}
