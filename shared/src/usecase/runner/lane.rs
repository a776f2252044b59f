//! A runner's work at one gateway: takes what is due, oldest first, and keeps as much of it under way as the pace allows.
//!
//! Invariants: reading, claiming, calling and settling go on at the same time; nothing new begins once time is up, the
//! lease is lost, the gateway is stopped or refuses our configuration; what is under way is always heard out; when work
//! ends, everything begun has been sent, because the next runner continues after the last call the lease tells of.

use std::sync::Arc;
use std::time::Duration;

use domain::breaker::{Admission, Window};
use domain::charge::GatewayName;
use domain::event::Actor;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::feed::{Feed, Item};
use super::pacer::Ticket;
use super::step::{Moved, Ready, ready, step};
use super::{HORIZON, Share};
use crate::ports::Context;
use crate::store::StoreError;
use crate::usecase::allowance::Said;
use crate::usecase::{Charging, park, switch};

/// Somebody else probes: by then it is known what came of it.
const PROBED: SignedDuration = SignedDuration::from_secs(10);
/// How often an operator's pause is looked for.
const SWITCH_READ: Duration = Duration::from_secs(5);

/// Why a lane stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing moved in a whole pass; the first open attempt wakes then.
    Quiet { wakes: Option<Timestamp>, later_today: bool },
    /// Time is nearly up.
    Cut,
    /// The lease went to somebody else.
    Lost,
    /// The gateway refuses our configuration.
    Refused,
    /// The gateway is out until then, or paused by an operator.
    Stopped { until: Option<Timestamp> },
}

impl Stop {
    /// When there may be something to do again soon.
    pub(super) fn wakes(&self) -> Option<Timestamp> {
        match self {
            Stop::Quiet { wakes, .. } => *wakes,
            Stop::Stopped { until } => *until,
            Stop::Cut | Stop::Lost | Stop::Refused => None,
        }
    }

    /// Whether something due waits for what only a later tick may bring.
    pub(super) fn waits_for_tick(&self) -> bool {
        matches!(self, Stop::Refused | Stop::Quiet { later_today: true, .. })
    }
}

pub(super) struct Lane<'s> {
    share: &'s Share<'s>,
    gateway: GatewayName,
    flying: FuturesUnordered<BoxFuture<'s, Moved>>,
    window: Window,
    /// Something moved in this pass.
    moved: bool,
    rests: Option<Timestamp>,
    later_today: bool,
    refused: bool,
    outage: bool,
    switch_read: Option<Instant>,
}

impl<'s> Lane<'s> {
    pub(super) fn new(share: &'s Share<'s>, gateway: GatewayName) -> Self {
        Lane {
            share,
            gateway,
            flying: FuturesUnordered::new(),
            window: Window::default(),
            moved: false,
            rests: None,
            later_today: false,
            refused: false,
            outage: false,
            switch_read: None,
        }
    }

    /// Passes over what is due until one moves nothing, and sends out what was begun.
    ///
    /// # Errors
    /// When the store fails; what is under way is left for [`Lane::drain`].
    pub(super) async fn work(&mut self) -> Result<Stop, StoreError> {
        let stopped = self.passes().await;
        self.send_out().await;
        stopped
    }

    /// Waits until what was begun has had its turn. The rate loses nothing: these are its next calls, whoever sends them.
    async fn send_out(&mut self) {
        while !self.share.pacer.all_sent(self.gateway) {
            let moved = tokio::select! {
                biased;
                Some(moved) = self.flying.next(), if !self.flying.is_empty() => moved,
                () = self.share.pacer.moved(self.gateway) => continue,
            };
            self.count(moved);
        }
    }

    async fn passes(&mut self) -> Result<Stop, StoreError> {
        loop {
            (self.moved, self.rests, self.later_today) = (false, None, false);
            if let Some(stop) = self.pass().await? {
                return Ok(stop);
            }
            if !self.moved {
                return Ok(Stop::Quiet { wakes: self.rests, later_today: self.later_today });
            }
        }
    }

    /// Hears out what is under way.
    pub(super) async fn drain(&mut self) {
        while let Some(moved) = self.flying.next().await {
            self.count(moved);
        }
    }

    /// Everything due once, oldest first.
    async fn pass(&mut self) -> Result<Option<Stop>, StoreError> {
        let share = self.share;
        let now = share.now().await;
        // Open attempts that wake soon are part of the run.
        let until = now.saturating_add(HORIZON).unwrap_or(now);
        let mut feed = Feed::new(share.charging.store.as_ref(), self.gateway, share.message, until);
        loop {
            if let Some(stop) = self.stopped().await? {
                return Ok(Some(stop));
            }
            let Some(item) = self.read(&mut feed).await? else { break };
            self.room().await;
            if let Some(stop) = self.stopped().await? {
                return Ok(Some(stop));
            }
            self.begin(item).await;
        }
        while let Some(moved) = self.flying.next().await {
            self.count(moved);
        }
        self.stopped().await
    }

    /// Why nothing more may begin, if that is so.
    async fn stopped(&mut self) -> Result<Option<Stop>, StoreError> {
        if self.share.is_lost() {
            return Ok(Some(Stop::Lost));
        }
        if self.refused {
            tracing::error!(gateway = self.gateway.as_str(), "refuses our configuration; its share stops here");
            return Ok(Some(Stop::Refused));
        }
        if Instant::now() >= self.share.closes {
            return Ok(Some(Stop::Cut));
        }
        self.switched_off().await
    }

