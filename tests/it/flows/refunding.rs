//! Refunds through the use cases: in full, in parts, too much, by two people, with answers lost before and after the
//! effect, finished later, coming back, made in the console, and owed for money that came too late.

use std::time::Duration;

use domain::cancelling::CancelAt;
use domain::charge::{Billable, GatewayName, Trigger};
use domain::cycle::{Cycle, State};
use domain::dispute::Told;
use domain::event::Actor;
use domain::ids::{RefundId, SubscriptionId, ulid};
use domain::refund::{Origin, Refused, Seen, SeenState, Status, Wish};
use jiff::SignedDuration;
use serde_json::Value;
use shared::ports::Context;
use shared::store::memory::{Call, Fault};
use shared::store::typed;
use shared::usecase::charge_subscription::charge;
use shared::usecase::observe_refunds::{About, Said};
use shared::usecase::receive_hint::{Hint, receive_cancel_hint, receive_hint};
use shared::usecase::receive_webhook::{SignedEvent, receive_signed};
use shared::usecase::refund_payment::{RefundError, decide, request};
use shared::usecase::rereads::Rereads;
use shared::usecase::send_refund::{Place, advance};
use shared::usecase::sweep_refunds::{Swept, sweep};
use shared::usecase::switch;

use super::adverse::{Act, Adverse, onboard, run, world};
use super::cancelling::{cancelled, was_told};
use super::till::Give;
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(20);
pub const PRICE: i64 = 44_000;

pub fn place(id: &SubscriptionId, index: u32) -> Place {
    Place { subscription: id.clone(), index, seq: 0 }
}

pub async fn cycle(world: &World, id: &SubscriptionId, index: u32) -> Cycle {
    typed::cycle(&world.store, id, index, 0).await.unwrap().unwrap()
}

pub async fn as_person(world: &World, name: &str) -> Context {
    Context { actor: Actor::Operator(name.to_owned()), ..world.context().await }
}

pub async fn ask(
    world: &World,
    id: &SubscriptionId,
    amount: Option<i64>,
    limit: Option<i64>,
) -> Result<(RefundId, Cycle), RefundError> {
    let context = as_person(world, "kim").await;
    let refund = RefundId::new(ulid(context.now, world.charging.random.bits()));
    let wish = Wish { id: refund.clone(), amount, reason: "wrong plan".into(), by: "kim".into(), limit };
    let cycle = request(&world.charging, &context, &place(id, 0), &wish, &[]).await?;
    Ok((refund, cycle))
}

/// Asks for a refund and sends it at once, as the endpoint does.
pub async fn refund(world: &World, id: &SubscriptionId, amount: Option<i64>) -> (RefundId, Cycle) {
    let (refund, _) = ask(world, id, amount, None).await.unwrap();
    let context = as_person(world, "kim").await;
    let cycle = advance(&world.charging, &context, &place(id, 0), &refund, PATIENCE).await.unwrap();
    (refund, cycle)
}

pub async fn swept(world: &World) -> Swept {
    let context = Context { actor: Actor::System("refund_sweep".into()), ..world.context().await };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
    sweep(&world.charging, &context, deadline).await.unwrap()
}

pub fn payment_of(cycle: &Cycle) -> String {
    cycle.payment().unwrap().0.payment_id.clone()
}

fn status(cycle: &Cycle, id: &RefundId) -> Status {
    cycle.refund(id).unwrap().status
}

/// The changes of the events of a kind, oldest first.
fn facts(world: &World, kind: &str) -> Vec<Value> {
    let rows = world.store.dump().into_iter().filter(|(table, _)| *table == "ops_audit_log");
    let mut events: Vec<Value> = rows.map(|(_, item)| Value::Object(item)).filter(|e| e["kind"] == kind).collect();
    events.sort_by_key(|e| e["sk"].as_str().unwrap().to_owned());
    events.into_iter().map(|e| e["changes"].clone()).collect()
}

async fn paid(name: GatewayName) -> (World, std::sync::Arc<Adverse>, SubscriptionId, String) {
    let (world, gateway) = world(name).await;
    let id = onboard(&world, name).await;
    let payment = payment_of(&cycle(&world, &id, 0).await);
    (world, gateway, id, payment)
}

