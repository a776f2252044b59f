//! Telling people of an event, at least once per channel and hardly ever twice.
//!
//! Protocol: each (event, channel) has a mark. It is claimed before the message is handed over and completed afterwards; a
//! completed mark ends the matter, a fresh claim sends others away. A process that dies between the service's "accepted"
//! and the completed mark, or hears no answer, leaves a claim that runs out: then the message is sent a second time. The
//! mail and chat services know no idempotency key, so that window cannot be closed, only kept small.
//!
//! Invariants: what is told is decided on the rows as they are directly before it is sent; a drop is remembered too, so
//! that a replay does not decide otherwise; customers are not written to in quiet hours, which end by the wall clock, unless they asked;
//! one channel's trouble does not keep the other from being told.

use domain::contact::Contact;
use domain::event::Event;
use domain::ids::SubscriptionId;
use domain::notice::bulletin::{Bulletin, bulletin};
use domain::notice::letter::{Letter, letter};
use domain::notice::{Channel, Dropped, Named, QuietHours, Rows, channels};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{stamp, switch};
use crate::notices::{Alarm, Chat, LinkTokens, Links, Mailer, NotSent, render_bulletin, render_letter};
use crate::ports::Random;
use crate::store::{Commit, IdempotencyRow, Key, Record, Store, StoreError, Write, typed};

/// How long one delivery may take, with room to spare; until then nobody else tries.
const CLAIM: SignedDuration = SignedDuration::from_secs(60);
/// Longer than an event is told at all ([`domain::notice::TOO_OLD`]).
const REMEMBERED: SignedDuration = SignedDuration::from_hours(120 * 24);

/// What a notifier works with.
pub struct Desk<'a> {
    pub store: &'a dyn Store,
    pub random: &'a dyn Random,
    /// None where this stage sends no mails.
    pub mailer: Option<&'a dyn Mailer>,
    /// None where the operators have no chat.
    pub chat: Option<&'a dyn Chat>,
    pub tokens: &'a dyn LinkTokens,
    pub links: &'a Links,
    pub quiet: Option<QuietHours>,
}

/// Billing time decides what stands; the wall clock decides about nights and claims.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub billing: Timestamp,
    pub wall: Timestamp,
}

