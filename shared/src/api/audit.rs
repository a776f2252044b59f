//! Events of the audit log, as a search answers them.

use domain::event::{Actor, Event};
use serde::Serialize;
use serde_json::{Map, Value};

/// What happened, to what, by whom, and which fields changed.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Event))]
pub struct EventBody {
    id: String,
    at: String,
    /// `noun.past_participle`, stable.
    #[serde(rename = "type")]
    kind: String,
    /// The id of what it is about.
    subject: String,
    actor: ActorBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    changes: Map<String, Value>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Actor))]
struct ActorBody {
    kind: &'static str,
    id: String,
}

impl From<&Actor> for ActorBody {
    fn from(actor: &Actor) -> Self {
        let (kind, id) = match actor {
            Actor::Operator(id) => ("OPERATOR", id),
            Actor::Tenant(id) => ("TENANT", id),
            Actor::Applicant(id) => ("APPLICANT", id),
            Actor::Gateway(id) => ("GATEWAY", id),
            Actor::System(id) => ("SYSTEM", id),
        };
        ActorBody { kind, id: id.clone() }
    }
}

impl From<&Event> for EventBody {
    fn from(event: &Event) -> Self {
        EventBody {
            id: event.id.to_string(),
            at: event.at.to_string(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            actor: (&event.actor).into(),
            reason: event.reason.clone(),
            changes: event.changes.clone(),
        }
    }
}
