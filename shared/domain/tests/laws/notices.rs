//! Notices: a fact is told while it stands and not afterwards, one letter never repeats another, nobody is woken, and what
//! is coming is said in time and once.

use std::collections::{BTreeMap, BTreeSet};

use domain::breaker::{Pause, Switch};
use domain::cancelling::CancelAt;
use domain::charge::{GatewayName, Trigger};
use domain::event::{Actor, Event, Fact};
use domain::ids::{EventId, RefundId, RequestId, ulid};
use domain::method::{MaskedCard, PaymentMethod, Sealed, Status as CardStatus};
use domain::money::Money;
use domain::notice::bulletin::{Detail, Topic, bulletin};
use domain::notice::letter::{CardNeeded, Letter, letter};
use domain::notice::{Channel, Dropped, KINDS, Named, QuietHours, Rows, channels};
use domain::refund::{Answer as RefundAnswer, Start, Wish};
use domain::reminder::AHEAD;
use domain::subscription::{Due, Status, Subscription};
use jiff::Timestamp;
use jiff::civil::date;
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{PRICE, birth, days, hard, hours, method, minutes, soft};

const TOSS: GatewayName = GatewayName::Toss;

fn stamped(fact: Fact, at: Timestamp) -> Event {
    Event {
        id: EventId::new(ulid(at, 7)),
        at,
        kind: fact.kind.to_owned(),
        subject: fact.subject,
        actor: Actor::System("test".into()),
        reason: None,
        changes: fact.changes,
    }
}

fn rows(books: &Books, event: &Event) -> Rows {
    let cycle = Named::of(event).cycle.and_then(|place| books.cycles.get(&place).cloned());
    Rows { subscription: Some(books.subscription.clone()), cycle, ..Rows::default() }
}

fn told(books: &Books, event: &Event, now: Timestamp) -> Result<Letter, Dropped> {
    letter(event, &rows(books, event), now)
}

/// A charge and the event of this kind it leaves.
fn charge(books: &mut Books, trigger: Trigger, now: Timestamp, pays: bool, kind: &str) -> Event {
    let live = books.start(trigger, now);
    let answer = if pays { crate::fixtures::captured(&books.subscription, &live) } else { soft(&live) };
    let facts = books.settle(&crate::fixtures::by_call(&live, answer), now);
    let fact = facts.into_iter().find(|f| f.kind == kind).unwrap_or_else(|| panic!("no {kind}"));
    stamped(fact, now)
}

fn renewal(books: &Books) -> Timestamp {
    books.subscription.due_at.unwrap() + hours(10)
}

fn card(n: u128, expires: Option<(u8, u16)>) -> PaymentMethod {
    let sealed = || Sealed { kid: "k1".into(), data: "x".into() };
    PaymentMethod {
        id: method(n),
        tenant_id: RequestId::new(ulid(birth(), 1)).tenant(),
        gateway: TOSS,
        status: CardStatus::Active,
        card: MaskedCard {
            brand: Some("삼성".into()),
            last4: Some("1234".into()),
            exp_month: expires.map(|e| e.0),
            exp_year: expires.map(|e| e.1),
        },
        token: sealed(),
        customer: sealed(),
        holder_name: None,
        token_hash: "h".into(),
        created_at: birth(),
        declined_at: Vec::new(),
        version: 1,
    }
}

#[test]
fn the_first_payment_is_one_a_renewal_is_a_receipt_and_a_late_one_a_recovery() {
    let mut books = Books::approved(TOSS);
    let first = charge(&mut books, Trigger::First, birth(), true, "payment.captured");
    let Ok(Letter::FirstPayment(paid)) = told(&books, &first, birth()) else { panic!("first") };
    assert_eq!((paid.amount, paid.on, paid.next_on), (Money::krw(PRICE), date(2027, 1, 31), Some(date(2027, 2, 28))));
    let due = renewal(&books);
    let second = charge(&mut books, Trigger::Renewal, due, true, "payment.captured");
    assert!(matches!(told(&books, &second, due), Ok(Letter::Receipt(_))));
    let due = renewal(&books);
    charge(&mut books, Trigger::Renewal, due, false, "payment.declined");
    let third = charge(&mut books, Trigger::Dunning, due + days(1), true, "payment.captured");
    assert!(matches!(told(&books, &third, due + days(1)), Ok(Letter::Recovered(_))));
    let Ok(Letter::FirstPayment(paid)) = told(&books, &first, due) else { panic!("a receipt stays true") };
    assert_eq!(paid.next_on, None, "but what it says of the future does not");
}

