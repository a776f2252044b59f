//! An alarm of the platform, as its topic hands it to a queue.

use domain::notice::bulletin::{Bulletin, Detail, Topic};
use jiff::Timestamp;
use serde::Deserialize;

/// The part of an alarm that is told.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    alarm_name: String,
    #[serde(default)]
    alarm_description: Option<String>,
    new_state_value: String,
    /// As the platform writes it; part of the name under which it is told once.
    state_change_time: String,
    #[serde(default)]
    trigger: Trigger,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Trigger {
    namespace: String,
}

impl Alarm {
    /// Names this change of state.
    #[must_use]
    pub fn once(&self) -> String {
        format!("alarm#{}#{}", self.alarm_name, self.state_change_time)
    }

    /// What the operators are told. None when it ended, or when it counts events: those are told themselves, and say
    /// more.
    #[must_use]
    pub fn bulletin(&self, now: Timestamp) -> Option<Bulletin> {
        let platform = self.trigger.namespace.starts_with("AWS/");
        if self.new_state_value != "ALARM" || !platform {
            return None;
        }
        let details = self.alarm_description.iter().map(|d| ("alarm".to_owned(), Detail::Text(d.clone()))).collect();
        Some(Bulletin { topic: Topic::Alarm, subject: self.alarm_name.clone(), at: now, details })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn alarm(namespace: &str, state: &str) -> Alarm {
        serde_json::from_value(json!({
            "AlarmName": "prod-documents-dead-letters", "AlarmDescription": "An invoice could not be written.",
            "AWSAccountId": "000000000000", "NewStateValue": state, "NewStateReason": "Threshold Crossed",
            "StateChangeTime": "2027-01-31T01:00:00.000+0000", "OldStateValue": "OK",
            "Trigger": { "MetricName": "ApproximateNumberOfMessagesVisible", "Namespace": namespace, "Threshold": 0.0 },
        }))
        .unwrap()
    }

    #[test]
    fn what_events_do_not_say_is_told() {
        let now = "2027-01-31T01:00:01Z".parse().unwrap();
        let told = alarm("AWS/SQS", "ALARM").bulletin(now).unwrap();
        assert_eq!((told.topic, told.subject.as_str()), (Topic::Alarm, "prod-documents-dead-letters"));
        assert!(alarm("AWS/SQS", "OK").bulletin(now).is_none());
        assert!(alarm("prod-mindgarden-billing", "ALARM").bulletin(now).is_none(), "its events are told themselves");
        assert_eq!(alarm("AWS/SQS", "ALARM").once(), "alarm#prod-documents-dead-letters#2027-01-31T01:00:00.000+0000");
    }
}
