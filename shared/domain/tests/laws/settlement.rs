//! Settlement: a listed row has exactly one bucket, whatever it says; rows come in any order and any number of times and
//! leave the same table; what is booked is booked once; unexplained money is counted, and told once.

use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use domain::charge::{Billable, GatewayName};
use domain::cycle::Cycle;
use domain::dispute::Told;
use domain::ledger::{Account, Entry};
use domain::money::{Currency, Money};
use domain::movement::{Fee, Kind, Listed, Movement};
use domain::refund::{Seen, SeenState};
use domain::settlement::{
    Bucket, Decided, Heard, LISTED_AFTER, Ours, Reason, SETTLED_AFTER, SettlementRow, UNEXPLAINED, judge, judge_ours,
};
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{PRICE, birth, days, hours};

const STRIPE: GatewayName = GatewayName::Stripe;

/// A paid cycle with two refunds, one of which came back, and a dispute that was won.
fn cycle() -> Cycle {
    let seen = |n: i64, state| Seen {
        gateway_refund_id: format!("re_{n}"),
        refund_id: None,
        amount: 1_000 * n,
        currency: None,
        state,
        code: None,
    };
    let paid = Books::active(STRIPE).cycle(0).clone();
    let first = [seen(1, SeenState::Succeeded), seen(2, SeenState::Succeeded), seen(2, SeenState::Failed)];
    let refunded = paid.observe_refunds(&first, birth()).unwrap().cycle;
    let told =
        |status: &str, closed| Told { id: "dp_1".into(), amount: PRICE, status: status.into(), reason: None, closed };
    let opened = refunded.disputed(&told("needs_response", false), birth()).unwrap().cycle;
    opened.disputed(&told("won", true), birth()).unwrap().cycle
}

fn row(cycle: &Cycle, id: &str, kind: Kind, about: Option<&str>, amount: i64) -> Movement {
    let (payment, _) = cycle.payment().unwrap();
    let of = Billable { subscription: cycle.subscription_id.clone(), index: cycle.index, seq: cycle.seq };
    Movement {
        id: id.into(),
        kind,
        order_id: Some(of.order_id(STRIPE, 1)),
        payment_id: Some(payment.payment_id.clone()),
        charge_id: payment.charge_id.clone(),
        about: about.map(str::to_owned),
        amount: Money::krw(amount),
        at: birth(),
        fee: Some(Fee { amount: 100, vat: Some(9), net: amount - 100, paid_out_on: None }),
    }
}

/// What the gateway lists of it, and what is not about any order.
fn rows(cycle: &Cycle) -> Vec<Movement> {
    vec![
        row(cycle, "t1", Kind::Capture, None, PRICE),
        row(cycle, "t2", Kind::Refund, Some("re_1"), -1_000),
        row(cycle, "t3", Kind::Refund, Some("re_2"), -2_000),
        row(cycle, "t4", Kind::RefundReturned, Some("re_2"), 2_000),
        row(cycle, "t5", Kind::Dispute, Some("dp_1"), -PRICE),
        row(cycle, "t6", Kind::DisputeReturned, Some("dp_1"), PRICE),
        Movement { order_id: None, ..row(cycle, "t7", Kind::Fee, None, -500) },
        Movement { order_id: None, ..row(cycle, "t8", Kind::PayOut, None, -20_000) },
    ]
}

fn ours(cycle: &Cycle) -> Ours<'_> {
    Ours { cycle: Some(cycle), live: false, given_back: 0 }
}

fn bucket(moved: &Movement, cycle: &Cycle) -> (Bucket, Option<Reason>, Option<i64>) {
    let verdict = judge(STRIPE, moved, ours(cycle), None, birth() + hours(5));
    (verdict.bucket, verdict.reason, verdict.unexplained)
}

#[test]
fn what_both_sides_know_is_matched() {
    let cycle = cycle();
    for moved in rows(&cycle) {
        assert_eq!(bucket(&moved, &cycle), (Bucket::Matched, None, Some(0)), "{moved:?}");
    }
}

