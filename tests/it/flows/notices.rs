//! From events to mails and chat messages: each is told once per channel however often it is heard, what was undone is not
//! told, a service that is out is tried again, and only a death between "accepted" and its mark tells twice. Reminders are
//! said once, whoever says them and whatever fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::charge::GatewayName;
use domain::event::{Actor, Event};
use domain::ids::{RequestId, SubscriptionId};
use domain::notice::{Channel, QuietHours, TOO_OLD};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::Value;
use shared::notices::{Alarm, Chat, LinkTokens, Links, Mail, Mailer, NotSent};
use shared::ports::Context;
use shared::store::memory::{Call, Fault};
use shared::store::{Query, typed};
use shared::usecase::notify::{Desk, Moment, NotifyError, Told, notify, notify_alarm};
use shared::usecase::remind::{Reminded, remind};
use shared::usecase::switch;
use tokio::time::Instant;

use super::world::{Script, World};

/// Both services: what they took, and what they say next.
#[derive(Default)]
pub(super) struct Post {
    pub(super) mails: Mutex<Vec<(String, Mail)>>,
    pub(super) chats: Mutex<Vec<Value>>,
    refusals: Mutex<VecDeque<NotSent>>,
}

impl Post {
    fn next(&self) -> Result<(), NotSent> {
        self.refusals.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    fn letters(&self) -> Vec<&'static str> {
        self.mails.lock().unwrap().iter().map(|(_, mail)| mail.tag).collect()
    }
}

#[async_trait]
impl Mailer for Post {
    async fn send(&self, to: &str, mail: &Mail) -> Result<(), NotSent> {
        self.next()?;
        self.mails.lock().unwrap().push((to.to_owned(), mail.clone()));
        Ok(())
    }
}

#[async_trait]
impl Chat for Post {
    async fn post(&self, message: &Value) -> Result<(), NotSent> {
        self.next()?;
        self.chats.lock().unwrap().push(message.clone());
        Ok(())
    }
}

#[async_trait]
impl LinkTokens for Post {
    async fn guide(&self, subscription: &SubscriptionId) -> Result<SecretString, NotSent> {
        Ok(SecretString::from(format!("token-of-{subscription}")))
    }

    async fn application(&self, id: &RequestId) -> Result<SecretString, NotSent> {
        Ok(SecretString::from(format!("token-of-{id}")))
    }
}

pub(super) struct Office {
    pub(super) world: World,
    pub(super) post: Post,
    pub(super) links: Links,
    pub(super) quiet: Option<QuietHours>,
}

impl Office {
    pub(super) async fn new() -> Office {
        let links = Links { api: "https://api.example.kr".to_owned(), portal: None };
        Office { world: World::new().await, post: Post::default(), links, quiet: None }
    }

