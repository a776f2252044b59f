//! Every order of up to five events of one payment, each dropped, delivered or delivered twice: after the sweep and the poll
//! the books say what the gateway's ledger says. Enumerated, both gateways. What fails is sent again a minute later, as
//! gateways do; a dispute is told by events alone, so of one whose events were dropped nothing is known.

use std::sync::Arc;
use std::time::Duration;

use domain::charge::{Answer, Billable, Capture, Decline, DeclineClass, GatewayName, Trigger};
use domain::cycle::{Cycle, Outcome, State};
use domain::dispute::Told;
use domain::event::Actor;
use domain::ids::{RefundId, ulid};
use domain::money::Money;
use domain::refund::{Seen, SeenState, Status, Wish};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::ports::Context;
use shared::store::MemoryStore;
use shared::store::rows::Item;
use shared::store::schema::Table;
use shared::usecase::charge_subscription::charge;
use shared::usecase::observe_refunds::{self, About, Said};
use shared::usecase::receive_hint::{Hint, receive_cancel_hint, receive_hint};
use shared::usecase::receive_webhook::{ReceiveError, SignedEvent, receive_signed};
use shared::usecase::refund_payment::request;
use shared::usecase::rereads::Rereads;
use shared::usecase::resolve_attempt::resolve;
use shared::usecase::send_refund::{Place, advance};
use shared::usecase::sweep_refunds::sweep;

use super::adverse::{Act, Adverse, onboard, world};
use super::refunding::{PRICE, cycle};
use super::till::Give;
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);
const EVENTS: usize = 5;

/// What the gateway has to say, in the order in which it happened there.
#[derive(Clone)]
enum Event {
    Report(Answer),
    About(Said),
    Hint { n: u32, cancelled: bool },
    CancelHint,
}

/// A payment with all of its history at the gateway, and what our books knew before any event came.
struct Scene {
    name: GatewayName,
    world: World,
    gateway: Arc<Adverse>,
    books: Vec<(&'static str, Item)>,
    begin: Timestamp,
    billable: Billable,
    payment: String,
    events: [Event; EVENTS],
}

/// A renewal that `act` meets; the payment it made.
async fn renewal(name: GatewayName, act: Act) -> (World, Arc<Adverse>, Billable, String) {
    let (world, gateway) = world(name).await;
    let id = onboard(&world, name).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    let before = gateway.till.taken.lock().unwrap().clone();
    gateway.then(&[act]);
    let (subscription, context) = (world.subscription(&id).await, world.context().await);
    charge(&world.charging, &context, subscription, Trigger::Renewal, PATIENCE).await.unwrap();
    let taken = gateway.till.taken.lock().unwrap().clone();
    let payment = taken.keys().find(|payment| !before.contains_key(*payment)).unwrap().clone();
    (world, gateway, Billable { subscription: id, index: 1, seq: 0 }, payment)
}

/// Asks for a refund whose answer gets lost.
async fn unheard_refund(world: &World, gateway: &Adverse, billable: &Billable, amount: i64) {
    gateway.till.then(&[Give::DoneUnheard]);
    let context = Context { actor: Actor::Operator("kim".into()), ..world.context().await };
    let refund = RefundId::new(ulid(context.now, world.charging.random.bits()));
    let wish = Wish { id: refund.clone(), amount: Some(amount), reason: "r".into(), by: "kim".into(), limit: None };
    let place = Place { subscription: billable.subscription.clone(), index: 1, seq: 0 };
    request(&world.charging, &context, &place, &wish, &[]).await.unwrap();
    let sent = advance(&world.charging, &context, &place, &refund, PATIENCE).await.unwrap();
    assert_eq!(sent.refund(&refund).unwrap().status, Status::Unknown);
}

fn pending(seen: &Seen) -> Event {
    Event::About(Said::Refund(Seen { state: SeenState::Pending, ..seen.clone() }))
}

fn refund(seen: &Seen) -> Event {
    Event::About(Said::Refund(seen.clone()))
}

fn total(total: i64) -> Event {
    Event::About(Said::Refunded { total: Some(total) })
}

fn dispute(status: &str, closed: bool) -> Event {
    let (id, reason) = ("dp_1".to_owned(), Some("fraudulent".to_owned()));
    Event::About(Said::Dispute(Told { id, amount: PRICE, status: status.to_owned(), reason, closed }))
}

fn failure() -> Event {
    let (code, charge_id) = ("insufficient_funds".to_owned(), Some("ch_of_an_attempt_long_over".to_owned()));
    Event::Report(Answer::Declined(Decline { class: DeclineClass::Soft, code, intent: None, charge_id }))
}

impl Scene {
    fn of(
        name: GatewayName,
        (world, gateway, billable, payment): (World, Arc<Adverse>, Billable, String),
        begin: Timestamp,
        events: [Event; EVENTS],
    ) -> Scene {
        Scene { name, books: world.store.dump(), begin, world, gateway, billable, payment, events }
    }

