//! The door for gateway events as the function has it, with the real use cases behind it and every call to the store
//! counted: what it takes, what it turns away, how often, and what it lets a gateway be asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::charge::{Billable, GatewayName, Trigger};
use domain::ids::SubscriptionId;
use hmac::{Hmac, KeyInit, Mac};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::config::IpAllowList;
use shared::gateway::webhook::types;
use shared::secrets::{SecretName, SecretValue, SecretVersions, Secrets, SecretsError};
use shared::usecase::charge_subscription::charge;
use shared::web::Request;
use shared::web::webhook::{Door, Rates, Throttle};

use super::adverse::{Act, Adverse, onboard, world};
use super::cancelling::was_told;
use super::refunding::{cycle, payment_of};
use super::world::World;

pub const CURRENT: &str = "whsec_current_0001";
pub const PREVIOUS: &str = "whsec_previous_0002";
pub const PATH: &str = "/api/v1/billing/payments/webhook";
const UNLIMITED: Rates = Rates { per_address: 1_000_000, per_process: 1_000_000 };

/// The webhook secret in the middle of a rotation.
struct Rotating;

#[async_trait]
impl Secrets for Rotating {
    async fn get(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        let version = |id: &str, secret: &str| SecretValue {
            version_id: id.to_owned(),
            value: SecretString::from(json!({ "secret": secret }).to_string()),
        };
        Ok(Arc::new(SecretVersions { name, current: version("v2", CURRENT), previous: Some(version("v1", PREVIOUS)) }))
    }

    async fn refresh(&self, name: SecretName) -> Result<Arc<SecretVersions>, SecretsError> {
        self.get(name).await
    }
}

pub struct Porch {
    pub world: World,
    pub gateway: Arc<Adverse>,
    pub id: SubscriptionId,
    pub door: Door,
    /// Milliseconds on the door's own clock.
    ticks: Arc<AtomicU64>,
    /// Calls to the store.
    touched: Arc<AtomicU64>,
}

impl Porch {
    pub async fn of(name: GatewayName) -> Porch {
        Porch::limited(name, UNLIMITED).await
    }