#[test]
fn every_deviation_has_its_bucket() {
    let cycle = cycle();
    let [capture, refund, ..] = &rows(&cycle)[..] else { panic!("rows") };
    let fee = |fee: Fee| Movement { fee: Some(fee), ..capture.clone() };
    let told = capture.fee.clone().unwrap();
    let usd = Movement { amount: Money::new(PRICE, Currency::USD), ..capture.clone() };
    let missing = |reason, unexplained| (Bucket::MissingInternal, Some(reason), Some(unexplained));
    let differs = |reason, unexplained| (Bucket::AmountMismatch, Some(reason), Some(unexplained));
    let cases = [
        (Movement { amount: Money::krw(PRICE + 7), fee: None, ..capture.clone() }, differs(Reason::Amount, 7)),
        (usd, differs(Reason::Currency, PRICE)),
        (fee(Fee { net: told.net - 3, ..told.clone() }), differs(Reason::FeeDoesNotAddUp, -3)),
        (Movement { kind: Kind::Other, ..capture.clone() }, missing(Reason::UnknownKind, PRICE)),
        (Movement { order_id: None, ..capture.clone() }, missing(Reason::ForeignOrder, PRICE)),
        (Movement { order_id: Some("shop-7".into()), ..capture.clone() }, missing(Reason::ForeignOrder, PRICE)),
        (Movement { payment_id: Some("pi_other".into()), ..capture.clone() }, missing(Reason::NotInBooks, PRICE)),
        (Movement { about: Some("re_9".into()), ..refund.clone() }, missing(Reason::NotInBooks, -1_000)),
        (Movement { amount: Money::krw(-1_001), fee: None, ..refund.clone() }, differs(Reason::Amount, -1)),
        (Movement { fee: None, ..capture.clone() }, (Bucket::Timing, Some(Reason::FeePending), Some(0))),
    ];
    for (moved, expected) in cases {
        assert_eq!(bucket(&moved, &cycle), expected, "{moved:?}");
    }
    let silent = Movement { fee: None, ..capture.clone() };
    let late = judge(STRIPE, &silent, ours(&cycle), None, birth() + SETTLED_AFTER);
    assert_eq!((late.bucket, late.reason), (Bucket::MissingGateway, Some(Reason::NotSettled)));
    let other = judge(STRIPE, capture, ours(&cycle), Some(99), birth());
    assert_eq!((other.bucket, other.unexplained), (Bucket::AmountMismatch, Some(-1)), "booked otherwise");
    let nothing = Ours::default();
    assert_eq!(judge(STRIPE, capture, nothing, None, birth()).reason, Some(Reason::NotInBooks));
    let live = judge(STRIPE, capture, Ours { live: true, ..nothing }, None, birth());
    assert_eq!((live.bucket, live.reason), (Bucket::Timing, Some(Reason::AttemptLive)));
    assert_eq!(judge(GatewayName::Toss, capture, ours(&cycle), None, birth()).bucket, Bucket::MissingInternal);
}

#[test]
fn our_own_facts_wait_a_day_for_their_row() {
    let of = |answered, age| judge_ours(Money::krw(-700), birth(), answered, birth() + age);
    assert_eq!(of(false, LISTED_AFTER - hours(1)).bucket, Bucket::Timing);
    let missing = of(false, LISTED_AFTER);
    assert_eq!((missing.bucket, missing.unexplained), (Bucket::MissingGateway, Some(700)));
    assert_eq!(of(true, days(9)).bucket, Bucket::Matched);
}

#[derive(Clone, Copy, Debug)]
enum Twist {
    As,
    Amount(i64),
    Currency,
    Kind(usize),
    Net(i64),
    NoFee,
    NoOrder,
    Payment,
    About,
    Zero,
    Unreadable,
}

fn twist() -> impl Strategy<Value = Twist> {
    let small = -5_000i64..5_000;
    prop_oneof![
        6 => Just(Twist::As),
        1 => small.clone().prop_map(Twist::Amount),
        1 => Just(Twist::Currency),
        1 => (0usize..8).prop_map(Twist::Kind),
        1 => small.prop_map(Twist::Net),
        1 => Just(Twist::NoFee),
        1 => Just(Twist::NoOrder),
        1 => Just(Twist::Payment),
        1 => Just(Twist::About),
        1 => Just(Twist::Zero),
        1 => Just(Twist::Unreadable),
    ]
}

fn twisted(moved: &Movement, twist: Twist) -> Listed {
    const KINDS: [Kind; 8] = [
        Kind::Capture,
        Kind::Refund,
        Kind::RefundReturned,
        Kind::Dispute,
        Kind::DisputeReturned,
        Kind::Fee,
        Kind::PayOut,
        Kind::Other,
    ];
    let mut row = moved.clone();
    match twist {
        Twist::As => {}
        Twist::Amount(by) => row.amount.amount += by,
        Twist::Currency => row.amount.currency = Currency::JPY,
        Twist::Kind(n) => row.kind = KINDS[n],
        Twist::Net(by) => row.fee.as_mut().unwrap().net += by,
        Twist::NoFee => row.fee = None,
        Twist::NoOrder => row.order_id = None,
        Twist::Payment => row.payment_id = Some("pi_other".into()),
        Twist::About => row.about = Some("re_other".into()),
        Twist::Zero => row.amount.amount = 0,
        Twist::Unreadable => return Listed::Unreadable { id: Some(row.id), raw: "{".into() },
    }
    Listed::Movement(row)
}

/// The table and the ledger, as the use case keeps them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    rows: BTreeMap<String, SettlementRow>,
    entries: BTreeMap<String, Entry>,
    alerts: BTreeSet<String>,
}

