//! Refunds: whatever is asked for, answered, found and looked up, and in whatever order, no more goes back than was paid,
//! the VAT sums, and the books end where the gateway's own list ends.

use domain::charge::{GatewayName, Heard};
use domain::cycle::{Cycle, State};
use domain::dispute::Told;
use domain::ids::{RefundId, ulid};
use domain::money::Money;
use domain::refund::{Answer, Listed, Origin, Refused, Resend, Seen, SeenState, Start, Status, Wish};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{PRICE, birth, days, hours, minutes};

pub fn paid(gateway: GatewayName) -> Cycle {
    Books::active(gateway).cycle(0).clone()
}

pub fn id(n: u128) -> RefundId {
    RefundId::new(ulid(birth(), n))
}

pub fn wish(n: u128, amount: Option<i64>) -> Wish {
    Wish { id: id(n), amount, reason: "asked".into(), by: "kim".into(), limit: None }
}

pub fn request(cycle: &Cycle, n: u128, amount: Option<i64>) -> Cycle {
    cycle.request_refund(wish(n, amount), birth()).unwrap().cycle
}

pub fn started(cycle: &Cycle, n: u128, now: Timestamp) -> Cycle {
    match cycle.start_refund(&id(n), format!("token {n}"), now + minutes(2), now) {
        Start::Claimed(cycle) => cycle,
        other => panic!("claimed, not {other:?}"),
    }
}

pub fn heard(cycle: &Cycle, n: u128, answer: &Answer) -> Cycle {
    cycle.settle_refund(&id(n), &format!("token {n}"), answer, birth()).map_or(cycle.clone(), |c| c.cycle)
}

pub fn done(n: u128) -> Answer {
    Answer::Done { gateway_refund_id: format!("re_{n}") }
}

fn seen(n: u128, ours: bool, amount: i64, state: SeenState) -> Seen {
    let refund_id = ours.then(|| id(n).to_string());
    Seen { gateway_refund_id: format!("re_{n}"), refund_id, amount, currency: None, state, code: None }
}

pub fn status(cycle: &Cycle, n: u128) -> Status {
    cycle.refund(&id(n)).unwrap().status
}

#[test]
fn all_that_is_left_unless_an_amount_is_named() {
    let cycle = paid(GatewayName::Toss);
    let part = heard(&started(&request(&cycle, 1, Some(11_000)), 1, birth()), 1, &done(1));
    assert_eq!((part.refunded, part.refundable(), status(&part, 1)), (11_000, 22_000, Status::Succeeded));
    let over = part.request_refund(wish(2, Some(22_001)), birth());
    assert_eq!(over, Err(Refused::TooMuch { left: 22_000 }));
    assert_eq!(part.request_refund(wish(2, Some(0)), birth()), Err(Refused::Amount));
    let rest = request(&part, 2, None);
    assert_eq!(rest.request_refund(wish(3, Some(1)), birth()), Err(Refused::UnderWay), "one at a time");
    let sent = started(&rest, 2, birth());
    assert_eq!(sent.refund(&id(2)).unwrap().sending.as_ref().unwrap().refundable, 22_000, "what Toss is told");
    let all = heard(&sent, 2, &done(2));
    assert_eq!((all.refunded, all.refundable(), all.refund_due()), (PRICE, 0, None));
    assert_eq!(all.request_refund(wish(3, None), birth()), Err(Refused::TooMuch { left: 0 }));
    let vat: i64 = all.refunds.iter().filter_map(|r| r.vat).sum();
    assert_eq!(vat, all.amount.vat_split().vat.amount);
}