    async fn limited(name: GatewayName, rates: Rates) -> Porch {
        let (world, gateway) = world(name).await;
        let id = onboard(&world, name).await;
        let (ticks, touched) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let read = Arc::clone(&ticks);
        let throttle = Throttle::new(rates, Arc::new(move || Duration::from_millis(read.load(Ordering::SeqCst))));
        let count = Arc::clone(&touched);
        world.store.inject(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
        let door = Door::guarded(world.charging.clone(), Arc::new(Rotating), IpAllowList::default(), throttle);
        Porch { world, gateway, id, door, ticks, touched }
    }

    /// Status and code of the answer; a code only where there is a problem.
    pub async fn send(&self, request: &Request) -> (u16, &'static str) {
        match self.door.receive(request).await {
            Ok(reply) => (reply.status.as_u16(), ""),
            Err(error) => (error.status(), error.code()),
        }
    }

    /// Calls to the store since last asked.
    pub fn touched(&self) -> u64 {
        self.touched.swap(0, Ordering::SeqCst)
    }

    async fn now(&self) -> i64 {
        self.world.context().await.now.as_second()
    }

    /// Signs and sends an event of Stripe's.
    async fn event(&self, id: &str, kind: &str, object: Value) -> (u16, &'static str) {
        let body = event(id, kind, object).to_string();
        let header = format!("t={},v1={}", self.now().await, mac(CURRENT, self.now().await, body.as_bytes()));
        self.send(&delivery("stripe", &[("stripe-signature", &header)], body)).await
    }

    async fn toss(&self, body: Value) -> (u16, &'static str) {
        self.send(&delivery("toss", &[], body.to_string())).await
    }

    fn order(&self, index: u32, name: GatewayName) -> String {
        Billable { subscription: self.id.clone(), index, seq: 0 }.order_id(name, 1)
    }

    /// Keys, kinds and outcomes of the inbox.
    fn inbox(&self) -> BTreeSet<(String, String)> {
        let rows = self.world.store.dump().into_iter().filter(|(table, _)| *table == "webhook_inbox");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rows.map(|(_, item)| (text(&item["pk"]), text(&item["outcome"]))).collect()
    }

    /// Subjects of the events of a kind.
    fn told(&self, kind: &str) -> Vec<Value> {
        let rows = self.world.store.dump().into_iter().filter(|(table, _)| *table == "ops_audit_log");
        rows.map(|(_, item)| Value::Object(item)).filter(|item| item["kind"] == kind).collect()
    }
}

/// `v1` of a body.
pub fn mac(secret: &str, at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

pub fn event(id: &str, kind: &str, object: Value) -> Value {
    json!({ "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": 1_795_300_101, "livemode": false,
        "type": kind, "data": { "object": object } })
}

pub fn delivery(gateway: &str, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Request {
    let path = format!("{PATH}/{gateway}");
    let mut request = Request { path, source_ip: "192.0.2.7".into(), body: body.into(), ..Request::default() };
    request.headers.insert("content-type", "application/json".parse().unwrap());
    for (name, value) in headers {
        request.headers.append(*name, value.parse().unwrap());
    }
    request
}

fn hint(order: &str, status: &str) -> Value {
    json!({ "eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-23T09:00:00.65327",
        "data": { "orderId": order, "status": status } })
}

#[tokio::test]
async fn too_many_are_turned_away_before_anything_is_verified_or_read() {
    let porch = Porch::limited(GatewayName::Toss, Rates { per_address: 5, per_process: 20 }).await;
    let stranger = delivery("toss", &[], hint("01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0-1", "DONE").to_string());
    porch.touched();
    for _ in 0..10 {
        assert_eq!(porch.send(&stranger).await, (200, ""));
    }
    assert!(porch.touched() > 0, "an order of nobody's is looked for");
    for _ in 0..100 {
        assert_eq!(porch.send(&stranger).await, (429, "rate_limited"));
    }
    assert_eq!(porch.touched(), 0);
    let other = Request { source_ip: "192.0.2.8".into(), ..stranger.clone() };
    assert_eq!(porch.send(&other).await, (200, ""), "somebody else is heard");
    porch.ticks.store(200, Ordering::SeqCst);
    assert_eq!(porch.send(&stranger).await.0, 200);
    // What is refused costs ten times as much.
    porch.ticks.store(60_000, Ordering::SeqCst);
    let forged = delivery("stripe", &[("stripe-signature", "t=1,v1=00")], "{}");
    let forged = Request { source_ip: "192.0.2.9".into(), ..forged };
    assert_eq!([porch.send(&forged).await.0, porch.send(&forged).await.0], [400, 429]);
}

#[tokio::test]
async fn one_payment_is_read_back_once_in_ten_seconds_and_nothing_is_lost() {
    let porch = Porch::of(GatewayName::Toss).await;
    let payment = payment_of(&cycle(&porch.world, &porch.id, 0).await);
    let order = porch.order(0, GatewayName::Toss);
    porch.gateway.till.by_hand(&payment, 4_000);
    assert_eq!(porch.toss(hint(&order, "PARTIAL_CANCELED")).await, (200, ""));
    assert_eq!(cycle(&porch.world, &porch.id, 0).await.refunded, 4_000);
    // More is given back at once: the second event is not followed, and must come again.
    porch.gateway.till.by_hand(&payment, 5_000);
    for n in 1..=9 {
        let order = Billable { subscription: porch.id.clone(), index: 0, seq: 0 }.order_id(GatewayName::Toss, n);
        assert_eq!(
            porch.toss(hint(&order, "PARTIAL_CANCELED")).await,
            (500, "asked_just_now"),
            "whatever number it says"
        );
    }
    assert_eq!(cycle(&porch.world, &porch.id, 0).await.refunded, 4_000);
    porch.world.wait(SignedDuration::from_secs(10));
    porch.gateway.till.by_hand(&payment, 35_000);
    assert_eq!(porch.toss(hint(&order, "CANCELED")).await, (200, ""));
    assert_eq!(cycle(&porch.world, &porch.id, 0).await.refunded, 44_000);
    // All is given back: nothing can change, so there is nothing to ask and nothing to send again.
    assert_eq!(porch.toss(hint(&order, "CANCELED")).await, (200, ""));
    assert_eq!(porch.toss(hint(&order, "DONE")).await, (200, ""));
}

#[tokio::test]
async fn an_open_attempt_is_looked_up_once_in_ten_seconds() {
    let porch = Porch::of(GatewayName::Toss).await;
    let (world, id) = (&porch.world, &porch.id);
    world.travel(world.subscription(id).await.due_at.unwrap());
    porch.gateway.then(&[Act::TakeThenError]);
    porch.gateway.blind.store(1, Ordering::SeqCst);
    let (subscription, context) = (world.subscription(id).await, world.context().await);
    charge(&world.charging, &context, subscription, Trigger::Renewal, Duration::from_secs(5)).await.unwrap();
    world.wait(SignedDuration::from_mins(5));
    let (asked, order) = (porch.gateway.asked.load(Ordering::SeqCst), porch.order(1, GatewayName::Toss));
    assert_eq!(porch.toss(hint(&order, "DONE")).await, (200, ""), "the gateway shows it too late");
    assert_eq!(porch.toss(hint(&order, "DONE")).await, (500, "asked_just_now"));
    assert_eq!(porch.gateway.asked.load(Ordering::SeqCst), asked + 1);
    world.wait(SignedDuration::from_secs(61));
    assert_eq!(porch.toss(hint(&order, "DONE")).await, (200, ""), "sent again a minute later, as Toss does");
    assert_eq!(world.subscription(id).await.paid, Some(1));
}

#[tokio::test]
async fn a_claimed_secret_must_be_the_payments_and_cannot_keep_the_real_event_out() {
    let porch = Porch::of(GatewayName::Toss).await;
    let payment = payment_of(&cycle(&porch.world, &porch.id, 0).await);
    let order = porch.order(0, GatewayName::Toss);
    let claim = |secret: &str| {
        let mut hint = hint(&order, "CANCELED");
        hint["data"]["paymentKey"] = json!(payment);
        hint["data"]["secret"] = json!(secret);
        hint
    };
    porch.gateway.till.by_hand(&payment, 4_000);
    for n in 0..5 {
        assert_eq!(porch.toss(claim(&format!("ps_forged_{n}"))).await, (400, "bad_secret"));
    }
    assert_eq!(cycle(&porch.world, &porch.id, 0).await.refunded, 0);
    assert_eq!(porch.toss(claim(&format!("ps_{payment}"))).await, (200, ""));
    assert_eq!(cycle(&porch.world, &porch.id, 0).await.refunded, 4_000);
}

#[tokio::test]
async fn unsigned_events_of_no_consequence_leave_one_row_a_type_and_day() {
    let porch = Porch::of(GatewayName::Toss).await;
    let before = porch.world.store.dump().len();
    for n in 0..500 {
        for kind in ["METHOD_UPDATED", "payout.changed", &format!("INVENTED_{n}")] {
            assert_eq!(porch.toss(json!({ "eventType": kind, "data": { "n": n } })).await, (200, ""));
        }
        assert_eq!(
            porch.toss(json!({ "secret": "ps_1", "status": "DONE", "orderId": format!("va_{n:06}") })).await.0,
            200
        );
        assert_eq!(porch.toss(hint("not-an-order-of-ours", "DONE")).await.0, 200);
    }
    assert_eq!(porch.world.store.dump().len(), before + 4);
    let kinds: Vec<String> =
        porch.inbox().into_iter().map(|(key, _)| key.split('#').nth(2).unwrap().to_owned()).collect();
    assert_eq!(kinds, ["DEPOSIT_CALLBACK", "METHOD_UPDATED", "payout.changed", "unlisted"]);
    porch.world.wait(SignedDuration::from_hours(24));
    assert_eq!(porch.toss(json!({ "eventType": "METHOD_UPDATED", "data": {} })).await.0, 200);
    assert_eq!(porch.inbox().len(), 5, "another day");
}

#[tokio::test]
async fn a_card_gets_its_new_face_and_the_gateways_own_objects_are_recorded() {
    let porch = Porch::of(GatewayName::Stripe).await;
    let token = format!("token-{}", "x");
    let card = json!({ "brand": "visa", "last4": "1881", "exp_month": 3, "exp_year": 2032 });
    let stranger = json!({ "id": token, "object": "payment_method", "card": card });
    assert_eq!(porch.event("evt_1", "payment_method.automatically_updated", stranger).await, (200, ""));
    assert!(porch.told("payment_method.updated").is_empty(), "nobody's card");
    for (id, kind, fact) in [
        ("evt_2", "customer.subscription.updated", "gateway_subscription.updated"),
        ("evt_3", "customer.subscription.deleted", "gateway_subscription.deleted"),
        ("evt_4", "invoice.paid", "gateway_invoice.paid"),
        ("evt_5", "invoice.payment_failed", "gateway_invoice.payment_failed"),
    ] {
        for _ in 0..2 {
            let object = json!({ "id": "obj_1", "status": "paid", "customer": "cus_1" });
            assert_eq!(porch.event(id, kind, object).await, (200, ""));
        }
        let [told] = &porch.told(fact)[..] else { panic!("{fact} once") };
        assert_eq!((&told["by_subject_pk"], &told["changes"]["status"]), (&json!("obj_1"), &json!("paid")));
        assert!(porch.inbox().contains(&(format!("stripe#{id}"), "RECORDED".to_owned())));
    }
    let ours =
        json!({ "id": "in_1", "status": "paid", "metadata": { "order_id": porch.order(0, GatewayName::Stripe) } });
    assert_eq!(porch.event("evt_6", "invoice.paid", ours).await, (200, ""));
    assert!(porch.inbox().contains(&("stripe#evt_6".to_owned(), "LOOKED_UP".to_owned())));
    assert_eq!(porch.told("gateway_invoice.paid").len(), 2);
    assert!(porch.told("webhook.unmatched").is_empty());
}

#[tokio::test]
async fn signed_money_of_nobodys_is_kept_and_told_once() {
    let porch = Porch::of(GatewayName::Stripe).await;
    let intent = |order: Value| {
        json!({ "id": "pi_9", "object": "payment_intent", "status": "succeeded", "amount_received": 5_000,
            "currency": "krw", "latest_charge": "ch_9", "metadata": { "order_id": order } })
    };
    let refund = json!({ "id": "re_9", "amount": 5, "currency": "krw", "charge": "ch_9", "payment_intent": "pi_9",
        "status": "succeeded", "metadata": {} });
    let dispute = json!({ "id": "dp_9", "charge": "ch_9", "payment_intent": "pi_9", "amount": 5, "status": "lost" });
    let charge = json!({ "id": "ch_9", "payment_intent": "pi_9", "amount_refunded": 5 });
    let cases = [
        ("payment_intent.succeeded", intent(json!("01ARZ3NDEKTSV4RRFFQ69G5FAV-0-0"))),
        ("payment_intent.succeeded", intent(json!("somebody-elses"))),
        ("payment.succeeded", intent(json!(null))),
        ("refund.created", refund),
        ("charge.refunded", charge),
        ("charge.dispute.created", dispute),
    ];
    for (n, (kind, object)) in cases.iter().enumerate() {
        for _ in 0..2 {
            assert_eq!(porch.event(&format!("evt_{n}"), kind, object.clone()).await, (200, ""), "{kind}");
        }
        assert!(porch.inbox().contains(&(format!("stripe#evt_{n}"), "UNMATCHED".to_owned())), "{kind}");
    }
    assert_eq!(porch.told("webhook.unmatched").len(), cases.len());
    assert_eq!(was_told(&porch.world, &porch.id, "payment.captured"), 1);
}

/// The page that shows what each type does names every type.
#[test]
fn the_map_names_every_type() {
    let page = include_str!("../../../ARCHITECTURE.md");
    for (name, does) in types::STRIPE.iter().chain(&types::TOSS) {
        let family = name.rsplit_once('.').map(|(family, last)| (format!("`{family}.*`"), format!("`.{last}`")));
        let shown = page.contains(&format!("`{name}`"));
        let short = family.is_some_and(|(family, last)| page.contains(&family) || page.contains(&last));
        assert!(shown || short || *does == types::Does::Stored, "{name}");
    }
}
