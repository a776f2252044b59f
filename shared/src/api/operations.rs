//! Bodies of the operators' endpoints.

use domain::breaker::Switch;
use domain::charge::GatewayName;
use domain::demo::DemoRequest;
use domain::run::{Forecast, Run};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cycles::CycleStatus;
use super::{AttemptBody, attempt_body, live_body};
use crate::ports::{DeadLetter, DeadQueue};
use crate::usecase::dead_letters::{Listed, Redriven};
use crate::usecase::payment_guide::Guided;
use crate::usecase::resolve_order::Placed;

/// A billing run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Run))]
#[serde(rename_all = "camelCase")]
pub struct RunBody {
    id: String,
    status: domain::run::Status,
    forecast: Forecast,
    charged: u64,
    declined: u64,
    unknown: u64,
    started_at: Timestamp,
    /// The instant it was started for, where the stage allows time travel.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
}

/// A run as operators see it.
#[must_use]
pub fn run_body(run: &Run) -> RunBody {
    RunBody {
        id: run.id.to_string(),
        status: run.status,
        forecast: run.forecast,
        charged: run.charged,
        declined: run.declined,
        unknown: run.unknown,
        started_at: run.started_at,
        as_of: run.as_of,
        ended_at: run.ended_at,
        held_at: run.held_at,
        approved_by: run.approved_by.clone(),
    }
}

/// Somebody who would like to be shown the product. No `Debug`: it is personal.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DemoRequest))]
#[serde(rename_all = "camelCase")]
pub struct DemoBody {
    id: String,
    name: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    requested_at: Timestamp,
    /// It is deleted some time after.
    kept_until: Timestamp,
}

impl From<DemoRequest> for DemoBody {
    fn from(request: DemoRequest) -> Self {
        DemoBody {
            id: request.id.to_string(),
            name: request.name,
            email: request.email,
            phone: request.phone,
            message: request.message,
            requested_at: request.at,
            kept_until: request.expires_at,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GatewayStatus {
    Flows,
    /// By an operator.
    Paused,
    /// The breaker is.
    Open,
}

/// A gateway and what may be sent to it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = GatewaySwitch))]
pub struct GatewayBody {
    gateway: GatewayName,
    status: GatewayStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<PauseBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<BreakerBody>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Pause))]
struct PauseBody {
    by: String,
    reason: String,
    at: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Breaker))]
#[serde(rename_all = "camelCase")]
struct BreakerBody {
    open_since: Timestamp,
    probe_at: Timestamp,
    failed_probes: u32,
}

#[must_use]
pub fn gateway_body(gateway: GatewayName, switch: &Switch) -> GatewayBody {
    let status = match (&switch.paused, &switch.open) {
        (Some(_), _) => GatewayStatus::Paused,
        (None, Some(_)) => GatewayStatus::Open,
        (None, None) => GatewayStatus::Flows,
    };
    let pause = switch.paused.as_ref().map(|p| PauseBody { by: p.by.clone(), reason: p.reason.clone(), at: p.at });
    let breaker = switch.open.as_ref().map(|open| BreakerBody {
        open_since: open.since,
        probe_at: open.probe_at,
        failed_probes: open.probes,
    });
    GatewayBody { gateway, status, pause, breaker }
}

/// One attempt of a cycle, with where it belongs.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PlacedAttempt))]
#[serde(rename_all = "camelCase")]
pub struct PlacedBody {
    subscription_id: String,
    index: u32,
    seq: u32,
    /// Of the cycle.
    status: CycleStatus,
    #[serde(flatten)]
    attempt: AttemptBody,
}

impl PlacedBody {
    /// None when the attempt is no longer on record.
    #[must_use]
    pub fn new(placed: &Placed) -> Option<PlacedBody> {
        let Placed { subscription, cycle, index, seq, n } = placed;
        let attempt = match cycle {
            _ if placed.open() => live_body(subscription, *index, *seq),
            Some(cycle) => cycle.attempt(*n).map(|a| attempt_body(subscription, cycle, a)),
            None => None,
        }?;
        let status = cycle.as_ref().map_or(CycleStatus::Open, |c| (&c.state).into());
        Some(PlacedBody { subscription_id: subscription.id.to_string(), index: *index, seq: *seq, status, attempt })
    }
}

/// What a dead letter says, as far as it is a message of ours; of any other only its size is told.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetter))]
#[serde(rename_all = "camelCase")]
struct LetterBody {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    message: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable_bytes: Option<usize>,
}

/// Fields of our messages that are shown.
const SHOWN: [&str; 6] = ["subscriptionId", "orderId", "reason", "runId", "shard", "runners"];

