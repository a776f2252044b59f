//! What goes wrong, how often, and when: drawn from the seed. Single faults come by chance, each kind with its own
//! strength in every seed, so that seeds differ in character; outages are stretches of time fixed at the beginning.
//!
//! Invariant: in the calm at the end nothing goes wrong any more, and every fault that was made is counted.

use domain::charge::GatewayName;

use crate::clock::{DAY, HOUR, MINUTE, SECOND};
use crate::rng::Rng;

macro_rules! kinds {
    ($($kind:ident $chance:literal $name:literal),+ $(,)?) => {
        /// A kind of fault, or of trouble made by people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($kind),+ }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind),+];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),+ }
            }

            /// How often in ten thousand chances, in a seed of ordinary strength. 0: not by chance.
            fn chance(self) -> u32 {
                match self { $(Kind::$kind => $chance),+ }
            }
        }
    };
}

kinds! {
    RequestLost 120 "charge request lost",
    RequestStuck 80 "charge request delivered minutes late",
    AnswerLost 150 "charge answer lost after the effect",
    LateEffect 100 "charge takes effect minutes later",
    Limited 100 "429 to a charge",
    ErrorBefore 80 "5xx, no effect, stored under the key",
    ErrorAfter 80 "5xx after the effect, stored under the key",
    ErrorThenEffect 80 "5xx at once, the effect minutes later",
    ErrorUnstored 100 "5xx not stored under the key",
    Refusal 80 "unlisted 4xx",
    WrongAmount 15 "gateway takes another amount than asked",
    Misconfigured 50 "our API key refused",
    KeyRefusedOnce 40 "our API key refused to one request",
    AnswerHeld 300 "process frozen with a refusal in hand until another sends again",
    GatewayOutageMinutes 150 "gateway outage of minutes",
    GatewayOutageHours 0 "gateway outage of hours",
    GatewayOutageDays 0 "gateway outage of days",
    KeyExpired 0 "idempotency key expired under an open attempt",
    LookupFailed 300 "look-up failed",
    LookupBehind 100 "look-up does not see the newest payment yet",
    SoftDecline 0 "soft decline",
    HardDecline 0 "hard decline",
    AuthDecline 0 "payer must authenticate",
    PayerCompletes 1_500 "payer completes a declined payment",
    HookEarly 0 "webhook before the answer",
    HookTwice 800 "webhook duplicated",
    HookOvertaken 800 "webhook overtaken by a later one",
    HookDropped 500 "webhook dropped",
    HookDays 300 "webhook days late",
    MessageTwice 500 "queue message duplicated",
    MessageLate 500 "queue message delayed and overtaken",
    MessageLost 200 "queue message lost",
    MessageAgain 200 "queue message delivered again after it was done",
    TickTwice 500 "tick fired twice",
    TicksStopped 0 "ticks stopped for hours or days",
    Killed 150 "process killed at an await",
    Frozen 150 "process frozen past its lease and thawed",
    OldCode 300 "process of the previous version",
    Skewed 200 "process with a wrong clock",
    StoreConflict 40 "store conflict",
    StoreUnavailable 40 "store throttled",
    StoreAnswerLost 40 "store write applied, answer lost",
    StoreOutage 100 "store outage",
    IndexBehind 100 "due index behind its table",
    RecordBehind 50 "due page shows an older record",
    VaultClosed 20 "data keys unavailable",
    KeysUnavailable 20 "API keys unavailable",
    SecretRotated 0 "API key rotated",
    CardRemoved 0 "card removed at the gateway",
    CardReplaced 0 "card replaced",
    CardReplacedInDunning 0 "card replaced in dunning",
    CardReplacedInFlight 0 "card replaced with an attempt in flight",
    GatewayChanged 0 "card of another gateway",
    CardChanged 0 "another stored card chosen",
    ManualRetry 0 "manual retry",
    Cancelled 0 "cancelled at once",
    CancelledLater 0 "cancelled for the period's end",
    GatewayPaused 0 "gateway paused by an operator",
}

impl Kind {
    /// The strongest it gets. A runner's message begets another as long as its run has something to wait for, so
    /// duplicates of those multiply; and a runner makes a hundred reads, so that none would ever come to its end.
    fn most(self) -> u32 {
        match self {
            Kind::MessageTwice | Kind::MessageAgain => 100,
            Kind::StoreUnavailable => 80,
            _ => 4_000,
        }
    }
}

/// How a gateway that is down behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// Nobody listens: refused at once.
    Refuses,
    /// Requests vanish.
    Silent,
    /// The edge answers 5xx; nothing is executed or stored.
    Errors,
    /// Our API key is refused.
    RefusesKeys,
}

#[derive(Clone, Copy, Debug)]
struct Stretch<T> {
    from: i64,
    to: i64,
    what: T,
    kind: Kind,
}

pub struct Weather {
    chances: Vec<u32>,
    gateways: Vec<Stretch<(GatewayName, Down)>>,
    stores: Vec<Stretch<()>>,
    ticks: Vec<Stretch<()>>,
    counts: Vec<u64>,
    /// From then on nothing goes wrong.
    pub calm_from: i64,
}

impl Weather {
    /// No fault at all.
    #[must_use]
    pub fn fair() -> Weather {
        Weather {
            chances: vec![0; Kind::ALL.len()],
            gateways: Vec::new(),
            stores: Vec::new(),
            ticks: Vec::new(),
            counts: vec![0; Kind::ALL.len()],
            calm_from: i64::MAX,
        }
    }

