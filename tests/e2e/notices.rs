//! Notices on the deployed stack: a journey leaves the mails and chat messages it should, each once, also when its events
//! are heard again; the daily reminder is an event and a mail.

use aws_sdk_sqs::types::QueueAttributeName;
use domain::event::Event;
use jiff::tz::TimeZone;
use jiff::{RoundMode, SignedDuration, Timestamp, Unit, Zoned, ZonedRound};
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::{DynamoStore, Query, typed};

use crate::aws::{configure, invoke};
use crate::harness::{Applicant, Stack, morning_after, var};
use crate::queues::{queue_url, sqs};
use crate::tables::client;

/// Applies under an address nobody else has.
pub async fn apply(stack: &Stack) -> (Applicant, String) {
    let address = format!("owner-{:08x}@example.kr", rand::random::<u32>());
    let mut form = Stack::form("standard");
    form["businessName"] = json!("마음 <정원> & 상담");
    form["contact"]["email"] = json!(address);
    let body = stack.post("/onboarding/requests", None, form).await.expect(201);
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    let applicant = Applicant {
        id: text("id"),
        tenant: text("tenantId"),
        token: text("applicationToken"),
        customer_key: text("customerKey"),
    };
    (applicant, address)
}

/// What the emulator's mail service took for an address, oldest first.
pub async fn mails(stack: &Stack, address: &str) -> Vec<Value> {
    let request = stack.http.get(format!("{}/_ministack/ses/messages", var("AWS_ENDPOINT_URL")));
    let all = stack.send(request).await.expect(200);
    let accounts = all["messages"].as_object().unwrap().values();
    let mut mine: Vec<Value> = accounts
        .flat_map(|mails| mails.as_array().unwrap().clone())
        .filter(|mail| mail["To"].as_array().is_some_and(|to| to.contains(&json!(address))))
        .collect();
    mine.sort_by(|a, b| a["Timestamp"].as_f64().unwrap().total_cmp(&b["Timestamp"].as_f64().unwrap()));
    mine
}

fn subjects(mails: &[Value]) -> Vec<String> {
    let mut subjects: Vec<String> = mails.iter().map(|m| m["Subject"].as_str().unwrap().to_owned()).collect();
    subjects.sort();
    subjects
}

/// Waits for exactly these mails, named by a part of their subject, in any order.
async fn expect_mails(stack: &Stack, address: &str, parts: &[&str]) -> Vec<Value> {
    let found = stack
        .until(&format!("there are mails {parts:?}"), || async {
            let mails = mails(stack, address).await;
            (mails.len() >= parts.len()).then_some(mails)
        })
        .await;
    assert_eq!(found.len(), parts.len(), "{:?}", subjects(&found));
    for part in parts {
        let with = found.iter().filter(|m| m["Subject"].as_str().unwrap().contains(part)).count();
        let wanted = parts.iter().filter(|p| p == &part).count();
        assert_eq!(with, wanted, "{part} in {:?}", subjects(&found));
    }
    found
}

/// Chat messages that name something.
async fn chats(stack: &Stack, name: &str) -> Vec<Value> {
    let all = stack.send(stack.http.get(format!("{}/__sandbox/slack", stack.sandbox))).await.expect(200);
    let all = all["messages"].as_array().unwrap().clone();
    all.into_iter().filter(|message| message.to_string().contains(name)).collect()
}

async fn events(subject: &str) -> Vec<Event> {
    let store = DynamoStore::new(client(), var("STAGE"));
    let query = Query::EventsOf { subject: subject.to_owned() };
    typed::list::<Event>(&store, &query, 100, None).await.unwrap().0
}

/// Sends every event of these subjects to the notifier again, and waits until it has heard them.
async fn again(stack: &Stack, subjects: &[&str]) {
    let url = queue_url(&sqs(), "notifications").await;
    for subject in subjects {
        for event in events(subject).await {
            let body = serde_json::to_string(&event).unwrap();
            sqs().send_message().queue_url(&url).message_body(body).send().await.unwrap();
        }
    }
    empty(stack, &url).await;
}

async fn empty(stack: &Stack, url: &str) {
    stack
        .until("the notifier has heard everything", || async {
            let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
            let request = sqs().get_queue_attributes().queue_url(url);
            let request = request.set_attribute_names(Some(names.iter().map(|n| (*n).into()).collect()));
            let held = request.send().await.unwrap().attributes.unwrap_or_default();
            held.values().all(|n| n == "0").then_some(())
        })
        .await;
}