/// What became of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Handed over now. For a mail, which letter it was.
    Sent(&'static str),
    /// Settled before: sent or dropped.
    Known,
    Dropped(&'static str),
    /// This stage has no such channel.
    Off,
}

#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Not before then.
    #[error("customers are left alone until {0}")]
    Quiet(Timestamp),
    /// Somebody else is at it, or died at it.
    #[error("another delivery is under way")]
    Busy,
    #[error(transparent)]
    NotSent(#[from] NotSent),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tells an event on each of its channels.
///
/// # Errors
/// The first trouble; what was told is not told again when the message comes back. [`NotifyError::Quiet`] only when
/// nothing else is wrong.
pub async fn notify(desk: &Desk<'_>, moment: Moment, event: &Event) -> Result<Vec<(Channel, Told)>, NotifyError> {
    let (mut told, mut trouble, mut quiet) = (Vec::new(), None, None);
    for channel in channels(&event.kind) {
        match tell(desk, moment, event, *channel).await {
            Ok(done) => told.push((*channel, done)),
            Err(error @ NotifyError::Quiet(_)) => quiet = Some(error),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    match trouble.or(quiet) {
        Some(error) => Err(error),
        None => Ok(told),
    }
}

/// Tells the operators of an alarm of the platform.
///
/// # Errors
/// When it could not be delivered.
pub async fn notify_alarm(desk: &Desk<'_>, moment: Moment, alarm: &Alarm) -> Result<Told, NotifyError> {
    let Some(chat) = desk.chat else { return Ok(Told::Off) };
    let Some(bulletin) = alarm.bulletin(moment.billing) else {
        return Ok(Told::Dropped("it ended, or its events are told themselves"));
    };
    let mark = match open(desk, moment, format!("notice#{}", alarm.once())).await? {
        Some(mark) => mark,
        None => return Ok(Told::Known),
    };
    let message = render_bulletin(&bulletin, desk.links);
    let sending = async { chat.post(&message).await.map(|()| bulletin.topic.as_str()) };
    deliver(desk, moment, mark, sending).await
}

/// What is to be said, decided and not yet rendered.
enum Saying {
    Letter(Box<Letter>, Contact, String),
    Bulletin(Bulletin),
}

impl Saying {
    /// Customers are left alone at night, operators are not.
    fn can_wait(&self) -> bool {
        matches!(self, Saying::Letter(letter, ..) if letter.can_wait())
    }
}

async fn tell(desk: &Desk<'_>, moment: Moment, event: &Event, channel: Channel) -> Result<Told, NotifyError> {
    let off = match channel {
        Channel::Mail => desk.mailer.is_none(),
        Channel::Chat => desk.chat.is_none(),
    };
    if off {
        return Ok(Told::Off);
    }
    let mark = match open(desk, moment, format!("notice#{}#{}", event.id, channel.as_str())).await? {
        Some(mark) => mark,
        None => return Ok(Told::Known),
    };
    match say(desk.store, event, channel, moment.billing).await? {
        Err(Dropped(why)) => {
            put(desk, mark, json!({ "state": "DROPPED", "why": why })).await?;
            Ok(Told::Dropped(why))
        }
        Ok(saying) => {
            if saying.can_wait()
                && let Some(end) = desk.quiet.and_then(|quiet| quiet.end(moment.wall))
            {
                return Err(NotifyError::Quiet(end));
            }
            deliver(desk, moment, mark, hand_over(desk, event, saying)).await
        }
    }
}

async fn say(
    store: &dyn Store,
    event: &Event,
    channel: Channel,
    now: Timestamp,
) -> Result<Result<Saying, Dropped>, StoreError> {
    let (rows, business) = load(store, event).await?;
    Ok(match channel {
        Channel::Chat => bulletin(event, &rows, now).map(Saying::Bulletin),
        Channel::Mail => letter(event, &rows, now).and_then(|letter| {
            let (name, contact) = business.ok_or(Dropped("nobody knows whom to write to"))?;
            Ok(Saying::Letter(Box::new(letter), contact, name))
        }),
    })
}

async fn hand_over(desk: &Desk<'_>, event: &Event, saying: Saying) -> Result<&'static str, NotSent> {
    match saying {
        Saying::Bulletin(bulletin) => {
            let chat = desk.chat.ok_or(NotSent::NoAnswer)?;
            chat.post(&render_bulletin(&bulletin, desk.links)).await?;
            Ok(bulletin.topic.as_str())
        }
        Saying::Letter(letter, contact, name) => {
            let mailer = desk.mailer.ok_or(NotSent::NoAnswer)?;
            let signed = match letter.as_ref() {
                Letter::Guide { .. } => Some(guide_link(desk, event).await?),
                Letter::Link { application } => Some(desk.tokens.application(application).await?),
                _ => None,
            };
            let signed = signed.as_ref().map(ExposeSecret::expose_secret);
            let mail = render_letter(&letter, &name, desk.links, signed);
            mailer.send(&contact.email, &mail).await?;
            Ok(letter.name())
        }
    }
}

/// The signed link, made for this mail and kept nowhere.
async fn guide_link(desk: &Desk<'_>, event: &Event) -> Result<SecretString, NotSent> {
    let subscription = SubscriptionId::parse(&event.subject).map_err(|_| NotSent::NoSecret)?;
    let token = desk.tokens.guide(&subscription).await?;
    Ok(format!("{}/api/v1/billing/guides/{}", desk.links.api, token.expose_secret()).into())
}

/// The rows an event names, and the business it is about: as a tenant, or as the applicant it still is.
async fn load(store: &dyn Store, event: &Event) -> Result<(Rows, Option<(String, Contact)>), StoreError> {
    let named = Named::of(event);
    let mut rows = Rows::default();
    let mut business = None;
    if let Some(id) = &named.application {
        rows.application = typed::application(store, id).await?;
        let tenant = typed::tenant(store, &id.tenant()).await?.map(|t| (t.business_name, t.contact));
        let applicant = || rows.application.as_ref().map(|a| (a.business_name.clone(), a.contact.clone()));
        business = tenant.or_else(applicant);
    }
    if let Some(id) = &named.subscription {
        rows.subscription = typed::subscription(store, id).await?;
        if let Some((index, seq)) = named.cycle {
            rows.cycle = typed::cycle(store, id, index, seq).await?;
        }
    }
    if let Some(subscription) = &rows.subscription {
        let id = named.method.as_ref().unwrap_or(&subscription.method_id);
        rows.method = typed::method(store, &subscription.tenant_id, id).await?;
    }
    if let Some(gateway) = named.gateway {
        rows.switch = switch::read(store, gateway).await?;
    }
    if let Some(id) = &named.run {
        rows.run = typed::run(store, id).await?;
    }
    Ok((rows, business))
}

/// A mark as it stands before anything is told.
struct Mark {
    key: String,
    /// 0 when there is none yet.
    version: u64,
    expires_at: Timestamp,
}

/// The mark of something to tell; none when that is settled.
async fn open(desk: &Desk<'_>, moment: Moment, key: String) -> Result<Option<Mark>, NotifyError> {
    let known = typed::get::<IdempotencyRow>(desk.store, &Key::Idempotency(key.clone())).await?;
    let expires_at = moment.billing.saturating_add(REMEMBERED).unwrap_or(Timestamp::MAX);
    let Some(row) = known else { return Ok(Some(Mark { key, version: 0, expires_at })) };
    match row.result["state"].as_str() {
        Some("SENDING") => {
            let until = row.result["until"].as_i64().unwrap_or(0);
            if until > moment.wall.as_millisecond() { Err(NotifyError::Busy) } else { Ok(Some(again(row, expires_at))) }
        }
        Some(_) => Ok(None),
        None => Ok(Some(again(row, expires_at))),
    }
}

fn again(row: IdempotencyRow, expires_at: Timestamp) -> Mark {
    Mark { key: row.key, version: row.version, expires_at }
}

/// Claims, hands over, completes.
async fn deliver(
    desk: &Desk<'_>,
    moment: Moment,
    mark: Mark,
    sending: impl Future<Output = Result<&'static str, NotSent>>,
) -> Result<Told, NotifyError> {
    let until = moment.wall.saturating_add(CLAIM).unwrap_or(Timestamp::MAX).as_millisecond();
    let claimed = put(desk, mark, json!({ "state": "SENDING", "until": until })).await?;
    match sending.await {
        Ok(name) => {
            put(desk, claimed, json!({ "state": "SENT", "as": name })).await?;
            Ok(Told::Sent(name))
        }
        Err(error) => {
            // It was surely not delivered: the next try need not wait for the claim to run out.
            if matches!(error, NotSent::Refused(_) | NotSent::NoSecret) {
                put(desk, claimed, json!({ "state": "SENDING", "until": 0 })).await?;
            }
            Err(error.into())
        }
    }
}

/// Writes a mark as `result`; answers with the mark as it stands then. A lost race means that somebody else is at it.
async fn put(desk: &Desk<'_>, mark: Mark, result: Value) -> Result<Mark, NotifyError> {
    let Mark { key, version, expires_at } = mark;
    let row = IdempotencyRow { key: key.clone(), request_hash: String::new(), result, expires_at, version };
    let record = Record::Idempotency(row);
    let write = if version == 0 { Write::New(record) } else { Write::Replace(record) };
    let commit = Commit { id: stamp::token(desk.random), writes: vec![write], events: Vec::new() };
    match desk.store.commit(&commit).await {
        Ok(()) => Ok(Mark { key, version: version.saturating_add(1), expires_at }),
        Err(StoreError::Conflict { .. }) => Err(NotifyError::Busy),
        Err(error) => Err(error.into()),
    }
}
