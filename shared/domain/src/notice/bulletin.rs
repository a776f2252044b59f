//! What the operators are told, and whether it still needs them.

use jiff::Timestamp;

use super::{Dropped, Named, Rows, number, text, while_};
use crate::event::Event;
use crate::money::{Currency, Money};
use crate::refund;
use crate::run;

/// What a bulletin is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    ApplicationSubmitted,
    AttemptStuck,
    DemoRequested,
    DisputeOpened,
    GatewayClosed,
    GatewayOpened,
    GatewayPaused,
    GatewayResumed,
    PaymentQuarantined,
    RefundFailed,
    RefundStuck,
    RunHeld,
    SettlementUnexplained,
    SubscriptionParked,
    SubscriptionStuck,
    /// An alarm of the platform: dead letters, a late stream.
    Alarm,
}

impl Topic {
    pub const ALL: [Topic; 16] = [
        Topic::ApplicationSubmitted,
        Topic::AttemptStuck,
        Topic::DemoRequested,
        Topic::DisputeOpened,
        Topic::GatewayClosed,
        Topic::GatewayOpened,
        Topic::GatewayPaused,
        Topic::GatewayResumed,
        Topic::PaymentQuarantined,
        Topic::RefundFailed,
        Topic::RefundStuck,
        Topic::RunHeld,
        Topic::SettlementUnexplained,
        Topic::SubscriptionParked,
        Topic::SubscriptionStuck,
        Topic::Alarm,
    ];

    /// The kind of event it comes from; an alarm comes from none.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::ApplicationSubmitted => "application.submitted",
            Topic::AttemptStuck => "attempt.stuck",
            Topic::DemoRequested => "demo.requested",
            Topic::DisputeOpened => "dispute.opened",
            Topic::GatewayClosed => "gateway.closed",
            Topic::GatewayOpened => "gateway.opened",
            Topic::GatewayPaused => "gateway.paused",
            Topic::GatewayResumed => "gateway.resumed",
            Topic::PaymentQuarantined => "payment.quarantined",
            Topic::RefundFailed => "refund.failed",
            Topic::RefundStuck => "refund.stuck",
            Topic::RunHeld => "run.held",
            Topic::SettlementUnexplained => "settlement.unexplained",
            Topic::SubscriptionParked => "subscription.parked",
            Topic::SubscriptionStuck => "subscription.stuck",
            Topic::Alarm => "alarm",
        }
    }
}

/// One thing a bulletin shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    Text(String),
    Amount(Money),
    At(Timestamp),
}

/// A message to the operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulletin {
    pub topic: Topic,
    /// The aggregate's id.
    pub subject: String,
    pub at: Timestamp,
    /// By the names the events and the API use.
    pub details: Vec<(String, Detail)>,
}

/// Fields of events that are shown as they are: none of them can hold personal data. Free text of people is left out.
const SHOWN: [&str; 23] = [
    "absent",
    "attempt",
    "bucket",
    "code",
    "count",
    "day",
    "difference",
    "disputeId",
    "expected",
    "expectedCount",
    "factor",
    "from",
    "gateway",
    "index",
    "openSince",
    "orderId",
    "paymentId",
    "planCode",
    "probeAt",
    "refundId",
    "since",
    "status",
    "why",
];

/// The bulletin an event calls for.
///
/// # Errors
/// When there is nothing to tell, or no longer.
pub fn bulletin(event: &Event, rows: &Rows, now: Timestamp) -> Result<Bulletin, Dropped> {
    super::recent(event, now)?;
    let topic = Topic::ALL.into_iter().find(|topic| topic.as_str() == event.kind);
    let topic = topic.ok_or(Dropped("operators are not told about this"))?;
    stands(topic, event, rows)?;
    Ok(Bulletin { topic, subject: event.subject.clone(), at: event.at, details: details(event) })
}

fn stands(topic: Topic, event: &Event, rows: &Rows) -> Result<(), Dropped> {
    match topic {
        Topic::ApplicationSubmitted => while_(rows.application()?.status.undecided(), "it was decided meanwhile"),
        Topic::AttemptStuck => {
            let (cycle, attempt) = (Named::of(event).cycle, number::<u32>(event, "attempt"));
            let live = rows.subscription()?.live.as_ref();
            let same = live.is_some_and(|l| Some((l.index, l.seq)) == cycle && Some(l.n) == attempt);
            while_(same, "the attempt was resolved")
        }
        Topic::DisputeOpened => {
            let open = rows.cycle()?.dispute.as_ref().filter(|d| d.closed_at.is_none());
            while_(open.is_some_and(|d| text(event, "disputeId") == Some(&d.id)), "the dispute was closed")
        }
        Topic::GatewayClosed => while_(rows.switch.open.is_none(), "it is out again"),
        Topic::GatewayOpened => while_(rows.switch.open.is_some(), "it is back"),
        Topic::GatewayPaused => while_(rows.switch.paused.is_some(), "it was resumed"),
        Topic::GatewayResumed => while_(rows.switch.paused.is_none(), "it is paused again"),
        Topic::RefundFailed => {
            while_(refund_is(event, rows, |s| s == refund::Status::Failed), "it did not stay failed")
        }
        Topic::RefundStuck => while_(refund_is(event, rows, refund::Status::live), "it is known what became of it"),
        Topic::RunHeld => {
            let held = rows.run.as_ref().is_some_and(|run| run.status == run::Status::Held);
            while_(held, "the run goes on")
        }
        Topic::SubscriptionParked => while_(rows.subscription()?.parked, "it is parked no more"),
        Topic::SubscriptionStuck => {
            let absent = number::<u32>(event, "absent").unwrap_or(0);
            while_(rows.subscription()?.absent >= absent, "it was charged")
        }
        Topic::DemoRequested | Topic::PaymentQuarantined | Topic::SettlementUnexplained | Topic::Alarm => Ok(()),
    }
}

fn refund_is(event: &Event, rows: &Rows, wanted: impl Fn(refund::Status) -> bool) -> bool {
    let id = text(event, "refundId");
    let refunds = rows.cycle.iter().flat_map(|cycle| &cycle.refunds);
    refunds.into_iter().any(|r| Some(r.id.as_str()) == id && wanted(r.status))
}

fn details(event: &Event) -> Vec<(String, Detail)> {
    let currency = text(event, "currency").and_then(Currency::parse);
    let shown = |(name, value): (&String, &serde_json::Value)| {
        let detail = match (name.as_str(), value) {
            ("amount" | "expected" | "difference", value) if currency.is_some() => {
                Detail::Amount(Money { amount: value.as_i64()?, currency: currency? })
            }
            (known, serde_json::Value::String(text)) if SHOWN.contains(&known) && !text.is_empty() => {
                text.parse().map_or_else(|_| Detail::Text(text.clone()), Detail::At)
            }
            (known, serde_json::Value::Number(n)) if SHOWN.contains(&known) || known == "amount" => {
                Detail::Text(n.to_string())
            }
            (_, _) => return None,
        };
        Some((name.clone(), detail))
    };
    event.changes.iter().filter_map(shown).collect()
}