/// Money in another currency is none of this payment's, whoever's refund it claims to be: booked nowhere, and told.
#[test]
fn another_currency_is_quarantined_and_never_booked() {
    let plain = paid(GatewayName::Stripe);
    let sent = started(&request(&plain, 1, Some(11_000)), 1, birth());
    for (cycle, ours) in [(&plain, false), (&sent, true)] {
        for (currency, state) in
            [("usd", SeenState::Succeeded), ("eur", SeenState::Pending), ("USD", SeenState::Succeeded)]
        {
            let told = Seen { currency: Some(currency.into()), ..seen(1, ours, 11_000, state) };
            let change = cycle.observe_refunds(&[told], birth()).unwrap();
            assert_eq!(change.cycle, *cycle, "{currency}");
            let [fact] = &change.facts[..] else { panic!("one fact") };
            assert_eq!(
                (fact.kind, fact.changes["currency"].as_str()),
                ("payment.quarantined", Some(&*currency.to_uppercase()))
            );
        }
        let nothing = Seen { currency: Some("usd".into()), ..seen(1, ours, 11_000, SeenState::Failed) };
        assert_eq!(cycle.observe_refunds(&[nothing], birth()), None, "nothing moved");
        for currency in [None, Some("krw".to_owned()), Some("KRW".to_owned())] {
            let told = Seen { currency, ..seen(1, ours, 11_000, SeenState::Succeeded) };
            assert_eq!(cycle.observe_refunds(&[told], birth()).unwrap().cycle.refunded, 11_000);
        }
    }
}

#[test]
fn what_was_not_paid_is_not_refunded() {
    for state in [State::Open, State::Void, State::Uncollectible] {
        let cycle = Cycle { state, ..paid(GatewayName::Stripe) };
        assert_eq!(cycle.request_refund(wish(1, None), birth()), Err(Refused::NotPaid));
        assert_eq!(
            (cycle.refundable(), cycle.observe_refunds(&[seen(1, false, 5, SeenState::Succeeded)], birth())),
            (0, None)
        );
    }
}

#[test]
fn a_large_refund_needs_another_person() {
    let cycle = paid(GatewayName::Toss);
    let asked = |amount, limit| {
        let wish = Wish { limit: Some(limit), ..wish(1, Some(amount)) };
        cycle.request_refund(wish, birth()).unwrap().cycle
    };
    assert_eq!(status(&asked(10_000, 10_000), 1), Status::Requested, "the limit itself is small enough");
    let large = asked(10_001, 10_000);
    assert_eq!((status(&large, 1), large.refund_due()), (Status::PendingApproval, None));
    assert_eq!(large.start_refund(&id(1), "t".into(), birth(), birth()), Start::No);
    assert_eq!(large.decide_refund(&id(1), true, "kim", birth()), Err(Refused::SecondPerson));
    assert_eq!(large.decide_refund(&id(9), true, "lee", birth()), Err(Refused::NotFound));
    let approved = large.decide_refund(&id(1), true, "lee", birth()).unwrap().unwrap().cycle;
    assert_eq!(status(&approved, 1), Status::Requested);
    assert_eq!(approved.decide_refund(&id(1), true, "lee", birth()), Ok(None), "said before");
    assert_eq!(approved.decide_refund(&id(1), false, "park", birth()), Err(Refused::NotWaiting));
    let back = large.decide_refund(&id(1), false, "kim", birth()).unwrap().unwrap().cycle;
    assert_eq!((status(&back, 1), back.refundable()), (Status::Rejected, PRICE), "the one who asked may take it back");
    assert_eq!(back.decide_refund(&id(1), true, "lee", birth()), Err(Refused::NotWaiting));
}

/// Only the holder of the claim may say that nothing happened; that something did, anybody may.
#[test]
fn a_claim_fences_negatives_and_never_money() {
    let cycle = started(&request(&paid(GatewayName::Stripe), 1, None), 1, birth());
    let refused = Answer::Refused { code: "no".into() };
    let late = Answer::Unknown { heard: Heard::Error, code: None };
    for answer in [&refused, &late] {
        assert_eq!(cycle.settle_refund(&id(1), "an old token", answer, birth()), None);
    }
    let money = cycle.settle_refund(&id(1), "an old token", &done(1), birth()).unwrap().cycle;
    assert_eq!((status(&money, 1), money.refunded), (Status::Succeeded, PRICE));
    assert_eq!(money.settle_refund(&id(1), "token 1", &refused, birth()), None, "it succeeded");
    let failed = heard(&cycle, 1, &refused);
    assert_eq!((status(&failed, 1), failed.refundable()), (Status::Failed, PRICE));
    let after_all = heard(&failed, 1, &done(1));
    assert_eq!((status(&after_all, 1), after_all.refunded), (Status::Succeeded, PRICE), "and was done after all");
}