#[tokio::test]
async fn parts_add_up_to_the_whole_and_no_further() {
    for name in GatewayName::ALL {
        let (world, gateway, id, payment) = paid(name).await;
        for (amount, total) in [(10_000, 10_000), (1, 10_001), (20_005, 30_006)] {
            world.wait(SignedDuration::from_secs(1));
            let (refund, cycle) = refund(&world, &id, Some(amount)).await;
            assert_eq!((status(&cycle, &refund), cycle.refunded), (Status::Succeeded, total));
            assert_eq!(gateway.till.given(&payment), total);
        }
        let over = ask(&world, &id, Some(13_995), None).await;
        assert!(matches!(over, Err(RefundError::Refused(Refused::TooMuch { left: 13_994 }))), "{over:?}");
        world.wait(SignedDuration::from_secs(1));
        let (_, cycle) = refund(&world, &id, None).await;
        assert_eq!((cycle.refunded, gateway.till.given(&payment)), (PRICE, PRICE));
        let more = ask(&world, &id, None, None).await;
        assert!(matches!(more, Err(RefundError::Refused(Refused::TooMuch { left: 0 }))), "{more:?}");
        let told = facts(&world, "refund.succeeded");
        let vat: i64 = told.iter().map(|c| c["vat"].as_i64().unwrap()).sum();
        assert_eq!(vat, cycle.amount.vat_split().vat.amount, "{name:?}");
        assert_eq!(told.last().unwrap()["refunded"], PRICE);
        assert_eq!((&told[0]["paymentId"], &told[0]["gateway"]), (&payment.as_str().into(), &name.as_str().into()));
        assert_eq!(cycle.refund_due(), None, "nothing is left in the index");
        assert_eq!(swept(&world).await, Swept::default());
    }
}

