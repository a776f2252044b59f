//! Every queue's dead letters: an operator sees them, sends one again, then the rest, and what is sent again is worked on.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use domain::event::{Actor, Event};
use domain::ids::{EventId, ulid};
use serde_json::{Map, Value, json};
use shared::ports::DeadQueue;

use crate::harness::{Stack, var};

pub fn sqs() -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("ap-northeast-2"))
        .endpoint_url(var("AWS_ENDPOINT_URL"))
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .build();
    Client::from_conf(config)
}

/// The address of a queue of this stage.
pub async fn queue_url(sqs: &Client, name: &str) -> String {
    let name = format!("{}-{name}", var("STAGE"));
    sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

/// A message its consumer reads and has nothing to do for.
async fn harmless(stack: &Stack, queue: DeadQueue, drained: &str) -> Value {
    let now = stack.now().await;
    let event = || Event {
        id: EventId::new(ulid(now, rand::random())),
        at: now,
        kind: "e2e.nothing".to_owned(),
        subject: "e2e".to_owned(),
        actor: Actor::System("e2e".to_owned()),
        reason: None,
        changes: Map::new(),
    };
    match queue {
        DeadQueue::FailedCharges => {
            json!({ "subscriptionId": "sub_01ARZ3NDEKTSV4RRFFQ69G5FAV", "orderId": "o-1", "reason": "UNKNOWN" })
        }
        DeadQueue::BillingShards => json!({ "runId": drained, "shard": 0, "runners": 1, "continued": false }),
        DeadQueue::Documents | DeadQueue::Notifications | DeadQueue::Statistics | DeadQueue::Endings => {
            serde_json::to_value(event()).unwrap()
        }
    }
}

#[tokio::test]
async fn dead_letters_of_every_queue_are_seen_and_sent_again() {
    let stack = Stack::new();
    let (sqs, ops) = (sqs(), stack.ops().await.to_owned());
    let run = stack.run(stack.now().await).await["id"].as_str().unwrap().to_owned();
    for queue in DeadQueue::ALL {
        let name = queue.as_str();
        let dead = queue_url(&sqs, &format!("{name}-dlq")).await;
        sqs.purge_queue().queue_url(&dead).send().await.unwrap();
        for _ in 0..2 {
            let body = harmless(&stack, queue, &run).await.to_string();
            sqs.send_message().queue_url(&dead).message_body(body).send().await.unwrap();
        }
        let path = format!("/ops/failed-charges?queue={name}");
        let listed = stack.get(&path, Some(&ops)).await.expect(200);
        assert_eq!((&listed["queue"], listed["items"].as_array().unwrap().len()), (&json!(name), 2), "{listed:#}");
        let redrive = async |max: u32| {
            let body = json!({ "queue": name, "max": max });
            stack.post("/ops/failed-charges/redrive", Some(&ops), body).await.expect(200)
        };
        let one = redrive(1).await;
        assert_eq!((&one["sent"], &one["undeleted"]), (&json!(1), &json!(0)), "{name}: {one:#}");
        let rest = redrive(100).await;
        assert_eq!((&rest["sent"], &rest["undeleted"]), (&json!(1), &json!(0)), "{name}: {rest:#}");
        let live = queue_url(&sqs, name).await;
        stack
            .until(&format!("{name} is worked off"), || async { waiting(&sqs, &live).await.eq(&0).then_some(()) })
            .await;
        let left = stack.get(&path, Some(&ops)).await.expect(200);
        assert_eq!(left["items"], json!([]), "{name}: none came back");
    }
}

/// Messages of a queue, but those that are to show later.
async fn waiting(sqs: &Client, url: &str) -> u64 {
    use aws_sdk_sqs::types::QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible};
    let names = [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible];
    let asked = sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec())).send().await;
    let all = asked.unwrap().attributes.unwrap();
    names.iter().map(|name| all[name].parse::<u64>().unwrap()).sum()
}