/// A lease that ran out means look; an empty look means the same bytes again, once nothing was heard and the key is fresh.
#[test]
fn an_open_refund_is_looked_up_before_it_is_sent_again_or_given_up() {
    let now = birth();
    let profile = GatewayName::Toss.profile();
    let sent = started(&request(&paid(GatewayName::Toss), 1, None), 1, now);
    let claim = || Some(Resend { token: "token 1".into(), lease_until: now + hours(9) });
    let nothing = Listed::All(Vec::new());
    let look =
        |cycle: &Cycle, listed: &Listed, at: Timestamp| cycle.refund_looked_up(&id(1), listed, &profile, claim(), at);
    assert_eq!(look(&sent, &nothing, now), None, "its sender is still waiting");
    let late = now + minutes(3);
    let again = look(&sent, &nothing, late).unwrap();
    assert!(again.send && status(&again.change.cycle, 1) == Status::Started);
    let (first, second) = (sent.refund(&id(1)).unwrap(), again.change.cycle.refund(&id(1)).unwrap());
    let frozen = |r: &domain::refund::Refund| r.sending.as_ref().map(|s| (s.refundable, s.started_at));
    assert_eq!((first.amount, frozen(first)), (second.amount, frozen(second)));
    let failed = look(&sent, &Listed::Failed, late).unwrap();
    assert!(!failed.send && status(&failed.change.cycle, 1) == Status::Unknown, "a question that failed says nothing");
    let there = look(&sent, &Listed::All(vec![seen(1, true, PRICE, SeenState::Succeeded)]), late).unwrap();
    assert!(!there.send && there.change.cycle.refunded == PRICE);

    let error = heard(&sent, 1, &Answer::Unknown { heard: Heard::Error, code: Some("E".into()) });
    // While the lease runs the send may still be on its way: an empty look counts for nothing.
    let too_soon = look(&error, &nothing, now).unwrap().change.cycle;
    let doubted = look(&too_soon, &nothing, now + hours(1)).unwrap().change.cycle;
    assert_eq!(status(&doubted, 1), Status::Unknown);
    let once = look(&error, &nothing, late).unwrap();
    assert!(!once.send && status(&once.change.cycle, 1) == Status::Unknown, "the key may have stored the error");
    let early = look(&once.change.cycle, &nothing, late + minutes(59)).unwrap();
    assert_eq!(status(&early.change.cycle, 1), Status::Unknown);
    let gone = look(&early.change.cycle, &nothing, late + hours(1)).unwrap().change;
    assert_eq!((status(&gone.cycle, 1), gone.cycle.refundable()), (Status::Failed, PRICE));
    assert!(gone.facts.iter().any(|f| f.kind == "refund.failed" && f.changes["code"] == "E"));

    let old = now + days(14);
    let stale = look(&sent, &nothing, old).unwrap();
    assert!(!stale.send, "a key the gateway has forgotten is another refund");
    assert!(stale.change.facts.iter().any(|f| f.kind == "refund.stuck"));
    let told_once = look(&stale.change.cycle, &nothing, old + minutes(1)).unwrap();
    assert!(told_once.change.facts.is_empty());
}