    /// The books as they were, and a process that remembers nothing.
    fn reset(&mut self) -> Rereads {
        let store = MemoryStore::new();
        for (name, item) in &self.books {
            let table = Table::ALL.into_iter().find(|table| table.name() == *name).unwrap();
            store.put_raw(table, item.clone()).unwrap();
        }
        self.world.charging.store = Arc::new(store.clone());
        self.world.store = store;
        self.world.travel(self.begin);
        Rereads::default()
    }

    async fn deliver(&self, rereads: &Rereads, at: usize) -> Result<(), ReceiveError> {
        let (charging, now) = (&self.world.charging, self.world.context().await.now);
        let plain = || SignedEvent::stored(self.name, format!("evt_{at}"), "event");
        match &self.events[at] {
            Event::Report(answer) => {
                let report = Some((self.billable.clone(), answer.clone()));
                receive_signed(charging, now, SignedEvent { report, ..plain() }).await
            }
            Event::About(said) => {
                let about = About { payment_id: Some(self.payment.clone()), ..About::default() };
                let about = Some((about, said.clone()));
                receive_signed(charging, now, SignedEvent { about, ..plain() }).await
            }
            Event::Hint { n, cancelled } => {
                let order = self.billable.order_id(self.name, *n);
                let hint = Hint { cancelled: *cancelled, ..Hint::about(&order) };
                receive_hint(charging, rereads, now, self.name, &hint).await
            }
            Event::CancelHint => receive_cancel_hint(charging, rereads, now, self.name, &self.payment).await,
        }
    }

    /// Delivers, and again a minute later what was not taken, until all of it is.
    async fn deliver_all(&self, rereads: &Rereads, sequence: &[usize]) {
        let mut left = sequence.to_vec();
        for _ in 0..12 {
            let mut again = Vec::new();
            for at in left {
                self.world.wait(SignedDuration::from_secs(1));
                if self.deliver(rereads, at).await.is_err() {
                    again.push(at);
                }
            }
            if again.is_empty() {
                return;
            }
            left = again;
            self.world.wait(SignedDuration::from_secs(61));
        }
        panic!("{sequence:?}: some event is never taken");
    }

    /// What the schedule does: the due index, the sweep of refunds, and the poll of what was given back.
    async fn converge(&self) {
        for _ in 0..3 {
            self.world.wait(SignedDuration::from_mins(61));
            let (charging, context) = (&self.world.charging, self.world.context().await);
            let subscription = self.world.subscription(&self.billable.subscription).await;
            if subscription.live.is_some() {
                resolve(charging, &context, &subscription, PATIENCE).await.unwrap();
            }
            let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
            assert_eq!(sweep(charging, &context, deadline).await.unwrap().failed, 0);
            observe_refunds::follow(charging, &context, self.name, &self.billable).await.unwrap();
        }
    }