#[test]
fn a_payment_that_goes_back_is_no_receipt_any_more() {
    for (amount, standing) in [(Some(PRICE - 1), true), (None, false)] {
        let mut books = Books::approved(TOSS);
        let event = charge(&mut books, Trigger::First, birth(), true, "payment.captured");
        let id = RefundId::new(ulid(birth(), 5));
        let wish = Wish { id: id.clone(), amount, reason: "asked".into(), by: "kim".into(), limit: None };
        let asked = books.cycle(0).request_refund(wish, birth()).unwrap().cycle;
        books.cycles.insert((0, 0), asked.clone());
        assert_eq!(told(&books, &event, birth()).is_ok(), standing, "as soon as it is asked for: {amount:?}");
        let Start::Claimed(sent) = asked.start_refund(&id, "t".into(), birth() + minutes(2), birth()) else {
            panic!("claimed")
        };
        let done = RefundAnswer::Done { gateway_refund_id: "re".into() };
        let change = sent.settle_refund(&id, "t", &done, birth()).unwrap();
        books.cycles.insert((0, 0), change.cycle);
        assert_eq!(told(&books, &event, birth()).is_ok(), standing);
        let fact = change.facts.into_iter().find(|f| f.kind == "refund.succeeded").unwrap();
        let Ok(Letter::Refunded { amount: back, left, .. }) = told(&books, &stamped(fact, birth()), birth()) else {
            panic!("refunded")
        };
        assert_eq!(back.amount + left.amount, PRICE);
    }
}

#[test]
fn each_step_of_dunning_is_told_once_and_the_last_one_by_the_suspension() {
    let mut books = Books::active(TOSS);
    let opened = renewal(&books);
    let mut before: Option<Event> = None;
    let schedule = [(0, Trigger::Renewal), (1, Trigger::Dunning), (3, Trigger::Dunning)];
    for (step, (day, trigger)) in schedule.into_iter().enumerate() {
        let now = opened + days(day);
        let event = charge(&mut books, trigger, now, false, "payment.declined");
        let Ok(Letter::PaymentFailed { step: said, retry_on, deadline, amount, .. }) = told(&books, &event, now) else {
            panic!("failed")
        };
        assert_eq!((usize::try_from(said).unwrap(), amount), (step, Money::krw(PRICE)));
        assert_eq!(retry_on, domain::calendar::seoul_date(books.subscription.due_at.unwrap()));
        assert_eq!(deadline, domain::calendar::seoul_date(opened + days(7)));
        if let Some(old) = before.replace(event) {
            assert_eq!(told(&books, &old, now), Err(Dropped("a later attempt says more")));
        }
    }
    let end = opened + days(7);
    let live = books.start(Trigger::Dunning, end);
    assert_eq!(told(&books, before.as_ref().unwrap(), end), Err(Dropped("an attempt is in flight")));
    let facts = books.settle(&crate::fixtures::by_call(&live, soft(&live)), end);
    let letters: Vec<_> = facts.into_iter().map(|f| told(&books, &stamped(f, end), end)).collect();
    let ends_on = domain::calendar::seoul_date(end + days(30));
    let suspended = Letter::Suspended { amount: Money::krw(PRICE), ends_on };
    assert_eq!(letters, [Err(Dropped("the suspension says it")), Ok(suspended)]);
}

