//! The PaymentIntent of an open cycle is cancelled before another gateway charges the cycle and before the cycle is
//! closed unpaid. "Already succeeded" is settled instead; no answer, and nothing is decided.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::cancelling::CancelAt;
use domain::charge::{GatewayName, Trigger};
use domain::cycle::State;
use domain::ids::{MethodId, SubscriptionId};
use domain::subscription::Status;
use jiff::SignedDuration;
use secrecy::SecretString;
use shared::gateway::{Charge, Gateway, Gateways, REQUEST_VERSION};
use shared::store::typed;
use shared::usecase::cancel_subscription::cancel;
use shared::usecase::change_method::change;
use shared::usecase::charge_subscription::{ChargeError, ChargeResult, charge};

use super::adverse::{Act, Adverse, card, onboard, run};
use super::cancelling::{cancelled, was_told};
use super::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

struct Two {
    world: World,
    toss: Arc<Adverse>,
    stripe: Arc<Adverse>,
    id: SubscriptionId,
    /// A Toss card, registered and not in use.
    spare: MethodId,
}

impl Two {
    fn captures(&self) -> (usize, usize) {
        (self.toss.captures(), self.stripe.captures())
    }

    async fn state(&self, index: u32) -> State {
        typed::cycle(&self.world.store, &self.id, index, 0).await.unwrap().unwrap().state
    }

    async fn intent(&self) -> Option<String> {
        typed::cycle(&self.world.store, &self.id, 1, 0).await.unwrap().unwrap().intent
    }

    async fn switch(&self) -> Option<ChargeResult> {
        let context = self.world.context().await;
        change(&self.world.charging, &context, &self.id, &self.spare, PATIENCE).await.unwrap().charge
    }
}

/// A Stripe subscription whose renewal was declined, with a Toss card at hand.
async fn declined_on_stripe() -> Two {
    let mut world = World::new().await;
    let (toss, stripe) = (Adverse::new(GatewayName::Toss), Adverse::new(GatewayName::Stripe));
    world.charging.gateways = Gateways { toss: toss.clone(), stripe: stripe.clone() };
    let id = onboard(&world, GatewayName::Stripe).await;
    let spare = card(&world, &id.request(), GatewayName::Toss, "spare").await.unwrap().method.id;
    world.travel(world.subscription(&id).await.due_at.unwrap());
    stripe.then(&[Act::Soft]);
    run(&world).await;
    assert_eq!((toss.captures(), stripe.captures()), (0, 1));
    Two { world, toss, stripe, id, spare }
}

/// The same after a second attempt that took the money: its answer was lost, every look-up was blind, so that it was
/// closed as absent.
async fn paid_unseen_on_stripe() -> Two {
    let two = declined_on_stripe().await;
    two.stripe.then(&[Act::TakeThenError]);
    two.stripe.blind.store(2, Ordering::SeqCst);
    let (subscription, context) = (two.world.subscription(&two.id).await, two.world.context().await);
    charge(&two.world.charging, &context, subscription, Trigger::Manual, PATIENCE).await.unwrap();
    for _ in 0..2 {
        two.world.wait(SignedDuration::from_mins(62));
        let (subscription, context) = (two.world.subscription(&two.id).await, two.world.context().await);
        shared::usecase::resolve_attempt::resolve(&two.world.charging, &context, &subscription, PATIENCE)
            .await
            .unwrap();
    }
    let subscription = two.world.subscription(&two.id).await;
    assert_eq!((subscription.live, subscription.paid, subscription.absent), (None, Some(0), 1), "closed as absent");
    two
}

#[tokio::test]
async fn another_gateway_charges_only_once_the_intent_is_cancelled() {
    let two = declined_on_stripe().await;
    let intent = two.intent().await.unwrap();
    assert_eq!(two.switch().await, Some(ChargeResult::Captured));
    assert!(two.stripe.cancelled.lock().unwrap().contains(&intent));
    assert_eq!((two.captures(), two.intent().await), ((1, 1), None));
    // A worker frozen with a confirm in its hand wakes.
    let (token, customer) = (SecretString::from("token"), SecretString::from("customer"));
    let late = Charge {
        order_id: "late",
        idempotency_key: "charge:late",
        amount: domain::money::Money::krw(44_000),
        order_name: "late",
        token: &token,
        customer: &customer,
        key_version: "v1",
        request_version: REQUEST_VERSION,
        intent: Some(&intent),
        known_charges: &[],
    };
    two.stripe.charge(&late).await;
    assert_eq!(two.captures(), (1, 1), "it takes nothing any more");
}

#[tokio::test]
async fn what_the_intent_took_already_pays_and_the_other_gateway_is_not_asked() {
    let two = paid_unseen_on_stripe().await;
    assert_eq!(two.switch().await, Some(ChargeResult::Captured));
    assert_eq!((two.captures(), two.toss.sent()), ((0, 2), 0));
    assert!(matches!(two.state(1).await, State::Paid(_)));
    let subscription = two.world.subscription(&two.id).await;
    assert_eq!((subscription.paid, subscription.dunning, subscription.method_id), (Some(1), None, two.spare.clone()));
    two.world.travel(two.world.subscription(&two.id).await.due_at.unwrap());
    run(&two.world).await;
    assert_eq!(two.captures(), (1, 2), "the next period is the new card's");
}