    /// Opens the breaker after an outage; looks for an operator's pause now and then, and probes a gateway that was out.
    async fn switched_off(&mut self) -> Result<Option<Stop>, StoreError> {
        let (gateway, now) = (self.gateway, self.share.now().await);
        let (store, random) = self.share.ports();
        for said in self.heard() {
            self.outage |= self.window.heard(said == Said::Outage);
        }
        if self.outage {
            (self.outage, self.switch_read) = (false, None);
            switch::trip(store, random, now, gateway).await?;
        }
        if self.switch_read.is_some_and(|at| at.elapsed() < SWITCH_READ) {
            return Ok(None);
        }
        match switch::read(store, gateway).await?.admits(now) {
            Admission::Flows => {
                self.switch_read = Some(Instant::now());
                Ok(None)
            }
            Admission::Stopped { until } => Ok(Some(Stop::Stopped { until })),
            Admission::Probe => self.probe().await,
        }
    }

    /// Lets one piece of work through and goes by what it says. One at a time, whoever else would.
    async fn probe(&mut self) -> Result<Option<Stop>, StoreError> {
        let (share, gateway) = (self.share, self.gateway);
        let (store, random) = share.ports();
        let now = share.now().await;
        if !switch::take_probe(store, random, now, gateway).await? {
            return Ok(Some(Stop::Stopped { until: Some(now.saturating_add(PROBED).unwrap_or(now)) }));
        }
        self.drain().await;
        let _ = self.heard();
        let until = now.saturating_add(HORIZON).unwrap_or(now);
        let mut feed = Feed::new(store, gateway, share.message, until);
        while let Some(item) = feed.next().await? {
            self.begin(item).await;
            self.drain().await;
            let said = self.heard();
            let now = share.now().await;
            if said.iter().any(|s| matches!(s, Said::Answered | Said::Slower)) {
                switch::recover(store, random, now, gateway).await?;
                self.switch_read = Some(Instant::now());
                return Ok(None);
            }
            if !said.is_empty() {
                let open = switch::probe_failed(store, random, now, gateway).await?.open;
                return Ok(Some(Stop::Stopped { until: open.map(|o| o.probe_at) }));
            }
        }
        // Nothing is due that would have called the gateway: whoever comes next may probe.
        switch::probe_unused(store, random, share.now().await, gateway).await?;
        Ok(Some(Stop::Stopped { until: None }))
    }

    /// The next due item, while what is under way goes on.
    async fn read(&mut self, feed: &mut Feed<'_>) -> Result<Option<Item>, StoreError> {
        let mut next = std::pin::pin!(feed.next());
        loop {
            let moved = tokio::select! {
                biased;
                item = &mut next => return item,
                Some(moved) = self.flying.next(), if !self.flying.is_empty() => moved,
            };
            self.count(moved);
        }
    }

    /// Waits until another piece of work may begin, or time is up.
    async fn room(&mut self) {
        let (pacer, closes) = (&self.share.pacer, self.share.closes);
        while !pacer.has_room(self.gateway, self.flying.len()) {
            let moved = tokio::select! {
                biased;
                Some(moved) = self.flying.next(), if !self.flying.is_empty() => moved,
                () = pacer.moved(self.gateway) => continue,
                () = tokio::time::sleep_until(closes) => return,
            };
            self.count(moved);
        }
    }

    async fn begin(&mut self, item: Item) {
        let share = self.share;
        let now = share.now().await;
        match ready(share, &item.subscription, now) {
            Ready::Never => {}
            Ready::At(until) => self.rests = Some(self.rests.map_or(until, |r| r.min(until))),
            Ready::LaterToday => self.later_today = true,
            Ready::Now(due) => {
                let allowance = Arc::new(Ticket::new(&share.pacer, self.gateway));
                let charging = Charging { allowance, ..share.charging.clone() };
                self.flying.push(async move { step(&charging, item, due, now).await }.boxed());
            }
            Ready::Broken => {
                let context = Context { now, actor: Actor::System("billing_run".to_owned()) };
                let id = item.subscription.id;
                tracing::error!(subscription = id.as_str(), "parked: its dates are out of range");
                if let Ok(true) = park::park(&share.charging, &context, &id, "out_of_range").await {
                    self.count(Moved::Stepped);
                }
            }
        }
    }

    fn count(&mut self, moved: Moved) {
        {
            let mut tally = self.share.tally.lock();
            match moved {
                Moved::Charged => tally.charged = tally.charged.saturating_add(1),
                Moved::Declined => tally.declined = tally.declined.saturating_add(1),
                Moved::Unknown => tally.unknown = tally.unknown.saturating_add(1),
                Moved::Rests(until) => self.rests = Some(self.rests.map_or(until, |r| r.min(until))),
                Moved::Misconfigured => self.refused = true,
                Moved::Stepped | Moved::Idle => {}
            }
        }
        self.moved |= matches!(moved, Moved::Charged | Moved::Declined | Moved::Unknown | Moved::Stepped);
    }

    fn heard(&self) -> Vec<Said> {
        self.share.pacer.said(self.gateway)
    }
}