#[test]
fn what_was_undone_is_not_told() {
    let mut books = Books::active(TOSS);
    let opened = renewal(&books);
    let failed = charge(&mut books, Trigger::Renewal, opened, false, "payment.declined");
    let mut cancelled = books.clone();
    cancelled.cancel(CancelAt::Now, opened + hours(1));
    assert!(told(&cancelled, &failed, opened + hours(2)).is_err(), "a cancelled one owes nothing");
    let mut stopped = books.clone();
    let suspended = stopped.retire(Due::Suspend, opened + days(7)).remove(0);
    let suspended = stamped(suspended, opened + days(7));
    assert!(told(&stopped, &suspended, opened + days(7)).is_ok());
    let mut paid = stopped.clone();
    charge(&mut paid, Trigger::Manual, opened + days(8), true, "payment.captured");
    assert_eq!(told(&paid, &suspended, opened + days(8)), Err(Dropped("it is suspended no more")));
    assert_eq!(told(&paid, &failed, opened + days(8)), Err(Dropped("nobody owes it any more")));
    let mut books = Books::active(TOSS);
    let fact = books.cancel(CancelAt::PeriodEnd, birth() + days(1)).remove(0);
    let event = stamped(fact, birth() + days(1));
    let last_day = date(2027, 2, 27);
    assert_eq!(told(&books, &event, birth() + days(1)), Ok(Letter::CancelScheduled { last_day }));
    books.subscription.cancel_at = None;
    assert!(told(&books, &event, birth() + days(1)).is_err(), "resumed");
}

#[test]
fn a_card_is_asked_for_where_only_a_card_helps() {
    let mut books = Books::active(TOSS);
    let opened = renewal(&books);
    let live = books.start(Trigger::Renewal, opened);
    let facts = books.settle(&crate::fixtures::by_call(&live, hard(&live)), opened);
    let event = stamped(facts.into_iter().next().unwrap(), opened);
    let by = domain::calendar::seoul_date(opened + days(7));
    let amount = Money::krw(PRICE);
    assert_eq!(told(&books, &event, opened), Ok(Letter::CardNeeded { amount, why: CardNeeded::Renewal, by }));
    // Without a card at all there is no cycle yet, and no decline.
    let bare = Books::active(TOSS);
    let (after, fact) = bare.subscription.without_card(Trigger::Renewal, "no_usable_card", opened).unwrap();
    let (mut waiting, event) = (bare.clone(), stamped(fact, opened));
    waiting.replace(after);
    assert_eq!(told(&waiting, &event, opened), Ok(Letter::CardNeeded { amount, why: CardNeeded::Renewal, by }));
    waiting.new_card(method(2), opened + hours(1));
    assert_eq!(told(&waiting, &event, opened + hours(1)), Err(Dropped("a card was supplied")));
    // The first payment waits for a card for thirty days.
    let mut first = Books::approved(TOSS);
    let event = charge(&mut first, Trigger::First, birth(), false, "payment.declined");
    let by = domain::calendar::seoul_date(birth() + days(30));
    let needed = Letter::CardNeeded { amount, why: CardNeeded::FirstPayment, by };
    assert_eq!(told(&first, &event, birth()), Ok(needed));
    first.new_card(method(2), birth() + hours(1));
    assert_eq!(told(&first, &event, birth() + hours(1)), Err(Dropped("another card was supplied")));
}

#[test]
fn a_guide_is_sent_while_the_pause_lasts() {
    let books = Books::active(TOSS);
    let now = renewal(&books);
    let fact = Fact::new("subscription.payment_guide", books.subscription.id.as_str()).with("gateway", "toss");
    let event = stamped(fact, now);
    let pause = Pause { by: "ops".into(), reason: "r".into(), at: now };
    let paused = Rows { switch: Switch { paused: Some(pause), open: None }, ..rows(&books, &event) };
    assert_eq!(letter(&event, &paused, now), Ok(Letter::Guide { amount: Money::krw(PRICE) }));
    assert!(letter(&event, &rows(&books, &event), now).is_err(), "resumed");
    let mut live = books.clone();
    live.start(Trigger::Renewal, now);
    let sent = Rows { subscription: Some(live.subscription), ..paused };
    assert_eq!(letter(&event, &sent, now), Err(Dropped("the money may have moved")));
}

#[test]
fn what_is_coming_is_said_a_week_ahead_and_not_of_what_is_not() {
    let books = Books::active(TOSS);
    let start = books.subscription.due_at.unwrap();
    let whole = |s: &Subscription, card: &PaymentMethod, now| -> BTreeSet<String> {
        s.reminders(Some(card), now).into_iter().map(|r| r.once).collect()
    };
    let plain = card(1, None);
    assert!(whole(&books.subscription, &plain, start - AHEAD - minutes(1)).is_empty());
    assert_eq!(whole(&books.subscription, &plain, start - AHEAD).len(), 1);
    assert!(whole(&books.subscription, &plain, start).is_empty(), "it is due, not coming");
    let now = start - days(8);
    for expires in [(2, 2027), (12, 2026), (3, 2027)] {
        let said = whole(&books.subscription, &card(1, Some(expires)), now).len();
        assert_eq!(said, if expires == (3, 2027) { 1 } else { 2 }, "{expires:?}");
    }
    let mut gone = books.clone();
    gone.cancel(CancelAt::PeriodEnd, birth() + days(1));
    let mut parked = books.subscription.clone();
    parked.parked = true;
    for quiet in [&gone.subscription, &parked] {
        assert!(whole(quiet, &plain, now).is_empty());
    }
}

