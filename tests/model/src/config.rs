//! What is checked: where the subscription stands at the beginning, what the gateway may do, how much trouble may come.

use domain::calendar::Interval;
use domain::charge::{Answer, Capture, GatewayName, Trigger};
use domain::ids::{MethodId, RequestId, ulid};
use domain::money::Money;
use domain::plan::{Line, PlanSnapshot, RETRY_DAYS};
use domain::settle::{Report, Settlement, settle};
use domain::subscription::{Claim, Status, Subscription};
use jiff::{SignedDuration, Timestamp};

use crate::gateway::Effect;
use crate::state::Left;

const PRICE: i64 = 33_000;
/// A claim lasts this long: the gateway's time-out and the margin of `usecase::charge_subscription`.
pub const LEASE: SignedDuration = SignedDuration::from_secs(65 + 25);
/// A request that was sent arrives within this time after its lease, or never. It is well below the hour between the two
/// empty look-ups that prove absence.
pub const LATE: SignedDuration = SignedDuration::from_mins(30);
/// A look-up may fail to see what is younger than this. With [`LATE`] it stays below that hour.
pub const LAG: SignedDuration = SignedDuration::from_mins(20);
/// Time goes no further than this from the beginning: past every key window and dunning day, before the next period.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(20 * 24);
/// Attempts on the cycle.
pub const ATTEMPTS: u32 = 2;
/// Looks at one attempt.
pub const LOOKS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// The first payment of an approved subscription.
    First,
    /// The second period of an active one.
    Renewal,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub name: &'static str,
    pub owed: Owed,
    pub gateway: GatewayName,
    /// Gateway of the card that may replace the first.
    pub next_gateway: GatewayName,
    /// What the gateway may do with a request it has not seen, free of charge.
    pub effects: &'static [Effect],
    /// The same, each at the price of a fault.
    pub faulty: &'static [Effect],
    /// How long after its lease a request that was sent may still arrive.
    pub late: SignedDuration,
    /// A blind look-up fails to see what happened within this time before it.
    pub blind: SignedDuration,
    pub left: Left,
}

impl Config {
    /// Index of the cycle that is looked at.
    #[must_use]
    pub fn index(&self) -> u32 {
        match self.owed {
            Owed::First => 0,
            Owed::Renewal => 1,
        }
    }

    /// The subscription at the beginning, due now, and the time.
    #[must_use]
    pub fn begin(&self) -> (Subscription, Timestamp) {
        let approved = unpaid(self.gateway).approved(birth());
        match self.owed {
            Owed::First => (approved, birth()),
            Owed::Renewal => {
                let active = paid(&approved);
                let due = active.due_at.expect("an active subscription is due");
                (active, due)
            }
        }
    }
}

fn birth() -> Timestamp {
    "2027-01-31T03:00:00Z".parse().expect("an instant")
}

/// The id of a card.
#[must_use]
pub fn card_id(card: u8) -> MethodId {
    MethodId::new(ulid(birth(), u128::from(card) + 1))
}

fn unpaid(gateway: GatewayName) -> Subscription {
    let request = RequestId::new(ulid(birth(), 1));
    Subscription {
        id: request.subscription(),
        tenant_id: request.tenant(),
        plan: PlanSnapshot {
            code: "CORE".into(),
            version: 1,
            interval: Interval::Month,
            lines: vec![Line { code: "CORE".into(), amount: PRICE }],
            retry_days: RETRY_DAYS.to_vec(),
        },
        amount: Money::krw(PRICE),
        gateway,
        method_id: card_id(0),
        status: Status::PendingActivation,
        anchor: None,
        paid: None,
        tries: 0,
        absent: 0,
        due_at: None,
        live: None,
        dunning: None,
        approved_at: None,
        stopped_at: None,
        first_decline: None,
        parked: false,
        cancel_at: None,
        created_at: birth(),
        version: 1,
    }
}

/// A claim as a worker writes it.
#[must_use]
pub fn claim(trigger: Trigger, token: String, now: Timestamp, intent: Option<String>) -> Claim {
    Claim { trigger, token, now, lease_until: now + LEASE, secret: "v1".into(), request: 1, intent }
}

fn paid(approved: &Subscription) -> Subscription {
    let started = approved.start(claim(Trigger::First, "first".into(), birth(), None)).expect("it is due");
    let live = started.live.clone().expect("it was started");
    let capture = Capture {
        order_id: live.billable(&started.id).order_id(live.gateway, live.n),
        payment_id: "first".into(),
        charge_id: None,
        amount: started.amount,
    };
    let answer = Answer::Captured(capture);
    let report = Report { index: live.index, seq: 0, n: Some(live.n), answer, token: Some(live.token) };
    match settle(&started, None, &report, birth()).expect("within the calendar") {
        Settlement::Apply(settled) => settled.subscription.expect("it is paid"),
        Settlement::Nothing => unreachable!("the first payment counts"),
    }
}