    async fn judge(&self, sequence: &[usize]) {
        let after = cycle(&self.world, &self.billable.subscription, 1).await;
        let what = || format!("{:?} {sequence:?}: {after:#?}", self.name);
        let State::Paid(paid) = &after.state else { panic!("{}", what()) };
        assert_eq!(paid.payment_id, self.payment, "{}", what());
        let of = |outcome| after.attempts.iter().filter(|a| a.outcome == outcome).count();
        assert_eq!((of(Outcome::Succeeded), of(Outcome::Quarantined)), (1, 0), "{}", what());
        let given = self.gateway.till.given(&self.payment);
        assert_eq!((after.refunded, after.refund_due()), (given, None), "{}", what());
        for row in &self.gateway.till.rows.lock().unwrap()[&self.payment] {
            let known = after.refunds.iter().find(|r| r.gateway_refund_id.as_ref() == Some(&row.gateway_refund_id));
            let status = if row.state == SeenState::Failed { Status::Failed } else { Status::Succeeded };
            assert_eq!(known.map(|r| (r.status, r.amount)), Some((status, row.amount)), "{}", what());
        }
        self.judge_dispute(&after, sequence);
        let facts = self.facts();
        let count = |kind: &str| facts.iter().filter(|(k, _)| k == kind).count();
        let alerts = ["payment.quarantined", "webhook.unmatched"].map(count);
        assert_eq!((count("payment.captured"), alerts), (2, [0, 0]), "{}", what());
        let sum = |wanted: &str, from: Option<&str>| -> i64 {
            let of = facts.iter().filter(|(kind, c)| kind == wanted && from.is_none_or(|from| c["from"] == from));
            of.map(|(_, changes)| changes["amount"].as_i64().unwrap()).sum()
        };
        assert_eq!(sum("refund.succeeded", None) - sum("refund.failed", Some("SUCCEEDED")), given, "{}", what());
    }

    /// A closed dispute is closed whatever came after; one whose end was dropped is open.
    fn judge_dispute(&self, after: &Cycle, sequence: &[usize]) {
        let first = |place: &usize| !sequence[..*place].contains(&sequence[*place]);
        let told: Vec<&Told> = (0..sequence.len())
            .filter(first)
            .filter_map(|place| match &self.events[sequence[place]] {
                Event::About(Said::Dispute(told)) => Some(told),
                _ => None,
            })
            .collect();
        let end = told.iter().find(|told| told.closed).or(told.last());
        let known = after.dispute.as_ref().map(|d| (d.status.as_str(), d.closed_at.is_some()));
        assert_eq!(known, end.map(|told| (told.status.as_str(), told.closed)), "{sequence:?}: {after:#?}");
        let lost = end.filter(|told| told.closed && told.status == "lost").map_or(0, |told| told.amount);
        assert_eq!(after.refundable(), (PRICE - after.refunded - lost).max(0), "{sequence:?}");
    }

    /// Kinds and changes of all events of the audit log.
    fn facts(&self) -> Vec<(String, Value)> {
        let rows = self.world.store.dump().into_iter().filter(|(table, _)| *table == "ops_audit_log");
        rows.map(|(_, item)| (item["kind"].as_str().unwrap().to_owned(), item["changes"].clone())).collect()
    }

    async fn play(&mut self, sequence: &[usize]) {
        let rereads = self.reset();
        self.deliver_all(&rereads, sequence).await;
        self.converge().await;
        self.judge(sequence).await;
    }
}

/// Every order of every subset of `0..EVENTS`.
fn orders() -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    while from < all.len() {
        let order = all[from].clone();
        let longer = (0..EVENTS).filter(|next| !order.contains(next));
        all.extend(longer.map(|next| order.iter().copied().chain([next]).collect::<Vec<usize>>()));
        from += 1;
    }
    all
}

/// `order` with the events of `mask` twice: the second time right after the first, or after everything.
fn doubled(order: &[usize], mask: usize, late: bool) -> Vec<usize> {
    let mut sequence = Vec::new();
    let mut after = Vec::new();
    for (place, at) in order.iter().enumerate() {
        sequence.push(*at);
        if mask >> place & 1 == 1 {
            if late { after.push(*at) } else { sequence.push(*at) }
        }
    }
    sequence.extend(after);
    sequence
}

#[expect(clippy::print_stdout, reason = "the figures of an enumeration are its result")]
async fn enumerate(what: &str, mut scene: Scene) {
    let mut played = 0u32;
    for order in orders() {
        for mask in 0..1usize << order.len() {
            for late in [false, true] {
                // Without a duplicate, or with one at the very end, the two are the same.
                if late && mask & !(1usize << order.len() >> 1) == 0 {
                    continue;
                }
                scene.play(&doubled(&order, mask, late)).await;
                played += 1;
            }
        }
    }
    println!("{what}: {played} deliveries of {EVENTS} events at {}", scene.name.as_str());
    assert_eq!(played, 12_011, "326 orders of drops, with every choice of duplicates");
}

fn capture(gateway: &Adverse, billable: &Billable, payment: &str) -> Event {
    let charge = gateway.sends.lock().unwrap().last().unwrap().0.clone();
    Event::Report(Answer::Captured(Capture {
        order_id: billable.order_id(gateway.name, 1),
        payment_id: payment.to_owned(),
        charge_id: Some(format!("ch_{charge}")),
        amount: Money::krw(PRICE),
    }))
}