    fn desk(&self) -> Desk<'_> {
        Desk {
            store: &self.world.store,
            random: self.world.charging.random.as_ref(),
            mailer: Some(&self.post),
            chat: Some(&self.post),
            tokens: &self.post,
            links: &self.links,
            quiet: self.quiet,
        }
    }

    async fn moment(&self) -> Moment {
        let now = self.world.charging.clock.now().await;
        Moment { billing: now, wall: now }
    }

    pub(super) async fn tell(&self, event: &Event) -> Result<Vec<(Channel, Told)>, NotifyError> {
        notify(&self.desk(), self.moment().await, event).await
    }

    /// Events about a subject, oldest first.
    pub(super) async fn events(&self, subject: &str) -> Vec<Event> {
        let query = Query::EventsOf { subject: subject.to_owned() };
        let (mut found, _) = typed::list::<Event>(&self.world.store, &query, 100, None).await.unwrap();
        found.reverse();
        found
    }

    /// The newest event of a kind about a subscription.
    async fn event(&self, id: &SubscriptionId, kind: &str) -> Event {
        let events = self.events(id.as_str()).await;
        events.into_iter().rfind(|e| e.kind == kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    async fn remind(&self) -> Reminded {
        let context = Context { actor: Actor::System("renewal_notice".to_owned()), ..self.world.context().await };
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        remind(&self.world.store, self.world.charging.random.as_ref(), &context, deadline).await.unwrap()
    }
}

fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

#[tokio::test]
async fn an_event_is_told_once_per_channel_however_often_it_is_heard() {
    let office = Office::new().await;
    let request = office.world.apply().await;
    let submitted = office.events(request.as_str()).await.remove(0);
    let both =
        [(Channel::Chat, Told::Sent("application.submitted")), (Channel::Mail, Told::Sent("application_received"))];
    assert_eq!(office.tell(&submitted).await.unwrap(), both);
    office.world.register(&request, "auth").await;
    office.world.approve(&request).await;
    let mut told = 0;
    for subject in [request.as_str(), request.subscription().as_str()] {
        for event in office.events(subject).await {
            for _ in 0..3 {
                told += office.tell(&event).await.unwrap().iter().filter(|(_, t)| matches!(t, Told::Sent(_))).count();
            }
        }
    }
    assert_eq!(told, 2, "the decision and the payment");
    assert_eq!(office.post.letters(), ["application_received", "application_approved", "first_payment"]);
    assert_eq!(office.post.chats.lock().unwrap().len(), 1);
    let mails = office.post.mails.lock().unwrap();
    assert!(mails.iter().all(|(to, mail)| to == "a@example.kr" && mail.text.starts_with("봄날 담당자님께")));
    assert!(mails[2].1.text.contains("44,000원"), "{}", mails[2].1.text);
    let chat = office.post.chats.lock().unwrap()[0].to_string();
    for secret in ["a@example.kr", "김하나", "010-1234-5678"] {
        assert!(
            !chat.contains(secret) && mails.iter().all(|(_, m)| !m.text.contains(secret) && !m.html.contains(secret))
        );
        let marks: Vec<_> =
            office.world.store.dump().into_iter().filter(|(table, _)| *table == "idempotency").collect();
        assert!(!format!("{marks:?}").contains(secret), "marks hold no personal data");
    }
}

#[tokio::test]
async fn a_failure_is_not_told_after_the_payment_and_the_drop_is_remembered() {
    let office = Office::new().await;
    let id = office.world.onboard().await;
    office.world.gateway.then(&[Script::Soft]);
    office.world.wait(hours(24 * 31));
    office.world.run().await;
    let failed = office.event(&id, "payment.declined").await;
    office.world.wait(hours(24));
    office.world.run().await;
    let dropped = [(Channel::Mail, Told::Dropped("nobody owes it any more"))];
    assert_eq!(office.tell(&failed).await.unwrap(), dropped);
    assert_eq!(office.tell(&failed).await.unwrap(), [(Channel::Mail, Told::Known)]);
    office.tell(&office.event(&id, "payment.captured").await).await.unwrap();
    assert_eq!(office.post.letters(), ["recovered"]);
    office.world.wait(TOO_OLD + hours(1));
    let old = office.events(id.as_str()).await.into_iter().find(|e| e.kind == "payment.captured").unwrap();
    let told = office.tell(&old).await.unwrap();
    assert_eq!(
        told,
        [(Channel::Mail, Told::Dropped("it happened too long ago"))],
        "a replay of old days writes to nobody"
    );
}

#[tokio::test]
async fn customers_sleep_and_operators_do_not() {
    let mut office = Office::new().await;
    office.quiet = QuietHours::parse("21:00-08:00");
    office.world.wait(hours(12));
    let request = office.world.apply().await;
    let submitted = office.events(request.as_str()).await.remove(0);
    // 22:00 in Seoul.
    let Err(NotifyError::Quiet(end)) = office.tell(&submitted).await else { panic!("quiet") };
    assert_eq!(end.to_string(), "2026-12-01T23:00:00Z");
    assert_eq!((office.post.letters().len(), office.post.chats.lock().unwrap().len()), (0, 1));
    let Err(NotifyError::Quiet(_)) = office.tell(&submitted).await else { panic!("still quiet") };
    assert_eq!(office.post.chats.lock().unwrap().len(), 1, "the chat is not told again");
    office.world.travel(end);
    office.tell(&submitted).await.unwrap();
    assert_eq!(office.post.letters(), ["application_received"]);
    // What is undone by the morning is not told.
    let late = office.world.apply().await;
    let event = office.events(late.as_str()).await.remove(0);
    office.world.register(&late, "auth").await;
    office.world.approve(&late).await;
    let told = office.tell(&event).await.unwrap();
    assert!(told.iter().all(|(_, told)| *told == Told::Dropped("it was decided meanwhile")), "{told:?}");
}

#[tokio::test]
async fn a_service_that_refuses_is_tried_again_and_one_that_is_silent_when_the_claim_ran_out() {
    let office = Office::new().await;
    let id = office.world.onboard().await;
    let paid = office.event(&id, "payment.captured").await;
    office.post.refusals.lock().unwrap().extend([NotSent::Refused(429), NotSent::NoAnswer]);
    assert!(matches!(office.tell(&paid).await, Err(NotifyError::NotSent(NotSent::Refused(429)))));
    assert!(
        matches!(office.tell(&paid).await, Err(NotifyError::NotSent(NotSent::NoAnswer))),
        "at once, nothing was sent"
    );
    assert!(matches!(office.tell(&paid).await, Err(NotifyError::Busy)), "it may have been sent: not at once");
    office.world.wait(SignedDuration::from_secs(61));
    assert_eq!(office.tell(&paid).await.unwrap(), [(Channel::Mail, Told::Sent("first_payment"))]);
    assert_eq!(office.post.letters(), ["first_payment"]);
    // One channel's trouble is not the other's.
    let request = office.world.apply().await;
    let submitted = office.events(request.as_str()).await.remove(0);
    office.post.refusals.lock().unwrap().push_back(NotSent::Refused(404));
    assert!(office.tell(&submitted).await.is_err());
    assert_eq!(office.post.letters().len(), 2, "the chat is out, the mail went");
    assert_eq!(
        office.tell(&submitted).await.unwrap(),
        [(Channel::Chat, Told::Sent("application.submitted")), (Channel::Mail, Told::Known)]
    );
}

/// The store fails, or its answer is lost, at each of its commits: at most one extra message, and only where the process
/// could not know.
#[tokio::test]
async fn a_death_at_any_write_tells_twice_only_between_accepted_and_the_mark() {
    for fault in [Fault::Unavailable, Fault::AnswerLost] {
        for at in 0..2 {
            let office = Office::new().await;
            let id = office.world.onboard().await;
            let paid = office.event(&id, "payment.captured").await;
            let count = Arc::new(Mutex::new(0));
            office.world.store.inject(move |call| match call {
                Call::Commit(_) => {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    (*count == at + 1).then_some(fault)
                }
                Call::Get(_) | Call::GetMany(_) | Call::Query(_) => None,
            });
            assert!(office.tell(&paid).await.is_err(), "commit {at}, {fault:?}");
            office.world.store.heal();
            let again = office.tell(&paid).await;
            let claimed = matches!(again, Err(NotifyError::Busy));
            office.world.wait(SignedDuration::from_secs(61));
            office.tell(&paid).await.unwrap();
            let sent = office.post.letters().len();
            let expected = usize::from(at == 1 && fault == Fault::Unavailable) + 1;
            assert_eq!(sent, expected, "commit {at}, {fault:?}");
            assert_eq!(claimed, at == 0 && fault == Fault::AnswerLost || at == 1 && fault == Fault::Unavailable);
        }
    }
}

#[tokio::test]
async fn a_guide_carries_its_signed_link_and_nothing_keeps_it() {
    let office = Office::new().await;
    let id = office.world.onboard().await;
    office.world.wait(hours(24 * 31));
    let (random, context) = (office.world.charging.random.as_ref(), office.world.context().await);
    let toss = GatewayName::Toss;
    switch::pause(&office.world.store, random, &context, toss, "r", Vec::new()).await.unwrap();
    shared::usecase::payment_guide::tell(&office.world.store, random, &context, toss, 100, None).await.unwrap();
    let event = office.event(&id, "subscription.payment_guide").await;
    assert_eq!(office.tell(&event).await.unwrap(), [(Channel::Mail, Told::Sent("payment_guide"))]);
    let link = format!("https://api.example.kr/api/v1/billing/guides/token-of-{id}");
    assert!(office.post.mails.lock().unwrap()[0].1.text.contains(&link));
    assert!(!format!("{:?}", office.world.store.dump()).contains("token-of-"));
}

#[tokio::test]
async fn alarms_are_told_once_per_change() {
    let office = Office::new().await;
    let alarm = |state: &str, at: &str| -> Alarm {
        let text = serde_json::json!({ "AlarmName": "e2e-documents-dead-letters", "NewStateValue": state,
            "StateChangeTime": at, "Trigger": { "Namespace": "AWS/SQS" } });
        serde_json::from_value(text).unwrap()
    };
    let moment = office.moment().await;
    for (state, at, told) in [
        ("ALARM", "1", Told::Sent("alarm")),
        ("ALARM", "1", Told::Known),
        ("OK", "2", Told::Dropped("it ended, or its events are told themselves")),
        ("ALARM", "3", Told::Sent("alarm")),
    ] {
        assert_eq!(notify_alarm(&office.desk(), moment, &alarm(state, at)).await.unwrap(), told, "{state} {at}");
    }
    assert!(office.post.chats.lock().unwrap()[0].to_string().contains("failed-charges?queue=documents"));
}

#[tokio::test]
async fn a_coming_charge_is_said_once_a_week_ahead_whatever_fails() {
    let office = Office::new().await;
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(office.world.onboard().await);
    }
    assert_eq!(office.remind().await, Reminded { seen: 0, said: 0, finished: true }, "a month ahead is too early");
    // Due 1 January, midnight in Seoul: 15:00 UTC the day before.
    office.world.travel("2026-12-24T01:00:00Z".parse().unwrap());
    let context = Context { actor: Actor::System("renewal_notice".to_owned()), ..office.world.context().await };
    let count = Arc::new(Mutex::new(0));
    office.world.store.inject(move |call| match call {
        Call::Commit(_) => {
            let mut count = count.lock().unwrap();
            *count += 1;
            (*count % 3 == 0).then_some(if *count % 2 == 0 { Fault::Unavailable } else { Fault::AnswerLost })
        }
        Call::Get(_) | Call::GetMany(_) | Call::Query(_) => None,
    });
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    for _ in 0..20 {
        let _ = remind(&office.world.store, office.world.charging.random.as_ref(), &context, deadline).await;
    }
    office.world.store.heal();
    for _ in 0..2 {
        assert_eq!(office.remind().await, Reminded { seen: 30, said: 0, finished: true }, "all said, none twice");
    }
    for id in &ids {
        let said =
            office.events(id.as_str()).await.iter().filter(|e| e.kind == "subscription.renewal_upcoming").count();
        assert_eq!(said, 1, "{id}");
        office.tell(&office.event(id, "subscription.renewal_upcoming").await).await.unwrap();
    }
    assert_eq!(office.post.letters(), vec!["upcoming_charge"; 30]);
    assert!(office.post.mails.lock().unwrap()[0].1.text.contains("결제 예정일 / Charged on: 2027-01-01"));
    // The next period is said again.
    office.world.travel("2027-01-02T01:00:00Z".parse().unwrap());
    office.world.run().await;
    office.world.travel("2027-01-25T01:00:00Z".parse().unwrap());
    assert_eq!(office.remind().await.said, 30);
}

#[tokio::test]
async fn a_pass_without_time_stops_and_says_so() {
    let office = Office::new().await;
    office.world.onboard().await;
    office.world.travel("2026-12-24T01:00:00Z".parse().unwrap());
    let context = office.world.context().await;
    let none =
        remind(&office.world.store, office.world.charging.random.as_ref(), &context, Instant::now()).await.unwrap();
    assert_eq!(none, Reminded { seen: 0, said: 0, finished: false });
    assert_eq!(office.remind().await, Reminded { seen: 1, said: 1, finished: true }, "the next pass goes on");
}