#[test]
fn a_coming_charge_is_told_with_todays_amount_and_card() {
    let mut books = Books::active(TOSS);
    let now = books.subscription.due_at.unwrap() - days(8);
    let mine = card(1, Some((2, 2027)));
    let events: Vec<Event> =
        books.subscription.reminders(Some(&mine), now).into_iter().map(|r| stamped(r.fact, now)).collect();
    let tell = |books: &Books, event: &Event, card: &PaymentMethod, now| {
        letter(event, &Rows { method: Some(card.clone()), ..rows(books, event) }, now)
    };
    let Ok(Letter::Upcoming { amount, period, card_usable }) = tell(&books, &events[0], &mine, now) else {
        panic!("upcoming")
    };
    assert_eq!((amount, period.start, card_usable), (Money::krw(PRICE), date(2027, 2, 28), true));
    let expiring = Letter::CardExpiring { brand: Some("삼성".into()), last_day: date(2027, 2, 28) };
    assert_eq!(tell(&books, &events[1], &mine, now), Ok(expiring));
    let renewed = card(1, Some((2, 2030)));
    assert!(tell(&books, &events[1], &renewed, now).is_err(), "the issuer renewed it");
    let dead = PaymentMethod { status: CardStatus::Invalid, ..mine.clone() };
    assert!(matches!(tell(&books, &events[0], &dead, now), Ok(Letter::Upcoming { card_usable: false, .. })));
    let late = books.subscription.due_at.unwrap();
    assert!(tell(&books, &events[0], &mine, late).is_err(), "said late it is no notice");
    books.cancel(CancelAt::PeriodEnd, now);
    assert!(tell(&books, &events[0], &mine, now).is_err() && tell(&books, &events[1], &mine, now).is_err());
}

#[test]
fn operators_hear_of_what_still_needs_them() {
    let mut books = Books::active(TOSS);
    let now = renewal(&books);
    let live = books.start(Trigger::Renewal, now);
    let doubt =
        |looks| domain::charge::Doubt { heard: domain::charge::Heard::Nothing, empty: 0, last_empty_at: None, looks };
    let said: Vec<u32> = (0..100)
        .filter(|looks| domain::resolve::stuck(&books.subscription.id, &live, &doubt(*looks)).is_some())
        .collect();
    assert_eq!(said, [24, 48, 72, 96], "once a day, not with every look");
    let fact = domain::resolve::stuck(&books.subscription.id, &live, &doubt(24)).unwrap();
    let event = stamped(fact, now);
    let told = bulletin(&event, &rows(&books, &event), now).unwrap();
    assert_eq!((told.topic, told.subject), (Topic::AttemptStuck, books.subscription.id.to_string()));
    assert!(told.details.contains(&("since".into(), Detail::At(now))));
    books.settle(&crate::fixtures::by_call(&live, soft(&live)), now);
    assert_eq!(bulletin(&event, &rows(&books, &event), now), Err(Dropped("the attempt was resolved")));
}

#[test]
fn free_text_of_people_never_reaches_the_chat() {
    let fact = Fact::new("payment.quarantined", "sub_x")
        .with("amount", 5)
        .with("currency", "KRW")
        .with("reason", "call me")
        .with("note", "010-1234-5678");
    let told = bulletin(&stamped(fact, birth()), &Rows::default(), birth()).unwrap();
    assert_eq!(told.details, [("amount".to_owned(), Detail::Amount(Money::krw(5)))]);
}