#[tokio::test]
async fn nothing_is_refunded_of_what_is_unpaid_or_unknown() {
    let (world, gateway, id, _) = paid(GatewayName::Toss).await;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    gateway.then(&[Act::Soft]);
    run(&world).await;
    assert_eq!(cycle(&world, &id, 1).await.state, State::Open);
    let context = as_person(&world, "kim").await;
    for (index, unpaid) in [(1, true), (7, false)] {
        let wish = Wish { id: RefundId::named("x"), amount: None, reason: "r".into(), by: "kim".into(), limit: None };
        let answer = request(&world.charging, &context, &place(&id, index), &wish, &[]).await;
        match answer {
            Err(RefundError::Refused(Refused::NotPaid)) => assert!(unpaid),
            Err(RefundError::NotFound) => assert!(!unpaid),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_large_refund_is_sent_only_after_a_second_person_agreed() {
    let (world, gateway, id, payment) = paid(GatewayName::Stripe).await;
    let (refund, asked) = ask(&world, &id, None, Some(30_000)).await.unwrap();
    assert_eq!(status(&asked, &refund), Status::PendingApproval);
    assert_eq!(swept(&world).await.seen, 0, "nobody sends it");
    let word = |by| (by, true, None);
    let (kim, lee) = (as_person(&world, "kim").await, as_person(&world, "lee").await);
    let own = decide(&world.charging, &kim, &place(&id, 0), &refund, word("kim"), &[]).await;
    assert!(matches!(own, Err(RefundError::Refused(Refused::SecondPerson))), "{own:?}");
    assert_eq!(gateway.till.given(&payment), 0);
    let agreed = decide(&world.charging, &lee, &place(&id, 0), &refund, word("lee"), &[]).await.unwrap();
    assert_eq!(agreed.refund(&refund).unwrap().approved_by.as_deref(), Some("lee"));
    assert_eq!(swept(&world).await.seen, 1, "approved and left by a dead process: the sweep sends it");
    assert_eq!((cycle(&world, &id, 0).await.refunded, gateway.till.given(&payment)), (PRICE, PRICE));
    let kinds = ["refund.requested", "refund.approved", "refund.succeeded"];
    assert_eq!(kinds.map(|kind| was_told(&world, &id, kind)), [1, 1, 1]);
}

/// The answer is lost before or after the effect, or a 5xx stands for either: the money goes back once.
#[tokio::test]
async fn a_lost_answer_is_looked_up_and_gives_the_money_back_once() {
    for name in GatewayName::ALL {
        for (act, sends) in [(Give::DoneUnheard, 1), (Give::DoneThenError, 1), (Give::Silence, 2)] {
            for blind in [0, 1] {
                let (world, gateway, id, payment) = paid(name).await;
                gateway.till.then(&[act]);
                let (refund, cycle_then) = refund(&world, &id, Some(11_000)).await;
                assert_eq!(status(&cycle_then, &refund), Status::Unknown, "{act:?}");
                let busy = ask(&world, &id, Some(1), None).await;
                assert!(matches!(busy, Err(RefundError::Refused(Refused::UnderWay))), "{busy:?}");
                gateway.till.blind.store(blind, std::sync::atomic::Ordering::SeqCst);
                for _ in 0..4 {
                    world.wait(SignedDuration::from_mins(30));
                    swept(&world).await;
                }
                let after = cycle(&world, &id, 0).await;
                assert_eq!((status(&after, &refund), after.refunded), (Status::Succeeded, 11_000), "{name:?} {act:?}");
                assert_eq!(gateway.till.given(&payment), 11_000);
                let sent = gateway.till.sends.load(std::sync::atomic::Ordering::SeqCst);
                assert!(sent <= sends + blind, "{sent} sends after {act:?}");
                assert_eq!(facts(&world, "refund.succeeded").len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn what_provably_never_happened_is_free_again() {
    for name in GatewayName::ALL {
        for act in [Give::Refuse, Give::Error, Give::Strange] {
            let (world, gateway, id, payment) = paid(name).await;
            gateway.till.then(&[act]);
            let (refund, _) = refund(&world, &id, None).await;
            for _ in 0..6 {
                world.wait(SignedDuration::from_mins(40));
                swept(&world).await;
            }
            let after = cycle(&world, &id, 0).await;
            assert_eq!((status(&after, &refund), after.refundable()), (Status::Failed, PRICE), "{name:?} {act:?}");
            assert_eq!((gateway.till.given(&payment), was_told(&world, &id, "refund.failed")), (0, 1));
            let (_, anew) = self::refund(&world, &id, None).await;
            assert_eq!(anew.refunded, PRICE, "a new request is a new key");
        }
    }
}

#[tokio::test]
async fn a_pending_refund_is_followed_to_its_end_and_one_that_comes_back_is_told() {
    let (world, gateway, id, payment) = paid(GatewayName::Stripe).await;
    for end in [SeenState::Succeeded, SeenState::Failed] {
        gateway.till.then(&[Give::Pending]);
        let (refund, pending) = refund(&world, &id, Some(4_000)).await;
        assert_eq!(status(&pending, &refund), Status::Pending);
        world.wait(SignedDuration::from_hours(2));
        swept(&world).await;
        assert_eq!(status(&cycle(&world, &id, 0).await, &refund), Status::Pending);
        gateway.till.turn(&payment, end);
        world.wait(SignedDuration::from_hours(2));
        swept(&world).await;
        let after = cycle(&world, &id, 0).await;
        assert_eq!(after.refunded, 4_000, "{end:?}");
        assert_eq!(after.refundable(), PRICE - 4_000);
    }
    world.wait(SignedDuration::from_mins(1));
    let (refund, _) = refund(&world, &id, Some(1_000)).await;
    let failed = gateway.till.turn(&payment, SeenState::Failed);
    signed(&world, "evt_back", &payment, None, Said::Refund(failed)).await;
    let after = cycle(&world, &id, 0).await;
    assert_eq!((status(&after, &refund), after.refunded), (Status::Failed, 4_000));
    let told = facts(&world, "refund.failed");
    assert_eq!(
        (&told.last().unwrap()["from"], &told.last().unwrap()["refunded"]),
        (&"SUCCEEDED".into(), &4_000.into())
    );
}

async fn signed(world: &World, event: &str, payment: &str, order_id: Option<String>, said: Said) {
    let about = About { order_id, payment_id: Some(payment.to_owned()), charge_id: None };
    let event =
        SignedEvent { about: Some((about, said)), ..SignedEvent::stored(GatewayName::Stripe, event, "refund.updated") };
    receive_signed(&world.charging, world.context().await.now, event).await.unwrap();
}

fn order(id: &SubscriptionId) -> String {
    Billable { subscription: id.clone(), index: 0, seq: 0 }.order_id(GatewayName::Stripe, 1)
}

/// A refund made in the gateway's console comes by event or by poll, once, and counts.
#[tokio::test]
async fn a_refund_made_in_the_console_counts_once_however_often_it_is_told() {
    let (world, gateway, id, payment) = paid(GatewayName::Stripe).await;
    let seen = gateway.till.by_hand(&payment, 7_000);
    for (event, order_id, said) in [
        ("evt_1", None, Said::Refund(seen.clone())),
        ("evt_1", None, Said::Refund(seen.clone())),
        ("evt_2", Some(order(&id)), Said::Refund(seen.clone())),
        ("evt_3", None, Said::Refunded { total: None }),
        ("evt_3b", None, Said::Refunded { total: Some(7_000) }),
    ] {
        signed(&world, event, &payment, order_id, said).await;
    }
    let after = cycle(&world, &id, 0).await;
    assert_eq!((after.refunded, after.refunds.len(), after.refunds[0].origin), (7_000, 1, Origin::Console));
    assert_eq!(facts(&world, "refund.succeeded").len(), 1);
    // Ours is told about in the same way, and is still ours.
    let (ours, _) = refund(&world, &id, None).await;
    let row = gateway.till.rows.lock().unwrap()[&payment].last().unwrap().clone();
    signed(&world, "evt_4", &payment, None, Said::Refund(row)).await;
    let after = cycle(&world, &id, 0).await;
    assert_eq!((after.refunded, after.refunds.len()), (PRICE, 2));
    assert_eq!(after.refund(&ours).unwrap().origin, Origin::Ours);
    let foreign = Seen {
        gateway_refund_id: "re_x".into(),
        refund_id: None,
        amount: 1,
        currency: None,
        state: SeenState::Succeeded,
        code: None,
    };
    signed(&world, "evt_5", "pi_nobody", None, Said::Refund(foreign)).await;
    assert_eq!(facts(&world, "webhook.unmatched").len(), 1);
}

#[tokio::test]
async fn a_toss_hint_about_a_cancel_is_read_back_and_a_forged_one_says_nothing() {
    let (world, gateway, id, payment) = paid(GatewayName::Toss).await;
    let now = world.context().await.now;
    let order = Billable { subscription: id.clone(), index: 0, seq: 0 }.order_id(GatewayName::Toss, 1);
    receive_hint(&world.charging, &Rereads::default(), now, GatewayName::Toss, &Hint::cancelled(&order)).await.unwrap();
    assert_eq!(cycle(&world, &id, 0).await.refunded, 0, "forged: the gateway knows of none");
    gateway.till.by_hand(&payment, 5_000);
    for _ in 0..2 {
        receive_hint(&world.charging, &Rereads::default(), now, GatewayName::Toss, &Hint::cancelled(&order))
            .await
            .unwrap();
    }
    assert_eq!(cycle(&world, &id, 0).await.refunded, 5_000);
    gateway.till.by_hand(&payment, 6_000);
    receive_cancel_hint(&world.charging, &Rereads::default(), now, GatewayName::Toss, &payment).await.unwrap();
    receive_cancel_hint(&world.charging, &Rereads::default(), now, GatewayName::Toss, "unknown").await.unwrap();
    assert_eq!(cycle(&world, &id, 0).await.refunded, 11_000);
    assert_eq!(facts(&world, "refund.succeeded").len(), 2);
}

/// Toss is told what we think is left; when the console was faster it refuses, and the books learn why.
#[tokio::test]
async fn a_refund_the_console_overtook_fails_and_the_consoles_is_booked() {
    let (world, gateway, id, payment) = paid(GatewayName::Toss).await;
    gateway.till.by_hand(&payment, 40_000);
    let (ours, after) = refund(&world, &id, Some(5_000)).await;
    assert_eq!((status(&after, &ours), after.refunded, after.refundable()), (Status::Failed, 40_000, 4_000));
    assert_eq!(gateway.till.given(&payment), 40_000);
}

/// A capture that arrives for a cancelled subscription opens its refund in the same commit, and the sweep sends it.
#[tokio::test]
async fn money_for_an_ended_subscription_goes_back_by_itself() {
    for name in GatewayName::ALL {
        let (world, gateway) = world(name).await;
        let id = onboard(&world, name).await;
        world.travel(world.subscription(&id).await.due_at.unwrap());
        // The claim is written, the money is taken, and the process dies before it is booked.
        let commits = std::sync::atomic::AtomicU32::new(0);
        world.store.inject(move |call| {
            let commit = matches!(call, Call::Commit(_));
            let n = commits.fetch_add(u32::from(commit), std::sync::atomic::Ordering::SeqCst);
            (n > 0).then_some(Fault::Unavailable)
        });
        let (subscription, context) = (world.subscription(&id).await, world.context().await);
        assert!(charge(&world.charging, &context, subscription, Trigger::Manual, PATIENCE).await.is_err());
        world.store.heal();
        cancelled(&world, &id, CancelAt::Now).await;
        world.wait(SignedDuration::from_mins(70));
        run(&world).await;
        let owed = cycle(&world, &id, 1).await;
        assert_eq!((owed.refunds.len(), owed.refunds[0].origin, owed.refunded), (1, Origin::Owed, 0), "{name:?}");
        assert_eq!(was_told(&world, &id, "payment.refund_owed"), 1);
        // Part of it was given back by hand already: what is owed is the rest.
        let payment = payment_of(&owed);
        if name == GatewayName::Stripe {
            let seen = gateway.till.by_hand(&payment, 4_000);
            signed(&world, "evt_hand", &payment, None, Said::Refund(seen)).await;
        }
        swept(&world).await;
        let after = cycle(&world, &id, 1).await;
        assert_eq!((after.refunded, gateway.till.given(&payment)), (PRICE, PRICE), "{name:?}: {after:#?}");
        assert_eq!(swept(&world).await.seen, 0);
    }
}

#[tokio::test]
async fn nothing_leaves_through_a_paused_gateway() {
    let (world, gateway, id, payment) = paid(GatewayName::Toss).await;
    let random = world.charging.random.as_ref();
    let context = as_person(&world, "kim").await;
    switch::pause(&world.store, random, &context, GatewayName::Toss, "repair", Vec::new()).await.unwrap();
    let (refund, waiting) = refund(&world, &id, None).await;
    assert_eq!(status(&waiting, &refund), Status::Requested);
    swept(&world).await;
    assert_eq!(gateway.till.given(&payment), 0);
    switch::resume(&world.store, random, &context, GatewayName::Toss, "done", Vec::new()).await.unwrap();
    swept(&world).await;
    assert_eq!(gateway.till.given(&payment), PRICE);
}

#[tokio::test]
async fn a_dispute_is_recorded_told_and_holds_refunds() {
    let (world, _, id, payment) = paid(GatewayName::Stripe).await;
    let told = |status: &str, closed| {
        Said::Dispute(Told { id: "dp_1".into(), amount: PRICE, status: status.into(), reason: None, closed })
    };
    signed(&world, "evt_1", &payment, None, told("needs_response", false)).await;
    signed(&world, "evt_2", &payment, None, told("needs_response", false)).await;
    let held = ask(&world, &id, None, None).await;
    assert!(matches!(held, Err(RefundError::Refused(Refused::Disputed))), "{held:?}");
    signed(&world, "evt_3", &payment, None, told("lost", true)).await;
    signed(&world, "evt_1b", &payment, None, told("needs_response", false)).await;
    let after = cycle(&world, &id, 0).await;
    assert_eq!((after.refundable(), after.refunded), (0, 0), "the money is gone, and nothing was refunded");
    assert_eq!((was_told(&world, &id, "dispute.opened"), was_told(&world, &id, "dispute.closed")), (1, 1));
}
