//! A crash at every step of a refund: at each call to the store and the gateway the process dies before the effect, before
//! the answer or after it, or the call goes wrong; under every answer of the gateway; then the same with a second death at
//! every change of the recovery. A bounded number of sweeps later the books agree with the gateway: the money went back
//! once, or provably never.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::charge::GatewayName;
use domain::event::Actor;
use domain::ids::{RefundId, SubscriptionId};
use domain::refund::{Status, Wish};
use jiff::SignedDuration;
use shared::ports::Context;
use shared::usecase::refund_payment::request;
use shared::usecase::send_refund::advance;
use shared::usecase::sweep_refunds::sweep;

use super::adverse::{Adverse, onboard, world};
use super::mortal::{Blow, Counted, Fate, Plan, mortal};
use super::refunding::{PRICE, cycle, payment_of, place};
use super::till::Give;
use super::world::World;

const ACTS: [Give; 7] =
    [Give::Done, Give::DoneUnheard, Give::DoneThenError, Give::Silence, Give::Error, Give::Strange, Give::Refuse];

struct Scene {
    world: World,
    gateway: Arc<Adverse>,
    fate: Arc<Fate>,
    id: SubscriptionId,
    payment: String,
    refund: RefundId,
}

impl Scene {
    async fn set(name: GatewayName, act: Give) -> Scene {
        let (mut world, gateway) = world(name).await;
        let id = onboard(&world, name).await;
        let before = cycle(&world, &id, 0).await;
        let fate = mortal(&mut world, &gateway);
        *fate.partition.lock().unwrap() = before.refund_partition();
        gateway.till.then(&[act]);
        gateway.till.blind.store(1, Ordering::SeqCst);
        Scene { payment: payment_of(&before), world, gateway, fate, id, refund: RefundId::named("wanted") }
    }

    async fn context(&self) -> Context {
        Context { actor: Actor::Operator("kim".into()), ..self.world.context().await }
    }

    /// What the endpoint does, as one process.
    async fn ask(&self) {
        let context = self.context().await;
        let wish =
            Wish { id: self.refund.clone(), amount: Some(11_000), reason: "r".into(), by: "kim".into(), limit: None };
        let place = place(&self.id, 0);
        let charging = &self.world.charging;
        let process = async {
            request(charging, &context, &place, &wish, &[]).await.map(|_| ())?;
            let sent = advance(charging, &context, &place, &self.refund, Duration::from_secs(20)).await;
            sent.map(|_| ()).map_err(shared::usecase::refund_payment::RefundError::from)
        };
        let _ = self.fate.process(process).await;
    }

    async fn recover(&self) {
        for _ in 0..8 {
            self.world.wait(SignedDuration::from_mins(35));
            let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
            let context = self.context().await;
            let _ = self.fate.process(sweep(&self.world.charging, &context, deadline)).await;
        }
    }

    async fn judge(&self, case: &str) {
        let after = cycle(&self.world, &self.id, 0).await;
        let given = self.gateway.till.given(&self.payment);
        assert!(given == 0 || given == 11_000, "{case}: given {given}");
        assert_eq!(after.refunded, given, "{case}: {after:#?}");
        assert_eq!((after.refundable(), after.refund_due()), (PRICE - given, None), "{case}: {after:#?}");
        let status = after.refund(&self.refund).map(|r| r.status);
        let over = matches!(status, None | Some(Status::Succeeded | Status::Failed));
        assert!(over && (status == Some(Status::Succeeded)) == (given > 0), "{case}: {status:?}");
    }
}

#[derive(Default)]
struct Figures {
    worlds: u32,
    points: BTreeSet<(String, Blow)>,
}

async fn play(name: GatewayName, act: Give, first: Plan, second: Option<Plan>, figures: &mut Figures) -> (bool, bool) {
    let scene = Scene::set(name, act).await;
    scene.fate.begin(Some(first));
    scene.ask().await;
    let one = scene.fate.end();
    scene.fate.begin(second);
    scene.recover().await;
    let two = scene.fate.end();
    scene.recover().await;
    scene.judge(&format!("{name:?} {act:?} {first:?} {second:?}")).await;
    figures.worlds += 1;
    figures.points.extend(scene.fate.points());
    (one, two)
}

#[expect(clippy::print_stdout, reason = "the figures of a sweep are its result")]
async fn all(name: GatewayName) {
    let mut figures = Figures::default();
    for act in ACTS {
        for blow in Blow::ALL {
            for at in 0.. {
                let plan = Plan { counted: Counted::All, at, blow };
                if !play(name, act, plan, None, &mut figures).await.0 {
                    assert!(at >= 7, "a refund makes more calls than {at}");
                    break;
                }
            }
        }
        let death = |at| Plan { counted: Counted::Changes, at, blow: Blow::DiesBefore };
        let mut struck = true;
        for first in (0..).map(death) {
            for second in (0..).map(death) {
                let both = play(name, act, first, Some(second), &mut figures).await;
                struck = both.0;
                if both != (true, true) {
                    break;
                }
            }
            if !struck {
                break;
            }
        }
    }
    println!("refunds at {}: {} points, {} worlds", name.as_str(), figures.points.len(), figures.worlds);
    assert!(figures.points.len() >= 30, "{:#?}", figures.points);
}

#[tokio::test]
async fn a_refund_at_toss_survives_a_crash_at_every_step() {
    all(GatewayName::Toss).await;
}

#[tokio::test]
async fn a_refund_at_stripe_survives_a_crash_at_every_step() {
    all(GatewayName::Stripe).await;
}