#[test]
fn money_that_comes_back_can_be_refunded_again() {
    let cycle = heard(&started(&request(&paid(GatewayName::Stripe), 1, None), 1, birth()), 1, &done(1));
    let back = cycle.observe_refunds(&[seen(1, true, PRICE, SeenState::Failed)], birth()).unwrap();
    let fact = &back.facts[0];
    let vat = cycle.amount.vat_split().vat.amount;
    assert_eq!(
        (fact.kind, &fact.changes["from"], &fact.changes["refunded"]),
        ("refund.failed", &"SUCCEEDED".into(), &0.into())
    );
    assert_eq!((&fact.changes["vat"], back.cycle.refundable()), (&vat.into(), PRICE));
    let old = back.cycle.observe_refunds(&[seen(1, true, PRICE, SeenState::Succeeded)], birth());
    assert_eq!(old, None, "an older word of the gateway changes nothing");
    assert_eq!(heard(&back.cycle, 1, &done(1)), back.cycle);
}

#[test]
fn a_refund_that_was_overtaken_by_the_console_is_not_sent() {
    let reserved = request(&paid(GatewayName::Toss), 1, Some(30_000));
    let console = reserved.observe_refunds(&[seen(2, false, 11_000, SeenState::Succeeded)], birth()).unwrap().cycle;
    assert_eq!((console.refunded, console.refunds[1].origin), (11_000, Origin::Console));
    let Start::Ended(change) = console.start_refund(&id(1), "t".into(), birth(), birth()) else { panic!("ended") };
    assert_eq!((status(&change.cycle, 1), change.cycle.refundable()), (Status::Failed, 22_000));
}

#[test]
fn a_gateway_that_says_more_went_back_than_was_paid_is_not_believed() {
    let cycle = paid(GatewayName::Stripe);
    let change = cycle.observe_refunds(&[seen(1, false, PRICE + 1, SeenState::Succeeded)], birth()).unwrap();
    assert_eq!((change.cycle, change.facts[0].kind), (cycle, "payment.quarantined"));
}

#[test]
fn a_dispute_is_recorded_once_and_a_lost_one_is_money_gone() {
    let cycle = paid(GatewayName::Stripe);
    let told =
        |status: &str, closed| Told { id: "dp_1".into(), amount: 20_000, status: status.into(), reason: None, closed };
    let open = cycle.disputed(&told("needs_response", false), birth()).unwrap();
    assert_eq!(open.facts.iter().map(|f| f.kind).collect::<Vec<_>>(), ["dispute.opened"]);
    assert_eq!(open.cycle.disputed(&told("needs_response", false), birth()), None);
    assert_eq!(open.cycle.request_refund(wish(1, None), birth()), Err(Refused::Disputed));
    let inquiry = cycle.disputed(&told("warning_needs_response", false), birth()).unwrap().cycle;
    assert!(inquiry.request_refund(wish(1, None), birth()).is_ok(), "an inquiry holds no money");
    let lost = open.cycle.disputed(&told("lost", true), birth()).unwrap();
    assert_eq!(
        (lost.facts.len(), lost.facts[0].kind, &lost.facts[0].changes["lost"]),
        (1, "dispute.closed", &20_000.into())
    );
    assert_eq!(lost.cycle.refundable(), PRICE - 20_000);
    let late = cycle.disputed(&told("lost", true), birth()).unwrap();
    let kinds: Vec<_> = late.facts.iter().map(|f| f.kind).collect();
    assert_eq!((kinds, late.cycle.clone()), (vec!["dispute.opened", "dispute.closed"], lost.cycle.clone()));
    assert_eq!(late.cycle.disputed(&told("needs_response", false), birth()), None, "closed stays closed");
    let won = open.cycle.disputed(&told("won", true), birth()).unwrap().cycle;
    assert_eq!(won.refundable(), PRICE);
}

/// One thing that may happen to a payment's refunds.
#[derive(Clone, Debug)]
enum Step {
    Request(Option<i64>, Option<i64>),
    Approve(bool),
    Start,
    Answer(u8),
    Console(i64, SeenState),
    Turn(usize, SeenState),
    Look(bool),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let state = || prop_oneof![Just(SeenState::Pending), Just(SeenState::Succeeded), Just(SeenState::Failed)];
    prop_oneof![
        3 => (prop::option::of(1i64..40_000), prop::option::of(0i64..20_000)).prop_map(|(a, l)| Step::Request(a, l)),
        1 => any::<bool>().prop_map(Step::Approve),
        3 => Just(Step::Start),
        3 => (0u8..5).prop_map(Step::Answer),
        1 => (1i64..40_000, state()).prop_map(|(a, s)| Step::Console(a, s)),
        2 => (0usize..6, state()).prop_map(|(n, s)| Step::Turn(n, s)),
        2 => any::<bool>().prop_map(Step::Look),
        1 => (1i64..2_000).prop_map(Step::Wait),
    ]
}