async fn signed(act: Act, history: impl Fn(&Adverse, &str) -> [Event; EVENTS - 1], ours: Option<i64>) -> Scene {
    let name = GatewayName::Stripe;
    let (world, gateway, billable, payment) = renewal(name, act).await;
    let captured = capture(&gateway, &billable, &payment);
    if let Some(amount) = ours {
        unheard_refund(&world, &gateway, &billable, amount).await;
    }
    let [b, c, d, e] = history(&gateway, &payment);
    let begin = world.context().await.now + SignedDuration::from_mins(5);
    Scene::of(name, (world, gateway, billable, payment), begin, [captured, b, c, d, e])
}

#[tokio::test]
async fn a_capture_nobody_heard_of_an_old_failure_and_a_slow_refund() {
    let history = |gateway: &Adverse, payment: &str| {
        let seen = gateway.till.by_hand(payment, 7_000);
        [failure(), pending(&seen), refund(&seen), total(7_000)]
    };
    enumerate("slow refund", signed(Act::TakeUnheard, history, None).await).await;
}

#[tokio::test]
async fn a_refund_that_came_back_beside_one_that_stands() {
    let history = |gateway: &Adverse, payment: &str| {
        let made = gateway.till.by_hand(payment, 7_000);
        let back = gateway.till.turn(payment, SeenState::Failed);
        let stands = gateway.till.by_hand(payment, 5_000);
        [refund(&made), refund(&back), refund(&stands), total(5_000)]
    };
    enumerate("refund that came back", signed(Act::TakeUnheard, history, None).await).await;
}

#[tokio::test]
async fn a_dispute_that_is_lost_after_a_part_was_given_back() {
    let history = |gateway: &Adverse, payment: &str| {
        let seen = gateway.till.by_hand(payment, 3_000);
        [refund(&seen), dispute("needs_response", false), dispute("under_review", false), dispute("lost", true)]
    };
    enumerate("lost dispute", signed(Act::TakeUnheard, history, None).await).await;
}

#[tokio::test]
async fn a_refund_of_ours_whose_answer_was_lost_and_a_dispute_that_is_won() {
    let history = |gateway: &Adverse, payment: &str| {
        let ours = gateway.till.rows.lock().unwrap()[payment].last().unwrap().clone();
        [pending(&ours), refund(&ours), dispute("warning_needs_response", false), dispute("won", true)]
    };
    enumerate("own refund", signed(Act::Take, history, Some(11_000)).await).await;
}

/// Toss signs none of them: each only makes us look.
async fn hinted(act: Act, ours: Option<i64>) -> Scene {
    let name = GatewayName::Toss;
    let (world, gateway, billable, payment) = renewal(name, act).await;
    if let Some(amount) = ours {
        unheard_refund(&world, &gateway, &billable, amount).await;
    }
    gateway.till.by_hand(&payment, 4_000);
    gateway.till.by_hand(&payment, 3_000);
    let hint = |n, cancelled| Event::Hint { n, cancelled };
    let events = [hint(1, false), hint(1, true), hint(2, false), hint(2, true), Event::CancelHint];
    let begin = world.context().await.now + SignedDuration::from_mins(5);
    Scene::of(name, (world, gateway, billable, payment), begin, events)
}

#[tokio::test]
async fn hints_about_a_capture_nobody_heard_of_and_refunds_in_the_console() {
    enumerate("hints", hinted(Act::TakeUnheard, None).await).await;
}

#[tokio::test]
async fn hints_about_a_refund_of_ours_whose_answer_was_lost() {
    enumerate("hints, own refund", hinted(Act::Take, Some(11_000)).await).await;
}

#[test]
fn the_enumeration_is_complete() {
    let all = orders();
    let of = |len: usize| all.iter().filter(|order| order.len() == len).count();
    assert_eq!([0, 1, 2, 3, 4, 5].map(of), [1, 5, 20, 60, 120, 120]);
    assert_eq!(doubled(&[3, 1, 4], 0b101, false), [3, 3, 1, 4, 4]);
    assert_eq!(doubled(&[3, 1, 4], 0b101, true), [3, 1, 4, 3, 4]);
}