#[test]
fn every_kind_has_a_channel_and_every_chat_kind_a_topic() {
    let by_kind: BTreeMap<_, _> = KINDS.into_iter().collect();
    assert_eq!(by_kind.len(), KINDS.len(), "each kind once");
    let chat: BTreeSet<&str> = by_kind.iter().filter(|(_, c)| c.contains(&Channel::Chat)).map(|(k, _)| *k).collect();
    let topics: BTreeSet<&str> = Topic::ALL.into_iter().map(Topic::as_str).filter(|k| *k != "alarm").collect();
    assert_eq!(chat, topics);
    assert!(channels("invoice.issued").is_empty());
    for (kind, _) in KINDS.into_iter().filter(|(_, c)| c.contains(&Channel::Mail)) {
        let event = stamped(Fact::new(kind, "sub_x"), birth());
        assert_ne!(
            letter(&event, &Rows::default(), birth()),
            Err(Dropped("nobody is written to about this")),
            "{kind}"
        );
    }
}

#[test]
fn what_is_old_is_not_told() {
    let mut books = Books::approved(TOSS);
    let event = charge(&mut books, Trigger::First, birth(), true, "payment.captured");
    assert!(told(&books, &event, birth() + days(60)).is_ok());
    assert!(told(&books, &event, birth() + days(60) + minutes(1)).is_err());
}

proptest! {
    /// Whatever the hours are, a notice that waits for their end goes then, within a day, and not before.
    #[test]
    fn quiet_hours_end_and_do_not_come_back_at_once(
        from in 0i64..1_440, length in 1i64..1_440, second in 1_800_000_000i64..1_900_000_000,
    ) {
        let clock = |m: i64| format!("{:02}:{:02}", m / 60 % 24, m % 60);
        let quiet = QuietHours::parse(&format!("{}-{}", clock(from), clock((from + length) % 1_440))).unwrap();
        let now = Timestamp::from_second(second).unwrap();
        let local = (second + 9 * 3_600).rem_euclid(86_400) / 60;
        let inside = (local - from).rem_euclid(1_440) < length;
        match quiet.end(now) {
            None => prop_assert!(!inside),
            Some(end) => {
                prop_assert!(inside && end > now && end <= now + minutes(length));
                prop_assert_eq!(quiet.end(end), None);
            }
        }
    }

    /// A letter about money owed is only ever written while the money is owed.
    #[test]
    fn nobody_is_told_to_pay_what_is_paid(steps in prop::collection::vec((0i64..3, any::<bool>()), 1..12)) {
        let mut books = Books::active(TOSS);
        let (mut now, mut events) = (renewal(&books), Vec::new());
        for (wait, pays) in steps {
            now += days(wait) + hours(1);
            let trigger = match books.due(now) {
                Due::Charge(trigger) => trigger,
                Due::Suspend | Due::Terminate => {
                    let due = books.due(now);
                    events.extend(books.retire(due, now).into_iter().map(|f| stamped(f, now)));
                    continue;
                }
                Due::Nothing | Due::Wait(_) | Due::Resolve | Due::Cancel | Due::Lapse => Trigger::Manual,
            };
            let Ok(live) = books.try_start(trigger, now) else { continue };
            let answer = if pays { crate::fixtures::captured(&books.subscription, &live) } else { soft(&live) };
            let facts = books.settle(&crate::fixtures::by_call(&live, answer), now);
            events.extend(facts.into_iter().map(|f| stamped(f, now)));
        }
        let owing = books.open_cycle().is_some_and(|c| c.state == domain::cycle::State::Open);
        let letters: Vec<Letter> = events.iter().filter_map(|e| told(&books, e, now).ok()).collect();
        let asks = |l: &&Letter| {
            matches!(l, Letter::PaymentFailed { .. } | Letter::CardNeeded { .. } | Letter::Suspended { .. })
        };
        prop_assert!(owing || letters.iter().filter(asks).count() == 0, "{letters:?}");
        prop_assert!(letters.iter().filter(asks).count() <= 2, "the newest only: {letters:?}");
        let paid = letters.iter().filter(|l| matches!(l, Letter::Receipt(_) | Letter::Recovered(_))).count();
        let captured = books.cycles.values().filter(|c| c.index > 0 && matches!(c.state, domain::cycle::State::Paid(_)));
        prop_assert_eq!(paid, captured.count(), "every payment has its receipt");
        prop_assert!(books.subscription.status != Status::Draft);
    }
}