/// The gateway's side: it gives what it has, and says so. Its word about one refund only moves on.
#[derive(Default)]
struct Till {
    rows: Vec<Seen>,
}

impl Till {
    fn given(&self) -> i64 {
        self.rows.iter().filter(|r| r.state != SeenState::Failed).map(|r| r.amount).sum()
    }

    fn give(&mut self, refund_id: Option<String>, amount: i64, state: SeenState) -> Option<Seen> {
        if refund_id.is_some() && self.rows.iter().any(|r| r.refund_id == refund_id) {
            return self.rows.iter().find(|r| r.refund_id == refund_id).cloned();
        }
        if amount > PRICE - self.given() || state == SeenState::Failed {
            return None;
        }
        let gateway_refund_id = format!("re_{}", self.rows.len());
        self.rows.push(Seen { gateway_refund_id, refund_id, amount, currency: None, state, code: None });
        self.rows.last().cloned()
    }
}

struct Play {
    cycle: Cycle,
    till: Till,
    now: Timestamp,
    n: u128,
}

impl Play {
    fn live(&self) -> Option<RefundId> {
        self.cycle.refunds.iter().find(|r| r.status.live() && r.origin == Origin::Ours).map(|r| r.id.clone())
    }

    fn answer(&mut self, kind: u8) {
        let Some(refund) = self.live().and_then(|id| self.cycle.refund(&id).cloned()) else { return };
        let Some(sending) = refund.sending.clone() else { return };
        let unseen = self.till.rows.iter().all(|r| r.refund_id.as_deref() != Some(refund.id.as_str()));
        let mut give = |state| self.till.give(Some(refund.id.to_string()), refund.amount, state);
        let refused = Answer::Refused { code: "no".into() };
        let of = |row: Option<Seen>| match row {
            Some(row) if row.state == SeenState::Succeeded => Answer::Done { gateway_refund_id: row.gateway_refund_id },
            Some(row) if row.state == SeenState::Pending => {
                Answer::Pending { gateway_refund_id: row.gateway_refund_id }
            }
            Some(_) | None => refused.clone(),
        };
        let answer = match kind {
            0 => of(give(SeenState::Succeeded)),
            1 => of(give(SeenState::Pending)),
            2 if unseen => refused,
            3 => {
                give(SeenState::Succeeded);
                Answer::Unknown { heard: Heard::Error, code: None }
            }
            _ => Answer::Unknown { heard: Heard::Nothing, code: None },
        };
        if let Some(change) = self.cycle.settle_refund(&refund.id, &sending.token, &answer, self.now) {
            self.cycle = change.cycle;
        }
    }