impl From<DeadLetter> for LetterBody {
    fn from(letter: DeadLetter) -> Self {
        let whole: Option<Value> = serde_json::from_str(&letter.body).ok();
        let field = |name: &str| Some((name.to_owned(), whole.as_ref()?.get(name).filter(|v| is_plain(v))?.clone()));
        let message: serde_json::Map<_, _> = SHOWN.iter().filter_map(|name| field(name)).collect();
        let unreadable_bytes = message.is_empty().then_some(letter.body.len());
        let message = Some(Value::Object(message)).filter(|_| unreadable_bytes.is_none());
        LetterBody { id: letter.id, sent_at: letter.sent_at, message, unreadable_bytes }
    }
}

/// Ids, words and numbers; nothing nested, nothing long.
fn is_plain(value: &Value) -> bool {
    value.as_u64().is_some() || value.as_str().is_some_and(|text| text.len() <= 64)
}

/// The letters of a queue.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetters))]
pub struct LettersBody {
    queue: DeadQueue,
    items: Vec<LetterBody>,
    /// About how many there are in all.
    total: u64,
}

#[must_use]
pub fn letters_body(queue: DeadQueue, listed: Listed) -> LettersBody {
    let items = listed.letters.into_iter().map(LetterBody::from).collect();
    LettersBody { queue, items, total: listed.total }
}

/// What became of a redrive.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Redriven))]
pub struct RedrivenBody {
    queue: DeadQueue,
    /// Sent to their queue again.
    sent: u32,
    /// Of these, still here because they could not be deleted: they will be sent twice.
    undeleted: u32,
    /// About how many are left.
    left: u64,
}

#[must_use]
pub fn redriven_body(queue: DeadQueue, done: &Redriven) -> RedrivenBody {
    RedrivenBody { queue, sent: done.sent, undeleted: done.undeleted, left: done.left }
}

/// Whom a call told how to pay while a gateway is paused.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaymentGuides))]
#[serde(rename_all = "camelCase")]
pub struct GuidesBody {
    gateway: GatewayName,
    told: usize,
    /// Told before, about this same pause.
    already: u32,
    /// Not told, because an attempt is open that may have taken the money.
    open: u32,
    pub items: Vec<GuideBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaymentGuide))]
#[serde(rename_all = "camelCase")]
pub struct GuideBody {
    pub subscription_id: String,
    /// Address of the guide's page; its token is minted for every answer and stored with none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Whom a call told, by subscription; the links are added to each answer and never stored.
#[must_use]
pub fn guides_body(gateway: GatewayName, guided: &Guided) -> GuidesBody {
    let items: Vec<GuideBody> =
        guided.told.iter().map(|id| GuideBody { subscription_id: id.to_string(), path: None }).collect();
    let (already, open, next_cursor) = (guided.already, guided.open, guided.next.clone());
    GuidesBody { gateway, told: items.len(), already, open, items, next_cursor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wire(body: &impl Serialize) -> Value {
        serde_json::to_value(body).unwrap()
    }

    #[test]
    fn a_switch_is_told_in_one_word_and_its_causes() {
        let now: Timestamp = "2027-01-31T03:00:00Z".parse().unwrap();
        let flows = Switch::default();
        assert_eq!(wire(&gateway_body(GatewayName::Toss, &flows)), json!({ "gateway": "toss", "status": "FLOWS" }));
        let (open, _) = flows.tripped(GatewayName::Toss, now).unwrap();
        let body = wire(&gateway_body(GatewayName::Toss, &open));
        assert_eq!((&body["status"], &body["breaker"]["probeAt"]), (&json!("OPEN"), &json!("2027-01-31T03:00:10Z")));
        let (paused, _) = open.paused(GatewayName::Toss, "kim", "점검", now).unwrap();
        let body = wire(&gateway_body(GatewayName::Toss, &paused));
        assert_eq!((&body["status"], &body["pause"]["by"]), (&json!("PAUSED"), &json!("kim")));
        assert!(body["breaker"].is_object());
    }

    #[test]
    fn letters_show_our_fields_and_nothing_else() {
        let letter =
            |body: &str| DeadLetter { id: "m".into(), body: body.into(), sent_at: None, receipt: "secret".into() };
        let listed = |body: &str| {
            let listed = Listed { letters: vec![letter(body)], total: 1 };
            wire(&letters_body(DeadQueue::FailedCharges, listed))["items"][0].clone()
        };
        let ours = listed(r#"{"subscriptionId":"sub_1","orderId":"o-1","reason":"UNKNOWN","name":"김하나"}"#);
        assert_eq!(
            ours,
            json!({"id": "m", "message": {"subscriptionId": "sub_1", "orderId": "o-1", "reason": "UNKNOWN"}})
        );
        assert_eq!(listed("poison"), json!({ "id": "m", "unreadableBytes": 6 }));
        assert_eq!(listed(r#"{"reason":{"a":1}}"#), json!({ "id": "m", "unreadableBytes": 18 }));
    }
}
