//! Links asked for by whoever: only the owner is written to, at night too, a few times a day, and every answer is the same.

use domain::event::{Actor, Event};
use domain::ids::RequestId;
use domain::notice::QuietHours;
use jiff::SignedDuration;
use shared::ports::Context;
use shared::store::{Query, Record, Store};
use shared::usecase::daily_limit::From;
use shared::usecase::notify::Told;
use shared::usecase::reissue_token::{ReissueError, reissue_token};

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
    let application = shared::store::typed::application(&office.world.store, id).await.unwrap().unwrap();
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