    fn apply(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Request(amount, limit) => {
                self.n += 1;
                let wish = Wish { limit: *limit, ..wish(self.n, *amount) };
                if let Ok(change) = self.cycle.request_refund(wish, now) {
                    self.cycle = change.cycle;
                }
            }
            Step::Approve(agreed) => {
                let Some(id) = self.live() else { return };
                if let Ok(Some(change)) = self.cycle.decide_refund(&id, *agreed, "lee", now) {
                    self.cycle = change.cycle;
                }
            }
            Step::Start => {
                let Some(id) = self.live() else { return };
                match self.cycle.start_refund(&id, format!("t{now}"), now + minutes(2), now) {
                    Start::Claimed(cycle) => self.cycle = cycle,
                    Start::Ended(change) => self.cycle = change.cycle,
                    Start::No => {}
                }
            }
            Step::Answer(kind) => self.answer(*kind),
            Step::Console(amount, state) => {
                self.till.give(None, *amount, *state);
            }
            Step::Turn(n, state) => {
                if let Some(row) = self.till.rows.get_mut(*n) {
                    row.state = row.state.max(*state);
                }
            }
            Step::Look(may) => {
                let Some(id) = self.live() else { return };
                let listed = Listed::All(self.till.rows.clone());
                let claim = may.then(|| Resend { token: format!("t{now}"), lease_until: now + minutes(2) });
                let profile = GatewayName::Stripe.profile();
                if let Some(looked) = self.cycle.refund_looked_up(&id, &listed, &profile, claim, now) {
                    self.cycle = looked.change.cycle;
                }
            }
            Step::Wait(m) => self.now += minutes(*m),
        }
    }

    fn laws(&self) {
        let cycle = &self.cycle;
        let stands = cycle.refunds.iter().filter(|r| r.status == Status::Succeeded);
        let (sum, vat) = stands.fold((0, 0), |(s, v), r| (s + r.amount, v + r.vat.unwrap()));
        assert_eq!(cycle.refunded, sum, "{cycle:#?}");
        assert!((0..=PRICE).contains(&sum), "no more than was paid");
        let exact = Money { amount: sum, ..cycle.amount }.vat_split().vat.amount;
        assert!((vat - exact).abs() <= 1, "one won at most after a refund came back: {vat} {exact}");
        let ours = cycle.refunds.iter().filter(|r| r.status.live() && r.origin == Origin::Ours).count();
        assert!(ours <= 1, "one under way");
        for refund in cycle.refunds.iter().filter(|r| r.status.live()) {
            assert!(refund.due_at.is_some() || refund.status == Status::PendingApproval, "somebody looks after it");
        }
    }
}

proptest! {
    #[test]
    fn no_more_goes_back_than_was_paid_and_the_books_end_where_the_gateway_ends(steps in prop::collection::vec(step(), 1..60)) {
        let mut play = Play { cycle: paid(GatewayName::Stripe), till: Till::default(), now: birth(), n: 0 };
        for step in &steps {
            play.apply(step);
            play.laws();
            prop_assert!(play.till.given() <= PRICE);
        }
        // The gateway finishes what it has taken up, and everything it says is heard.
        for row in &mut play.till.rows {
            row.state = row.state.max(SeenState::Succeeded);
        }
        if let Some(change) = play.cycle.observe_refunds(&play.till.rows.clone(), play.now) {
            play.cycle = change.cycle;
        }
        play.laws();
        prop_assert_eq!(play.cycle.refunded, play.till.given());
    }

    /// Any order and any repetition of what a gateway says about its refunds leaves the same money.
    #[test]
    fn the_order_of_events_does_not_matter(
        amounts in prop::collection::vec((1i64..11_000, 0usize..3), 1..4),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let cycle = paid(GatewayName::Stripe);
        let states = [SeenState::Pending, SeenState::Succeeded, SeenState::Failed];
        let events: Vec<Seen> = (amounts.iter().enumerate())
            .flat_map(|(n, (amount, last))| {
                states[..=*last].iter().map(move |s| seen(n.try_into().unwrap(), false, *amount, *s))
            })
            .collect();
        let hear = |order: &[Seen]| {
            order.iter().fold(cycle.clone(), |c, e| c.observe_refunds(std::slice::from_ref(e), birth()).map_or(c, |x| x.cycle))
        };
        let mut mixed: Vec<Seen> = order.iter().map(|i| i.get(&events).clone()).collect();
        // Whatever was lost comes in the end, the last word first.
        mixed.extend(events.iter().rev().cloned());
        let (straight, mixed) = (hear(&events), hear(&mixed));
        let stand = |c: &Cycle| {
            let mut all: Vec<_> = (c.refunds.iter()).filter(|r| r.status != Status::Failed).map(|r| (r.id.clone(), r.amount, r.status)).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        };
        prop_assert_eq!(straight.refunded, mixed.refunded);
        prop_assert_eq!(stand(&straight), stand(&mixed));
    }
}