    /// The weather of a seed, until `calm_from`.
    #[must_use]
    pub fn drawn(rng: &Rng, calm_from: i64) -> Weather {
        let mut weather = Weather { calm_from, ..Weather::fair() };
        // Swarm: most seeds concentrate on some kinds and leave others out.
        let strength = *rng.pick(&[1u32, 1, 2, 4]);
        for (at, kind) in Kind::ALL.iter().enumerate() {
            let factor = *rng.pick(&[0u32, 1, 1, 1, 3, 8]);
            weather.chances[at] = (kind.chance() * factor * strength).min(kind.most());
        }
        weather.gateway_outages(rng);
        weather.other_outages(rng);
        weather
    }

    fn gateway_outages(&mut self, rng: &Rng) {
        let end = self.calm_from;
        for gateway in GatewayName::ALL {
            let mut add = |kind, low, high, how: &[Down]| {
                let from = rng.range(0, end);
                let what = (gateway, *rng.pick(how));
                self.gateways.push(Stretch { from, to: from + rng.range(low, high), what, kind });
            };
            let dead = [Down::Refuses, Down::Silent, Down::Errors];
            for _ in 0..rng.below(3) {
                add(Kind::GatewayOutageHours, HOUR, DAY, &dead);
            }
            if rng.chance(2_500) {
                add(Kind::GatewayOutageDays, DAY, 4 * DAY, &dead);
            }
            if rng.chance(200) {
                // Longer than any idempotency key lives.
                add(Kind::GatewayOutageDays, 16 * DAY, 20 * DAY, &dead);
            }
        }
    }

    fn other_outages(&mut self, rng: &Rng) {
        let end = self.calm_from;
        for _ in 0..rng.below(3) {
            let from = rng.range(0, end);
            let to = from + rng.range(2 * HOUR, 3 * DAY);
            self.ticks.push(Stretch { from, to, what: (), kind: Kind::TicksStopped });
        }
        if rng.chance(300) {
            let from = rng.range(0, end / 2);
            let to = from + rng.range(10 * DAY, 35 * DAY);
            self.ticks.push(Stretch { from, to, what: (), kind: Kind::TicksStopped });
        }
    }

    /// Something is about to be charged: a good moment for an outage to begin, because a quiet one would hit nobody.
    pub fn gather(&mut self, now: i64, rng: &Rng) {
        if now >= self.calm_from {
            return;
        }
        let soon = now + rng.range(0, MINUTE);
        if rng.chance(self.chances[index(Kind::StoreOutage)]) {
            let to = soon + rng.range(5 * SECOND, 10 * MINUTE);
            self.stores.push(Stretch { from: soon, to, what: (), kind: Kind::StoreOutage });
        }
        if rng.chance(self.chances[index(Kind::GatewayOutageMinutes)]) {
            let what = (*rng.pick(&GatewayName::ALL), *rng.pick(&[Down::Refuses, Down::Silent, Down::Errors]));
            let to = soon + rng.range(10 * SECOND, HOUR);
            self.gateways.push(Stretch { from: soon, to, what, kind: Kind::GatewayOutageMinutes });
        }
        if rng.chance(self.chances[index(Kind::Misconfigured)]) {
            let what = (*rng.pick(&GatewayName::ALL), Down::RefusesKeys);
            let to = soon + rng.range(MINUTE, 6 * HOUR);
            self.gateways.push(Stretch { from: soon, to, what, kind: Kind::Misconfigured });
        }
    }

    /// No ticks in this stretch: the outage drill.
    pub fn stop_ticks(&mut self, from: i64, to: i64) {
        self.ticks.push(Stretch { from, to, what: (), kind: Kind::TicksStopped });
    }

    /// Whether this fault strikes now. It counts when it does.
    pub fn strikes(&mut self, kind: Kind, now: i64, rng: &Rng) -> bool {
        let struck = self.likely(kind, now, rng);
        if struck {
            self.counts[index(kind)] += 1;
        }
        struck
    }

    /// The same without counting.
    #[must_use]
    pub fn likely(&self, kind: Kind, now: i64, rng: &Rng) -> bool {
        now < self.calm_from && rng.chance(self.chances[index(kind)])
    }

    pub fn count(&mut self, kind: Kind) {
        self.counts[index(kind)] += 1;
    }

    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How a gateway is down now, if it is. Counts a refused request.
    pub fn down(&mut self, gateway: GatewayName, now: i64) -> Option<Down> {
        let hit = self.gateways.iter().find(|s| s.what.0 == gateway && covers(s, now, self.calm_from)).copied()?;
        self.count(hit.kind);
        Some(hit.what.1)
    }

    /// Whether the store is away now.
    pub fn store_away(&mut self, now: i64) -> bool {
        let hit = self.stores.iter().find(|s| covers(s, now, self.calm_from)).map(|s| s.kind);
        hit.into_iter().for_each(|kind| self.count(kind));
        hit.is_some()
    }

    /// The end of the stretch without ticks that `now` is in.
    pub fn no_ticks_until(&mut self, now: i64) -> Option<i64> {
        let ends = self.ticks.iter().filter(|s| covers(s, now, self.calm_from)).map(|s| s.to.min(self.calm_from));
        let end = ends.max();
        end.into_iter().for_each(|_| self.count(Kind::TicksStopped));
        end
    }
}

fn covers<T>(stretch: &Stretch<T>, now: i64, calm_from: i64) -> bool {
    stretch.from <= now && now < stretch.to.min(calm_from)
}

fn index(kind: Kind) -> usize {
    // The enum's numbers are the order of `ALL`.
    kind as usize
}