impl Kept {
    fn hear(&mut self, listed: &Listed, cycle: &Cycle, now: Timestamp) -> bool {
        let heard = Heard { by: STRIPE, day: domain::calendar::seoul_date(birth()), listed };
        let (_, id) = heard.place();
        let stored = self.rows.get(&id).cloned();
        let decided = heard.row(stored.as_ref(), ours(cycle), false, now).decide(stored.as_ref()).unwrap();
        let Some(Decided { row, entries, facts }) = decided else { return false };
        self.rows.insert(id, SettlementRow { version: row.version + 1, ..row });
        for entry in entries {
            let again = self.entries.insert(entry.id.clone(), entry);
            assert!(again.is_none(), "an entry is made once");
        }
        for fact in facts.iter().filter(|fact| fact.kind == UNEXPLAINED) {
            assert!(self.alerts.insert(fact.changes["row"].as_str().unwrap().to_owned()), "told once");
        }
        true
    }

    fn at_rest(&self) -> bool {
        self.rows.values().all(|row| row.verdict.bucket.at_rest())
    }
}

proptest! {
    #[test]
    fn any_order_and_any_repetition_leave_the_same_table(
        twists in prop::collection::vec(twist(), 8),
        order in Just((0usize..8).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(0usize..8, 0..12),
        age in 0i64..200,
    ) {
        let cycle = cycle();
        let listed: Vec<Listed> = rows(&cycle).iter().zip(&twists).map(|(row, twist)| twisted(row, *twist)).collect();
        let now = birth() + hours(age);
        let (mut straight, mut mixed) = (Kept::default(), Kept::default());
        for row in &listed {
            straight.hear(row, &cycle, now);
        }
        for at in order.iter().chain(&again).chain(&order) {
            mixed.hear(&listed[*at], &cycle, now);
        }
        prop_assert_eq!(&straight, &mixed);
        for row in &listed {
            prop_assert!(!straight.hear(row, &cycle, now), "nothing is new");
        }
        // Exactly one bucket: nothing is unexplained inside matched and timing, and something is outside.
        prop_assert_eq!(straight.rows.len(), 8);
        for row in straight.rows.values() {
            prop_assert_eq!(row.verdict.unexplained == Some(0), row.verdict.bucket.at_rest(), "{:?}", row);
        }
        let unexplained: i64 = straight.rows.values().map(|row| row.verdict.unexplained.map_or(1, i64::abs)).sum();
        prop_assert_eq!(unexplained == 0, straight.at_rest());
        prop_assert_eq!(straight.alerts.is_empty(), straight.at_rest());
        // What is matched is booked: clearing moved by fees, pay-outs and disputes, captures and refunds are documents.
        let sum = |of: &Entry| of.postings.iter().map(|p| p.amount).sum::<i64>();
        prop_assert!(straight.entries.values().all(|entry| sum(entry) == 0));
        let clearing = straight.entries.values().flat_map(|entry| &entry.postings);
        let booked: i64 = clearing.filter(|p| p.account == Account::GatewayClearing).map(|p| p.amount).sum();
        let matched = straight.rows.values().filter(|row| row.verdict.bucket == Bucket::Matched);
        let documents = [Kind::Capture, Kind::Refund, Kind::RefundReturned];
        let net: i64 = matched
            .filter_map(|row| row.movement.as_ref())
            .map(|m| if documents.contains(&m.kind) { -m.kept() } else { m.amount.amount - m.fee.as_ref().map_or(0, |f| f.amount) })
            .sum();
        prop_assert_eq!(booked, net);
    }

    /// The fee is told with the row, later, or in another list; a list that leaves it out takes nothing back.
    #[test]
    fn a_fee_is_booked_once_whenever_it_is_told(told in prop::collection::vec(any::<bool>(), 1..8)) {
        let cycle = cycle();
        let with = rows(&cycle).remove(0);
        let without = Movement { fee: None, ..with.clone() };
        let mut kept = Kept::default();
        for with_fee in &told {
            let row = if *with_fee { &with } else { &without };
            kept.hear(&Listed::Movement(row.clone()), &cycle, birth() + hours(2));
        }
        let heard = told.contains(&true);
        prop_assert_eq!(kept.entries.len(), usize::from(heard));
        let bucket = if heard { Bucket::Matched } else { Bucket::Timing };
        prop_assert_eq!(kept.rows["t1"].verdict.bucket, bucket);
        // Another fee afterwards is a mismatch, and never booked.
        let fee = Fee { amount: 101, vat: None, net: PRICE - 101, paid_out_on: None };
        kept.hear(&Listed::Movement(Movement { fee: Some(fee), ..with }), &cycle, birth() + hours(3));
        prop_assert_eq!(kept.entries.len(), 1);
        prop_assert_eq!(kept.rows["t1"].verdict.reason == Some(Reason::FeeChanged), heard);
    }
}
