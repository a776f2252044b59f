//! Links asked for by whoever: only the owner is written to, at night too, a few times a day, and every answer is the same.
//! Demos: told to the operators, who read the row.

use domain::demo::{DemoRequest, Form, Wrong};
use domain::event::{Actor, Event};
use domain::ids::RequestId;
use domain::notice::{Channel, QuietHours};
use jiff::SignedDuration;
use shared::ports::Context;
use shared::store::{Query, Record, Store, StoreError, Write, typed};
use shared::usecase::daily_limit::From;
use shared::usecase::notify::Told;
use shared::usecase::reissue_token::{ReissueError, reissue_token};
use shared::usecase::request_demo::{DemoError, request_demo};

use super::notices::Office;

const OWN: &str = "owner@example.kr";

async fn ask(office: &Office, id: &RequestId, email: &str, address: &str) -> Result<(), ReissueError> {
    let context = Context { actor: Actor::Applicant("unverified".to_owned()), ..office.world.context().await };
    let from = From { address, limit: 50 };
    let charging = &office.world.charging;
    reissue_token(&office.world.store, charging.random.as_ref(), &context, id, email, from).await
}

async fn asked(office: &Office, id: &RequestId) -> Vec<Event> {
    let events = office.events(id.as_str()).await;
    events.into_iter().filter(|event| event.kind == "application.token_requested").collect()
}

/// The address the world's applicants have.
async fn address_of(office: &Office, id: &RequestId) -> String {
    let application = typed::application(&office.world.store, id).await.unwrap().unwrap();
    application.contact.email
}

#[tokio::test]
async fn only_the_owner_is_written_to() {
    let office = Office::new().await;
    let id = office.world.apply().await;
    let own = address_of(&office, &id).await;
    let absent = RequestId::parse("req_01BX5ZZKBKACTAV9WEVGEMMVRZ").unwrap();
    for (id, email) in [(&id, "somebody@else.kr"), (&id, ""), (&id, "x"), (&absent, own.as_str()), (&absent, OWN)] {
        ask(&office, id, email, "192.0.2.1").await.unwrap();
    }
    assert!(asked(&office, &id).await.is_empty() && asked(&office, &absent).await.is_empty());
    for email in [own.clone(), own.to_uppercase(), format!(" {own} ")] {
        ask(&office, &id, &email, "192.0.2.1").await.unwrap();
    }
    let events = asked(&office, &id).await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.changes.is_empty()), "an event names no address");
}

#[tokio::test]
async fn the_link_is_made_when_it_is_sent_and_sent_at_night() {
    let mut office = Office::new().await;
    let id = office.world.apply().await;
    let own = address_of(&office, &id).await;
    // Every hour is quiet but one minute of the day before now.
    office.quiet = QuietHours::parse("00:01-00:00");
    ask(&office, &id, &own, "192.0.2.1").await.unwrap();
    let event = asked(&office, &id).await.remove(0);
    assert_eq!(office.tell(&event).await.unwrap()[0].1, Told::Sent("application_link"));
    assert_eq!(office.tell(&event).await.unwrap()[0].1, Told::Known);
    {
        let mails = office.post.mails.lock().unwrap();
        assert_eq!((mails.len(), mails[0].0.as_str()), (1, own.as_str()));
        assert!(mails[0].1.text.contains(&format!("Token: token-of-{id}\n")), "{}", mails[0].1.text);
    }
    office.links.portal = Some("https://my.example.kr".to_owned());
    ask(&office, &id, &own, "192.0.2.1").await.unwrap();
    let event = asked(&office, &id).await.remove(1);
    office.tell(&event).await.unwrap();
    let link = format!("https://my.example.kr/applications/{id}#token=token-of-{id}");
    assert!(office.post.mails.lock().unwrap()[1].1.text.contains(&link));
    let query = Query::EventsOf { subject: id.to_string() };
    let kept = office.world.store.query(&query, 100, None).await.unwrap().records;
    let text = kept.iter().map(|r| if let Record::Event(e) = r { format!("{:?}", e.changes) } else { String::new() });
    assert!(!text.collect::<String>().contains("token-of-"), "nothing keeps it");
}

