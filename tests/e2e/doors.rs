//! Every way by which a person makes a payment happen (approval, activation, a retry, a new card, another card), at both
//! gateways and with every kind of answer: the first after an outage, a refusal, none, and one that comes after its event.

use domain::breaker::row_name;
use domain::charge::GatewayName;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use shared::store::{Commit, Control, DynamoStore, Record, Store, Write, typed};

use crate::harness::{Answer, Applicant, Stack, var};
use crate::tables::client;
use crate::tokens::tenant_token;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    Approval,
    Activation,
    Retry,
    NewCard,
    OtherCard,
}

const DOORS: [Door; 5] = [Door::Approval, Door::Activation, Door::Retry, Door::NewCard, Door::OtherCard];

async fn register(stack: &Stack, applicant: &Applicant, gateway: GatewayName, good: bool) -> String {
    let token = &applicant.token;
    let answer = match gateway {
        GatewayName::Toss => {
            stack.register_toss(applicant, token, if good { "approved" } else { "insufficient_funds" }).await
        }
        GatewayName::Stripe => {
            let card = if good { "pm_card_visa" } else { "pm_card_chargeCustomerFail" };
            let intent = stack.setup_intent(token, card).await;
            let body = json!({ "gateway": "stripe", "setupIntentId": intent });
            stack.post("/billing/payment-methods", Some(token), body).await
        }
    };
    answer.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn switch(stack: &Stack, gateway: GatewayName, to: &str) {
    let path = format!("/ops/gateways/{}/{to}", gateway.as_str());
    stack.post(&path, Some(stack.ops().await), json!({ "reason": "e2e" })).await.expect(200);
}

/// Approved, and not charged yet: its gateway was paused.
async fn owing(stack: &Stack, gateway: GatewayName, good: bool) -> (Applicant, String, String) {
    let applicant = stack.apply("starter").await;
    let spare = register(stack, &applicant, gateway, good).await;
    register(stack, &applicant, gateway, good).await;
    switch(stack, gateway, "pause").await;
    let approved = stack.approve(&applicant).await.expect(202);
    switch(stack, gateway, "resume").await;
    (applicant, approved["subscriptionId"].as_str().unwrap().to_owned(), spare)
}

/// Someone who stands before a door, and what they do there.
struct Caller {
    door: Door,
    gateway: GatewayName,
    applicant: Applicant,
    /// Known before approval too: it is made of the application's.
    id: String,
    spare: String,
}

impl Caller {
    async fn at(stack: &Stack, door: Door, gateway: GatewayName, good: bool) -> Caller {
        let (applicant, id, spare) = match door {
            Door::Activation | Door::Retry | Door::OtherCard => owing(stack, gateway, good).await,
            Door::Approval => {
                let applicant = stack.apply("starter").await;
                let spare = register(stack, &applicant, gateway, good).await;
                let id = applicant.id.replace("req_", "sub_");
                (applicant, id, spare)
            }
            Door::NewCard => {
                let applicant = stack.apply("starter").await;
                let bad = register(stack, &applicant, gateway, false).await;
                let approved = stack.approve(&applicant).await.expect(200);
                assert_eq!(approved["nextAction"], "SUPPLY_CARD");
                (applicant, approved["subscriptionId"].as_str().unwrap().to_owned(), bad)
            }
        };
        Caller { door, gateway, applicant, id, spare }
    }

    async fn knock(&self, stack: &Stack) -> Answer {
        let path = format!("/billing/subscriptions/{}", self.id);
        match self.door {
            Door::Approval => stack.approve(&self.applicant).await,
            Door::Activation => stack.post(&format!("{path}/activate"), Some(stack.ops().await), json!({})).await,
            Door::Retry => stack.post(&format!("{path}/retry"), Some(stack.ops().await), json!({})).await,
            Door::NewCard => {
                let token = &self.applicant.token;
                match self.gateway {
                    GatewayName::Toss => stack.register_toss(&self.applicant, token, "approved").await,
                    GatewayName::Stripe => stack.register_stripe(token).await,
                }
            }
            Door::OtherCard => {
                let token = tenant_token(stack, &self.applicant.tenant).await;
                let body = json!({ "paymentMethodId": self.spare });
                stack.send(stack.request(Method::PATCH, &path, Some(&token)).json(&body)).await
            }
        }
    }

    /// Paid once, by the gateway's ledger and by our books.
    async fn paid_once(&self, stack: &Stack, what: &str) {
        let door = self.door;
        assert_eq!(stack.subscription(&self.id).await["status"], "ACTIVE", "{what} {door:?}");
        assert_eq!(stack.captures(&self.id).await.len(), 1, "{what} {door:?}");
        let cycles = stack.cycles(&self.id).await;
        assert_eq!(cycles.iter().filter(|cycle| cycle["status"] == "PAID").count(), 1, "{what} {door:?} {cycles:#?}");
    }
}

/// As twenty answers of an outage leave it, a while ago: the next charge is the probe.
async fn open_breaker(stack: &Stack, gateway: GatewayName) {
    let now = stack.now().await;
    let ago = |seconds: i64| (now - SignedDuration::from_secs(seconds)).as_millisecond();
    let value = json!({ "open": { "since": ago(120), "probeAt": ago(60), "probes": 1 } });
    let store = DynamoStore::new(client(), var("STAGE"));
    let name = row_name(gateway);
    let known = typed::control(&store, &name).await.unwrap();
    let record = Record::Control(Control { name, value, version: known.as_ref().map_or(0, |row| row.version) });
    let write = if known.is_some() { Write::Replace(record) } else { Write::New(record) };
    let id = format!("{:032x}", rand::random::<u128>());
    store.commit(&Commit { id, writes: vec![write], events: Vec::new() }).await.unwrap();
}

async fn status(stack: &Stack, gateway: GatewayName) -> Value {
    let gateways = stack.get("/ops/gateways", Some(stack.ops().await)).await.expect(200);
    let items = gateways["items"].as_array().unwrap();
    items.iter().find(|item| item["gateway"] == gateway.as_str()).unwrap()["status"].clone()
}

async fn fault(stack: &Stack, gateway: GatewayName, fault: &str, delay: u64) {
    let gateway = gateway.as_str();
    let armed = json!({ "gateway": gateway, "operation": "charge", "fault": fault, "times": 1, "delayMs": delay });
    stack.own(Method::POST, "/faults", armed).await;
}

#[tokio::test]
async fn the_first_payment_after_an_outage_is_its_probe_at_every_door() {
    let stack = Stack::new();
    for gateway in GatewayName::ALL {
        for door in DOORS {
            let caller = Caller::at(&stack, door, gateway, true).await;
            open_breaker(&stack, gateway).await;
            assert_ne!(status(&stack, gateway).await, "FLOWS");
            let answer = caller.knock(&stack).await;
            assert!(matches!(answer.status, 200 | 201), "{gateway:?} {door:?} {answer:#?}");
            caller.paid_once(&stack, gateway.as_str()).await;
            assert_eq!(status(&stack, gateway).await, "FLOWS", "{gateway:?} {door:?}: the answer closed the breaker");
        }
    }
}

#[tokio::test]
async fn a_refused_card_at_every_door_pays_once_it_is_good() {
    let stack = Stack::new();
    for gateway in GatewayName::ALL {
        for door in [Door::Activation, Door::Retry, Door::OtherCard] {
            let caller = Caller::at(&stack, door, gateway, false).await;
            let answer = caller.knock(&stack).await;
            let told = if door == Door::OtherCard { 200 } else { 402 };
            assert_eq!(answer.status, told, "{gateway:?} {door:?} {answer:#?}");
            assert!(stack.captures(&caller.id).await.is_empty());
            let attempts = stack.cycles(&caller.id).await[0]["attempts"].clone();
            assert_eq!(attempts[0]["outcome"], "DECLINED", "{attempts:#}");
            let card = Caller { door: Door::NewCard, ..caller };
            let answer = card.knock(&stack).await.expect(201);
            assert_eq!(answer["charge"], "SUCCEEDED", "{gateway:?} {door:?}");
            card.paid_once(&stack, gateway.as_str()).await;
        }
    }
}

/// The event settles the attempt while its caller still waits: the caller's own commit loses, and it says what is.
#[tokio::test]
async fn an_event_that_is_faster_than_the_answer_changes_nothing() {
    let stack = Stack::new();
    for door in DOORS {
        let caller = Caller::at(&stack, door, GatewayName::Stripe, true).await;
        fault(&stack, GatewayName::Stripe, "slow_answer", 3_000).await;
        let answer = caller.knock(&stack).await;
        assert!(matches!(answer.status, 200 | 201), "{door:?} {answer:#?}");
        caller.paid_once(&stack, "slow answer").await;
    }
}

/// Nobody hears the answer, and nobody asks: the hint's consumer looks the attempt up, sends it again where it has to, and
/// writes what it finds.
#[tokio::test]
async fn what_nobody_heard_is_found_out_by_the_hint_alone() {
    let stack = Stack::new();
    let mut waiting = Vec::new();
    for (gateway, lost, good) in [
        (GatewayName::Toss, "drop_after", true),
        (GatewayName::Toss, "drop_after", false),
        (GatewayName::Stripe, "drop_before", true),
        (GatewayName::Stripe, "drop_after", false),
    ] {
        let caller = Caller::at(&stack, Door::Approval, gateway, good).await;
        fault(&stack, gateway, lost, 0).await;
        caller.knock(&stack).await.expect(202);
        waiting.push((caller, good));
    }
    for (caller, good) in waiting {
        let outcome = if good { "SUCCEEDED" } else { "DECLINED" };
        let found = stack
            .until("the hint was worked on", || async {
                let attempts = stack.cycles(&caller.id).await[0]["attempts"].clone();
                (attempts[0]["outcome"] == outcome).then_some(attempts)
            })
            .await;
        assert_eq!(found.as_array().unwrap().len(), 1, "{found:#}");
        assert_eq!(stack.captures(&caller.id).await.len(), usize::from(good), "{:?}", caller.gateway);
    }
}

/// The same by an operator who asks.
#[tokio::test]
async fn what_nobody_heard_is_found_out_by_asking() {
    let stack = Stack::new();
    for (gateway, lost, good) in [(GatewayName::Toss, "drop_after", false), (GatewayName::Stripe, "drop_before", true)]
    {
        let caller = Caller::at(&stack, Door::Approval, gateway, good).await;
        fault(&stack, gateway, lost, 0).await;
        caller.knock(&stack).await.expect(202);
        let order = stack.cycles(&caller.id).await[0]["attempts"][0]["orderId"].as_str().unwrap().to_owned();
        let path = format!("/ops/attempts/{order}/resolve");
        let resolved = stack.post(&path, Some(stack.ops().await), json!({})).await.expect(200);
        assert_eq!(resolved["outcome"], if good { "SUCCEEDED" } else { "DECLINED" }, "{resolved:#}");
        assert_eq!(stack.captures(&caller.id).await.len(), usize::from(good), "{gateway:?}");
    }
}