#[tokio::test]
async fn no_answer_about_the_intent_and_nothing_is_charged_until_there_is_one() {
    let two = declined_on_stripe().await;
    two.stripe.deaf.store(1, Ordering::SeqCst);
    assert_eq!(two.switch().await, Some(ChargeResult::Pending));
    let subscription = two.world.subscription(&two.id).await;
    assert_eq!((two.toss.sent(), subscription.live.is_none()), (0, true));
    let next = subscription.due_at.unwrap();
    two.stripe.deaf.store(1, Ordering::SeqCst);
    two.world.travel(next);
    run(&two.world).await;
    let after = two.world.subscription(&two.id).await;
    assert_eq!(
        (two.toss.sent(), after.due_at, after.dunning),
        (0, subscription.due_at, subscription.dunning),
        "still due"
    );
    run(&two.world).await;
    assert_eq!((two.captures(), two.world.subscription(&two.id).await.paid), ((1, 1), Some(1)));
}

/// The claim that follows the cancellation is lost: cancelled again, charged once.
#[tokio::test]
async fn a_lost_claim_after_the_cancellation_changes_nothing() {
    use shared::store::memory::{Call, Fault};
    for fault in [Fault::Unavailable, Fault::Conflict, Fault::AnswerLost] {
        let two = declined_on_stripe().await;
        let context = two.world.context().await;
        let commits = std::sync::atomic::AtomicU32::new(0);
        two.world.store.inject(move |call| {
            let commit = matches!(call, Call::Commit(_));
            let n = commits.fetch_add(u32::from(commit), Ordering::SeqCst);
            (commit && n == 1).then_some(fault)
        });
        let _ = change(&two.world.charging, &context, &two.id, &two.spare, PATIENCE).await;
        two.world.store.heal();
        for _ in 0..3 {
            two.world.wait(SignedDuration::from_hours(24));
            run(&two.world).await;
        }
        assert_eq!((two.captures(), two.world.subscription(&two.id).await.paid), ((1, 1), Some(1)), "{fault:?}");
    }
}

#[tokio::test]
async fn nothing_is_void_while_its_intent_may_still_capture() {
    for at in [CancelAt::PeriodEnd, CancelAt::Now] {
        let two = declined_on_stripe().await;
        two.stripe.deaf.store(1, Ordering::SeqCst);
        let before = two.world.store.dump();
        let context = two.world.context().await;
        let refused = cancel(&two.world.charging, &context, &two.id, at, None, &[]).await;
        assert!(matches!(refused, Err(ChargeError::IntentOpen)), "{refused:?}");
        assert_eq!(two.world.store.dump(), before, "nothing changed");
        assert_eq!(cancelled(&two.world, &two.id, at).await.status, Status::Cancelled);
        assert_eq!((two.state(1).await, two.stripe.cancelled.lock().unwrap().len()), (State::Void, 1));
    }
}

/// It turns out to be paid while it is cancelled: the payment counts, and the cancellation is decided on that.
#[tokio::test]
async fn what_was_paid_unseen_is_not_void() {
    let two = paid_unseen_on_stripe().await;
    let after = cancelled(&two.world, &two.id, CancelAt::PeriodEnd).await;
    assert_eq!((after.status, after.paid), (Status::Active, Some(1)));
    assert!(after.cancel_at.is_some(), "what is paid for is used up");
    let two = paid_unseen_on_stripe().await;
    assert_eq!(cancelled(&two.world, &two.id, CancelAt::Now).await.status, Status::Cancelled);
    assert!(matches!(two.state(1).await, State::Paid(_)));
}

#[tokio::test]
async fn what_was_paid_unseen_is_not_given_up() {
    for paid in [false, true] {
        let two = if paid { paid_unseen_on_stripe().await } else { declined_on_stripe().await };
        two.stripe.always(Act::Soft);
        two.toss.always(Act::Soft);
        // No card answers any more; time passes until the end.
        let method = two.world.subscription(&two.id).await;
        let dead = typed::method(&two.world.store, &method.tenant_id, &method.method_id).await.unwrap().unwrap();
        let invalid = domain::method::PaymentMethod { status: domain::method::Status::Invalid, ..dead };
        let write = shared::store::Write::Replace(shared::store::Record::Method(invalid));
        let commit = shared::store::Commit { id: "dead".to_owned(), writes: vec![write], events: vec![] };
        shared::store::Store::commit(&two.world.store, &commit).await.unwrap();
        for day in [1, 7, 29] {
            two.world.wait(SignedDuration::from_hours(24 * day));
            run(&two.world).await;
        }
        assert_eq!(two.world.subscription(&two.id).await.status, Status::Suspended);
        two.stripe.deaf.store(1, Ordering::SeqCst);
        two.world.wait(SignedDuration::from_hours(24 * 2));
        run(&two.world).await;
        assert_eq!(two.world.subscription(&two.id).await.status, Status::Suspended, "not while it may be paid");
        run(&two.world).await;
        let end = two.world.subscription(&two.id).await;
        if paid {
            assert_eq!((end.status, end.paid), (Status::Active, Some(1)), "recovered");
            assert_eq!(was_told(&two.world, &two.id, "cycle.uncollectible"), 0);
        } else {
            assert_eq!((end.status, two.state(1).await), (Status::Terminated, State::Uncollectible));
        }
    }
}