#[tokio::test]
async fn nobody_is_mailed_more_than_a_few_times_a_day_and_what_ended_not_at_all() {
    let office = Office::new().await;
    let id = office.world.apply().await;
    let own = address_of(&office, &id).await;
    for n in 0..20 {
        ask(&office, &id, "somebody@else.kr", &format!("192.0.2.{n}")).await.unwrap();
    }
    for n in 0..20 {
        ask(&office, &id, &own, &format!("192.0.2.{n}")).await.unwrap();
    }
    assert_eq!(asked(&office, &id).await.len(), 5, "wrong addresses do not use them up");
    let late = asked(&office, &id).await.remove(4);
    office.world.wait(SignedDuration::from_hours(25));
    assert_eq!(office.tell(&late).await.unwrap()[0].1, Told::Dropped("nobody waits for it any more"));
    ask(&office, &id, &own, "192.0.2.1").await.unwrap();
    let event = asked(&office, &id).await.remove(5);
    office.world.register(&id, "auth").await;
    office.world.approve(&id).await;
    let told = office.tell(&event).await.unwrap();
    assert_eq!(told[0].1, Told::Dropped("the application takes no token any more"));
    ask(&office, &id, &own, "192.0.2.1").await.unwrap();
    assert_eq!(asked(&office, &id).await.len(), 6, "it was paid: the tenant logs in now");

    for _ in 0..50 {
        ask(&office, &id, &own, "198.51.100.1").await.unwrap();
    }
    assert!(matches!(ask(&office, &id, &own, "198.51.100.1").await, Err(ReissueError::TooMany)));
}

async fn ask_for_a_demo(office: &Office, email: &str, limit: u64, also: Option<Write>) -> Result<(), DemoError> {
    let context = Context { actor: Actor::Applicant("unverified".to_owned()), ..office.world.context().await };
    let form = Form { name: "김하나".to_owned(), email: email.to_owned(), phone: None, message: None };
    let from = From { address: "192.0.2.1", limit };
    request_demo(&office.world.store, office.world.charging.random.as_ref(), &context, form, from, also).await
}

async fn demos(office: &Office) -> Vec<DemoRequest> {
    typed::list::<DemoRequest>(&office.world.store, &Query::DemoRequests, 100, None).await.unwrap().0
}

#[tokio::test]
async fn a_demo_is_kept_for_the_operators_and_told_without_naming_anybody() {
    let office = Office::new().await;
    assert!(matches!(ask_for_a_demo(&office, "nobody", 1, None).await, Err(DemoError::Invalid(Wrong::Email))));
    assert!(demos(&office).await.is_empty());
    ask_for_a_demo(&office, OWN, 1, None).await.expect("what was refused does not count");
    assert!(matches!(ask_for_a_demo(&office, OWN, 1, None).await, Err(DemoError::TooMany)));
    let kept = demos(&office).await;
    assert_eq!((kept.len(), kept[0].email.as_str()), (1, OWN));
    let event = office.events(kept[0].id.as_str()).await.remove(0);
    assert_eq!(office.tell(&event).await.unwrap(), [(Channel::Chat, Told::Sent("demo.requested"))]);
    assert_eq!(office.tell(&event).await.unwrap(), [(Channel::Chat, Told::Known)]);
    let chat = office.post.chats.lock().unwrap()[0].to_string();
    assert!(chat.contains("/api/v1/ops/demo-requests") && chat.contains(kept[0].id.as_str()), "{chat}");
    for secret in [OWN, "김하나", "192.0.2.1"] {
        assert!(!chat.contains(secret) && !format!("{event:?}").contains(secret), "{chat} {event:?}");
        let others = office.world.store.dump().into_iter().filter(|(table, _)| *table != "demo_request");
        assert!(!format!("{:?}", others.collect::<Vec<_>>()).contains(secret), "only its own row holds it");
    }
    office.world.wait(SignedDuration::from_hours(24));
    ask_for_a_demo(&office, "other@example.kr", 1, None).await.expect("the next day");
    let emails: Vec<String> = demos(&office).await.into_iter().map(|request| request.email).collect();
    assert_eq!(emails, ["other@example.kr", OWN], "newest first");
}

#[tokio::test]
async fn a_demo_whose_key_was_taken_meanwhile_is_not_kept() {
    let office = Office::new().await;
    let key = Write::New(Record::Idempotency(crate::store_samples::idempotency()));
    ask_for_a_demo(&office, OWN, 9, Some(key.clone())).await.unwrap();
    let again = ask_for_a_demo(&office, OWN, 9, Some(key)).await;
    assert!(matches!(again, Err(DemoError::Store(StoreError::Conflict { .. }))), "{again:?}");
    assert_eq!(demos(&office).await.len(), 1);
}