#[tokio::test]
async fn notices_of_a_journey_arrive_once_also_when_its_events_are_heard_again() {
    let stack = Stack::new();
    let (applicant, address) = apply(&stack).await;
    stack.register_toss(&applicant, &applicant.token, "approved").await.expect(201);
    expect_mails(&stack, &address, &["접수되었습니다"]).await;
    let posted = stack
        .until("operators are told", || async {
            let chats = chats(&stack, &applicant.id).await;
            (!chats.is_empty()).then_some(chats)
        })
        .await;
    let text = posted[0].to_string();
    assert!(text.contains("새 입점 신청") && text.contains(&format!("/api/v1/onboarding/requests/{}", applicant.id)));
    assert!(!text.contains(&address) && !text.contains("김하나"), "{text}");

    let approved = stack.approve(&applicant).await.expect(200);
    let id = approved["subscriptionId"].as_str().unwrap().to_owned();
    let mut expected = vec!["접수되었습니다", "승인되었습니다", "첫 결제가 완료"];
    let first = expect_mails(&stack, &address, &expected).await;
    let paid = first.iter().find(|m| m["Subject"].as_str().unwrap().contains("첫 결제")).unwrap();
    let (plain, html) = (paid["BodyText"].as_str().unwrap(), paid["BodyHtml"].as_str().unwrap());
    let amount = stack.captures(&id).await[0]["amount"].as_i64().unwrap().to_string();
    let figures: String = plain.chars().filter(char::is_ascii_digit).collect();
    assert!(figures.contains(&amount) && plain.starts_with("마음 <정원> & 상담 담당자님께"), "{plain}");
    assert!(html.contains("마음 &lt;정원&gt; &amp; 상담") && !html.contains("<정원>"));

    // A renewal fails, is retried the next day, and goes through.
    let behaviour = json!({ "customerKey": applicant.customer_key, "card": "insufficient_funds", "times": 1 });
    stack.own(Method::POST, "/behaviour", behaviour).await;
    let due = morning_after(&stack.subscription(&id).await);
    stack.run(due).await;
    expected.push("결제가 실패했습니다");
    expect_mails(&stack, &address, &expected).await;
    stack.run(due + SignedDuration::from_hours(25)).await;
    expected.push("미납 요금이 결제되었습니다");
    expect_mails(&stack, &address, &expected).await;

    let (url, letters) = (queue_url(&sqs(), "notifications").await, expected.len());
    for _ in 0..2 {
        again(&stack, &[&applicant.id, &applicant.tenant, &id]).await;
    }
    assert_eq!(mails(&stack, &address).await.len(), letters, "heard again, told once");
    assert_eq!(chats(&stack, &applicant.id).await.len(), 1);
    empty(&stack, &url).await;
    // What cannot be told is left for the queue to try again, and ends with the dead letters.
    let dead = queue_url(&sqs(), "notifications-dlq").await;
    let held = sqs().get_queue_attributes().queue_url(&dead);
    let held = held.attribute_names("ApproximateNumberOfMessages".into()).send().await.unwrap();
    assert!(held.attributes.unwrap().values().all(|n| n == "0"), "nobody was left untold");
}

#[tokio::test]
async fn notices_of_a_coming_charge_are_said_a_week_ahead_and_once() {
    let stack = Stack::new();
    let (applicant, address) = apply(&stack).await;
    stack.register_stripe(&applicant.token).await.expect(201);
    let approved = stack.approve(&applicant).await.expect(200);
    let id = approved["subscriptionId"].as_str().unwrap().to_owned();
    let due = morning_after(&stack.subscription(&id).await);
    stack.run(due - SignedDuration::from_hours(8 * 24)).await;
    for _ in 0..2 {
        invoke(&stack, "RenewalNoticeFunction", json!({})).await;
    }
    stack
        .until("the reminder is said", || async {
            events(&id).await.iter().any(|e| e.kind == "subscription.renewal_upcoming").then_some(())
        })
        .await;
    let expected = ["접수되었습니다", "승인되었습니다", "첫 결제가 완료", "정기 결제 예정 안내"];
    let found = expect_mails(&stack, &address, &expected).await;
    let upcoming = found.iter().find(|m| m["Subject"].as_str().unwrap().contains("예정")).unwrap();
    let start = stack.subscription(&id).await["currentPeriod"]["end"].as_str().unwrap().to_owned();
    assert!(upcoming["BodyText"].as_str().unwrap().contains(&format!("결제 예정일 / Charged on: {start}")));
    invoke(&stack, "RenewalNoticeFunction", json!({})).await;
    again(&stack, &[&id]).await;
    assert_eq!(mails(&stack, &address).await.len(), expected.len());
}

/// A letter that comes up at night is left until the morning: the message stays hidden in its queue and is then told once.
#[tokio::test]
async fn notices_wait_for_the_end_of_quiet_hours() {
    let stack = Stack::new();
    let wall = wall();
    let time = |at: &Zoned| at.strftime("%H:%M").to_string();
    // It ends in half a minute or a little more: a mail that does not wait would be seen before.
    let (from, to) = (&wall - SignedDuration::from_hours(1), &wall + SignedDuration::from_secs(90));
    let end = to.round(ZonedRound::new().smallest(Unit::Minute).mode(RoundMode::Trunc)).unwrap();
    let variable = ("NotifyFunction", "QUIET_HOURS");
    let before = configure(&stack, variable.0, variable.1, &format!("{}-{}", time(&from), time(&to))).await;
    let (_, address) = apply(&stack).await;
    let waits = stack
        .until("its message is hidden", || async {
            let name = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
            let request = sqs().get_queue_attributes().queue_url(url_of_notices().await);
            let held = request.attribute_names(name.clone()).send().await.unwrap().attributes.unwrap();
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            (held[&name] != "0").then_some(mails(&stack, &address).await)
        })
        .await;
    assert!(waits.is_empty(), "nobody is woken: {waits:#?}");
    expect_mails(&stack, &address, &["접수되었습니다"]).await;
    assert!(self::wall() >= end, "not before the hours end");
    configure(&stack, variable.0, variable.1, &before).await;
}

#[expect(clippy::disallowed_methods, reason = "quiet hours are hours of the wall clock")]
fn wall() -> Zoned {
    Timestamp::now().to_zoned(TimeZone::get("Asia/Seoul").unwrap())
}

async fn url_of_notices() -> String {
    queue_url(&sqs(), "notifications").await
}
