//! Bodies of the operators' endpoints.

use domain::breaker::Switch;
use domain::charge::GatewayName;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{AttemptBody, attempt_body, live_body};
use crate::ports::{DeadLetter, DeadQueue};
use crate::usecase::dead_letters::{Listed, Redriven};
use crate::usecase::payment_guide::Guided;
use crate::usecase::resolve_order::Placed;

/// A gateway and what may be sent to it. `status` is `FLOWS`, `PAUSED` (by an operator) or `OPEN` (the breaker is).
#[must_use]
pub fn gateway_body(gateway: GatewayName, switch: &Switch) -> Value {
    let status = match (&switch.paused, &switch.open) {
        (Some(_), _) => "PAUSED",
        (None, Some(_)) => "OPEN",
        (None, None) => "FLOWS",
    };
    let mut body = json!({ "gateway": gateway, "status": status });
    if let Some(pause) = &switch.paused {
        body["pause"] = json!({ "by": pause.by, "reason": pause.reason, "at": pause.at.to_string() });
    }
    if let Some(open) = &switch.open {
        body["breaker"] = json!({
            "openSince": open.since.to_string(), "probeAt": open.probe_at.to_string(), "failedProbes": open.probes,
        });
    }
    body
}

/// One attempt of a cycle, with where it belongs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedBody {
    subscription_id: String,
    index: u32,
    seq: u32,
    /// Of the cycle.
    status: &'static str,
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
        let status = cycle.as_ref().map_or("OPEN", |c| c.state.as_str());
        Some(PlacedBody { subscription_id: subscription.id.to_string(), index: *index, seq: *seq, status, attempt })
    }
}

/// What a dead letter says, as far as it is a message of ours; of any other only its size is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LetterBody {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[must_use]
pub fn letters_body(queue: DeadQueue, listed: Listed) -> Value {
    let items: Vec<LetterBody> = listed.letters.into_iter().map(LetterBody::from).collect();
    json!({ "queue": queue.as_str(), "items": items, "total": listed.total })
}

#[must_use]
pub fn redriven_body(queue: DeadQueue, done: &Redriven) -> Value {
    json!({ "queue": queue.as_str(), "sent": done.sent, "undeleted": done.undeleted, "left": done.left })
}

/// Whom a call told, by subscription; the links are added to each answer and never stored.
#[must_use]
pub fn guides_body(gateway: GatewayName, guided: &Guided) -> Value {
    let items: Vec<Value> = guided.told.iter().map(|id| json!({ "subscriptionId": id.as_str() })).collect();
    let mut body = json!({
        "gateway": gateway, "told": items.len(), "already": guided.already, "open": guided.open, "items": items,
    });
    if let Some(next) = &guided.next {
        body["nextCursor"] = next.as_str().into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_told_in_one_word_and_its_causes() {
        let now: Timestamp = "2027-01-31T03:00:00Z".parse().unwrap();
        let flows = Switch::default();
        assert_eq!(gateway_body(GatewayName::Toss, &flows), json!({ "gateway": "toss", "status": "FLOWS" }));
        let (open, _) = flows.tripped(GatewayName::Toss, now).unwrap();
        let body = gateway_body(GatewayName::Toss, &open);
        assert_eq!((&body["status"], &body["breaker"]["probeAt"]), (&json!("OPEN"), &json!("2027-01-31T03:00:10Z")));
        let (paused, _) = open.paused(GatewayName::Toss, "kim", "점검", now).unwrap();
        let body = gateway_body(GatewayName::Toss, &paused);
        assert_eq!((&body["status"], &body["pause"]["by"]), (&json!("PAUSED"), &json!("kim")));
        assert!(body["breaker"].is_object());
    }

    #[test]
    fn letters_show_our_fields_and_nothing_else() {
        let letter =
            |body: &str| DeadLetter { id: "m".into(), body: body.into(), sent_at: None, receipt: "secret".into() };
        let listed = |body: &str| {
            let listed = Listed { letters: vec![letter(body)], total: 1 };
            letters_body(DeadQueue::FailedCharges, listed)["items"][0].clone()
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
